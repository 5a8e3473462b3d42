//! A PostgreSQL server of the tests' own: started when first asked for, gone when the test process ends.
//!
//! [`postgres`] gives each caller a fresh database on one shared server. Tests that stop or kill the server start
//! their own [`Server`].

use std::io::Write as _;
use std::net::TcpListener;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

/// How careful the server is with its files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Durability {
    /// Nothing is flushed: fast, and good enough where the machine does not lose power.
    None,
    /// As shipped.
    Full,
}

/// The URL of a fresh, empty database, or `None` when PostgreSQL is not installed.
pub(crate) fn postgres() -> Option<String> {
    static SHARED: OnceLock<Option<Server>> = OnceLock::new();
    Some(SHARED.get_or_init(|| Server::start(Durability::None)).as_ref()?.fresh_database())
}

/// A server in a directory of its own, on a port of its own.
pub(crate) struct Server {
    bin: PathBuf,
    home: PathBuf,
    port: u16,
    databases: AtomicU32,
    keeper: Option<(Child, ChildStdin)>,
}

impl Server {
    /// Creates and starts one; `None` when PostgreSQL is not installed.
    pub(crate) fn start(durability: Durability) -> Option<Self> {
        let bin = binaries()?;
        let home = tempfile::Builder::new().prefix("stockade-pg-").tempdir().expect("a directory").keep();
        if is_root() {
            run(Command::new("chown").arg("postgres").arg(&home));
        }
        let data = home.join("data");
        let (data, pwd) = (data.to_str().expect("an UTF-8 path"), &home);
        run(postgres_user(&bin, "initdb").current_dir(pwd).args([
            "-D",
            data,
            "-A",
            "trust",
            "-U",
            "stockade",
            "-E",
            "UTF8",
            "--no-sync",
            "--locale=C",
        ]));
        let mut settings = String::from(
            "listen_addresses = '127.0.0.1'\nmax_connections = 300\nshared_buffers = 64MB\nautovacuum = off\n",
        );
        settings.push_str(&format!("unix_socket_directories = '{}'\n", home.display()));
        if durability == Durability::None {
            settings.push_str("fsync = off\nsynchronous_commit = off\nfull_page_writes = off\n");
        }
        // Written by us, read by the server's user: appended, so its owner stays.
        std::fs::OpenOptions::new()
            .append(true)
            .open(home.join("data/postgresql.conf"))
            .and_then(|mut conf| conf.write_all(settings.as_bytes()))
            .expect("the server's configuration");
        let mut server = Self { bin, home, port: 0, databases: AtomicU32::new(0), keeper: None };
        server.keeper = Some(server.keeper());
        for _ in 0..5 {
            server.port = free_port();
            if server.try_start_again() {
                return Some(server);
            }
        }
        panic!("the server does not start: {}", std::fs::read_to_string(server.log()).unwrap_or_default());
    }

    /// The URL of a fresh, empty database on it.
    pub(crate) fn fresh_database(&self) -> String {
        let name = format!("t{}", self.databases.fetch_add(1, Ordering::Relaxed));
        let port = self.port.to_string();
        run(Command::new(self.bin.join("createdb"))
            .args(["-h", "127.0.0.1", "-p", &port, "-U", "stockade", "-w", &name])
            .stdin(Stdio::null()));
        format!("postgres://stockade@127.0.0.1:{port}/{name}")
    }

    /// Stops it at once, as a crash would; `start_again` brings it back on the same port.
    pub(crate) fn stop(&self) {
        run(&mut self.pg_ctl(&["-m", "immediate", "-w", "stop"]));
    }

    /// From now on no file that its clients' backends write grows beyond `bytes`; `None` sets them free again. New
    /// backends inherit it. The segments of its own log are 16 MiB from the start: with that as the limit, they go on.
    pub(crate) fn limit_files(&self, bytes: Option<u64>) {
        let file = std::fs::read_to_string(self.home.join("data/postmaster.pid")).expect("it runs");
        let postmaster: u32 = file.lines().next().and_then(|pid| pid.parse().ok()).expect("a pid");
        let mut pids = vec![postmaster];
        for entry in std::fs::read_dir("/proc").expect("/proc").flatten() {
            let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
            let stat = std::fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
            let parent = stat.rsplit(") ").next().and_then(|rest| rest.split(' ').nth(1)?.parse().ok());
            let title = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
            if parent == Some(postmaster) && String::from_utf8_lossy(&title).starts_with("postgres: stockade ") {
                pids.push(pid);
            }
        }
        for pid in pids {
            let mut prlimit = as_postgres("prlimit".as_ref());
            prlimit.stdin(Stdio::null());
            super::limit_files(prlimit, pid, bytes);
        }
    }

