//! Tests of `cli`: the built binary, its output and its exit codes.

mod audit;
mod clients;
mod declared;
mod dev;
mod docs;
mod doctor;
mod findings;
mod keys;
mod login;
mod policies;
mod reader;
mod setup;
mod tokens;
mod trial;
mod users;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

/// A directory made by `stockade init`, and the binary with it.
pub(crate) struct Place {
    dir: tempfile::TempDir,
}

/// What a command said.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl From<Output> for Said {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().expect("ended by itself"),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

/// The built binary, without this process's configuration.
pub(crate) fn binary() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_stockade"));
    command.env_clear();
    command
}

/// Runs the binary in `dir`.
pub(crate) fn run_in(dir: &Path, args: &[&str]) -> Said {
    binary().current_dir(dir).args(args).output().unwrap().into()
}

impl Place {
    pub(crate) fn new() -> Self {
        let place = Self { dir: tempfile::tempdir().unwrap() };
        let said = run_in(place.path(), &["init", "."]);
        assert_eq!(said.code, 0, "{said:?}");
        place
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn file(&self) -> PathBuf {
        self.path().join("stockade.toml")
    }

    pub(crate) fn run(&self, args: &[&str]) -> Said {
        run_in(self.path(), args)
    }

    /// Runs a command with something on stdin.
    pub(crate) fn run_with(&self, args: &[&str], input: &str) -> Said {
        use std::io::Write as _;
        use std::process::Stdio;
        let mut command = binary();
        command.current_dir(self.path()).args(args);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        child.wait_with_output().unwrap().into()
    }

    /// Runs a command that must succeed, and reads its JSON.
    pub(crate) fn json(&self, args: &[&str]) -> Value {
        let said = self.run(&[args, &["--output", "json"]].concat());
        assert_eq!(said.code, 0, "{args:?}: {said:?}");
        serde_json::from_str(&said.out).unwrap()
    }
}
