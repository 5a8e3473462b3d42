//! Reading along: nothing is missed, nobody is waited for, and every stream says why it ends.

use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::body::{Body, BodyDataStream};
use axum::extract::ConnectInfo;
use futures_util::StreamExt as _;
use http::{Request, StatusCode, header};
use serde_json::Value;
use tower::ServiceExt as _;

use super::stage::{ISSUER, Setup, Stage, example, stage, stages};

/// Who reads a stream: an event is its name (`""` for most), its id and its data.
pub(super) struct Reader {
    body: BodyDataStream,
    text: String,
}

impl Reader {
    pub(super) async fn answer(stage: &Stage, query: &str, token: &str, last: Option<i64>) -> http::Response<Body> {
        let mut request = Request::get(format!("/api/v1/audit/events/tail{query}"))
            .header(header::AUTHORIZATION, format!("Bearer {token}"))
            .extension(ConnectInfo(std::net::SocketAddr::from(([192, 0, 2, 1], 4711))));
        if let Some(last) = last {
            request = request.header("last-event-id", last.to_string());
        }
        stage.router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap()
    }

    pub(super) async fn open(stage: &Stage, query: &str, token: &str, last: Option<i64>) -> Self {
        let answer = Self::answer(stage, query, token, last).await;
        assert_eq!(answer.status(), StatusCode::OK);
        assert_eq!(answer.headers()[header::CONTENT_TYPE], "text/event-stream");
        Self { body: answer.into_body().into_data_stream(), text: String::new() }
    }

    /// The next event with data, or the end of the stream.
    async fn next(&mut self) -> Option<(String, i64, Value)> {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let (event, rest) = (event.to_owned(), rest.to_owned());
                self.text = rest;
                let field = |name: &str| event.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
                let Some(data) = field("data") else { continue };
                let id = field("id").unwrap().parse().unwrap();
                return Some((field("event").unwrap_or_default().to_owned(), id, serde_json::from_str(data).unwrap()));
            }
            let piece = tokio::time::timeout(Duration::from_secs(30), self.body.next()).await.expect("in time")?;
            self.text.push_str(std::str::from_utf8(&piece.unwrap()).unwrap());
        }
    }

    pub(super) async fn events(&mut self, count: usize) -> Vec<(i64, Value)> {
        let mut all = Vec::new();
        while all.len() < count {
            let (name, id, data) = self.next().await.expect("more events");
            assert_eq!(name, "", "{data}");
            assert_eq!(data["seq"], id);
            all.push((id, data));
        }
        all
    }

    async fn end(mut self) -> String {
        let mut last = None;
        while let Some((name, _, data)) = self.next().await {
            assert!(last.is_none(), "nothing follows the end");
            if name == "end" {
                last = Some(data["reason"].as_str().unwrap().to_owned());
            }
        }
        last.expect("an end")
    }
}

#[tokio::test]
async fn events_come_as_they_are_recorded_and_who_comes_again_misses_nothing() {
    for stage in stages().await {
        let token = stage.auditor().await;
        stage.record(5).await;
        let mut tail = Reader::open(&stage, "?filter=data.n:*", &token, None).await;
        for n in 5..10 {
            stage.audit.record(example(n)).await.unwrap();
        }
        let seen = tail.events(3).await;
        let ns: Vec<_> = seen.iter().map(|(_, data)| data["data"]["n"].as_u64().unwrap()).collect();
        assert_eq!(ns, [5, 6, 7], "{}: only what came after the stream was opened", stage.test.name);
        let last = seen.last().unwrap().0;
        drop(tail);
        let mut again = Reader::open(&stage, "?filter=data.n:*", &token, Some(last)).await;
        let seen = again.events(2).await;
        assert_eq!(seen.iter().map(|(_, data)| data["data"]["n"].as_u64().unwrap()).collect::<Vec<_>>(), [8, 9]);
        // From the beginning, with a filter.
        drop(again);
        let mut all = Reader::open(&stage, "?kind=token.issued", &token, Some(-1)).await;
        assert_eq!(all.events(4).await.len(), 4);
        drop(all);
        stage.until_kind("audit.read", 3).await;
        stage.end().await;
    }
}

#[tokio::test]
async fn so_many_read_along_and_no_more() {
    let stage = stage(Setup::default()).await;
    let token = stage.auditor().await;
    let first = Reader::open(&stage, "", &token, None).await;
    let second = Reader::open(&stage, "", &token, None).await;
    let third = Reader::answer(&stage, "", &token, None).await;
    assert_eq!(third.status(), StatusCode::SERVICE_UNAVAILABLE);
    drop(first);
    let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
    loop {
        let answer = Reader::answer(&stage, "", &token, None).await;
        if answer.status() == StatusCode::OK {
            break;
        }
        assert!(tokio::time::Instant::now() < deadline, "a place becomes free");
        tokio::task::yield_now().await;
    }
    drop(second);
    stage.end().await;
}

#[tokio::test]
async fn a_reader_that_does_not_read_is_let_go_and_told_so() {
    let stage = stage(Setup { patience: Duration::from_millis(1), ..Setup::default() }).await;
    let token = stage.auditor().await;
    let events: Vec<_> = (0..2000).map(example).collect();
    stage.record_many(events).await;
    let tail = Reader::open(&stage, "", &token, Some(-1)).await;
    stage.until(&stage.ended("slow"), 1).await;
    assert_eq!(tail.end().await, "slow");
    stage.end().await;
}

#[tokio::test]
async fn streams_end_when_the_process_stops_when_the_token_does_and_when_policy_says_so() {
    let stage = stage(Setup::default()).await;
    let token = stage.auditor().await;
    let tail = Reader::open(&stage, "", &token, None).await;
    stage.ending.store(true, Ordering::SeqCst);
    assert_eq!(tail.end().await, "stopping");
    stage.ending.store(false, Ordering::SeqCst);
    let tail = Reader::open(&stage, "", &token, None).await;
    stage.clock.advance(Duration::from_secs(301));
    assert_eq!(tail.end().await, "renew");
    let token = stage.token("auditor", ISSUER, "audit:read").await;
    let tail = Reader::open(&stage, "", &token, None).await;
    let guard = "@id(\"none\") forbid (principal, action in Stockade::Action::\"audit:any\", resource);";
    stage.engine.install(super::rows::policies("", guard));
    stage.audit.record(example(1)).await.unwrap();
    assert_eq!(tail.end().await, "denied");
    stage.end().await;
}

#[tokio::test]
async fn a_last_event_id_that_is_none_is_a_400() {
    let stage = stage(Setup::default()).await;
    let token = stage.auditor().await;
    for last in ["x", "-2", "99999999999999999999", ""] {
        let mut headers = http::HeaderMap::new();
        headers.insert(header::AUTHORIZATION, format!("Bearer {token}").parse().unwrap());
        headers.insert("last-event-id", last.parse().unwrap());
        let (status, _, body) = stage.send("/api/v1/audit/events/tail", headers).await;
        assert_eq!((status, body["errors"][0]["parameter"].as_str()), (StatusCode::BAD_REQUEST, Some("Last-Event-ID")));
    }
    stage.end().await;
}
