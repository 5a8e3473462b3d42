//! `/api/v1/tokens`.

use http::StatusCode;
use serde_json::json;
use stockade::model::event::kind;

use super::stage::{ISSUER, Stage, stages};

/// A client that may have tokens.
async fn app(stage: &Stage) {
    let client = json!({ "client_id": "app", "grants": ["client_credentials"], "scopes": ["notes:read"] });
    stage.create(client).await;
}

#[tokio::test]
async fn a_token_is_issued_looked_at_and_revoked_each_time_recorded() {
    for stage in stages().await {
        app(&stage).await;
        let issued = stage.post("/api/v1/tokens", json!({ "client_id": "app" })).await;
        assert_eq!(issued.status, StatusCode::OK, "{issued:?}");
        let (token, jti) = (issued.body["access_token"].as_str().unwrap(), issued.body["jti"].as_str().unwrap());
        let said = stage.post("/api/v1/tokens/introspect", json!({ "token": token })).await.body;
        assert_eq!(
            (&said["active"], &said["client_id"], &said["aud"]),
            (&true.into(), &"app".into(), &json!([ISSUER]))
        );
        let revoked = stage.post("/api/v1/tokens/revoke", json!({ "token": token })).await;
        assert_eq!(revoked.body, json!({ "revoked": true, "jti": jti }), "{}", stage.name);
        let said = stage.post("/api/v1/tokens/introspect", json!({ "token": token })).await.body;
        assert_eq!(said, json!({ "active": false, "reason": "revoked" }));
        let again = stage.post("/api/v1/tokens/revoke", json!({ "token": token })).await;
        assert_eq!(again.problem(), (409, "conflict"));
        for (kind, action) in [
            (kind::TOKEN_ISSUED, "token:mint"),
            (kind::TOKEN_INTROSPECTED, "token:inspect"),
            (kind::TOKEN_REVOKED, "token:revoke"),
        ] {
            let events = stage.events(kind).await;
            assert_eq!((&events[0]["action"], &events[0]["data"]["jti"]), (&action.into(), &jti.into()), "{kind}");
            assert!(!json!(events).to_string().contains(token), "the token is in the log");
        }
    }
}

#[tokio::test]
async fn a_token_that_is_not_at_hand_is_revoked_by_its_id() {
    for stage in stages().await {
        app(&stage).await;
        let issued = stage.post("/api/v1/tokens", json!({ "client_id": "app" })).await.body;
        let revoked = stage.post("/api/v1/tokens/revoke", json!({ "jti": issued["jti"] })).await;
        assert_eq!(revoked.status, StatusCode::OK, "{revoked:?}");
        let said = stage.post("/api/v1/tokens/introspect", json!({ "token": issued["access_token"] })).await.body;
        assert_eq!(said["reason"], "revoked", "{}", stage.name);
        for body in [json!({ "jti": "at_1" }), json!({}), json!({ "jti": issued["jti"], "token": "x" })] {
            assert_eq!(stage.post("/api/v1/tokens/revoke", body.clone()).await.problem().0, 422, "{body}");
        }
    }
}

#[tokio::test]
async fn an_issuance_is_explained_by_the_token_its_id_or_its_request() {
    for stage in stages().await {
        app(&stage).await;
        let issued = stage.post("/api/v1/tokens", json!({ "client_id": "app", "scopes": ["notes:read"] })).await;
        let request_id = issued.header("x-request-id").unwrap();
        for asked in [
            json!({ "jti": issued.body["jti"] }),
            json!({ "token": issued.body["access_token"] }),
            json!({ "request_id": request_id }),
        ] {
            let answer = stage.post("/api/v1/tokens/explain", asked.clone()).await;
            assert_eq!(answer.status, StatusCode::OK, "{asked} {answer:?}");
            let items = answer.body["items"].as_array().unwrap();
            assert_eq!(items.len(), 1, "{items:?}");
            let told = &items[0];
            for (name, value) in [
                ("verdict", json!("issued")),
                ("client_id", json!("app")),
                ("jti", issued.body["jti"].clone()),
                ("grant", json!("client_credentials")),
                ("resource", json!(ISSUER)),
                ("requested_scope", json!("notes:read")),
                ("scope", json!("notes:read")),
                ("snapshot_in_force", json!(true)),
            ] {
                assert_eq!(told[name], value, "{name} of {told}");
            }
            let policies: Vec<_> =
                told["policies"].as_array().unwrap().iter().map(|p| p["id"].as_str().unwrap()).collect();
            assert_eq!(policies, ["tokens.issue.client", "tokens.scope.registered"]);
            assert_eq!(told["policies"][1]["description"], "it is given the scopes it registered");
            assert!(told["snapshot"].as_str().is_some_and(|digest| digest.len() == 64), "{told}");
        }
    }
}

#[tokio::test]
async fn an_issuance_that_the_caller_may_not_see_is_not_explained() {
    for stage in stages().await {
        app(&stage).await;
        let issued = stage.post("/api/v1/tokens", json!({ "client_id": "app", "scopes": ["notes:read"] })).await;
        let guard = "@id(\"no\") forbid (principal, action == Stockade::Action::\"audit:read\", resource) \
                     when { resource.kind == \"token.issued\" };";
        stage.engine.install(crate::audit::rows::policies("", guard));
        for asked in [json!({ "jti": issued.body["jti"] }), json!({ "request_id": issued.header("x-request-id") })] {
            assert_eq!(stage.post("/api/v1/tokens/explain", asked.clone()).await.problem().0, 404, "{asked}");
        }
    }
}

#[tokio::test]
async fn a_refusal_is_explained_by_its_request() {
    for stage in stages().await {
        app(&stage).await;
        stage.post("/api/v1/clients/app/disable", json!({})).await;
        let refused = stage.post("/api/v1/tokens", json!({ "client_id": "app" })).await;
        assert_eq!(refused.problem(), (403, "forbidden"));
        let asked = json!({ "request_id": refused.header("x-request-id").unwrap() });
        let told = &stage.post("/api/v1/tokens/explain", asked).await.body["items"][0];
        assert_eq!((&told["verdict"], &told["reason"]), (&"refused".into(), &"forbidden".into()), "{told}");
        assert_eq!(
            told["policies"],
            json!([{ "id": "guard.disabled.client", "description": "a disabled client gets nothing" }])
        );
    }
}

#[tokio::test]
async fn what_was_never_issued_here_is_not_explained() {
    for stage in stages().await {
        let foreign = "at_01J9ZZZZZZZZZZZZZZZZZZZZZZ";
        assert_eq!(stage.post("/api/v1/tokens/explain", json!({ "jti": foreign })).await.problem(), (404, "not-found"));
        let never = json!({ "request_id": "req-never" });
        assert_eq!(stage.post("/api/v1/tokens/explain", never).await.problem(), (404, "not-found"));
        for body in [json!({}), json!({ "jti": 7 }), json!({ "token": "stk_at_x" }), json!({ "jti": "x" })] {
            assert_eq!(stage.post("/api/v1/tokens/explain", body.clone()).await.problem().0, 422, "{body}");
        }
        let auditor = format!("Bearer {}", stage.token("other", "audit:read").await);
        let headers = [("authorization", auditor.as_str())];
        let asked = Some(json!({ "jti": foreign }));
        let answer = stage.send_with(http::Method::POST, "/api/v1/tokens/explain", asked, &headers).await;
        assert_eq!(answer.problem(), (404, "not-found"), "who may search the log may ask");
    }
}
