//! C15, C16: requests of ours, and keys of others.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::response::Redirect;
use axum::routing::{get, post};
use http::{HeaderMap, Request, StatusCode};
use parking_lot::Mutex;
use serde_json::{Value, json};
use stockade::base::{ManualClock, Timestamp};
use stockade::http::fetch::{FetchError, Fetcher, LARGEST, Settings};
use stockade::http::foreign_keys::{ForeignKeys, KeysError};
use stockade::http::networks::Networks;

use crate::crypto::forge::Key;
use crate::support::elsewhere::Elsewhere;

const JSON: &str = "application/json";

fn router() -> Router {
    let endless = || futures_util::stream::repeat_with(|| Ok::<_, std::io::Error>(vec![b'x'; 8192]));
    Router::new()
        .route("/ok", get(|headers: HeaderMap| async move { format!("{:?}", headers.get("accept")) }))
        .route("/moved", get(|| async { Redirect::temporary("/ok") }))
        .route("/teapot", get(|| async { StatusCode::IM_A_TEAPOT }))
        .route("/exactly", get(|| async { "x".repeat(LARGEST) }))
        .route("/more", get(|| async { "x".repeat(LARGEST + 1) }))
        .route("/endless", get(move || async move { Body::from_stream(endless()) }))
        .route("/never", get(std::future::pending::<()>))
        .route("/echo", post(|body: String| async move { (StatusCode::ACCEPTED, body) }))
}

#[tokio::test]
async fn c16_only_https_to_public_hosts_is_asked() {
    let fetcher = Fetcher::new(&Settings::default()).unwrap();
    for url in [
        "",
        "keys",
        "/keys",
        "ftp://example.com/",
        "file:///etc/passwd",
        "http://example.com/",
        "https://",
        "https://user@example.com/",
        "https://user:secret@example.com/",
        "https://example.com/#x",
        "http://localhost/",
        &format!("https://example.com/{}", "x".repeat(2048)),
    ] {
        assert_eq!(fetcher.checked(url).unwrap_err(), FetchError::Url, "{url}");
    }
    for host in [
        "127.0.0.1",
        "127.1",
        "2130706433",
        "0x7f.1",
        "0",
        "10.1.2.3",
        "169.254.169.254",
        "192.168.0.1",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[fd00:ec2::254]",
        "[fe80::1]",
        "[64:ff9b::a9fe:a9fe]",
        "100.100.100.200",
    ] {
        assert_eq!(fetcher.checked(&format!("https://{host}/")).unwrap_err(), FetchError::Inside, "{host}");
        assert_eq!(fetcher.get(&format!("https://{host}/"), JSON).await, Err(FetchError::Inside), "{host}");
    }
    for url in ["https://example.com", "https://example.com:8443/x?y=z", "https://1.1.1.1/"] {
        assert!(fetcher.checked(url).is_ok(), "{url}");
    }
}

