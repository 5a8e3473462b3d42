//! B8, B15 and what a token is: claims, formats, scopes, resources, the decision, the record.

use std::time::Duration;

use http::header;
use serde_json::{Value, json};
use stockade::base::Clock as _;
use stockade::config::Issuance;
use stockade::crypto::b64url;
use stockade::crypto::verify::Verifier;
use stockade::model::Algorithm;

use super::fence::{API, Fence, ISSUER, OPAQUE, OTHER, START, wish};

fn part(token: &str, index: usize) -> Value {
    serde_json::from_slice(&b64url::decode_strict(token.split('.').nth(index).unwrap()).unwrap()).unwrap()
}

#[tokio::test]
async fn b8_an_answer_has_the_members_and_headers_that_clients_insist_on() {
    let fence = Fence::new().await;
    let answer = fence.ask("app", &[("scope", "notes:read")]).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header(header::CACHE_CONTROL), Some("no-store"));
    assert_eq!(answer.header(header::PRAGMA), Some("no-cache"));
    assert_eq!(answer.header(header::CONTENT_TYPE), Some("application/json"));
    let body = answer.json();
    assert_eq!(body["token_type"], "Bearer");
    assert_eq!(body["expires_in"], json!(600));
    assert_eq!(body["scope"], "notes:read");
    let all = fence.ask("app", &[]).await.json();
    assert_eq!(all["scope"], "notes:read notes:write", "what was not asked for is told");
}

#[tokio::test]
async fn a_jwt_has_the_claims_of_rfc_9068_and_verifies_against_the_published_keys() {
    let fence = Fence::new().await;
    let token = fence.token("app", &[("scope", "notes:write"), ("resource", OTHER)]).await;
    let (header, claims) = (part(&token, 0), part(&token, 1));
    assert_eq!((header["typ"].as_str(), header["alg"].as_str()), (Some("at+jwt"), Some("ES256")));
    let jti = claims["jti"].as_str().unwrap().to_owned();
    assert_eq!(
        claims,
        json!({
            "iss": ISSUER, "sub": "app", "client_id": "app", "aud": OTHER, "scope": "notes:write", "jti": jti,
            "iat": START.as_secs(), "exp": START.as_secs() + 600,
        })
    );
    let jwks = fence.get("/.well-known/jwks.json").await.json();
    let said = Verifier::from_jwks(ISSUER, &jwks).unwrap().verify(&token, fence.clock.now()).unwrap();
    assert_eq!(said.jti, jti);
}

#[tokio::test]
async fn algorithm_and_lifetime_are_the_client_s_then_the_resource_s_then_the_default() {
    let mut wish = wish();
    wish.settings.resources.push(stockade::config::ResourceServer {
        id: OTHER.to_owned(),
        tokens: stockade::config::TokenFormat::Jwt,
        alg: Some(Algorithm::EdDSA),
        ttl: Some(Duration::from_secs(120)),
    });
    let fence = Fence::with(wish).await;
    let seen = async |more: &[(&str, &str)]| {
        let token = fence.token("app", more).await;
        let claims = part(&token, 1);
        (
            part(&token, 0)["alg"].as_str().unwrap().to_owned(),
            claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(),
        )
    };
    assert_eq!(seen(&[]).await, ("ES256".to_owned(), 600));
    assert_eq!(seen(&[("resource", OTHER)]).await, ("EdDSA".to_owned(), 120));
    fence
        .change("app", |client| {
            client.access_token_alg = Some(Algorithm::RS256);
            client.access_token_ttl_secs = Some(30);
        })
        .await;
    assert_eq!(seen(&[("resource", OTHER)]).await, ("RS256".to_owned(), 30));
    fence.change("app", |client| client.access_token_ttl_secs = Some(10_000_000)).await;
    assert_eq!(seen(&[]).await.1, 86_400, "no token outlives the keys that are kept for it");
}

#[tokio::test]
async fn an_opaque_token_is_a_reference_that_is_stored_as_its_digest() {
    let fence = Fence::new().await;
    let token = fence.token("app", &[("resource", OPAQUE)]).await;
    assert!(token.starts_with("stk_at_") && !token.contains('.'), "{token}");
    let said = fence.introspect("app", &token).await;
    assert_eq!(
        (said["active"].clone(), said["aud"].clone(), said["exp"].clone()),
        (json!(true), json!(OPAQUE), json!(START.as_secs() + 60))
    );
    let event = &fence.events_of("token.issued", 1).await[0];
    assert_eq!((event["data"]["jti"].clone(), event["resource"].clone()), (said["jti"].clone(), json!(OPAQUE)));
    fence.clock.advance(Duration::from_secs(60));
    assert_eq!(fence.introspect("app", &token).await, json!({"active": false}));
}

