//! Every bad query is a 400 that names its parameter, and a cursor is good for one caller and one filter.

use http::StatusCode;
use serde_json::{Value, json};

use super::stage::{ISSUER, Setup, stage};

fn parameters(body: &Value) -> Vec<&str> {
    body["errors"].as_array().unwrap().iter().map(|e| e["parameter"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn a_bad_query_is_a_400_that_names_every_mistake() {
    let stage = stage(Setup::default()).await;
    let token = stage.auditor().await;
    for (query, wrong) in [
        ("limit=0", &["limit"][..]),
        ("limit=501", &["limit"]),
        ("limit=ten", &["limit"]),
        ("limit=99999999999999999999", &["limit"]),
        ("since=now", &["since"]),
        ("until=2026-13-01T00:00:00Z", &["until"]),
        ("since=2026-11-24T11:00:00Z&until=2026-11-24T10:00:00Z", &["until"]),
        ("outcome=ok", &["outcome"]),
        ("decision=ok", &["decision"]),
        ("kind=everything", &["kind"]),
        ("principal=", &["principal"]),
        ("principal=User::", &["principal"]),
        ("action=a&action=b", &["action"]),
        ("actor=x", &["actor"]),
        ("%ff=x", &["%ff"]),
        ("action=%zz", &["action"]),
        ("resource=Route%3", &["resource"]),
        ("request_id=%c3%28", &["request_id"]),
        ("cursor=%20", &["cursor"]),
        ("request_id=%0a", &["request_id"]),
        ("limit=0&outcome=x&nonsense=1", &["nonsense", "limit", "outcome"]),
        ("filter=knd%3Ddecision", &["filter"]),
        ("filter=kind%3Ddecision+AND", &["filter"]),
        ("filter=%28%28%28", &["filter"]),
    ] {
        let (status, body) = stage.get(&format!("/api/v1/audit/events?{query}"), &token).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{query}: {body}");
        assert_eq!(body["type"], "urn:stockade:problem:invalid-parameter");
        assert_eq!(parameters(&body), wrong, "{query}");
        assert!(body["detail"].as_str().is_some_and(|d| !d.is_empty()));
    }
    stage.end().await;
}

#[tokio::test]
async fn a_bad_query_is_not_looked_at_for_those_who_may_not_ask() {
    let stage = stage(Setup::default()).await;
    let token = stage.token("reader", ISSUER, "notes:read").await;
    assert_eq!(stage.get("/api/v1/audit/events?limit=0", &token).await.0, StatusCode::FORBIDDEN);
    assert_eq!(stage.get("/api/v1/audit/events?limit=0", "x").await.0, StatusCode::UNAUTHORIZED);
    stage.end().await;
}

#[tokio::test]
async fn a_cursor_serves_its_caller_and_its_filter_alone() {
    let stage = stage(Setup::default()).await;
    let token = stage.auditor().await;
    let other = stage.token("other", ISSUER, "audit:read").await;
    stage.record(30).await;
    let (_, first) = stage.get("/api/v1/audit/events?kind=decision&limit=5", &token).await;
    let cursor = first["next_cursor"].as_str().unwrap().to_owned();
    let changed: String = cursor.chars().rev().collect();
    for (query, token, good) in [
        (format!("kind=decision&limit=5&cursor={cursor}"), &token, true),
        (format!("cursor={cursor}&kind=decision&limit=7"), &token, true),
        (format!("kind=decision&limit=5&cursor={cursor}"), &other, false),
        (format!("limit=5&cursor={cursor}"), &token, false),
        (format!("kind=decision&outcome=denied&cursor={cursor}"), &token, false),
        (format!("kind=token.issued&cursor={cursor}"), &token, false),
        (format!("kind=decision&filter=-outcome%3Ddenied&cursor={cursor}"), &token, false),
        (format!("kind=decision&cursor={changed}"), &token, false),
        (format!("kind=decision&cursor={cursor}A"), &token, false),
        ("kind=decision&cursor=0".to_owned(), &token, false),
    ] {
        let (status, body) = stage.get(&format!("/api/v1/audit/events?{query}"), token).await;
        if good {
            assert_eq!(status, StatusCode::OK, "{query}: {body}");
        } else {
            assert_eq!(status, StatusCode::BAD_REQUEST, "{query}: {body}");
            assert_eq!(parameters(&body), ["cursor"], "{query}");
            assert!(body["detail"].as_str().unwrap().starts_with("`cursor`: "), "{body}");
        }
    }
    stage.end().await;
}

#[tokio::test]
async fn a_field_that_does_not_exist_is_a_400_that_names_the_nearest_and_the_place() {
    let stage = stage(Setup::default()).await;
    let token = stage.auditor().await;
    for (path, told) in [
        (
            "/api/v1/audit/events?filter=outcome%3Ddenied+AND+princpal%3Dx",
            "at character 20: there is no field `princpal`: did you mean `principal`?",
        ),
        ("/api/v1/audit/events?filter=outcome%3Ddenid", "did you mean `denied`?"),
    ] {
        let (status, body) = stage.get(path, &token).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{path}: {body}");
        assert!(body["errors"][0]["detail"].as_str().unwrap().contains(told), "{body}");
    }
    let long = "%28".repeat(8000);
    let (status, _) = stage.get(&format!("/api/v1/audit/events?filter={long}"), &token).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    stage.end().await;
}

#[tokio::test]
async fn only_get_is_taken_and_only_these_paths_exist() {
    let stage = stage(Setup::default()).await;
    let token = stage.auditor().await;
    let (status, body) = stage.get("/api/v1/audit/event", &token).await;
    assert_eq!((status, &body["type"]), (StatusCode::NOT_FOUND, &json!("urn:stockade:problem:not-found")));
    let request = http::Request::delete("/api/v1/audit/events").body(axum::body::Body::empty()).unwrap();
    let response = tower::ServiceExt::oneshot(stage.router.clone(), request).await.unwrap();
    assert_eq!(response.status(), StatusCode::METHOD_NOT_ALLOWED);
    stage.end().await;
}
