//! Listeners over real sockets: the peer's address, limits, TLS and its reload, the drain.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::ConnectInfo;
use axum::routing::get;
use rustls::pki_types::{CertificateDer, ServerName};
use stockade::base::{SystemClock, SystemRng};
use stockade::config::{Http, TlsFiles};
use stockade::http::serve::{Drained, Settings, serve};
use stockade::http::{Edge, Tls, TlsError, edge};
use stockade::telemetry::Prometheus;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinHandle;

struct Running {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    done: JoinHandle<Drained>,
}

async fn start(router: Router, tls: Option<Tls>, settings: Settings) -> Running {
    start_behind(None, router, tls, settings).await
}

async fn start_behind(edge: Option<Edge>, router: Router, tls: Option<Tls>, settings: Settings) -> Running {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel();
    let done = tokio::spawn(serve(listener, router, edge, tls, settings, async move {
        let _ = stopped.await;
    }));
    Running { address, stop, done }
}

impl Running {
    async fn stop(self) -> Drained {
        self.stop.send(()).unwrap();
        self.done.await.unwrap()
    }
}

fn settings() -> Settings {
    Settings { drain: Duration::from_secs(10), ..Settings::from(&Http::default()) }
}

fn peer_router() -> Router {
    Router::new().route("/", get(|ConnectInfo(peer): ConnectInfo<SocketAddr>| async move { peer.to_string() }))
}

async fn ask(stream: &mut (impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin)) -> String {
    stream.write_all(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn a_request_knows_its_peer() {
    let running = start(peer_router(), None, settings()).await;
    let mut stream = TcpStream::connect(running.address).await.unwrap();
    let me = stream.local_addr().unwrap().to_string();
    let answer = ask(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with(&me), "{answer}");
    assert_eq!(running.stop().await, Drained::All);
}

#[tokio::test]
async fn http_2_is_spoken_without_tls_to_who_knows_it() {
    let running = start(peer_router(), None, settings()).await;
    let mut stream = TcpStream::connect(running.address).await.unwrap();
    // The client's preface (RFC 9113 3.4): the magic and an empty SETTINGS frame.
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.unwrap();
    let mut frame = [0; 9];
    stream.read_exact(&mut frame).await.unwrap();
    assert_eq!((frame[3], &frame[5..]), (4, &[0; 4][..]), "answered by SETTINGS of the connection");
    drop(stream);
    assert_eq!(running.stop().await, Drained::All);
}

/// What comes back for `sent`, to the end of the connection.
async fn answered(address: SocketAddr, sent: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(sent).await.unwrap();
    let mut answer = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut answer)).await;
    // The rest of a long head is still under way when the server closes: a reset after the answer is no concern.
    let _ = read.expect("closed by the server");
    String::from_utf8(answer).unwrap()
}

