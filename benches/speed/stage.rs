//! The servers under measurement, prepared and started.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::load;
use crate::policies;
use crate::process::{Server, free_address};

/// The binary of this build.
const BINARY: &str = env!("CARGO_BIN_EXE_stockade");

/// An API whose tokens are opaque.
pub(crate) const OPAQUE: &str = "https://opaque.example";

/// Buckets that never refuse: what is measured is their cost.
const NO_LIMITS: [(&str, &str); 6] = [
    ("STOCKADE_LIMITS__ADDRESS", "1000000/s burst 100000000"),
    ("STOCKADE_LIMITS__TOKEN_ADDRESS", "1000000/s burst 100000000"),
    ("STOCKADE_LIMITS__TOKEN_CLIENT", "1000000/s burst 100000000"),
    ("STOCKADE_LIMITS__ACCESS_CLIENT", "1000000/s burst 100000000"),
    ("STOCKADE_LIMITS__CEILING", "10000000/s burst 10000000"),
    ("STOCKADE_LOG__FORMAT", "json"),
];

/// One Stockade, its data and what `dev.env` says about it.
pub(crate) struct Stockade {
    pub(crate) server: Server,
    pub(crate) env: BTreeMap<String, String>,
    ops: String,
    dir: PathBuf,
    settings: Vec<(String, String)>,
}

impl Stockade {
    /// `stockade dev` in a fresh directory: started once so that the store is migrated and the policies lie there, then
    /// `edit` changes its policies, and it is started again.
    pub(crate) async fn dev(home: &Path, name: &str, issuance: &str, edit: impl FnOnce(&Path)) -> Self {
        let dir = home.join(name);
        std::fs::create_dir_all(&dir).expect("a directory");
        let (address, ops) = (free_address(), free_address());
        let mut settings = NO_LIMITS.map(|(k, v)| (k.to_owned(), v.to_owned())).to_vec();
        settings.push(("STOCKADE_AUDIT_LOG__ISSUANCE".to_owned(), issuance.to_owned()));
        let port = address.rsplit(':').next().expect("a port");
        let apis = format!(
            "[{{ id = \"http://localhost:{port}/demo\", tokens = \"jwt\" }}, {{ id = \"{OPAQUE}\", tokens = \"opaque\" }}]"
        );
        settings.push(("STOCKADE_OAUTH__RESOURCES".to_owned(), apis));
        Self::start(&dir, &address, &ops, &settings).await.stop();
        edit(&dir.join("policies"));
        let server = Self::start(&dir, &address, &ops, &settings).await;
        Self { server, env: variables(&dir.join("dev.env")), ops, dir, settings }
    }

    async fn start(dir: &Path, address: &str, ops: &str, settings: &[(String, String)]) -> Server {
        let mut command = Command::new(BINARY);
        command.args(["dev", "--listen", address, "--ops-listen", ops, "--data"]).arg(dir);
        command.env_clear().envs(settings.iter().map(|(k, v)| (k, v)));
        Server::start(command, address.to_owned(), ops, "/readyz", Path::new("/dev/null")).await
    }

