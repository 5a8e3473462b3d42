//! The certification cases of AuthZEN 1.0 for metadata, `evaluation` and `evaluations`.

use axum::body::Body;
use http::Request;
use serde_json::Value;

use super::stage::{Answer, ISSUER, Stage, corpus};

/// Checks what a case expects of its answer.
fn check(case: &Value, answer: &Answer) {
    let (id, expect) = (&case["id"], &case["expect"]);
    assert_eq!(answer.status.as_u16(), expect["status"].as_u64().expect("a status") as u16, "{id}: {answer:?}");
    if let Some(decision) = expect["decision"].as_bool() {
        assert_eq!(answer.json()["decision"], decision, "{id}: {answer:?}");
    }
    if let Some(expected) = expect["evaluations"].as_array() {
        let got = answer.json()["evaluations"].as_array().expect("an array").clone();
        assert_eq!(got.len(), expected.len(), "{id}");
        for (got, expected) in got.iter().zip(expected) {
            assert!(got["decision"].is_boolean(), "{id}");
            assert!(expected.is_null() || got["decision"] == *expected, "{id}: {got} is not {expected}");
        }
    }
    for (name, value) in expect["headers"].as_object().into_iter().flatten() {
        assert_eq!(answer.header(name), value.as_str(), "{id}");
    }
    if answer.status == 400 {
        assert!(answer.json().as_str().is_some_and(|message| !message.is_empty()), "{id}: a message");
    }
}

#[tokio::test]
async fn every_certification_case_but_search_passes() {
    let Some(file) = corpus("cert-vectors.json") else { return };
    let stage = Stage::over("cert").await;
    let mut ran = 0;
    for case in file["cases"].as_array().expect("an array") {
        let path = case["path"].as_str().expect("a path");
        if path.contains("/search/") || path.starts_with("/.well-known/") {
            continue;
        }
        let body = case["raw_body"].as_str().map_or_else(|| case["body"].to_string(), str::to_owned);
        let headers: Vec<(&str, &str)> = case["headers"]
            .as_object()
            .into_iter()
            .flatten()
            .map(|(name, value)| (name.as_str(), value.as_str().expect("text")))
            .collect();
        for _ in 0..case["repeat"].as_u64().unwrap_or(1) {
            check(case, &stage.post_raw(path, &body, &headers).await);
        }
        ran += 1;
    }
    assert_eq!(ran, 37, "the corpus holds 37 such cases");
}

#[tokio::test]
async fn the_metadata_names_the_decision_point_and_its_endpoints() {
    let stage = Stage::over("cert").await;
    let request = Request::get("/.well-known/authzen-configuration").header("host", "elsewhere.example");
    let answer = stage.send(request.body(Body::empty()).expect("a request")).await;
    assert_eq!((answer.status.as_u16(), answer.header("content-type")), (200, Some("application/json")));
    assert!(answer.header("cache-control").is_some_and(|value| value.contains("max-age")));
    let metadata = answer.json();
    assert_eq!(metadata["policy_decision_point"], ISSUER);
    for (name, path) in [
        ("access_evaluation_endpoint", "/access/v1/evaluation"),
        ("access_evaluations_endpoint", "/access/v1/evaluations"),
    ] {
        assert_eq!(metadata[name], format!("{ISSUER}{path}"));
        let question = stage.post(path, &Value::Null).await;
        assert_eq!(question.status, 400, "{path} is there");
    }
    assert_eq!(metadata.as_object().map(serde_json::Map::len), Some(3), "what does not exist is not named");
}