#[tokio::test]
async fn b15_client_credentials_gives_no_refresh_token_and_no_openid() {
    let fence = Fence::new().await;
    let body = fence.ask("app", &[]).await.json();
    let members: Vec<_> = body.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(members, ["access_token", "token_type", "expires_in", "scope"]);
    fence.change("app", |client| client.scopes.extend(["openid".to_owned(), "offline_access".to_owned()])).await;
    for scope in ["openid", "notes:read openid", "offline_access"] {
        let answer = fence.ask("app", &[("scope", scope)]).await;
        assert_eq!(answer.error(), (400, "invalid_scope".to_owned()), "{scope}");
    }
    assert_eq!(fence.ask("app", &[]).await.json()["scope"], "notes:read notes:write", "nor by default");
}

#[tokio::test]
async fn b15_a_public_client_is_refused() {
    let fence = Fence::new().await;
    let form = [("grant_type", "client_credentials"), ("client_id", "spa")];
    assert_eq!(fence.post("/oauth/token", None, &form).await.error(), (400, "unauthorized_client".to_owned()));
}

#[tokio::test]
async fn scopes_that_are_malformed_or_not_registered_are_invalid_scope() {
    let fence = Fence::new().await;
    for scope in
        ["admin", "notes:read admin", " notes:read", "notes:read  notes:write", "notes:read\u{e9}", "a\"b", "a\\b"]
    {
        let answer = fence.ask("app", &[("scope", scope)]).await;
        assert_eq!(answer.error(), (400, "invalid_scope".to_owned()), "{scope}");
    }
    assert_eq!(
        fence.ask("app", &[("scope", "notes:write notes:read notes:write")]).await.json()["scope"],
        "notes:write notes:read"
    );
}

#[tokio::test]
async fn resources_that_the_client_is_not_registered_for_are_invalid_target() {
    let fence = Fence::new().await;
    for resource in [
        "https://elsewhere.example",
        "https://api.example/",
        "https://API.example",
        "api",
        "https://api.example#x",
        "*",
    ] {
        let answer = fence.ask("app", &[("resource", resource)]).await;
        assert_eq!(answer.error(), (400, "invalid_target".to_owned()), "{resource}");
    }
    let two = fence.ask("app", &[("resource", API), ("resource", OTHER)]).await;
    assert_eq!(two.error(), (400, "invalid_target".to_owned()));
    let token = fence.token("app", &[]).await;
    assert_eq!(part(&token, 1)["aud"], API, "the default");
}

#[tokio::test]
async fn policy_narrows_the_scopes_and_the_answer_says_so() {
    let fence = Fence::new().await;
    fence.add_policies(
        r#"@id("test.no_writing") forbid (principal, action == Stockade::Action::"scope:grant", resource)
           when { context.scope == "notes:write" };"#,
    );
    let body = fence.ask("app", &[("scope", "notes:read notes:write")]).await.json();
    assert_eq!(body["scope"], "notes:read");
    assert_eq!(part(body["access_token"].as_str().unwrap(), 1)["scope"], "notes:read");
    assert_eq!(fence.ask("app", &[("scope", "notes:write")]).await.error(), (400, "invalid_scope".to_owned()));
    let event = &fence.events_of("token.refused", 1).await[0];
    assert_eq!((&event["reason"], &event["policies"]), (&json!("forbidden"), &json!(["test.no_writing"])), "{event}");
    assert_eq!((&event["data"]["error"], &event["resource"]), (&json!("invalid_scope"), &json!(API)));
}

#[tokio::test]
async fn policy_refuses_a_token_and_the_record_names_the_policy() {
    let fence = Fence::new().await;
    let token = fence.token("app", &[]).await;
    fence.add_policies(
        r#"@id("test.not_app") forbid (principal == Stockade::Client::"app", action == Stockade::Action::"token:issue", resource);"#,
    );
    assert_eq!(
        fence.ask("app", &[]).await.error(),
        (400, "access_denied".to_owned()),
        "the next request, whatever is remembered"
    );
    assert_eq!(fence.ask("rs", &[]).await.status, 200);
    assert_eq!(fence.introspect("app", &token).await["active"], true, "what was issued before stays");
    let event = &fence.events_of("token.refused", 1).await[0];
    assert_eq!(event["policies"], json!(["test.not_app"]));
    assert_eq!(event["outcome"], "denied");
    assert!(event["snapshot"].as_str().is_some_and(|s| !s.is_empty()));
}

#[tokio::test]
async fn a_rule_about_time_holds_although_decisions_are_remembered() {
    let fence = Fence::new().await;
    let end = START.plus(Duration::from_secs(2)).to_string();
    let end = format!("{}Z", end.split('.').next().unwrap());
    fence.add_policies(&format!(
        r#"@id("test.until") forbid (principal, action == Stockade::Action::"token:issue", resource)
           when {{ context.now >= datetime("{end}") }};"#
    ));
    for _ in 0..3 {
        assert_eq!(fence.ask("app", &[]).await.status, 200);
    }
    fence.clock.advance(Duration::from_secs(2));
    assert_eq!(fence.ask("app", &[]).await.error(), (400, "access_denied".to_owned()));
}

