//! A server of a test's own: the built binary on ports and in a directory of its own.

use std::collections::BTreeMap;
use std::fs::File;
use std::future::Future;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::Duration;

use parking_lot::Mutex;
use tempfile::TempDir;

use crate::support::limit_files;
use crate::support::postgres::free_port;

/// How long a debug build on a busy machine may take for what a person would call soon.
pub(super) const SOON: Duration = Duration::from_secs(30);

/// The binary under test.
pub(super) const BINARY: &str = env!("CARGO_BIN_EXE_stockade");

/// The binary with an environment that holds nothing of this test run's own.
pub(super) fn stockade() -> Command {
    let mut command = Command::new(BINARY);
    command.env_clear().env("PATH", "/usr/local/bin:/usr/bin:/bin").stdin(Stdio::null());
    command
}

/// The binary, not ended by the signal that a process gets when a file would outgrow its limit.
fn stockade_that_hears_of_limits() -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", "trap '' XFSZ; exec \"$0\" \"$@\"", BINARY]);
    command.env_clear().env("PATH", "/usr/local/bin:/usr/bin:/bin").stdin(Stdio::null());
    command
}

/// Waits until `ready` gives something, or fails saying what was awaited.
pub(super) async fn until<T, F: Future<Output = Option<T>>>(what: &str, mut ready: impl FnMut() -> F) -> T {
    within(SOON, what, &mut ready).await
}

/// [`until`], with a deadline of its own.
pub(super) async fn within<T, F: Future<Output = Option<T>>>(
    limit: Duration,
    what: &str,
    mut ready: impl FnMut() -> F,
) -> T {
    let polled = async {
        let mut tick = tokio::time::interval(Duration::from_millis(20));
        loop {
            tick.tick().await;
            if let Some(found) = ready().await {
                return found;
            }
        }
    };
    match tokio::time::timeout(limit, polled).await {
        Ok(found) => found,
        Err(_) => panic!("not within {limit:?}: {what}"),
    }
}

/// A child process whose output is kept, and which ends with the test.
pub(super) struct Process {
    child: Mutex<Child>,
    log: PathBuf,
}

impl Process {
    /// Starts `command`; what it prints is appended to `log`.
    pub(super) fn start(mut command: Command, log: &Path) -> Self {
        let out = File::options().create(true).append(true).open(log).expect("a log file");
        let copy = out.try_clone().expect("a second handle");
        let child = command.stdin(Stdio::null()).stdout(out).stderr(copy).spawn().expect("the program starts");
        Self { child: Mutex::new(child), log: log.to_owned() }
    }

    /// Everything it printed so far.
    pub(super) fn printed(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// Its process id.
    pub(super) fn pid(&self) -> u32 {
        self.child.lock().id()
    }

    /// Sends it a signal by name, such as `TERM`.
    pub(super) fn signal(&self, name: &str) {
        let status = Command::new("kill").arg(format!("-{name}")).arg(self.pid().to_string()).status();
        assert!(status.expect("kill runs").success(), "signal {name}");
    }

    /// From now on none of its files grows beyond `bytes`; `None` sets them free again. No privilege is needed for it.
    pub(super) fn limit_files(&self, bytes: Option<u64>) {
        limit_files(Command::new("prlimit"), self.pid(), bytes);
    }

    /// Ends it as `kill -9` does.
    pub(super) fn kill(&self) {
        self.signal("KILL");
        let status = self.child.lock().wait().expect("its exit status");
        assert_eq!(status.signal(), Some(9), "it ended before it was killed: {status}\n{}", self.printed());
    }

    /// Waits for it to end by itself.
    pub(super) async fn ended(&self) -> ExitStatus {
        until("the process ends", || async { self.status() }).await
    }

    /// Its exit status, when it has ended.
    pub(super) fn status(&self) -> Option<ExitStatus> {
        self.child.lock().try_wait().expect("its state")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let child = self.child.get_mut();
        child.kill().ok();
        child.wait().ok();
    }
}

/// A running server and what is known about it.
pub(super) struct Stage {
    pub(super) process: Process,
    /// The public listener, `http://localhost:PORT`.
    pub(super) issuer: String,
    /// The ops listener.
    pub(super) ops: String,
    /// What `dev.env` says; empty for `serve`.
    pub(super) env: BTreeMap<String, String>,
    /// The configuration with which the command line reaches the same store.
    pub(super) config: PathBuf,
    /// More environment for every command, such as the database's URL.
    pub(super) settings: Vec<(String, String)>,
    pub(super) http: reqwest::Client,
    dir: Option<TempDir>,
}

impl Stage {
    /// `stockade dev` in a fresh directory.
    pub(super) async fn dev() -> Self {
        Self::dev_with(&[]).await
    }

    /// `stockade dev` in a fresh directory, with more settings in its environment.
    pub(super) async fn dev_with(settings: &[(&str, &str)]) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let mut stage = Self::dev_in(&dir.path().join("data"), settings).await;
        stage.dir = Some(dir);
        stage
    }

    /// `stockade dev` in this directory, which may hold an earlier run's data.
    pub(super) async fn dev_in(data: &Path, settings: &[(&str, &str)]) -> Self {
        Self::dev_as(stockade(), data, settings).await
    }