    /// Runs SQL on one of its databases.
    pub(crate) fn sql(&self, url: &str, sql: &str) {
        let output = Command::new(self.bin.join("psql")).args(["-q", "-v", "ON_ERROR_STOP=1", "-c", sql, url]).output();
        let output = output.expect("psql runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    /// Starts it again after [`Server::stop`].
    pub(crate) fn start_again(&self) {
        assert!(self.try_start_again(), "{}", std::fs::read_to_string(self.log()).unwrap_or_default());
    }

    fn try_start_again(&self) -> bool {
        let (log, port) = (self.log().display().to_string(), format!("-p {}", self.port));
        let status = self.pg_ctl(&["-l", &log, "-o", &port, "-w", "-t", "60", "start"]).status();
        status.expect("pg_ctl runs").success()
    }

    /// What it says, statements among it where `log_statement` is set.
    pub(crate) fn log(&self) -> PathBuf {
        self.home.join("server.log")
    }

    fn pg_ctl(&self, arguments: &[&str]) -> Command {
        let mut command = postgres_user(&self.bin, "pg_ctl");
        command.current_dir(&self.home).arg("-s").arg("-D").arg(self.home.join("data")).args(arguments);
        command
    }

    /// A process that stops the server and removes its files once this one has ended, however it ends: it waits for
    /// the end of a pipe that only this process holds.
    fn keeper(&self) -> (Child, ChildStdin) {
        let stop = self.pg_ctl(&["-m", "immediate", "-w", "stop"]);
        let mut child = Command::new("sh")
            .args(["-c", "home=$1; shift; read -r _; \"$@\" >/dev/null 2>&1; rm -rf \"$home\"", "keeper"])
            .arg(&self.home)
            .arg(stop.get_program())
            .args(stop.get_args())
            .current_dir("/")
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("sh runs");
        let pipe = child.stdin.take().expect("a piped standard input");
        (child, pipe)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some((mut keeper, pipe)) = self.keeper.take() {
            drop(pipe);
            keeper.wait().ok();
        }
    }
}

/// A port nobody listens on at the moment.
pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    listener.local_addr().expect("its address").port()
}

/// The newest installed server: Debian keeps its binaries out of `PATH`.
fn binaries() -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut found: Vec<(u32, PathBuf)> = versions
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path().join("bin"))))
        .filter(|(_, bin)| bin.join("initdb").exists())
        .collect();
    found.sort();
    found.pop().map(|(_, bin)| bin)
}

fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0)
}

/// A program as the user that the server runs as.
fn as_postgres(program: &Path) -> Command {
    if !is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("runuser");
    command.args(["-u", "postgres", "--"]).arg(program);
    command
}

/// PostgreSQL refuses to run as root.
fn postgres_user(bin: &Path, program: &str) -> Command {
    let mut command = as_postgres(&bin.join(program));
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

fn run(command: &mut Command) {
    let status = command.stdout(Stdio::null()).status().expect("the program runs");
    assert!(status.success(), "{command:?} fails: {status}");
}

#[test]
fn each_caller_gets_an_empty_database_of_its_own() {
    let Some(server) = Server::start(Durability::None) else {
        return super::skip("PostgreSQL is not installed");
    };
    let (one, other) = (server.fresh_database(), server.fresh_database());
    assert_ne!(one, other);
    let psql = |url: &str, sql: &str| {
        let output = Command::new("psql").args(["-At", "-c", sql, url]).output().expect("psql runs");
        String::from_utf8(output.stdout).expect("text")
    };
    psql(&one, "create table here (id int)");
    assert_eq!(psql(&one, "select count(*) from here").trim(), "0");
    assert_eq!(psql(&other, "select to_regclass('here') is null").trim(), "t");
    server.stop();
    assert_eq!(psql(&one, "select 1").trim(), "");
    server.start_again();
    assert_eq!(psql(&one, "select 1").trim(), "1");
    let home = server.home.clone();
    drop(server);
    assert!(!home.exists());
}
