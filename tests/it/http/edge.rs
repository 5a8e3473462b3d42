//! What every answer has, whatever happens inside, and what the ops listener says.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use http::{HeaderValue, Request, StatusCode, header};
use serde_json::Value;
use stockade::base::{ManualClock, SeededRng, Timestamp};
use stockade::http::edge::Settings;
use stockade::http::health::Ops;
use stockade::http::{Edge, Info, Kind, Problem, TrustedProxies, body};
use stockade::limits::{Ceiling, Limit};
use stockade::telemetry::Prometheus;
use tower::ServiceExt as _;

struct Stage {
    router: Router,
    prometheus: Prometheus,
}

fn routes() -> Router {
    Router::new()
        .route("/ok", get(|| async { "fine" }))
        .route("/who", get(|info: Info| async move { format!("{:?}", info.address) }))
        .route("/id", get(|info: Info| async move { info.request_id.to_string() }))
        .route("/panic", get(async || -> String { panic!("a bug, on purpose") }))
        .route("/never", get(std::future::pending::<()>).post(std::future::pending::<()>))
        .route(
            "/read-and-never",
            post(|body: Body| async { drop((body::read(body, 10).await, std::future::pending::<()>().await)) }),
        )
        .route("/problem", get(|| async { Problem::new(Kind::Conflict).detail("make up your mind").with("x", 1) }))
        .route("/plain", get(|| async { (StatusCode::UNPROCESSABLE_ENTITY, "a library's own words: secret-in-text") }))
        .route("/oauth/token", post(|| async { oauth_error() }))
        .route("/cached", get(|| async { ([(header::CACHE_CONTROL, "public, max-age=60")], "cached") }))
        .route("/body", post(|body: Body| async { body::read(body, 10).await.map(|b| b.len().to_string()) }))
        .route("/default", post(|body: bytes::Bytes| async move { body.len().to_string() }))
        .route("/json", post(|headers: http::HeaderMap, body: Body| async move { echo(&headers, body).await }))
        .route("/items/{id}", get(|| async { "one" }))
}

async fn echo(headers: &http::HeaderMap, body: Body) -> Result<String, Problem> {
    let value: std::collections::BTreeMap<String, u32> = body::json(headers, body, 100).await?;
    Ok(value.len().to_string())
}

fn oauth_error() -> Response {
    let body = r#"{"error":"invalid_client"}"#;
    (StatusCode::UNAUTHORIZED, [(header::CONTENT_TYPE, "application/json")], body).into_response()
}

fn stage_with(settings: Settings) -> Stage {
    let (prometheus, metrics) = Prometheus::new();
    let clock = Arc::new(ManualClock::at(Timestamp::from_secs(1_800_000_000)));
    let edge = Edge::new(settings, Arc::new(metrics), clock, Arc::new(SeededRng::new(1)));
    Stage { router: edge.wrap(routes()), prometheus }
}

fn stage() -> Stage {
    stage_with(Settings { body_limit: 1000, ..Settings::default() })
}

impl Stage {
    /// Sends a request and checks what always holds.
    async fn send(&self, request: Request<Body>) -> (http::response::Parts, String) {
        let asked_id = request.headers().get("x-request-id").cloned();
        let (parts, body) = self.router.clone().oneshot(request).await.unwrap().into_parts();
        let body = String::from_utf8(axum::body::to_bytes(body, 1 << 20).await.unwrap().to_vec()).unwrap();
        for name in [
            "x-request-id",
            "traceparent",
            "cache-control",
            "x-content-type-options",
            "x-frame-options",
            "referrer-policy",
            "content-security-policy",
        ] {
            assert_eq!(parts.headers.get_all(name).iter().count(), 1, "{name} of {parts:?}");
        }
        if let Some(asked) = asked_id {
            assert_eq!(parts.headers["x-request-id"], asked);
        }
        if parts.headers.get(header::CONTENT_TYPE).is_some_and(|t| t == "application/problem+json") {
            let problem: Value = serde_json::from_str(&body).unwrap();
            assert_eq!(problem["status"], parts.status.as_u16());
            assert_eq!(problem["request_id"], parts.headers["x-request-id"].to_str().unwrap());
            assert!(problem["type"].as_str().unwrap().contains(':') && problem["title"].is_string());
            if let Some(length) = parts.headers.get(header::CONTENT_LENGTH) {
                assert_eq!(length.to_str().unwrap(), body.len().to_string());
            }
        }
        (parts, body)
    }

    async fn get(&self, path: &str) -> (http::response::Parts, Value) {
        let (parts, body) = self.send(Request::get(path).body(Body::empty()).unwrap()).await;
        let value = serde_json::from_str(&body).unwrap_or(Value::String(body));
        (parts, value)
    }

