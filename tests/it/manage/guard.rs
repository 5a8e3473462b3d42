//! Who may not.

use http::Method;
use serde_json::json;
use stockade::model::event::kind;

use super::stage::stages;

#[tokio::test]
async fn e13_nobody_comes_in_without_a_token_or_without_the_scope_and_no_body_is_read_for_them() {
    for stage in stages().await {
        let token = stage.token("other", "notes:read").await;
        let authorization = format!("Bearer {token}");
        for (method, path) in [
            (Method::GET, "/api/v1/clients"),
            (Method::POST, "/api/v1/clients"),
            (Method::GET, "/api/v1/clients/admin"),
            (Method::PUT, "/api/v1/clients/admin"),
            (Method::PATCH, "/api/v1/clients/admin"),
            (Method::DELETE, "/api/v1/clients/admin"),
            (Method::POST, "/api/v1/clients/admin/rotate-secret"),
            (Method::POST, "/api/v1/clients/admin/disable"),
            (Method::POST, "/api/v1/clients/admin/enable"),
            (Method::GET, "/api/v1/users"),
            (Method::POST, "/api/v1/users"),
            (Method::GET, "/api/v1/users/usr_1"),
            (Method::PATCH, "/api/v1/users/usr_1"),
            (Method::DELETE, "/api/v1/users/usr_1"),
            (Method::PUT, "/api/v1/users/usr_1/roles"),
            (Method::POST, "/api/v1/users/usr_1/password"),
            (Method::POST, "/api/v1/users/usr_1/disable"),
            (Method::POST, "/api/v1/users/usr_1/enable"),
            (Method::GET, "/api/v1/users/usr_1/sessions"),
            (Method::DELETE, "/api/v1/users/usr_1/sessions"),
            (Method::DELETE, "/api/v1/users/usr_1/sessions/ses_1"),
            (Method::GET, "/api/v1/keys"),
            (Method::POST, "/api/v1/keys/rotate"),
            (Method::POST, "/api/v1/keys/x/retire"),
            (Method::POST, "/api/v1/tokens"),
            (Method::POST, "/api/v1/tokens/introspect"),
            (Method::POST, "/api/v1/tokens/revoke"),
            (Method::POST, "/api/v1/tokens/explain"),
        ] {
            let body = (method != Method::GET).then(|| json!("not even an object"));
            let none = stage.send_with(method.clone(), path, body.clone(), &[("authorization", "")]).await;
            assert_eq!(none.problem(), (401, "unauthenticated"), "{method} {path}");
            assert_eq!(none.header("www-authenticate"), Some("Bearer"));
            let few = stage.send_with(method.clone(), path, body, &[("authorization", &authorization)]).await;
            assert_eq!(few.problem(), (403, "insufficient-scope"), "{method} {path}");
        }
        assert!(
            stage.changes(kind::USER_CHANGED).await.is_empty() && stage.changes(kind::KEY_CHANGED).await.is_empty()
        );
        let denied = stage.events(kind::DECISION).await;
        assert_eq!(denied.len(), 28, "each refusal of a known caller is recorded");
        assert!(denied.iter().all(|event| event["outcome"] == "denied" && event["reason"] == "no_permit"));
    }
}

#[tokio::test]
async fn reading_is_recorded_too() {
    for stage in stages().await {
        stage.get("/api/v1/clients").await;
        stage.get("/api/v1/clients/admin").await;
        stage.get("/api/v1/keys").await;
        let read = stage.events(kind::DECISION).await;
        let actions: Vec<_> = read.iter().map(|event| event["action"].as_str().unwrap()).collect();
        assert_eq!(actions, ["client:list", "client:show", "key:list"]);
        assert_eq!(read[1]["resource"], "Client::\"admin\"");
    }
}
