//! A server under measurement: a child process, its processor time and its memory.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tokio::net::TcpStream;

/// One server.
pub(crate) struct Server {
    child: Child,
    pub(crate) address: String,
    /// From the start of the process to its first answer.
    pub(crate) ready: Duration,
}

impl Server {
    /// Starts `command` and waits until `probe` is answered with 200 at `at`.
    pub(crate) async fn start(mut command: Command, address: String, at: &str, probe: &str, log: &Path) -> Self {
        let log = std::fs::File::options().create(true).append(true).open(log).expect("a log");
        let copy = log.try_clone().expect("a second handle");
        let begun = Instant::now();
        let child = command.stdin(Stdio::null()).stdout(log).stderr(copy).spawn().expect("the server starts");
        let mut server = Self { child, address, ready: Duration::ZERO };
        loop {
            if answers(at, probe).await {
                server.ready = begun.elapsed();
                return server;
            }
            assert!(begun.elapsed() < Duration::from_secs(30), "{command:?} does not get ready");
            if let Some(status) = server.child.try_wait().expect("its state") {
                panic!("{command:?} ended: {status}");
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    fn pid(&self) -> u32 {
        self.child.id()
    }

    /// User and system time of the process so far.
    pub(crate) fn cpu(&self) -> Duration {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid())).expect("its statistics");
        let after_name = stat.rsplit(')').next().expect("fields");
        let fields: Vec<&str> = after_name.split_whitespace().collect();
        let ticks = |field: usize| fields[field - 3].parse::<u64>().expect("ticks");
        // A tick is 10 ms on every Linux.
        Duration::from_millis((ticks(14) + ticks(15)) * 10)
    }

    /// Resident memory in MiB.
    pub(crate) fn resident_mib(&self) -> f64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).expect("its status");
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("VmRSS");
        let kib: f64 = line.split_whitespace().nth(1).and_then(|n| n.parse().ok()).expect("a number");
        kib / 1024.0
    }

    fn signal(&self, name: &str) {
        let status = Command::new("kill").arg(format!("-{name}")).arg(self.pid().to_string()).status();
        assert!(status.expect("kill runs").success());
    }

    /// Takes it off the processor, so that another server is alone.
    pub(crate) fn pause(&self) {
        self.signal("STOP");
    }

    /// Puts it back.
    pub(crate) fn resume(&self) {
        self.signal("CONT");
    }

    /// Asks it to end, and waits.
    pub(crate) fn stop(mut self) {
        self.signal("CONT");
        self.signal("TERM");
        self.child.wait().expect("its end");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

async fn answers(address: &str, path: &str) -> bool {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let Ok(mut stream) = TcpStream::connect(address).await else { return false };
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    if stream.write_all(request.as_bytes()).await.is_err() {
        return false;
    }
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.is_ok() && answer.starts_with(b"HTTP/1.1 200")
}

/// `127.0.0.1` with a port nobody listens on at the moment.
pub(crate) fn free_address() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("its address").to_string()
}
