//! Buckets around a decision: the address's before the token is looked at, the tier's after policy has chosen it.

use std::time::Duration;

use http_body_util::Empty;
use serde_json::json;
use stockade::base::Timestamp;
use stockade::enforce::{Admitted, Fence, FenceError, NotRecorded, Recorded, Recorder};
use stockade::limits::Limit;
use stockade::model::{Event, Outcome};
use stockade::policy::{Files, Snapshot, embedded};
use tower::{Layer as _, ServiceExt as _};

use super::stage::{API, Stage};

fn bearer(stage: &Stage, client: &str, scope: &str) -> String {
    format!("Bearer {}", stage.token(client, scope))
}

#[tokio::test]
async fn a_reader_has_a_burst_of_forty_and_then_five_a_second() {
    let stage = Stage::new();
    let token = bearer(&stage, "reader", "notes:read");
    for left in (0..40).rev() {
        let answer = stage.call("GET", "/demo/notes", &[&token]).await;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.header("ratelimit-policy"), Some("\"reader\";q=40;w=8"));
        assert!(answer.header("ratelimit").is_some_and(|v| v.starts_with(&format!("\"reader\";r={left};t="))));
    }
    assert_eq!(stage.recorded().len(), 40);
    let answer = stage.call("GET", "/demo/notes", &[&token]).await;
    assert_eq!((answer.status.as_u16(), answer.header("retry-after")), (429, Some("1")));
    let body = answer.json();
    assert_eq!(body["type"], "https://iana.org/assignments/http-problem-types#quota-exceeded");
    assert_eq!(body["violated-policies"], json!(["reader"]));
    let events = stage.folded();
    assert_eq!((events.len(), events[0].kind, events[0].outcome), (1, "rate.limited", Outcome::Denied));
    assert_eq!(events[0].data.get("tier").unwrap(), "reader");
    assert!(stage.recorded().is_empty(), "what was limited is not recorded as allowed");

    stage.clock.advance(Duration::from_millis(200));
    assert_eq!(stage.call("GET", "/demo/notes", &[&token]).await.status, 200);
    assert_eq!(stage.call("GET", "/demo/notes", &[&token]).await.status, 429);
    let other = bearer(&stage, "other", "notes:read");
    assert_eq!(stage.call("GET", "/demo/notes", &[&other]).await.status, 200, "another client has its own bucket");
}

#[tokio::test]
async fn a_refused_call_takes_nothing_from_the_tier() {
    let stage = Stage::new();
    let token = bearer(&stage, "reader", "notes:read");
    for _ in 0..60 {
        assert_eq!(stage.call("POST", "/demo/notes", &[&token]).await.status, 403);
    }
    let answer = stage.call("GET", "/demo/notes", &[&token]).await;
    assert!(answer.header("ratelimit").is_some_and(|v| v.starts_with("\"reader\";r=39;")));
}

#[tokio::test]
async fn an_address_over_its_limit_is_refused_before_its_token_is_looked_at() {
    let stage = Stage::with(|builder| builder.address_limit(Limit::per_second(1, 3).expect("a limit")));
    for _ in 0..3 {
        assert_eq!(stage.call("GET", "/demo/notes", &["Bearer nonsense"]).await.status, 401);
    }
    let good = bearer(&stage, "reader", "notes:read");
    let answer = stage.call("GET", "/demo/notes", &[&good]).await;
    assert_eq!((answer.status.as_u16(), answer.header("retry-after")), (429, Some("1")));
    assert_eq!(answer.header("ratelimit-policy"), None, "how it is configured is nobody's business");
    let refused: Vec<_> = stage.folded().iter().map(|event| event.kind).collect();
    assert_eq!(refused, ["auth.refused", "auth.refused", "auth.refused", "rate.limited"]);
    assert!(stage.recorded().is_empty());
    stage.clock.advance(Duration::from_secs(1));
    assert_eq!(stage.call("GET", "/demo/notes", &[&good]).await.status, 200);
}

#[tokio::test]
async fn a_caller_whom_no_tier_is_given_is_denied() {
    let files = embedded().iter().copied().filter(|(path, _)| *path != "rate/tiers.cedar");
    let snapshot = Snapshot::from_files(&Files::new(files)).expect("loads");
    let stage = Stage::with(|builder| builder.snapshot(snapshot));
    let answer = stage.call("GET", "/demo/notes", &[&bearer(&stage, "reader", "notes:read")]).await;
    assert_eq!((answer.status.as_u16(), &answer.json()["reason"]), (403, &json!("no_tier")));
}

#[tokio::test]
async fn a_tier_in_dry_run_refuses_nothing_and_says_nothing() {
    let tiers = "[[tier]]\nname = \"reader\"\nrate = \"1/h\"\nburst = 1\ndry_run = true\n";
    let kept = embedded().iter().copied().filter(|(path, _)| *path != "tiers.toml");
    let snapshot = Snapshot::from_files(&Files::new(kept.chain([("tiers.toml", tiers)]))).expect("loads");
    let stage = Stage::with(|builder| builder.snapshot(snapshot));
    let token = bearer(&stage, "reader", "notes:read");
    for _ in 0..5 {
        let answer = stage.call("GET", "/demo/notes", &[&token]).await;
        assert_eq!((answer.status.as_u16(), answer.header("ratelimit")), (200, None));
    }
}

