//! `Idempotency-Key`.

use std::time::Duration;

use http::{Method, StatusCode};
use serde_json::json;
use stockade::model::event::kind;
use stockade::store::idempotency;

use super::stage::stages;

const PATH: &str = "/api/v1/clients";

#[tokio::test]
async fn the_same_call_again_is_answered_the_same_and_done_once() {
    for stage in stages().await {
        let call = async |key: &str| {
            let body = Some(json!({ "scopes": ["x"] }));
            stage.send_with(Method::POST, PATH, body, &[("idempotency-key", key)]).await
        };
        let first = call("8e03978e-40d5-43e8-bc93-6894a57f9324").await;
        assert_eq!((first.status, first.header("idempotent-replayed")), (StatusCode::CREATED, None));
        // With the quotes of a structured field it is the same key.
        let again = call("\"8e03978e-40d5-43e8-bc93-6894a57f9324\"").await;
        assert_eq!((again.status, &again.body), (first.status, &first.body), "its secret too");
        assert_eq!((again.header("location"), again.etag()), (first.header("location"), first.etag()));
        assert_eq!(again.header("idempotent-replayed"), Some("true"));
        assert_ne!(call("another").await.body["client_id"], first.body["client_id"]);
        assert_eq!(stage.changes(kind::CLIENT_CHANGED).await, ["created", "created"], "{}", stage.name);
    }
}

#[tokio::test]
async fn another_call_under_a_used_key_is_refused() {
    for stage in stages().await {
        let key = [("idempotency-key", "k")];
        stage.send_with(Method::POST, PATH, Some(json!({ "client_id": "a" })), &key).await;
        for (path, body) in
            [(PATH, json!({ "client_id": "b" })), ("/api/v1/clients/a/rotate-secret", json!({ "client_id": "a" }))]
        {
            let other = stage.send_with(Method::POST, path, Some(body.clone()), &key).await;
            let of_options = path != PATH;
            assert_eq!(other.status, StatusCode::UNPROCESSABLE_ENTITY, "{path}");
            assert_eq!(other.problem().1 == "idempotency-key-reused", !of_options, "{other:?}");
        }
        let rotate = stage.send_with(Method::POST, "/api/v1/clients/a/rotate-secret", None, &key).await;
        assert_eq!(rotate.problem(), (422, "idempotency-key-reused"));
        assert_eq!(stage.get("/api/v1/clients/b").await.problem(), (404, "not-found"));
    }
}

#[tokio::test]
async fn a_key_is_its_caller_s_own() {
    for stage in stages().await {
        let token = stage.token("other", "admin").await;
        let authorization = format!("Bearer {token}");
        let mine = stage.send_with(Method::POST, PATH, Some(json!({})), &[("idempotency-key", "k")]).await;
        let theirs = [("idempotency-key", "k"), ("authorization", authorization.as_str())];
        let theirs = stage.send_with(Method::POST, PATH, Some(json!({})), &theirs).await;
        assert_eq!(theirs.status, StatusCode::CREATED);
        assert_ne!(mine.body["client_id"], theirs.body["client_id"]);
    }
}

#[tokio::test]
async fn a_call_that_failed_may_be_made_again_under_its_key() {
    for stage in stages().await {
        let key = [("idempotency-key", "k")];
        let body = || Some(json!({ "client_id": "app" }));
        stage.create(json!({ "client_id": "app" })).await;
        assert_eq!(stage.send_with(Method::POST, PATH, body(), &key).await.problem(), (409, "conflict"));
        stage.send(Method::DELETE, "/api/v1/clients/app", None).await;
        assert_eq!(stage.send_with(Method::POST, PATH, body(), &key).await.status, StatusCode::CREATED);
    }
}

#[tokio::test]
async fn of_twenty_at_once_one_makes_the_client_and_all_are_told_of_it() {
    for stage in stages().await {
        let call =
            || stage.send_with(Method::POST, PATH, Some(json!({ "scopes": ["x"] })), &[("idempotency-key", "k")]);
        let answers = futures_util::future::join_all((0..20).map(|_| call())).await;
        let first = &answers[0];
        assert_eq!(first.status, StatusCode::CREATED, "{first:?}");
        assert!(answers.iter().all(|answer| answer.body == first.body), "{}", stage.name);
        let replayed = answers.iter().filter(|answer| answer.header("idempotent-replayed").is_some()).count();
        assert_eq!(replayed, 19);
        assert_eq!(stage.changes(kind::CLIENT_CHANGED).await, ["created"]);
    }
}

#[tokio::test]
async fn an_answer_lies_sealed_for_a_day() {
    for stage in stages().await {
        let key = [("idempotency-key", "k")];
        let made = stage.send_with(Method::POST, PATH, Some(json!({})), &key).await;
        let secret = made.body["client_secret"].as_str().unwrap();
        let mut tx = stage.store().begin().await.unwrap();
        use stockade::base::Clock as _;
        let now = stage.clock.now();
        let principal = "Client::\"admin\"";
        let digest = [0; 32];
        assert_eq!(
            idempotency::claim(&mut tx, principal, "k", &digest, now).await.unwrap(),
            idempotency::Claim::Other,
            "it is there"
        );
        assert_eq!(idempotency::sweep(&mut tx, now.plus(Duration::from_secs(86_399)), 10).await.unwrap(), 0);
        assert_eq!(idempotency::sweep(&mut tx, now.plus(Duration::from_secs(86_401)), 10).await.unwrap(), 1);
        drop(tx);
        if let Some(file) = stage.store().path() {
            for name in [file.to_owned(), file.with_extension("db-wal")] {
                let bytes = std::fs::read(&name).unwrap_or_default();
                assert!(!bytes.windows(secret.len()).any(|window| window == secret.as_bytes()), "{name:?}");
            }
        }
    }
}

#[tokio::test]
async fn a_key_that_is_none_is_refused() {
    for stage in stages().await {
        let long = "k".repeat(256);
        for key in ["\"\"", "two words", long.as_str()] {
            let answer = stage.send_with(Method::POST, PATH, Some(json!({})), &[("idempotency-key", key)]).await;
            assert_eq!(answer.problem(), (400, "bad-request"), "{key}");
        }
        let twice = [("idempotency-key", "a"), ("idempotency-key", "b")];
        assert_eq!(stage.send_with(Method::POST, PATH, Some(json!({})), &twice).await.problem(), (400, "bad-request"));
    }
}
