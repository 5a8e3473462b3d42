//! Stop means drain: what was begun ends, what was acknowledged is recorded.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use base64::Engine as _;

use super::load::Load;
use super::stage::{Stage, until};
use super::wire::missing;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sigterm_lets_a_begun_request_finish_and_refuses_new_connections() {
    let stage = Stage::dev().await;
    let body = "grant_type=client_credentials";
    let credentials = format!("{}:{}", stage.var("DEMO_CLIENT_ID"), stage.var("DEMO_CLIENT_SECRET"));
    let credentials = base64::engine::general_purpose::STANDARD.encode(credentials);
    let address = stage.issuer.replace("http://localhost", "127.0.0.1");
    let mut begun = TcpStream::connect(&address).await.expect("a connection");
    let head = format!(
        "POST /oauth/token HTTP/1.1\r\nHost: {address}\r\nAuthorization: Basic {credentials}\r\n\
         Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\nExpect: 100-continue\r\n\r\n",
        body.len()
    );
    begun.write_all(head.as_bytes()).await.expect("the head is sent");
    // The server asks for the body: the request is being served, beyond any queue of the kernel.
    let mut buffer = [0; 1024];
    let read = begun.read(&mut buffer).await.expect("an answer");
    assert!(buffer[..read].starts_with(b"HTTP/1.1 100"), "{}", String::from_utf8_lossy(&buffer[..read]));

    stage.process.signal("TERM");
    until("new connections are refused", || async { TcpStream::connect(&address).await.err() }).await;
    assert!(stage.process.status().is_none(), "it left a request behind");
    begun.write_all(body.as_bytes()).await.expect("the body is sent");
    let mut answer = String::new();
    begun.read_to_string(&mut answer).await.expect("the rest of the answer");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(answer.contains("access_token"), "{answer}");
    assert!(stage.process.ended().await.success(), "{}", stage.process.printed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sigterm_under_load_flushes_every_queue() {
    let stage = Stage::dev_with(&[("STOCKADE_AUDIT_LOG__ISSUANCE", "queued")]).await;
    let load = Load::start(&stage, 16);
    until("tokens are issued", || async { (load.seen.count() >= 300).then_some(()) }).await;
    stage.process.signal("TERM");
    assert!(stage.process.ended().await.success(), "{}", stage.process.printed());
    let seen = load.stop().await;
    let export = stage.verified();
    // Queued, and yet nothing may be missing: the queue was flushed.
    assert_eq!(missing(&seen.issued.lock(), &export), Default::default());
    assert!(!export.contains("audit.gap"), "events were dropped");
    assert!(export.lines().last().is_some_and(|line| !line.is_empty()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sigterm_ends_a_stream_of_events_with_the_reason() {
    let stage = Stage::dev().await;
    let token = stage.token("AUDITOR", None).await;
    let address = stage.issuer.replace("http://localhost", "127.0.0.1");
    let mut stream = TcpStream::connect(&address).await.expect("a connection");
    let head = format!(
        "GET /api/v1/audit/events/tail HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.expect("the head is sent");
    let (mut told, mut buffer) = (String::new(), [0; 1024]);
    while !told.contains("as they are recorded") {
        let read = stream.read(&mut buffer).await.expect("the stream begins");
        assert!(read > 0, "it broke off: {told}");
        told.push_str(&String::from_utf8_lossy(&buffer[..read]));
    }
    stage.process.signal("TERM");
    stream.read_to_string(&mut told).await.expect("the rest of the stream");
    assert!(told.contains("event: end\ndata: {\"reason\":\"stopping\"}"), "{told}");
    assert!(stage.process.ended().await.success(), "{}", stage.process.printed());
}
