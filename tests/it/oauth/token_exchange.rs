//! B23: a resource server goes on to another API for whoever called it (RFC 8693).

use http::StatusCode;
use serde_json::{Value, json};
use stockade::base::{Clock as _, Timestamp};
use stockade::crypto::verify::AccessClaims;
use stockade::crypto::{b64url, jws};
use stockade::model::{AccessToken, Algorithm, Client, GrantType, User};
use stockade::store::users;

use super::fence::{API, Answer, Fence, ISSUER, OPAQUE, OTHER, START};

const GRANT: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";
const ADA: &str = "usr_ada";
const POLICY: &str = r#"
    @id("orders.go.on")
    permit (
      principal == Stockade::Client::"orders",
      action == Stockade::Action::"token:exchange",
      resource is Stockade::Api
    ) when {
      [Stockade::Api::"https://other.example", Stockade::Api::"https://opaque.example"].contains(resource)
        && context.audiences.contains("https://api.example") && context.subject != "Client::\"spa\""
    };
"#;

/// `orders` serves `API` and may go on to `OTHER` and `OPAQUE`.
async fn fence() -> Fence {
    let fence = Fence::new().await;
    let orders = Client {
        grants: vec![GrantType::TokenExchange],
        serves: vec![API.to_owned()],
        resources: vec![OTHER.to_owned(), OPAQUE.to_owned(), "https://nobody.example".to_owned()],
        ..fence.secret_client("orders")
    };
    fence.add(orders).await;
    fence.add_policies(POLICY);
    let mut tx = fence.store.store.begin().await.unwrap();
    users::insert(&mut tx, &User::new(ADA.to_owned(), "ada".to_owned(), START)).await.unwrap();
    tx.commit().await.unwrap();
    fence.live.refresh().await.unwrap();
    fence
}

/// A token as `app` has it of a person who signed in.
fn persons(fence: &Fence, change: impl FnOnce(&mut AccessToken)) -> String {
    let now = Timestamp::from_secs(fence.clock.now().as_secs());
    let exp = Timestamp::from_secs(now.as_secs() + 120);
    let mut token = AccessToken {
        sub: ADA.to_owned(),
        scope: "notes:read notes:write openid".to_owned(),
        gid: Some("gr_1".to_owned()),
        sid: Some("ses_1".to_owned()),
        acr: Some(2),
        auth_time: Some(now),
        ..AccessToken::of_client("app", "at_subject".to_owned(), API, now, exp)
    };
    change(&mut token);
    let ring = fence.live.key_ring();
    let signer = ring.signer(Algorithm::ES256, now).unwrap();
    jws::sign(signer, jws::ACCESS_TOKEN, &AccessClaims::of(ISSUER, &token)).unwrap()
}

async fn exchange(fence: &Fence, client: &str, subject: &str, more: &[(&str, &str)]) -> Answer {
    let mut form = vec![("grant_type", GRANT), ("subject_token", subject)];
    if more.iter().all(|(name, _)| *name != "subject_token_type") {
        form.push(("subject_token_type", ACCESS_TOKEN));
    }
    form.extend_from_slice(more);
    fence.post("/oauth/token", Some(client), &form).await
}

fn claims(answer: &Answer) -> Value {
    let body = answer.json();
    let payload = body["access_token"].as_str().unwrap().split('.').nth(1).unwrap().to_owned();
    serde_json::from_slice(&b64url::decode_strict(&payload).unwrap()).unwrap()
}

#[tokio::test]
async fn b23_the_new_token_speaks_for_the_same_subject_and_says_who_acts() {
    let fence = fence().await;
    let subject = persons(&fence, |_| {});
    let answer = exchange(&fence, "orders", &subject, &[("resource", OTHER)]).await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    let body = answer.json();
    assert_eq!((&body["issued_token_type"], &body["token_type"]), (&json!(ACCESS_TOKEN), &json!("Bearer")));
    assert_eq!((&body["scope"], body.get("refresh_token")), (&json!("notes:read notes:write"), None));
    assert_eq!(body["expires_in"], 120, "no longer than the subject token");
    let said = claims(&answer);
    for (claim, value) in [
        ("sub", json!(ADA)),
        ("client_id", json!("orders")),
        ("aud", json!(OTHER)),
        ("gid", json!("gr_1")),
        ("sid", json!("ses_1")),
        ("acr", json!("2")),
        ("act", json!({ "sub": "orders" })),
    ] {
        assert_eq!(said[claim], value, "{claim}: {said}");
    }
    let event = fence.events_of("token.issued", 1).await.remove(0);
    assert_eq!((&event["data"]["grant"], &event["data"]["subject_jti"]), (&json!(GRANT), &json!("at_subject")));
    // The family that it came from takes it along.
    let token = body["access_token"].as_str().unwrap();
    assert_eq!(fence.introspect("orders", token).await["sub"], ADA);
    fence.live.revoke("gr_1", fence.clock.now().plus(std::time::Duration::from_secs(600)));
    assert_eq!(fence.introspect("orders", token).await, json!({ "active": false }));
}