    async fn post(&self, path: &str, content_type: &str, body: impl Into<Body>) -> (StatusCode, Value) {
        let request = Request::post(path).header(header::CONTENT_TYPE, content_type).body(body.into()).unwrap();
        let (parts, body) = self.send(request).await;
        (parts.status, serde_json::from_str(&body).unwrap_or(Value::String(body)))
    }

    fn metric(&self, series: &str) -> String {
        self.prometheus.upkeep();
        let text = self.prometheus.render();
        let line = text.lines().find_map(|l| l.strip_prefix(&format!("{series} "))).map(str::to_owned);
        line.unwrap_or_else(|| panic!("no {series} in\n{text}"))
    }
}

#[tokio::test]
async fn every_answer_has_an_id_a_trace_and_the_security_headers() {
    let stage = stage();
    let (parts, body) = stage.get("/ok").await;
    assert_eq!((parts.status, body), (StatusCode::OK, "fine".into()));
    assert_eq!(parts.headers["cache-control"], "no-store");
    assert!(!parts.headers.contains_key("strict-transport-security"));
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let request = Request::get("/id")
        .header("x-request-id", "mine-1")
        .header("traceparent", format!("00-{trace}-00f067aa0ba902b7-01"))
        .body(Body::empty())
        .unwrap();
    let (parts, body) = stage.send(request).await;
    assert_eq!((body.as_str(), &parts.headers["x-request-id"]), ("mine-1", &HeaderValue::from_static("mine-1")));
    assert!(parts.headers["traceparent"].to_str().unwrap().starts_with(&format!("00-{trace}-")));
}

#[tokio::test]
async fn an_id_that_is_not_sane_is_replaced_everywhere() {
    let request = Request::get("/id").header("x-request-id", "<script>").body(Body::empty()).unwrap();
    let response = stage().router.oneshot(request).await.unwrap();
    let id = response.headers()["x-request-id"].to_str().unwrap().to_owned();
    assert!(id.starts_with("req_"), "{id}");
    let body = axum::body::to_bytes(response.into_body(), 100).await.unwrap();
    assert_eq!(body, id.as_bytes());
}

#[tokio::test]
async fn a_handler_s_own_caching_is_kept_and_https_is_said_where_it_is_true() {
    let stage = stage_with(Settings { hsts: true, ..Settings::default() });
    let (parts, _) = stage.get("/cached").await;
    assert_eq!(parts.headers["cache-control"], "public, max-age=60");
    assert_eq!(parts.headers["strict-transport-security"], "max-age=31536000");
}

#[tokio::test]
async fn beyond_the_ceiling_everyone_is_asked_to_come_back() {
    let clock = Arc::new(ManualClock::at(Timestamp::from_secs(1_800_000_000)));
    let ceiling = Ceiling::new(Limit::per_second(1, 2).unwrap(), clock);
    let stage = stage_with(Settings { ceiling: Some(Arc::new(ceiling)), ..Settings::default() });
    for _ in 0..2 {
        assert_eq!(stage.get("/cached").await.0.status, StatusCode::OK);
    }
    let (parts, body) = stage.get("/cached").await;
    assert_eq!((parts.status, &parts.headers["retry-after"]), (StatusCode::SERVICE_UNAVAILABLE, &"1".parse().unwrap()));
    assert_eq!(
        (&body["type"], &body["error"]),
        (&"urn:stockade:problem:unavailable".into(), &"temporarily_unavailable".into())
    );
    let text = stage.prometheus.render();
    assert!(text.contains("stockade_limit_checks_total{bucket=\"ceiling\",result=\"refused\"} 1"), "{text}");
}