#[tokio::test]
async fn a_head_that_is_none_gets_the_answer_that_every_other_gets() {
    let (prometheus, metrics) = Prometheus::new();
    let edge = edge::Settings { hsts: true, ..edge::Settings::default() };
    let edge = Edge::new(edge, Arc::new(metrics), Arc::new(SystemClock), Arc::new(SystemRng));
    let running = start_behind(Some(edge.clone()), edge.wrap(peer_router()), None, settings()).await;
    let many: String = (0..200).map(|i| format!("x-{i}: 1\r\n")).collect();
    let long = "a".repeat(70_000);
    let good = "GET / HTTP/1.1\r\nhost: x\r\n\r\n";
    for (sent, status, kind) in [
        ("GARBAGE\r\n\r\n".to_owned(), 400, "bad-request"),
        ("GET / HTTP/1.1\r\nno colon\r\n\r\n".to_owned(), 400, "bad-request"),
        (format!("GET / HTTP/1.1\r\nhost: x\r\n{many}\r\n"), 431, "head-too-large"),
        (format!("GET /{long} HTTP/1.1\r\nhost: x\r\n\r\n"), 414, "uri-too-long"),
    ] {
        // Alone, and behind a good request on the same connection.
        for before in ["", good] {
            let mut answer = answered(running.address, format!("{before}{sent}").as_bytes()).await;
            if !before.is_empty() {
                let at =
                    answer.rfind("HTTP/1.1 ").filter(|at| *at > 0).unwrap_or_else(|| panic!("one answer: {answer}"));
                assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
                answer = answer.split_off(at);
            }
            let (head, body) =
                answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer to {sent:.60}: {answer}"));
            // hyper's buffer may be full before the URI's end is seen: then the head as a whole is too large.
            let (status, kind) = if status == 414 && head.starts_with("HTTP/1.1 431 ") {
                (431, "head-too-large")
            } else {
                (status, kind)
            };
            assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{head}");
            let value = |name: &str| head.lines().find_map(|l| l.strip_prefix(name)?.strip_prefix(": ")).unwrap_or("-");
            for name in ["x-request-id", "traceparent", "x-frame-options", "strict-transport-security", "date"] {
                assert_ne!(value(name), "-", "{name} in {head}");
            }
            assert_eq!((value("cache-control"), value("connection")), ("no-store", "close"), "{head}");
            assert_eq!(value("content-length"), body.len().to_string(), "{head}");
            let problem: serde_json::Value = serde_json::from_str(body).unwrap();
            assert_eq!(problem["type"], format!("urn:stockade:problem:{kind}"));
            assert_eq!(problem["request_id"], value("x-request-id"));
        }
    }
    let text = prometheus.render();
    assert!(text.contains(r#"stockade_http_requests_total{endpoint="unknown",status="4xx"} 8"#), "{text}");
    assert_eq!(running.stop().await, Drained::All);
}

#[tokio::test]
async fn a_connection_that_never_asks_is_closed() {
    let settings = Settings { header_timeout: Duration::from_millis(100), ..settings() };
    let running = start(peer_router(), None, settings).await;
    for first in ["", "PRI * HT", "GET / HTTP/1.1\r\nhost:"] {
        let mut stream = TcpStream::connect(running.address).await.unwrap();
        stream.write_all(first.as_bytes()).await.unwrap();
        let mut rest = Vec::new();
        let read = tokio::time::timeout(Duration::from_secs(10), stream.read_to_end(&mut rest)).await;
        read.expect("closed by the server").unwrap_or_default();
        assert!(!rest.starts_with(b"HTTP/1.1 200"), "{first}");
    }
    assert_eq!(running.stop().await, Drained::All);
}

#[tokio::test]
async fn a_slow_answer_outlives_the_header_timeout() {
    let gate = Arc::new(Notify::new());
    let opened = Arc::clone(&gate);
    let router = Router::new().route("/", get(move || async move { opened.notified().await }));
    let settings = Settings { header_timeout: Duration::from_millis(50), ..settings() };
    let running = start(router, None, settings).await;
    let mut stream = TcpStream::connect(running.address).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let mut head = [0; 12];
    let early = tokio::time::timeout(Duration::from_millis(200), stream.read(&mut head)).await;
    assert!(early.is_err(), "neither answered nor closed: {early:?}");
    gate.notify_one();
    stream.read_exact(&mut head).await.unwrap();
    assert_eq!(&head, b"HTTP/1.1 200");
    drop(stream);
    assert_eq!(running.stop().await, Drained::All);
}

#[tokio::test]
async fn connections_beyond_the_limit_wait_for_their_turn() {
    let running = start(peer_router(), None, Settings { connections: 1, ..settings() }).await;
    let first = TcpStream::connect(running.address).await.unwrap();
    let mut second = TcpStream::connect(running.address).await.unwrap();
    second.write_all(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    let early = tokio::time::timeout(Duration::from_millis(200), second.read_to_string(&mut answer)).await;
    assert!(early.is_err(), "answered while the first was open: {answer}");
    drop(first);
    second.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert_eq!(running.stop().await, Drained::All);
}

/// A handler that says when it began and waits until it may end.
fn held() -> (Router, Arc<Notify>, Arc<Notify>) {
    let (began, gate) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (tell, wait) = (Arc::clone(&began), Arc::clone(&gate));
    let handler = move || async move {
        tell.notify_one();
        wait.notified().await;
        "done"
    };
    (Router::new().route("/", get(handler)), began, gate)
}

#[tokio::test]
async fn stopping_lets_a_request_in_flight_end_and_accepts_no_other() {
    let (router, began, gate) = held();
    let running = start(router, None, settings()).await;
    let address = running.address;
    let mut stream = TcpStream::connect(address).await.unwrap();
    let idle = TcpStream::connect(address).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    began.notified().await;
    running.stop.send(()).unwrap();
    until(|| async { TcpStream::connect(address).await.is_err() }).await;
    assert!(!running.done.is_finished(), "the drain waits");
    gate.notify_one();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("done"), "{answer}");
    assert_eq!(running.done.await.unwrap(), Drained::All);
    drop(idle);
}

#[tokio::test]
async fn what_does_not_end_in_the_drains_time_is_cut() {
    let (router, began, _gate) = held();
    let running = start(router, None, Settings { drain: Duration::from_millis(100), ..settings() }).await;
    let mut stream = TcpStream::connect(running.address).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    began.notified().await;
    assert_eq!(running.stop().await, Drained::Cut(1));
}

async fn until<F: Future<Output = bool>>(condition: impl Fn() -> F) {
    let holds = async {
        while !condition().await {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), holds).await.expect("happens in 20 s");
}

/// Writes a fresh self-signed certificate of `localhost` and gives its DER.
fn certify(files: &TlsFiles) -> CertificateDer<'static> {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    std::fs::write(&files.key, made.signing_key.serialize_pem()).unwrap();
    std::fs::write(&files.certificate, made.cert.pem()).unwrap();
    made.cert.der().clone()
}

fn files(dir: &Path) -> TlsFiles {
    TlsFiles { certificate: dir.join("cert.pem"), key: dir.join("key.pem") }
}

/// Shakes hands trusting `root` alone; gives the answer to a request.
async fn ask_tls(address: SocketAddr, root: &CertificateDer<'static>) -> Result<String, std::io::Error> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(root.clone()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = config.with_root_certificates(roots).with_no_client_auth();
    let stream = TcpStream::connect(address).await?;
    let name = ServerName::try_from("localhost").unwrap();
    let mut stream = tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, stream).await?;
    Ok(ask(&mut stream).await)
}