    /// Runs a command of the command line against its store.
    pub(crate) fn cli(&self, arguments: &[&str]) -> String {
        let mut command = Command::new(BINARY);
        command.args(arguments).arg("--config").arg(self.dir.join("stockade.toml"));
        command.env_clear().envs(self.settings.iter().map(|(k, v)| (k, v)));
        let output = command.output().expect("the command runs");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "`stockade {}` fails: {said}", arguments.join(" "));
        String::from_utf8(output.stdout).expect("text")
    }

    /// A client of its own, which `more` describes; gives its secret.
    pub(crate) fn create_client(&self, id: &str, more: &[&str]) -> String {
        let printed = self.cli(&[&["client", "create", "--id", id], more].concat());
        let mut words = printed.split(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != '-');
        words.find(|word| word.starts_with("stk_cs_")).expect("a secret").to_owned()
    }

    /// Id and secret of one of `dev.env`'s clients.
    pub(crate) fn client(&self, who: &str) -> (&str, &str) {
        (&self.env[&format!("{who}_CLIENT_ID")], &self.env[&format!("{who}_CLIENT_SECRET")])
    }

    /// The database.
    pub(crate) fn store(&self) -> PathBuf {
        self.dir.join("stockade.db")
    }

    /// The value of a counter.
    pub(crate) async fn counter(&self, name: &str) -> f64 {
        let text = load::once(&self.ops, &load::get("/metrics", "")).await;
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok());
        value.unwrap_or_else(|| panic!("there is no counter {name}"))
    }

    /// A token for a client.
    pub(crate) async fn token(&self, client: (&str, &str), more: &str) -> String {
        let body = format!("grant_type=client_credentials{more}");
        let answer = load::once(&self.server.address, &load::form("/oauth/token", client, &body)).await;
        let answer: serde_json::Value = serde_json::from_str(&answer).expect("a JSON answer");
        answer["access_token"].as_str().expect("an access token").to_owned()
    }
}

/// This program as a floor: `floor`, or `layers` for hello behind Stockade's own layers.
pub(crate) async fn floor(kind: &str) -> Server {
    let address = free_address();
    let mut command = Command::new(std::env::current_exe().expect("this program"));
    command.arg(kind).arg(&address);
    Server::start(command, address.clone(), &address, "/hello", Path::new("/dev/null")).await
}

/// npm oidc-provider, when it is installed.
pub(crate) async fn peer(format: &str) -> Option<Server> {
    peer_running("oidc-provider.mjs", format).await
}

/// The same with somebody signed in.
pub(crate) async fn peer_with_people() -> Option<Server> {
    peer_running("oidc-provider-people.mjs", "").await
}

async fn peer_running(script: &str, format: &str) -> Option<Server> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let installed = root.join("target/outside/peers");
    if !installed.join("node_modules/oidc-provider").is_dir() {
        return None;
    }
    let address = free_address();
    let port = address.rsplit(':').next().expect("a port");
    let mut command = Command::new("node");
    command.arg(root.join("benches/peers").join(script));
    command.env("PORT", port).env("FORMAT", format).env("PEERS", &installed).env("NODE_ENV", "production");
    Some(Server::start(command, address.clone(), &address, "/jwks", Path::new("/dev/null")).await)
}

/// Tiers that never refuse, and a policy by which an issuance depends on all the scopes it asks for.
pub(crate) fn unlimited(policies: &Path) {
    let reads = "@id(\"bench.scopes\")\nforbid (principal, action == Stockade::Action::\"scope:grant\", resource)\n\
                 when { context.scopes.contains(\"never\") };\n";
    std::fs::write(policies.join("guard/bench.cedar"), reads).expect("written");
    let file = policies.join("tiers.toml");
    let text = std::fs::read_to_string(&file).expect("the tiers");
    let lines = text.lines().map(|line| match line.split('=').next().map(str::trim) {
        Some("rate") => "rate = \"1000000/s\"".to_owned(),
        Some("burst") => "burst = 100000000".to_owned(),
        _ => line.to_owned(),
    });
    std::fs::write(&file, lines.collect::<Vec<_>>().join("\n") + "\n").expect("written");
}

/// Adds a generated set of `count` policies.
pub(crate) fn add_policies(directory: &Path, count: usize) {
    for (path, text) in policies::files(count) {
        let file = directory.join(path);
        std::fs::create_dir_all(file.parent().expect("a directory")).expect("a directory");
        std::fs::write(file, text).expect("written");
    }
}

fn variables(file: &Path) -> BTreeMap<String, String> {
    let text = std::fs::read_to_string(file).expect("dev.env");
    let pairs = text.lines().filter_map(|line| line.trim_start_matches("export ").split_once('='));
    pairs.map(|(name, value)| (name.to_owned(), value.trim_matches(['\'', '"']).to_owned())).collect()
}