#[tokio::test]
async fn b23_who_acted_before_is_kept_and_the_row_of_actors_has_an_end() {
    let fence = fence().await;
    let acted = |n: usize| {
        let actor = (0..n)
            .fold(None, |before, i| Some(stockade::model::Actor { sub: format!("c{i}"), act: before.map(Box::new) }));
        persons(&fence, |token| token.act = actor)
    };
    let answer = exchange(&fence, "orders", &acted(2), &[("resource", OTHER)]).await;
    assert_eq!(claims(&answer)["act"], json!({ "sub": "orders", "act": { "sub": "c1", "act": { "sub": "c0" } } }));
    assert_eq!(exchange(&fence, "orders", &acted(7), &[("resource", OTHER)]).await.status, 200);
    assert_eq!(exchange(&fence, "orders", &acted(8), &[("resource", OTHER)]).await.error().1, "invalid_request");
}

#[tokio::test]
async fn b23_a_client_that_called_is_spoken_for_as_well_and_opaque_tokens_too() {
    let fence = fence().await;
    let subject = fence.token("app", &[("scope", "notes:read")]).await;
    for resource in [OTHER, OPAQUE] {
        let answer = exchange(&fence, "orders", &subject, &[("audience", resource)]).await;
        assert_eq!((answer.status.as_u16(), &answer.json()["scope"]), (200, &json!("notes:read")), "{answer:?}");
        let token = answer.json()["access_token"].as_str().unwrap().to_owned();
        let (known, principal) = fence.live.known(&token, fence.clock.now()).await.unwrap();
        assert_eq!((known.sub.as_str(), known.client_id.as_str()), ("app", "orders"));
        assert_eq!(principal.reference().to_string(), "Client::\"app\"");
        // Without the one who called there is nobody to speak for.
        fence.change("app", |client| client.disabled = true).await;
        assert!(fence.live.known(&token, fence.clock.now()).await.is_err());
        fence.change("app", |client| client.disabled = false).await;
    }
}

#[tokio::test]
async fn b23_nobody_goes_where_no_policy_lets_them() {
    let fence = fence().await;
    let subject = persons(&fence, |_| {});
    let ask = async |more: &[(&str, &str)]| exchange(&fence, "orders", &subject, more).await.error();
    assert_eq!(ask(&[("resource", "https://nobody.example")]).await, (400, "invalid_target".to_owned()), "registered");
    assert_eq!(ask(&[("resource", API)]).await, (400, "invalid_target".to_owned()), "not registered");
    assert_eq!(ask(&[]).await, (400, "invalid_target".to_owned()), "nowhere");
    assert_eq!(ask(&[("resource", OTHER), ("audience", OTHER)]).await, (400, "invalid_target".to_owned()), "twice");
    fence.engine.install(stockade::policy::Snapshot::embedded().unwrap());
    assert_eq!(ask(&[("resource", OTHER)]).await, (400, "invalid_target".to_owned()), "the shipped policies");
}

#[tokio::test]
async fn b23_scopes_never_grow() {
    let fence = fence().await;
    let subject = persons(&fence, |token| token.scope = "notes:read admin openid".to_owned());
    let ask = async |scope: &str| exchange(&fence, "orders", &subject, &[("resource", OTHER), ("scope", scope)]).await;
    assert_eq!(ask("notes:read").await.json()["scope"], "notes:read");
    for more in ["notes:write", "admin", "notes:read notes:write", "openid"] {
        assert_eq!(ask(more).await.error(), (400, "invalid_scope".to_owned()), "{more}");
    }
    let all = exchange(&fence, "orders", &subject, &[("resource", OTHER)]).await;
    assert_eq!(all.json()["scope"], "notes:read", "of both, and for people only where a person is");
}

#[tokio::test]
async fn b23_the_subject_token_is_a_live_access_token_that_was_shown_to_this_client() {
    let fence = fence().await;
    let elsewhere = persons(&fence, |token| token.aud = vec![OTHER.to_owned()]);
    let expired = persons(&fence, |token| token.exp = START);
    let nobody = persons(&fence, |token| token.sub = "usr_nobody".to_owned());
    let good = persons(&fence, |_| {});
    for (what, subject) in
        [("nonsense", "nonsense"), ("another's", &elsewhere), ("expired", &expired), ("nobody's", &nobody)]
    {
        let answer = exchange(&fence, "orders", subject, &[("resource", OTHER)]).await;
        assert_eq!(answer.error(), (400, "invalid_request".to_owned()), "{what}");
    }
    for more in [
        ("subject_token_type", "urn:ietf:params:oauth:token-type:id_token"),
        ("subject_token_type", "urn:ietf:params:oauth:token-type:refresh_token"),
        ("requested_token_type", "urn:ietf:params:oauth:token-type:saml2"),
        ("actor_token", good.as_str()),
        ("actor_token_type", ACCESS_TOKEN),
    ] {
        let answer = exchange(&fence, "orders", &good, &[("resource", OTHER), more]).await;
        assert_eq!(answer.error(), (400, "invalid_request".to_owned()), "{more:?}");
    }
    fence.live.revoke("at_subject", fence.clock.now().plus(std::time::Duration::from_secs(600)));
    let revoked = exchange(&fence, "orders", &good, &[("resource", OTHER)]).await;
    assert_eq!(revoked.error(), (400, "invalid_request".to_owned()), "revoked");
    assert_eq!(exchange(&fence, "app", &good, &[("resource", OTHER)]).await.error().1, "unauthorized_client");
    assert_eq!(exchange(&fence, "spa", &good, &[("resource", OTHER)]).await.error().1, "invalid_client");
}
