//! `stockade serve` on PostgreSQL, any number of processes.

use std::path::PathBuf;

use tempfile::TempDir;

use super::stage::{Stage, stockade};

/// A configuration that several processes may serve.
pub(super) struct PostgresStage {
    dir: TempDir,
    settings: Vec<(String, String)>,
}

impl PostgresStage {
    /// `stockade init` in a fresh directory, pointed at this database.
    pub(super) fn new(url: String) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let output = stockade().arg("init").arg(dir.path().join("home")).output().expect("init runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let settings = [
            ("STOCKADE_DATABASE__URL", &*url),
            ("STOCKADE_SERVER__ISSUER", "http://localhost:8080"),
            ("STOCKADE_LIMITS__ADDRESS", "100000/s burst 100000"),
            ("STOCKADE_LIMITS__TOKEN_ADDRESS", "100000/s burst 100000"),
            ("STOCKADE_LIMITS__TOKEN_CLIENT", "100000/s burst 100000"),
        ];
        Self { dir, settings: settings.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect() }
    }

    /// The same with one more setting.
    pub(super) fn with(mut self, name: &str, value: &str) -> Self {
        self.settings.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The configuration file.
    pub(super) fn config(&self) -> PathBuf {
        self.dir.path().join("home/stockade.toml")
    }

    fn settings(&self) -> Vec<(&str, &str)> {
        self.settings.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect()
    }

    /// One process, ready.
    pub(super) async fn serve(&self) -> Stage {
        Stage::serve(&self.config(), &self.settings()).await
    }

    /// One process, perhaps not ready.
    pub(super) fn serve_unready(&self) -> Stage {
        Stage::serve_unready(&self.config(), &self.settings())
    }

    /// A command of the command line against the same database, which must succeed.
    pub(super) fn cli_ok(&self, arguments: &[&str]) -> String {
        let mut command = stockade();
        command.args(arguments).arg("--config").arg(self.config()).envs(self.settings());
        let output = command.output().expect("the command runs");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "`stockade {}` fails: {said}", arguments.join(" "));
        String::from_utf8(output.stdout).expect("text")
    }

    /// Creates a client that may obtain tokens; gives its id and secret.
    pub(super) fn client(&self, id: &str) -> (String, String) {
        self.cli_ok(&["migrate"]);
        let grant = ["--grant", "client_credentials", "--scope", "audit:read"];
        let printed = self.cli_ok(&[&["client", "create", "--id", id][..], &grant[..]].concat());
        let mut words = printed.split(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != '-');
        let secret = words.find(|word| word.starts_with("stk_cs_"));
        let secret = secret.unwrap_or_else(|| panic!("no secret in: {printed}"));
        (id.to_owned(), secret.to_owned())
    }
}
