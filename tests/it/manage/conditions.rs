//! `ETag` and `If-Match`.

use http::{Method, StatusCode};
use serde_json::json;

use super::stage::stages;

const APP: &str = "/api/v1/clients/app";

#[tokio::test]
async fn a_replacement_says_which_state_it_replaces() {
    for stage in stages().await {
        let made = stage.create(json!({ "client_id": "app", "scopes": ["x"] })).await;
        let mut body = stage.get(APP).await.body;
        body["scopes"] = json!(["y"]);
        let put = async |tag: &str| stage.send_with(Method::PUT, APP, Some(body.clone()), &[("if-match", tag)]).await;
        assert_eq!(put("").await.problem(), (428, "precondition-required"));
        assert_eq!(put("\"1-0\"").await.problem(), (412, "precondition-failed"));
        assert_eq!(put(&format!("W/{}", made.etag())).await.problem(), (412, "precondition-failed"), "strong");
        let done = put(&format!("\"other\", {}", made.etag())).await;
        assert_eq!((done.status, &done.body["scopes"]), (StatusCode::OK, &json!(["y"])), "{}", stage.name);
        assert_eq!(put(&made.etag()).await.problem(), (412, "precondition-failed"), "it has changed");
        assert_eq!(put("*").await.status, StatusCode::OK);
        let nobody = stage.send_with(Method::PUT, "/api/v1/clients/nobody", Some(body), &[("if-match", "*")]).await;
        assert_eq!(nobody.problem(), (404, "not-found"), "it replaces, it does not make");
    }
}

#[tokio::test]
async fn a_patch_a_deletion_and_a_rotation_hold_a_condition_that_is_given() {
    for stage in stages().await {
        let made = stage.create(json!({ "client_id": "app" })).await;
        let now = stage.send(Method::PATCH, APP, Some(json!({ "scopes": ["x"] }))).await;
        assert_eq!(now.status, StatusCode::OK);
        let old = [("if-match", made.etag())];
        let old: Vec<(&str, &str)> = old.iter().map(|(name, tag)| (*name, tag.as_str())).collect();
        for (method, path, body) in [
            (Method::PATCH, APP.to_owned(), Some(json!({ "scopes": [] }))),
            (Method::POST, format!("{APP}/rotate-secret"), None),
            (Method::POST, format!("{APP}/disable"), None),
            (Method::DELETE, APP.to_owned(), None),
        ] {
            let answer = stage.send_with(method, &path, body, &old).await;
            assert_eq!(answer.problem(), (412, "precondition-failed"), "{path} on {}", stage.name);
        }
        let tag = now.etag();
        assert_eq!(stage.get(APP).await.etag(), tag, "nothing of it happened");
        let done = stage.send_with(Method::DELETE, APP, None, &[("if-match", &tag)]).await;
        assert_eq!(done.status, StatusCode::OK);
    }
}

#[tokio::test]
async fn a_client_made_again_is_in_another_state() {
    for stage in stages().await {
        let first = stage.create(json!({ "client_id": "app" })).await;
        stage.send(Method::DELETE, APP, None).await;
        stage.clock.advance(std::time::Duration::from_secs(1));
        let second = stage.create(json!({ "client_id": "app" })).await;
        assert_ne!(first.etag(), second.etag());
    }
}

#[tokio::test]
async fn what_is_known_is_not_sent_again() {
    for stage in stages().await {
        let made = stage.create(json!({ "client_id": "app" })).await;
        let known = stage.send_with(Method::GET, APP, None, &[("if-none-match", &made.etag())]).await;
        assert_eq!((known.status, known.etag()), (StatusCode::NOT_MODIFIED, made.etag()));
        let other = stage.send_with(Method::GET, APP, None, &[("if-none-match", "\"x\"")]).await;
        assert_eq!(other.status, StatusCode::OK);
    }
}

#[tokio::test]
async fn of_two_that_change_the_same_state_one_is_told() {
    for stage in stages().await {
        let made = stage.create(json!({ "client_id": "app" })).await;
        let tag = made.etag();
        let change = |scope: &'static str| {
            let (stage, tag) = (&stage, tag.as_str());
            async move {
                stage
                    .send_with(Method::PATCH, APP, Some(json!({ "scopes": [scope] })), &[("if-match", tag)])
                    .await
                    .status
            }
        };
        let mut statuses = [0; 2];
        let (a, b) = tokio::join!(change("a"), change("b"));
        (statuses[0], statuses[1]) = (a.as_u16(), b.as_u16());
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 412], "{}", stage.name);
    }
}