#[tokio::test]
async fn a_changed_certificate_is_served_within_seconds_and_a_broken_one_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let files = files(dir.path());
    let first = certify(&files);
    let running = start(peer_router(), Some(Tls::load(&files).unwrap()), settings()).await;
    let address = running.address;
    let answer = ask_tls(address, &first).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");

    let second = certify(&files);
    until(|| async { ask_tls(address, &second).await.is_ok() }).await;
    assert!(ask_tls(address, &first).await.is_err(), "the first is no longer served");

    std::fs::write(&files.certificate, "half a certi").unwrap();
    tokio::time::timeout(Duration::from_millis(2500), until(|| async { ask_tls(address, &second).await.is_err() }))
        .await
        .expect_err("the last good certificate keeps serving");
    let third = certify(&files);
    until(|| async { ask_tls(address, &third).await.is_ok() }).await;
    assert_eq!(running.stop().await, Drained::All);
}

#[tokio::test]
async fn a_handshake_that_never_comes_is_given_up_and_plain_http_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let files = files(dir.path());
    certify(&files);
    let settings = Settings { header_timeout: Duration::from_millis(100), ..settings() };
    let running = start(peer_router(), Some(Tls::load(&files).unwrap()), settings).await;
    for first in ["", "GET / HTTP/1.1\r\nhost: x\r\n\r\n"] {
        let mut stream = TcpStream::connect(running.address).await.unwrap();
        stream.write_all(first.as_bytes()).await.unwrap();
        let mut rest = Vec::new();
        let read = tokio::time::timeout(Duration::from_secs(10), stream.read_to_end(&mut rest)).await;
        read.expect("closed by the server").unwrap_or_default();
        assert!(!rest.starts_with(b"HTTP"), "{first}");
    }
    assert_eq!(running.stop().await, Drained::All);
}

#[test]
fn a_certificate_that_cannot_work_is_refused_at_the_start() {
    let dir = tempfile::tempdir().unwrap();
    let files = files(dir.path());
    assert!(matches!(Tls::load(&files), Err(TlsError::Unreadable { .. })));
    certify(&files);
    let key = std::fs::read(&files.key).unwrap();
    certify(&files);
    std::fs::write(&files.key, key).unwrap();
    assert!(matches!(Tls::load(&files), Err(TlsError::Unusable(_))), "the key of another certificate");
    std::fs::write(&files.key, "no key").unwrap();
    let error = Tls::load(&files).unwrap_err().to_string();
    assert!(error.contains("holds no private key in PEM"), "{error}");
}