#[tokio::test]
async fn a_changed_client_is_decided_anew() {
    let fence = Fence::new().await;
    assert_eq!(fence.ask("app", &[("scope", "notes:write")]).await.status, 200);
    fence.change("app", |client| client.scopes = vec!["notes:read".to_owned()]).await;
    assert_eq!(fence.ask("app", &[("scope", "notes:write")]).await.error(), (400, "invalid_scope".to_owned()));
    fence.change("app", |client| client.disabled = true).await;
    assert_eq!(fence.ask("app", &[]).await.error(), (401, "invalid_client".to_owned()));
}

#[tokio::test]
async fn without_a_snapshot_nothing_is_issued() {
    let mut wish = wish();
    wish.policies = false;
    let fence = Fence::with(wish).await;
    let answer = fence.ask("app", &[]).await;
    assert_eq!(answer.error(), (503, "temporarily_unavailable".to_owned()));
    assert!(answer.headers.contains_key(header::RETRY_AFTER));
    let event = &fence.events_of("token.refused", 1).await[0];
    assert_eq!(event["reason"], "no_snapshot");
}

#[tokio::test]
async fn an_issuance_is_recorded_with_what_decided_it() {
    let fence = Fence::new().await;
    let token = fence.token("app", &[("scope", "notes:read")]).await;
    let event = &fence.events_of("token.issued", 1).await[0];
    assert_eq!(event["data"]["jti"], part(&token, 1)["jti"]);
    assert_eq!(event["data"]["scope"], "notes:read");
    assert_eq!(event["personal"]["principal"], r#"Client::"app""#);
    assert_eq!(
        (&event["action"], &event["resource"], &event["outcome"]),
        (&json!("token:issue"), &json!(API), &json!("allowed"))
    );
    assert_eq!(event["policies"], json!(["tokens.issue.client", "tokens.scope.registered"]));
    assert!(event["request_id"].is_string() && event["trace_id"].is_string() && event["latency_us"].is_number());
}

#[tokio::test]
async fn what_the_log_does_not_take_is_not_issued() {
    let mut wish = wish();
    wish.recorder = false;
    let fence = Fence::with(wish).await;
    let answer = fence.ask("app", &[]).await;
    assert_eq!(answer.error(), (503, "temporarily_unavailable".to_owned()));
    assert!(!String::from_utf8_lossy(&answer.body).contains("access_token"));
    let refused = fence.ask("app", &[("scope", "admin")]).await;
    assert_eq!(refused.error().0, 503, "a refusal of a client that proved itself is recorded before the answer, too");
}

#[tokio::test]
async fn queued_issuances_do_not_wait_for_the_log_and_still_arrive() {
    let mut wish = wish();
    wish.settings.issuance = Issuance::Queued;
    let fence = Fence::with(wish).await;
    for _ in 0..5 {
        fence.token("app", &[]).await;
    }
    assert_eq!(fence.events_of("token.issued", 5).await.len(), 5);
}

#[tokio::test]
async fn issuing_a_jwt_writes_nothing_but_its_event() {
    let fence = Fence::new().await;
    let jwt = fence.token("app", &[]).await;
    let opaque = fence.token("app", &[("resource", OPAQUE)]).await;
    let mut reader = fence.store.store.read().await.unwrap();
    let stored = |text: &str| stockade::crypto::sha256(text.as_bytes());
    assert_eq!(stockade::store::tokens::find(&mut reader, &stored(&jwt)).await.unwrap(), None);
    assert!(stockade::store::tokens::find(&mut reader, &stored(&opaque)).await.unwrap().is_some());
    assert_eq!(fence.events_of("token.issued", 2).await.len(), 2);
}

#[tokio::test]
async fn an_issuance_tells_its_facts_and_so_does_a_refusal() {
    let fence = Fence::new().await;
    fence.token("app", &[("scope", "notes:read"), ("resource", OTHER)]).await;
    let issued = &fence.events_of("token.issued", 1).await[0];
    assert_eq!(
        issued["data"],
        json!({
            "jti": issued["data"]["jti"], "client_id": "app", "grant": "client_credentials", "alg": "ES256",
            "requested_scope": "notes:read", "requested_resource": OTHER, "scope": "notes:read", "expires_in": 600,
        })
    );
    let secret = stockade::crypto::secret_text::generate(
        stockade::crypto::secret_text::Kind::AccessToken,
        &stockade::base::SystemRng,
    );
    let wanted = format!("notes:read admin {} eyJhbGciOiJub25lIn0.e30.x", secret.expose());
    assert_eq!(fence.ask("app", &[("scope", &wanted)]).await.error(), (400, "invalid_scope".to_owned()));
    let refused = &fence.events_of("token.refused", 1).await[0];
    assert_eq!(refused["data"]["requested_scope"], "notes:read admin ? ?", "no token is told");
    assert_eq!(
        (&refused["data"]["client_id"], &refused["data"]["grant"]),
        (&json!("app"), &json!("client_credentials"))
    );
    assert_eq!(refused["data"]["error"], "invalid_scope");
    assert_eq!(refused["data"]["detail"], "this client is not registered for one of the scopes");
    assert_eq!(refused["snapshot"], issued["snapshot"], "though no policy was asked");
}
