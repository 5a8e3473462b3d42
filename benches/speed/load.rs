//! The load: a closed loop of keep-alive connections that send prepared requests as fast as answers come.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// Requests as bytes, sent in turn.
#[derive(Clone)]
pub(crate) struct Requests {
    pub(crate) bytes: Arc<Vec<Vec<u8>>>,
    /// Each is sent once at most, and the load ends when they are used up.
    pub(crate) once: bool,
    next: Arc<AtomicUsize>,
}

impl Requests {
    /// The same requests over and over.
    pub(crate) fn over_and_over(bytes: Vec<Vec<u8>>) -> Self {
        Self { bytes: Arc::new(bytes), once: false, next: Arc::default() }
    }

    /// Each request once.
    pub(crate) fn once(bytes: Vec<Vec<u8>>) -> Self {
        Self { once: true, ..Self::over_and_over(bytes) }
    }

    fn next(&self) -> Option<&[u8]> {
        let turn = self.next.fetch_add(1, Ordering::Relaxed);
        if self.once {
            return self.bytes.get(turn).map(Vec::as_slice);
        }
        self.bytes.get(turn % self.bytes.len()).map(Vec::as_slice)
    }
}

/// What came back.
#[derive(Clone)]
pub(crate) struct Answers {
    pub(crate) count: u64,
    pub(crate) per_second: f64,
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
}

/// Keeps `connections` busy for `time`.
///
/// # Panics
/// When an answer is not 200: figures of refusals are no figures.
pub(crate) async fn run(address: &str, requests: &Requests, connections: usize, time: Duration) -> Answers {
    let mut tasks = JoinSet::new();
    let begun = Instant::now();
    let end = begun + time;
    for _ in 0..connections {
        let (address, requests) = (address.to_owned(), requests.clone());
        tasks.spawn(async move { connection(&address, &requests, end).await });
    }
    let mut all = Histogram::<u64>::new(3).expect("a histogram");
    while let Some(one) = tasks.join_next().await {
        all.add(one.expect("a connection's task")).expect("histograms of one kind");
    }
    let elapsed = begun.elapsed().as_secs_f64();
    let micros = |quantile: f64| all.value_at_quantile(quantile) as f64 / 1000.0;
    Answers { count: all.len(), per_second: all.len() as f64 / elapsed, p50_us: micros(0.5), p99_us: micros(0.99) }
}

async fn connection(address: &str, requests: &Requests, end: Instant) -> Histogram<u64> {
    let mut seen = Histogram::<u64>::new(3).expect("a histogram");
    let mut stream = TcpStream::connect(address).await.expect("the server accepts");
    stream.set_nodelay(true).expect("TCP_NODELAY");
    let mut buffer = Vec::with_capacity(64 * 1024);
    let mut sent = Instant::now();
    while sent < end {
        let Some(request) = requests.next() else { break };
        exchange(&mut stream, request, &mut buffer).await;
        let now = Instant::now();
        seen.record((now - sent).as_nanos() as u64).expect("a latency");
        sent = now;
    }
    seen
}

/// One request, one answer: the body.
pub(crate) async fn once(address: &str, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.expect("the server accepts");
    let mut buffer = Vec::new();
    let head = exchange(&mut stream, request, &mut buffer).await;
    String::from_utf8_lossy(&buffer[head..]).into_owned()
}

/// Sends a request and reads its answer into `buffer`; gives where its body begins.
///
/// # Panics
/// When the answer is not 200: figures of refusals are no figures.
async fn exchange(stream: &mut TcpStream, request: &[u8], buffer: &mut Vec<u8>) -> usize {
    stream.write_all(request).await.expect("the request is sent");
    let head = answer(stream, buffer).await;
    assert!(buffer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(buffer));
    head
}

/// Reads one answer into `buffer`; gives where its body begins.
pub(crate) async fn answer(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> usize {
    buffer.clear();
    loop {
        let read = stream.read_buf(buffer).await.expect("the answer");
        assert!(read > 0, "the connection ended: {}", String::from_utf8_lossy(buffer));
        let Some(head) = find(buffer, b"\r\n\r\n").map(|at| at + 4) else { continue };
        let whole = match content_length(&buffer[..head]) {
            Some(length) => buffer.len() >= head + length,
            None => buffer.ends_with(b"0\r\n\r\n"),
        };
        if whole {
            return head;
        }
    }
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

fn content_length(head: &[u8]) -> Option<usize> {
    let mut lines = head.split(|byte| *byte == b'\n');
    let line = lines.find(|line| line.len() > 15 && line[..15].eq_ignore_ascii_case(b"content-length:"))?;
    std::str::from_utf8(&line[15..]).ok()?.trim().parse().ok()
}

/// A request with a body.
pub(crate) fn post(path: &str, headers: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("POST {path} HTTP/1.1\r\nHost: localhost\r\n{headers}Content-Length: {length}\r\n\r\n{body}").into_bytes()
}

/// A form, authenticated with an id and a secret.
pub(crate) fn form(path: &str, (id, secret): (&str, &str), body: &str) -> Vec<u8> {
    use base64::Engine as _;
    let credentials = base64::engine::general_purpose::STANDARD.encode(format!("{id}:{secret}"));
    post(path, &format!("Authorization: Basic {credentials}\r\n{FORM}"), body)
}

/// The header of a form.
pub(crate) const FORM: &str = "Content-Type: application/x-www-form-urlencoded\r\n";

/// A request without a body.
pub(crate) fn get(path: &str, headers: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n").into_bytes()
}

/// The bodies of `count` answers to the same request.
pub(crate) async fn collect(address: &str, request: &[u8], connections: usize, count: usize) -> Vec<String> {
    let mut tasks = JoinSet::new();
    for _ in 0..connections {
        let (address, request) = (address.to_owned(), request.to_vec());
        tasks.spawn(async move {
            let mut stream = TcpStream::connect(address).await.expect("the server accepts");
            let (mut buffer, mut bodies) = (Vec::new(), Vec::new());
            while bodies.len() < count.div_ceil(connections) {
                let head = exchange(&mut stream, &request, &mut buffer).await;
                bodies.push(String::from_utf8_lossy(&buffer[head..]).into_owned());
            }
            bodies
        });
    }
    tasks.join_all().await.into_iter().flatten().collect()
}