#[tokio::test]
async fn c16_a_name_is_judged_by_the_address_it_stands_for() {
    let elsewhere = Elsewhere::serving(router()).await;
    let url = format!("{}/ok", elsewhere.url);
    let outside = Settings { networks: Networks::default(), ..elsewhere.settings() };
    assert_eq!(Fetcher::new(&outside).unwrap().get(&url, JSON).await, Err(FetchError::Inside));
    let answer = elsewhere.fetcher().get(&url, JSON).await.unwrap();
    assert_eq!(answer, r#"Some("application/json")"#);
}

#[tokio::test]
async fn c16_a_certificate_must_be_one_that_is_trusted() {
    let (elsewhere, other) = (Elsewhere::serving(router()).await, Elsewhere::serving(router()).await);
    let url = format!("{}/ok", elsewhere.url);
    assert_eq!(other.fetcher().get(&url, JSON).await, Err(FetchError::Connection));
    for (file, text) in [("none.pem", None), ("empty.pem", Some("")), ("text.pem", Some("no certificate"))] {
        let path = elsewhere.ca_file.with_file_name(file);
        if let Some(text) = text {
            std::fs::write(&path, text).unwrap();
        }
        let error = Fetcher::new(&Settings { ca_file: Some(path), ..Settings::default() }).unwrap_err();
        assert!(error.to_string().contains(file), "{error}");
    }
}

#[tokio::test]
async fn c16_no_redirect_is_followed_and_no_answer_is_longer_than_64_kib() {
    let elsewhere = Elsewhere::serving(router()).await;
    let fetcher = elsewhere.fetcher();
    let get = async |path: &str| fetcher.get(&format!("{}{path}", elsewhere.url), JSON).await;
    assert_eq!(get("/moved").await, Err(FetchError::Status(StatusCode::TEMPORARY_REDIRECT)));
    assert_eq!(get("/teapot").await, Err(FetchError::Status(StatusCode::IM_A_TEAPOT)));
    assert_eq!(get("/exactly").await.map(|body| body.len()), Ok(LARGEST));
    assert_eq!(get("/more").await, Err(FetchError::TooLarge));
    assert_eq!(get("/endless").await, Err(FetchError::TooLarge));
    let request = Request::post(format!("{}/echo", elsewhere.url)).body(b"hello".to_vec()).unwrap();
    let answer = fetcher.send(request).await.unwrap();
    assert_eq!((answer.status(), &answer.body()[..]), (StatusCode::ACCEPTED, &b"hello"[..]));
}

#[tokio::test]
async fn c16_an_answer_that_does_not_come_is_given_up_and_the_queue_is_short() {
    let elsewhere = Elsewhere::serving(router()).await;
    let impatient = Settings { patience: Duration::from_millis(200), ..elsewhere.settings() };
    let never = format!("{}/never", elsewhere.url);
    assert_eq!(Fetcher::new(&impatient).unwrap().get(&never, JSON).await, Err(FetchError::Slow));
    let fetcher = elsewhere.fetcher();
    let mut waiting: Vec<_> = (0..64).map(|_| Box::pin(fetcher.get(&never, JSON))).collect();
    for request in &mut waiting {
        assert!(futures_util::FutureExt::now_or_never(request).is_none());
    }
    assert_eq!(fetcher.get(&never, JSON).await, Err(FetchError::Busy));
    drop(waiting);
    assert!(fetcher.get(&format!("{}/ok", elsewhere.url), JSON).await.is_ok(), "there is room again");
}

/// A key set that counts how often it is asked for.
struct Published {
    elsewhere: Elsewhere,
    set: Arc<Mutex<(StatusCode, String)>>,
    asked: Arc<AtomicUsize>,
    clock: Arc<ManualClock>,
    keys: Arc<ForeignKeys>,
}

impl Published {
    async fn of(kids: &[&str]) -> Self {
        let set = Arc::new(Mutex::new((StatusCode::OK, jwks(kids))));
        let asked = Arc::new(AtomicUsize::new(0));
        let (shown, counted) = (Arc::clone(&set), Arc::clone(&asked));
        let handler = move || async move {
            counted.fetch_add(1, Ordering::SeqCst);
            // Long enough that callers meet.
            tokio::task::yield_now().await;
            shown.lock().clone()
        };
        let elsewhere = Elsewhere::serving(Router::new().route("/keys", get(handler))).await;
        let clock = Arc::new(ManualClock::at(Timestamp::from_secs(1_800_000_000)));
        let uri = format!("{}/keys", elsewhere.url);
        let keys = ForeignKeys::fetched(uri, elsewhere.fetcher(), Arc::clone(&clock) as _).unwrap();
        Self { elsewhere, set, asked, clock, keys: Arc::new(keys) }
    }

    async fn find(&self, kid: &str) -> Result<bool, KeysError> {
        self.keys.find(Some(kid)).await.map(|keys| keys.iter().any(|key| key.kid() == Some(kid)))
    }

    fn asked(&self) -> usize {
        self.asked.swap(0, Ordering::SeqCst)
    }

    fn publish(&self, status: StatusCode, body: String) {
        *self.set.lock() = (status, body);
    }
}

fn jwks(kids: &[&str]) -> String {
    json!({ "keys": kids.iter().map(|kid| Key::p256().jwk(kid)).collect::<Vec<Value>>() }).to_string()
}

#[tokio::test]
async fn c15_keys_are_fetched_once_for_all_who_wait_and_remembered() {
    let published = Published::of(&["a"]).await;
    let found = futures_util::future::join_all((0..50).map(|_| published.find("a"))).await;
    assert!(found.iter().all(|found| *found == Ok(true)), "{found:?}");
    assert_eq!(published.asked(), 1);
    published.clock.advance(Duration::from_secs(599));
    assert_eq!((published.find("a").await, published.asked()), (Ok(true), 0));
    published.clock.advance(Duration::from_secs(1));
    assert_eq!((published.find("a").await, published.asked()), (Ok(true), 1), "old ones are fetched again");
    drop(published.elsewhere);
}

#[tokio::test]
async fn c15_an_unknown_key_is_one_fetch_and_not_often() {
    let published = Published::of(&["a"]).await;
    assert_eq!(published.find("a").await, Ok(true));
    published.publish(StatusCode::OK, jwks(&["a", "b"]));
    let found = futures_util::future::join_all((0..50).map(|_| published.find("b"))).await;
    assert!(found.iter().all(|found| *found == Ok(true)), "{found:?}");
    assert_eq!(published.asked(), 2, "the first, and one more for all of them");
    for _ in 0..50 {
        assert_eq!(published.find("nobody's").await, Ok(false));
    }
    assert_eq!(published.asked(), 1, "what was left of three at once");
    published.clock.advance(Duration::from_secs(10));
    assert_eq!(published.find("nobody's").await, Ok(false));
    assert_eq!(published.find("nobody's").await, Ok(false));
    assert_eq!(published.asked(), 1, "one more after ten seconds");
}

#[tokio::test]
async fn c15_when_the_keys_are_not_to_be_had_the_last_ones_count_for_an_hour() {
    let published = Published::of(&["a"]).await;
    assert_eq!(published.find("a").await, Ok(true));
    for (status, body) in [
        (StatusCode::INTERNAL_SERVER_ERROR, jwks(&["a"])),
        (StatusCode::OK, "{}".to_owned()),
        (StatusCode::OK, "<html>".to_owned()),
    ] {
        published.publish(status, body);
        published.clock.advance(Duration::from_secs(1000));
        assert_eq!(published.find("a").await, Ok(true));
    }
    published.clock.advance(Duration::from_secs(600));
    assert!(published.find("a").await.is_err(), "not for ever");
    published.publish(StatusCode::OK, jwks(&["a"]));
    published.clock.advance(Duration::from_secs(10));
    assert_eq!(published.find("a").await, Ok(true));
}
