//! Who may ask, and what is recorded about it.

use std::time::Duration;

use axum::body::Body;
use http::Request;
use serde_json::{Value, json};
use stockade::limits::Limit;
use stockade::store::log;

use super::stage::Stage;
use crate::support::events::said;

const PATH: &str = "/access/v1/evaluation";

fn question() -> Value {
    json!({
        "subject": { "type": "user", "id": "alice" },
        "action": { "name": "read" },
        "resource": { "type": "record", "id": "record-1" },
    })
}

async fn ask(stage: &Stage, authorization: Option<String>, body: &str) -> (u16, Option<String>) {
    let mut request = Request::post(PATH).header("content-type", "application/json");
    if let Some(value) = authorization {
        request = request.header("authorization", value);
    }
    let answer = stage.send(request.body(Body::from(body.to_owned())).expect("a request")).await;
    (answer.status.as_u16(), answer.header("www-authenticate").map(str::to_owned))
}

#[tokio::test]
async fn a_caller_needs_a_token_for_us_with_the_scope_and_learns_nothing_before() {
    let stage = Stage::over("cert").await;
    let body = question().to_string();
    let bearer = |token: String| Some(format!("Bearer {token}"));
    let invalid = Some(r#"Bearer error="invalid_token""#.to_owned());
    assert_eq!(ask(&stage, None, &body).await, (401, Some("Bearer".to_owned())));
    assert_eq!(ask(&stage, bearer("nonsense".to_owned()), &body).await, (401, invalid.clone()));
    let elsewhere = stage.token_for("pdp", "pdp", "https://pdp.example/demo");
    assert_eq!(ask(&stage, bearer(elsewhere), &body).await, (401, invalid.clone()));
    let nobody = stage.token("nobody", "pdp");
    assert_eq!(ask(&stage, bearer(nobody), &body).await, (401, invalid), "a client that is not registered");
    let scope = Some(r#"Bearer error="insufficient_scope", scope="pdp""#.to_owned());
    assert_eq!(ask(&stage, bearer(stage.token("demo", "notes:read")), &body).await, (403, scope.clone()));
    assert_eq!(ask(&stage, bearer(stage.token("demo", "notes:read")), "{").await, (403, scope), "not even about form");
    assert_eq!(ask(&stage, bearer(stage.token("pdp", "pdp")), &body).await, (200, None));
}

#[tokio::test]
async fn without_policies_nobody_may_ask() {
    let stage = Stage::new().await;
    let token = format!("Bearer {}", stage.token("pdp", "pdp"));
    assert_eq!(ask(&stage, Some(token), &question().to_string()).await.0, 403);
}

#[tokio::test]
async fn every_answer_of_a_batch_is_an_event_that_names_who_asked_and_about_whom() {
    let stage = Stage::over("cert").await;
    let body = json!({
        "subject": { "type": "user", "id": "bob" },
        "resource": { "type": "record", "id": "record-1" },
        "evaluations": [
            { "action": { "name": "read" } },
            { "action": { "name": "write" } },
            { "action": { "name": "read" }, "subject": { "type": "robot", "id": "r2" } },
        ],
    });
    let answer = stage.post_raw("/access/v1/evaluations", &body.to_string(), &[("x-request-id", "req-7")]).await;
    assert_eq!(answer.header("x-request-id"), Some("req-7"));
    stage.audit.flush().await.expect("is written");
    let mut reader = stage.store.store.read_log().await.expect("a reader");
    let filter = log::Filter::is(stockade::model::filter::EventField::Kind, "decision");
    let entries = log::page(&mut reader, &filter, None, 10).await.expect("a page");
    let mut events: Vec<(String, Value)> = entries
        .into_iter()
        .map(|stored| {
            let event = said(&stored.entry);
            (event["personal"]["principal"].as_str().unwrap_or_default().to_owned(), event)
        })
        .collect();
    events.sort_by(|a, b| a.0.cmp(&b.0));
    let who: Vec<&str> = events.iter().map(|(who, _)| who.as_str()).collect();
    assert_eq!(who, ["Cert::User::\"bob\"", "Cert::User::\"bob\"", "robot::\"r2\""]);
    for (_, rest) in &events {
        assert_eq!((&rest["kind"], &rest["request_id"]), (&json!("decision"), &json!("req-7")));
        assert_eq!(rest["data"]["asked_by"], "pdp");
        assert_eq!(rest["resource"], "Cert::Record::\"record-1\"");
        assert_eq!(rest["snapshot"], &**stage.engine.snapshot().expect("one").digest());
    }
    let mut outcomes: Vec<&str> = events.iter().filter_map(|(_, rest)| rest["outcome"].as_str()).collect();
    outcomes.sort_unstable();
    assert_eq!(outcomes, ["allowed", "denied", "denied"]);
}

#[tokio::test]
async fn a_client_that_asks_too_much_is_429_and_each_question_of_a_batch_counts() {
    // Four at once, one more every ten seconds.
    let limit = Limit::new(1, Duration::from_secs(10), 4).expect("a limit");
    let stage = Stage::limited("cert", limit).await;
    let one = question();
    let batch = |n: usize| json!({ "evaluations": vec![one.clone(); n] });
    let ask = async |path: &'static str, body: Value| {
        let answer = stage.post(path, &body).await;
        (answer.status.as_u16(), answer.header("retry-after").map(str::to_owned))
    };
    assert_eq!(ask("/access/v1/evaluations", batch(3)).await, (200, None));
    assert_eq!(ask(PATH, one.clone()).await, (200, None));
    assert_eq!(ask(PATH, one.clone()).await, (429, Some("10".to_owned())));
    assert_eq!(ask("/access/v1/evaluations", batch(1)).await.0, 429);
    stage.clock.advance(Duration::from_secs(20));
    assert_eq!(ask("/access/v1/evaluations", batch(3)).await, (429, Some("10".to_owned())), "two are there of three");
    assert_eq!(ask("/access/v1/evaluations", batch(2)).await.0, 200);
    stage.clock.advance(Duration::from_secs(40));
    assert_eq!(
        ask("/access/v1/evaluations", batch(9)).await.0,
        200,
        "more than a bucket holds takes all of a full one"
    );
    assert_eq!(ask(PATH, json!({})).await.0, 429, "what is no question counts as one");
}