    /// `stockade dev` in this directory, whose files can be kept from growing: [`Process::limit_files`].
    pub(super) async fn dev_limited(data: &Path) -> Self {
        Self::dev_as(stockade_that_hears_of_limits(), data, &[]).await
    }

    async fn dev_as(command: Command, data: &Path, settings: &[(&str, &str)]) -> Self {
        Self::dev_at(free_port(), command, data, settings).await
    }

    /// `stockade dev` in this directory, on this port: for whoever must know the issuer before it starts.
    pub(super) async fn dev_on(port: u16, data: &Path, settings: &[(&str, &str)]) -> Self {
        Self::dev_at(port, stockade(), data, settings).await
    }

    async fn dev_at(port: u16, mut command: Command, data: &Path, settings: &[(&str, &str)]) -> Self {
        let ops = free_port();
        command.args(["dev", "--listen", &format!("127.0.0.1:{port}"), "--ops-listen", &format!("127.0.0.1:{ops}")]);
        command.arg("--data").arg(data).envs(settings.iter().copied());
        std::fs::create_dir_all(data).expect("the data directory");
        let process = Process::start(command, &log_beside(data));
        let mut stage = Self::new(process, port, ops, data.join("stockade.toml"), settings);
        stage.ready().await;
        stage.env = shell_variables(&data.join("dev.env"));
        assert_eq!(stage.env.get("ISSUER"), Some(&stage.issuer));
        stage
    }

    /// Another `stockade dev` on what an ended one left behind.
    pub(super) async fn start_again(&mut self) {
        let settings: Vec<(&str, &str)> = self.settings.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        let mut next = Self::dev_in(self.data(), &settings).await;
        next.dir = self.dir.take();
        *self = next;
    }

    /// `stockade serve` with a configuration file, on fresh ports.
    pub(super) async fn serve(config: &Path, settings: &[(&str, &str)]) -> Self {
        let stage = Self::serve_unready(config, settings);
        stage.ready().await;
        stage
    }

    /// [`Stage::serve`] without waiting for it.
    pub(super) fn serve_unready(config: &Path, settings: &[(&str, &str)]) -> Self {
        let (port, ops) = (free_port(), free_port());
        let mut command = stockade();
        command.args(["serve", "--config"]).arg(config).envs(settings.iter().copied());
        command.env("STOCKADE_SERVER__LISTEN", format!("127.0.0.1:{port}"));
        command.env("STOCKADE_SERVER__OPS_LISTEN", format!("127.0.0.1:{ops}"));
        let log = config.with_file_name(format!("serve-{port}.log"));
        Self::new(Process::start(command, &log), port, ops, config.to_owned(), settings)
    }

    fn new(process: Process, port: u16, ops: u16, config: PathBuf, settings: &[(&str, &str)]) -> Self {
        let http = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none());
        Self {
            process,
            issuer: format!("http://localhost:{port}"),
            ops: format!("http://127.0.0.1:{ops}"),
            env: BTreeMap::new(),
            config,
            settings: settings.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
            http: http.timeout(SOON).build().expect("an HTTP client"),
            dir: None,
        }
    }

    /// Waits for `/readyz` to answer 200.
    pub(super) async fn ready(&self) {
        let url = format!("{}/readyz", self.ops);
        until("the server is ready", || async {
            if let Some(status) = self.process.status() {
                panic!("the server ended ({status}) and printed:\n{}", self.process.printed());
            }
            let answer = self.http.get(&url).send().await.ok()?;
            answer.status().is_success().then_some(())
        })
        .await;
    }

    /// One of `dev.env`'s variables.
    pub(super) fn var(&self, name: &str) -> &str {
        self.env.get(name).unwrap_or_else(|| panic!("dev.env has no {name}"))
    }

    /// Where the server keeps its data.
    pub(super) fn data(&self) -> &Path {
        self.config.parent().expect("a directory")
    }

    /// Runs a command of the command line against the same store.
    pub(super) fn cli(&self, arguments: &[&str]) -> Output {
        let settings = self.settings.iter().map(|(k, v)| (k.as_str(), v.as_str()));
        let mut command = stockade();
        command.args(arguments).arg("--config").arg(&self.config).envs(settings);
        command.output().expect("the command runs")
    }

    /// Runs a command that must succeed, and gives what it printed.
    pub(super) fn cli_ok(&self, arguments: &[&str]) -> String {
        let output = self.cli(arguments);
        assert!(
            output.status.success(),
            "`stockade {}` fails ({}): {}\nthe server printed:\n{}",
            arguments.join(" "),
            output.status,
            String::from_utf8_lossy(&output.stderr),
            self.process.printed(),
        );
        String::from_utf8(output.stdout).expect("text")
    }
}

/// The log lies beside the data directory, which may be full, or be searched.
fn log_beside(data: &Path) -> PathBuf {
    let mut name = data.file_name().expect("a name").to_owned();
    name.push(".log");
    data.with_file_name(name)
}

/// What a shell knows after it sourced this file.
fn shell_variables(file: &Path) -> BTreeMap<String, String> {
    let output = Command::new("sh")
        .args(["-c", "set -eu; set -a; . \"$0\"; exec env -0"])
        .arg(file)
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .output()
        .expect("sh runs");
    assert!(output.status.success(), "dev.env cannot be sourced: {}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("text");
    let pairs = text.split('\0').filter_map(|pair| pair.split_once('='));
    pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}