#[tokio::test]
async fn a_path_that_is_not_in_normal_form_is_refused_before_the_token() {
    let stage = Stage::new();
    let token = bearer(&stage, "reader", "notes:read");
    for path in
        ["/demo//notes", "/demo/%6eotes", "/demo/notes%2f", "/demo/./notes", "/x/../demo/notes", "/demo/notes;a"]
    {
        let answer = stage.ask("GET", path, Some(&token)).await;
        assert_eq!((answer.status.as_u16(), answer.header("x-stockade-status")), (403, Some("400")), "{path}");
    }
    assert!(stage.folded().iter().all(|event| event.reason.as_deref() == Some("path_not_normal")));
}

#[tokio::test]
async fn a_fence_without_policies_denies_and_one_without_keys_is_none() {
    let missing = Fence::builder("https://issuer.example").build();
    assert!(matches!(missing, Err(FenceError::NoTokens)));
    let broken = Fence::builder("https://issuer.example").jwks(json!({ "keys": [] })).build();
    assert!(matches!(broken, Err(FenceError::Jwks(_))), "{broken:?}");
    let nowhere = Fence::builder("https://issuer.example").jwks(json!({})).policies("/nowhere").build();
    assert!(matches!(nowhere, Err(FenceError::Policies(_))), "{nowhere:?}");

    let stage = Stage::new();
    let clock = std::sync::Arc::clone(&stage.clock);
    let bare = Fence::builder("https://issuer.example")
        .jwks(stage.key.jwks("k1"))
        .clock_and_rng(clock, std::sync::Arc::new(stockade::base::SystemRng))
        .build()
        .expect("a fence");
    let service = bare.layer().layer(tower::service_fn(async |_: http::Request<Empty<bytes::Bytes>>| {
        Ok::<_, std::convert::Infallible>(http::Response::new(http_body_util::Full::new(bytes::Bytes::new())))
    }));
    let request = http::Request::get("/demo/notes").header("authorization", bearer(&stage, "reader", "notes:read"));
    let answer = service.oneshot(request.body(Empty::new()).expect("a request")).await.expect("infallible");
    assert_eq!(answer.status(), 403);
}

#[tokio::test]
async fn any_tower_service_can_stand_behind_the_layer_and_sees_who_called() {
    let stage = Stage::new();
    let service = stage.fence.layer().layer(tower::service_fn(async |request: http::Request<Empty<bytes::Bytes>>| {
        let admitted = request.extensions().get::<Admitted>().expect("was admitted");
        let text = format!("{} {}", admitted.principal.reference(), admitted.token.aud.join(","));
        Ok::<_, std::convert::Infallible>(http::Response::new(http_body_util::Full::new(bytes::Bytes::from(text))))
    }));
    let request = http::Request::get("/demo/notes").header("authorization", bearer(&stage, "reader", "notes:read"));
    let answer = service.oneshot(request.body(Empty::new()).expect("a request")).await.expect("infallible");
    assert_eq!(answer.status(), 200);
    assert!(answer.headers().contains_key("ratelimit"));
    let body = http_body_util::BodyExt::collect(answer.into_body()).await.expect("a body").to_bytes();
    assert_eq!(body, format!("Client::\"reader\" {API}"));
    let events = stage.recorded();
    assert_eq!((events.len(), events[0].kind, events[0].outcome), (1, "decision", Outcome::Allowed));
    assert_eq!(events[0].time, Timestamp::from_secs(1_800_000_000));
    assert_eq!(events[0].policies, [std::sync::Arc::from("demo.notes.list")]);
    assert_eq!(events[0].data.get("jti").unwrap(), "at_reader");
}

/// Records, and fails when it must record first.
#[derive(Debug)]
struct Full;

impl Recorder for Full {
    fn record(&self, _: Event) {}

    fn before(&self, _: Event) -> Recorded<'_> {
        Box::pin(std::future::ready(Err(NotRecorded)))
    }
}

#[tokio::test]
async fn what_a_policy_wants_recorded_first_does_not_proceed_when_it_cannot_be() {
    let text = r#"@id("demo.notes.list") @record("before")
        permit (principal, action == Notes::Action::"notes:list", resource in Stockade::Api::"demo");
        @id("demo.notes.write") permit (principal, action == Notes::Action::"notes:write", resource);"#;
    let kept = embedded().iter().copied().filter(|(path, _)| *path != "grant/demo.cedar");
    let snapshot = Snapshot::from_files(&Files::new(kept.chain([("grant/demo.cedar", text)]))).expect("loads");
    let stage = Stage::with(|builder| builder.snapshot(snapshot).recorder(std::sync::Arc::new(Full)));
    let token = bearer(&stage, "demo", "notes:read notes:write");
    let answer = stage.call("GET", "/demo/notes", &[&token]).await;
    assert_eq!((answer.status.as_u16(), &answer.json()["type"]), (503, &json!("urn:stockade:problem:not-recorded")));
    let asked = stage.ask("GET", "/demo/notes", token.strip_prefix("Bearer ")).await;
    assert_eq!((asked.status.as_u16(), asked.header("x-stockade-status")), (403, Some("503")));
    // What no such policy determined proceeds: the body is missing, which only the handler can know.
    assert_eq!(stage.call("POST", "/demo/notes", &[&token]).await.status, 415);
}
