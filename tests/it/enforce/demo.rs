//! The demo API behind the layer.

use axum::body::Body;
use serde_json::{Value, json};

use super::stage::{API, Answer, ISSUER, Stage, request};

async fn post(stage: &Stage, body: &str, kind: &str) -> Answer {
    let bearer = format!("Bearer {}", stage.token("demo", "notes:read notes:write"));
    let request = request("POST", "/demo/notes", &[&bearer], "192.0.2.7").header("content-type", kind);
    stage.send(request.body(Body::from(body.to_owned())).expect("a request")).await
}

async fn list(stage: &Stage) -> Value {
    let bearer = format!("Bearer {}", stage.token("reader", "notes:read"));
    let answer = stage.call("GET", "/demo/notes", &[&bearer]).await;
    assert_eq!(answer.status, 200);
    answer.json()
}

#[tokio::test]
async fn a_note_that_was_added_is_the_newest_and_names_its_author() {
    let stage = Stage::new();
    assert_eq!(list(&stage).await, json!({ "items": [], "next_cursor": null }));
    for text in ["first", "second"] {
        let answer = post(&stage, &json!({ "text": text }).to_string(), "application/json; charset=utf-8").await;
        assert_eq!(answer.status, 201);
        assert_eq!((&answer.json()["text"], &answer.json()["author"]), (&json!(text), &json!("demo")));
    }
    let items = list(&stage).await["items"].clone();
    let texts: Vec<&str> = items.as_array().expect("a list").iter().filter_map(|note| note["text"].as_str()).collect();
    assert_eq!(texts, ["second", "first"]);
}

#[tokio::test]
async fn a_note_that_is_none_is_refused_and_nothing_is_kept() {
    let stage = Stage::new();
    let long = json!({ "text": "a".repeat(1001) }).to_string();
    let huge = json!({ "text": "a".repeat(20_000) }).to_string();
    for (body, kind, status) in [
        ("", "application/json", 400),
        ("{", "application/json", 400),
        ("[]", "application/json", 400),
        (r#"{"text":1}"#, "application/json", 400),
        (r#"{"text":" "}"#, "application/json", 400),
        (r#"{"text":"a","text":"b"}"#, "application/json", 400),
        (r#"{"text":"a","more":1}"#, "application/json", 400),
        (&long, "application/json", 400),
        (&huge, "application/json", 413),
        (r#"{"text":"a"}"#, "text/plain", 415),
    ] {
        let answer = post(&stage, body, kind).await;
        assert_eq!(answer.status.as_u16(), status, "{}", body.get(..40).unwrap_or(body));
        assert_eq!(answer.header("content-type"), Some("application/problem+json"));
    }
    assert_eq!(list(&stage).await["items"], json!([]));
}

#[tokio::test]
async fn pages_of_notes_follow_each_other_and_a_bad_limit_is_told() {
    let stage = Stage::new();
    for text in ["one", "two", "three"] {
        assert_eq!(post(&stage, &json!({ "text": text }).to_string(), "application/json").await.status, 201);
    }
    let bearer = format!("Bearer {}", stage.token("reader", "notes:read"));
    let (mut texts, mut path) = (Vec::new(), "/demo/notes?limit=2".to_owned());
    loop {
        let page = stage.call("GET", &path, &[&bearer]).await.json();
        texts.extend(page["items"].as_array().expect("a list").iter().map(|note| note["text"].clone()));
        let Some(cursor) = page["next_cursor"].as_str() else { break };
        path = format!("/demo/notes?limit=2&cursor={cursor}");
    }
    assert_eq!(texts, ["three", "two", "one"]);
    for bad in ["limit=0", "limit=501", "limit=x", "cursor=x"] {
        assert_eq!(stage.call("GET", &format!("/demo/notes?{bad}"), &[&bearer]).await.status, 400, "{bad}");
    }
}

#[tokio::test]
async fn a_challenge_names_the_document_that_describes_the_api() {
    use http_body_util::BodyExt as _;
    use tower::ServiceExt as _;
    let stage = Stage::new();
    let router = stockade::enforce::demo::described(&stage.fence);
    let get = |path: &str| http::Request::get(path).body(Body::empty()).expect("a request");
    let refused = router.clone().oneshot(get("/demo/notes")).await.expect("an answer");
    let url = format!("{ISSUER}/.well-known/oauth-protected-resource/demo");
    assert_eq!(refused.headers()["www-authenticate"], format!(r#"Bearer resource_metadata="{url}""#));
    let path = url.strip_prefix(ISSUER).expect("ours").to_owned();
    let answer = router.oneshot(get(&path)).await.expect("an answer");
    let body = answer.into_body().collect().await.expect("a body").to_bytes();
    let said: Value = serde_json::from_slice(&body).expect("JSON");
    assert_eq!((&said["resource"], &said["authorization_servers"]), (&json!(API), &json!([ISSUER])));
    assert_eq!(said["scopes_supported"], json!(["notes:read", "notes:write"]));
}
