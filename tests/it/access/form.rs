//! Form: what is 400, what is ignored, what is `false` at 200.

use serde_json::{Value, json};

use super::stage::Stage;

const PATH: &str = "/access/v1/evaluation";

fn question() -> Value {
    json!({
        "subject": { "type": "user", "id": "alice" },
        "action": { "name": "read" },
        "resource": { "type": "record", "id": "record-1" },
    })
}

fn with(pointer: &str, value: Value) -> Value {
    let mut question = question();
    let (parent, name) = pointer.rsplit_once('/').expect("a path");
    let parent = question.pointer_mut(parent).expect("is there");
    parent[name] = value;
    question
}

#[tokio::test]
async fn everything_of_the_wrong_type_is_400_with_a_message_that_names_it() {
    let stage = Stage::over("cert").await;
    let wrong = [
        ("/subject", json!([])),
        ("/subject", json!(["user", "alice"])),
        ("/subject", Value::Null),
        ("/subject/type", json!(1)),
        ("/subject/id", json!(null)),
        ("/subject/id", json!("")),
        ("/subject/id", json!("a".repeat(1025))),
        ("/subject/properties", json!([])),
        ("/action", json!("read")),
        ("/action/name", json!({})),
        ("/action/properties", json!("x")),
        ("/resource/type", json!([])),
        ("/resource/properties", json!(3)),
        ("/context", json!("x")),
        ("/context", Value::Null),
    ];
    for (pointer, value) in wrong {
        let body = with(pointer, value);
        let answer = stage.post(PATH, &body).await;
        assert_eq!((answer.status.as_u16(), answer.header("content-type")), (400, Some("application/json")), "{body}");
        let message = answer.json().as_str().expect("a message").to_owned();
        let named = pointer.trim_start_matches('/').replace('/', ".");
        assert!(message.contains(&format!("`{named}`")), "{message} does not name {named}");
    }
}

#[tokio::test]
async fn what_is_no_json_object_is_400() {
    let stage = Stage::over("cert").await;
    let deep = format!("{{\"a\":{}1{}}}", "[".repeat(500), "]".repeat(500));
    for body in ["", "{", "[]", "null", "\"x\"", "1", "{}{}", "{\"subject\":{},\"subject\":{}}", &deep] {
        assert_eq!(stage.post_raw(PATH, body, &[]).await.status, 400, "{}", body.get(..40).unwrap_or(body));
    }
    let large = with("/context", json!({ "x": "a".repeat(300_000) }));
    assert_eq!(stage.post(PATH, &large).await.status, 413);
}

#[tokio::test]
async fn only_json_is_taken_whatever_its_parameters() {
    let stage = Stage::over("cert").await;
    let body = question().to_string();
    for (kind, status) in [
        ("application/json", 200),
        ("application/json; charset=utf-8", 200),
        ("Application/JSON;charset=UTF-8", 200),
        ("text/plain", 400),
        ("application/x-www-form-urlencoded", 400),
        ("application/jsonp", 400),
        ("", 400),
    ] {
        let answer = stage.post_raw(PATH, &body, &[("content-type", kind)]).await;
        assert_eq!(answer.status.as_u16(), status, "{kind}");
    }
}

#[tokio::test]
async fn other_methods_are_405_and_other_paths_404() {
    let stage = Stage::over("cert").await;
    for (method, path, status) in [
        ("GET", PATH, 405),
        ("PUT", PATH, 405),
        ("DELETE", "/access/v1/evaluations", 405),
        ("POST", "/access/v1/search/subject", 404),
    ] {
        let request = http::Request::builder().method(method).uri(path).body(axum::body::Body::empty());
        assert_eq!(stage.send(request.expect("a request")).await.status.as_u16(), status, "{method} {path}");
    }
}

#[tokio::test]
async fn what_nobody_defined_is_ignored_wherever_it_stands() {
    let stage = Stage::over("cert").await;
    let mut body = question();
    for pointer in ["", "/subject", "/action", "/resource"] {
        body.pointer_mut(pointer).expect("is there")["future"] = json!({ "nested": [1, null] });
    }
    body["context"] = json!({ "time": "2025-06-27T18:03-07:00", "future": { "a": 1.5 } });
    body["subject"]["properties"] = json!({ "future": [1, "two"], "role": null });
    body["action"]["properties"] = json!({ "method": "GET" });
    assert!(stage.decide(&body).await);
    let mut delete = with("/action", json!({ "name": "delete", "properties": { "soft": true, "future": {} } }));
    assert!(stage.decide(&delete).await);
    delete["action"]["properties"]["soft"] = json!(null);
    assert!(!stage.decide(&delete).await, "null is absent, and then it does not fit");
}

#[tokio::test]
async fn what_policies_cannot_know_is_false_at_200_with_a_reason() {
    let stage = Stage::over("cert").await;
    for (pointer, value, reason) in [
        ("/subject/id", json!("nobody"), "unknown_principal"),
        ("/subject/type", json!("robot"), "unknown_principal"),
        ("/subject/type", json!("Stockade::Client"), "unknown_principal"),
        ("/resource/id", json!("record-3"), "unknown_resource"),
        ("/resource/type", json!("table"), "unknown_resource"),
        ("/action/name", json!("explode"), "unknown_action"),
        ("/action/name", json!("audit:search"), "invalid_request"),
        ("/action/name", json!("delete"), "no_permit"),
        ("/subject/properties", json!({ "role": 7 }), "invalid_request"),
        ("/resource/properties", json!({ "status": ["active"] }), "invalid_request"),
        ("/context", json!({ "ip": "not an address" }), "invalid_request"),
    ] {
        let body = with(pointer, value);
        let answer = stage.post(PATH, &body).await;
        assert_eq!(answer.status, 200, "{body}");
        let answer = answer.json();
        assert_eq!(answer["decision"], false, "{body}");
        assert_eq!(answer["context"]["stockade"]["reason"], reason, "{body}");
        assert!(answer["context"]["reason_admin"]["en"].is_string(), "{body}");
    }
}