#[tokio::test]
async fn what_is_not_there_is_a_problem() {
    let stage = stage();
    let (parts, body) = stage.get("/nowhere").await;
    assert_eq!(parts.status, StatusCode::NOT_FOUND);
    assert_eq!((&body["type"], &body["status"]), (&"urn:stockade:problem:not-found".into(), &404.into()));
    let (status, body) = stage.post("/ok", "text/plain", "x").await;
    assert_eq!(status, StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(body["type"], "urn:stockade:problem:method-not-allowed");
    let (parts, _) = stage.send(Request::delete("/ok").body(Body::empty()).unwrap()).await;
    let allow = parts.headers.get("allow").and_then(|v| v.to_str().ok()).unwrap_or_default();
    assert!(allow.contains("GET"), "allow: {allow:?}");
}

#[tokio::test]
async fn a_problem_of_a_handler_gets_its_request_id() {
    let (parts, body) = stage().get("/problem").await;
    assert_eq!(parts.status, StatusCode::CONFLICT);
    assert_eq!((&body["detail"], &body["x"]), (&"make up your mind".into(), &1.into()));
}

#[tokio::test]
async fn an_error_that_another_standard_shapes_is_left_alone() {
    let (status, body) = stage().post("/oauth/token", "application/x-www-form-urlencoded", "").await;
    assert_eq!((status, body), (StatusCode::UNAUTHORIZED, serde_json::json!({ "error": "invalid_client" })));
}

#[tokio::test]
async fn a_panic_is_a_500_and_is_counted() {
    let stage = stage();
    let (parts, body) = stage.get("/panic").await;
    assert_eq!(parts.status, StatusCode::INTERNAL_SERVER_ERROR);
    assert!(!body.to_string().contains("on purpose"), "{body}");
    assert_eq!(stage.metric("stockade_http_panics_total"), "1");
    assert_eq!(stage.metric("stockade_http_requests_in_flight"), "0");
    assert_eq!(stage.get("/ok").await.0.status, StatusCode::OK);
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_never_answers_is_a_503() {
    let stage = stage_with(Settings { timeout: Some(Duration::from_secs(5)), ..Settings::default() });
    let (parts, body) = stage.get("/never").await;
    assert_eq!(parts.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(body["type"], "urn:stockade:problem:timeout");
    assert_eq!(stage.metric("stockade_http_requests_in_flight"), "0");
}

/// A body of which `first` has come and the rest never does.
fn stalled(first: &'static str) -> Body {
    let first =
        futures_util::stream::once(async move { Ok::<_, std::io::Error>(bytes::Bytes::from_static(first.as_bytes())) });
    Body::from_stream(futures_util::StreamExt::chain(first, futures_util::stream::pending()))
}

#[tokio::test(start_paused = true)]
async fn a_body_that_does_not_come_in_time_is_a_408_and_the_end_of_its_connection() {
    let stage = stage_with(Settings { timeout: Some(Duration::from_secs(5)), ..Settings::default() });
    for path in ["/body", "/default", "/json"] {
        let request = Request::post(path).header(header::CONTENT_TYPE, "application/json").body(stalled("[")).unwrap();
        let (parts, body) = stage.send(request).await;
        assert_eq!(parts.status, StatusCode::REQUEST_TIMEOUT, "{path}");
        assert_eq!(parts.headers[header::CONNECTION], "close", "{path}");
        assert!(body.contains("urn:stockade:problem:body-timeout"), "{path}: {body}");
        let request =
            Request::post(path).header(header::CONTENT_TYPE, "application/json").version(http::Version::HTTP_2);
        let (parts, _) = stage.send(request.body(stalled("[")).unwrap()).await;
        assert_eq!(parts.status, StatusCode::REQUEST_TIMEOUT, "{path} over HTTP/2");
        assert!(!parts.headers.contains_key(header::CONNECTION), "{path}: HTTP/2 has no such header");
    }
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_is_slow_whatever_came_of_the_body_is_a_503() {
    let stage = stage_with(Settings { timeout: Some(Duration::from_secs(5)), ..Settings::default() });
    for path in ["/never", "/read-and-never"] {
        let (parts, _) = stage.send(Request::post(path).body(Body::from("all of it")).unwrap()).await;
        assert_eq!(parts.status, StatusCode::SERVICE_UNAVAILABLE, "{path}");
    }
}

#[tokio::test]
async fn a_client_that_leaves_is_not_counted_as_in_flight() {
    let stage = stage();
    let mut request = Box::pin(stage.router.clone().oneshot(Request::get("/never").body(Body::empty()).unwrap()));
    assert!(futures_util::FutureExt::now_or_never(request.as_mut()).is_none());
    assert_eq!(stage.metric("stockade_http_requests_in_flight"), "1");
    drop(request);
    assert_eq!(stage.metric("stockade_http_requests_in_flight"), "0");
}

#[tokio::test]
async fn a_library_s_own_words_do_not_leave() {
    let (parts, body) = stage().get("/plain").await;
    assert_eq!(parts.status, StatusCode::BAD_REQUEST);
    assert!(body["type"].is_string() && !body.to_string().contains("secret-in-text"), "{body}");
}

#[tokio::test]
async fn a_body_past_the_limit_is_a_413_problem() {
    let stage = stage();
    assert_eq!(stage.post("/body", "text/plain", "0123456789").await, (StatusCode::OK, 10.into()));
    let (status, body) = stage.post("/body", "text/plain", "0123456789a").await;
    assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(body["detail"], "the body is longer than 10 bytes: send less");
    assert_eq!(stage.post("/default", "text/plain", "x".repeat(1000)).await.0, StatusCode::OK);
    let (status, body) = stage.post("/default", "text/plain", "x".repeat(1001)).await;
    assert_eq!((status, &body["type"]), (StatusCode::PAYLOAD_TOO_LARGE, &"urn:stockade:problem:body-too-large".into()));
}

#[tokio::test]
async fn a_body_that_breaks_off_is_a_400_problem() {
    let pieces = [Ok(bytes::Bytes::from_static(b"abc")), Err(std::io::Error::other("gone"))];
    let body = Body::from_stream(futures_util::stream::iter(pieces));
    let (status, body) = stage().post("/body", "text/plain", body).await;
    assert_eq!((status, &body["type"]), (StatusCode::BAD_REQUEST, &"urn:stockade:problem:invalid-body".into()));
}

#[tokio::test]
async fn json_must_be_said_to_be_json_and_be_it() {
    let stage = stage();
    assert_eq!(stage.post("/json", "application/JSON; charset=utf-8", r#"{"a":1}"#).await, (StatusCode::OK, 1.into()));
    for content_type in ["text/plain", "application/jsonp", "application/x-www-form-urlencoded"] {
        assert_eq!(
            stage.post("/json", content_type, "{}").await.0,
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "{content_type}"
        );
    }
    let deep = "[".repeat(99);
    for body in ["", "{", "[]", r#"{"a":"x"}"#, r#"{"a":1} x"#, deep.as_str()] {
        let (status, problem) = stage.post("/json", "application/json", body.to_owned()).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{body}");
        assert!(problem["detail"].as_str().unwrap().contains("line 1"), "{problem}");
    }
}

#[tokio::test]
async fn requests_are_counted_by_endpoint_and_class_and_never_by_path() {
    let stage = stage();
    stage.post("/oauth/token", "text/plain", "").await;
    for path in ["/stranger-1", "/stranger-2", "/items/stranger-3"] {
        stage.get(path).await;
    }
    assert_eq!(stage.metric(r#"stockade_http_requests_total{endpoint="token",status="4xx"}"#), "1");
    assert_eq!(stage.metric(r#"stockade_http_requests_total{endpoint="unknown",status="4xx"}"#), "2");
    assert_eq!(stage.metric(r#"stockade_http_request_duration_seconds_count{endpoint="token"}"#), "1");
    assert!(!stage.prometheus.render().contains("stranger"));
}

#[tokio::test]
async fn the_address_is_what_trusted_proxies_say_it_is() {
    let trusted_proxies = TrustedProxies::new(vec!["10.0.0.0/8".parse().unwrap()]);
    let stage = stage_with(Settings { trusted_proxies, ..Settings::default() });
    for (peer, expected) in [("10.0.0.1:1", "Some(198.51.100.7)"), ("192.0.2.1:1", "Some(192.0.2.1)")] {
        let mut request =
            Request::get("/who").header("x-forwarded-for", "1.2.3.4, 198.51.100.7").body(Body::empty()).unwrap();
        request.extensions_mut().insert(ConnectInfo(peer.parse::<SocketAddr>().unwrap()));
        assert_eq!(stage.send(request).await.1, expected);
    }
}

fn ops(ops: Ops) -> Router {
    let (_, metrics) = Prometheus::new();
    let clock = Arc::new(ManualClock::at(Timestamp::from_secs(1)));
    Edge::new(Settings::default(), Arc::new(metrics), clock, Arc::new(SeededRng::new(1))).wrap(ops.router())
}

async fn ask(router: &Router, path: &str) -> (StatusCode, String, String) {
    let response = router.clone().oneshot(Request::get(path).body(Body::empty()).unwrap()).await.unwrap();
    let kind = response.headers()[header::CONTENT_TYPE].to_str().unwrap().to_owned();
    let status = response.status();
    let body = axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap();
    (status, kind, String::from_utf8(body.to_vec()).unwrap())
}

#[tokio::test(start_paused = true)]
async fn readiness_names_what_is_missing_and_health_does_not_care() {
    let (prometheus, metrics) = Prometheus::new();
    metrics.revocations.add(());
    let good = Ops::new(prometheus).check("store", async || Ok(())).note("limits", "per process");
    let draining = good.draining();
    let router = ops(good);
    let (status, _, body) = ask(&router, "/readyz").await;
    assert_eq!(status, StatusCode::OK);
    let body: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(body, serde_json::json!({ "status": "ready", "checks": { "store": "ok" }, "limits": "per process" }));
    let (status, kind, text) = ask(&router, "/metrics").await;
    assert_eq!((status, kind.as_str()), (StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8"));
    assert!(text.contains("stockade_revocations_total 1\n"), "{text}");
    draining.store(true, Ordering::Relaxed);
    assert_eq!(ask(&router, "/readyz").await.0, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(ask(&router, "/healthz").await.0, StatusCode::OK);

    let bad = Ops::default()
        .check("store", async || Ok(()))
        .check("keys", async || Err("there is no key to sign with".to_owned()))
        .check("policy", std::future::pending);
    let (status, _, body) = ask(&ops(bad), "/readyz").await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    let body: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(
        body["checks"],
        serde_json::json!({ "store": "ok", "keys": "there is no key to sign with", "policy": "no answer within 2 s" })
    );
}
