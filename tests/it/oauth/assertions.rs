//! B16, B17, B18: `private_key_jwt` over HTTP. The rules of the assertion itself are tested in `crypto`.

use std::sync::Arc;

use serde_json::{Value, json};
use stockade::model::{AuthMethod, Client};

use super::fence::{Answer, Fence, ISSUER, START, wish};
use crate::crypto::forge::{self, Key, with, without};

const TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

fn header() -> Value {
    json!({"alg": "ES256", "kid": "c1", "typ": "JWT"})
}

fn claims(jti: &str) -> Value {
    json!({
        "iss": "signer", "sub": "signer", "aud": ISSUER, "jti": jti, "iat": START.as_secs(), "exp": START.as_secs() + 60,
    })
}

fn signer(fence: &Fence, key: &Key) -> Client {
    Client {
        auth_method: AuthMethod::PrivateKeyJwt,
        secrets: Vec::new(),
        jwks: Some(key.jwks("c1")),
        ..fence.secret_client("signer")
    }
}

async fn present(fence: &Fence, jwt: &str) -> Answer {
    let form = [("grant_type", "client_credentials"), ("client_assertion_type", TYPE), ("client_assertion", jwt)];
    fence.post("/oauth/token", None, &form).await
}

/// A server with the client `signer`, and its key.
async fn fence() -> (Fence, Key) {
    let (fence, key) = (Fence::new().await, Key::p256());
    fence.add(signer(&fence, &key)).await;
    (fence, key)
}

/// All refused alike, while the unchanged assertion is accepted.
async fn refused(changes: impl IntoIterator<Item = (Value, Value)>) {
    let (fence, key) = fence().await;
    assert_eq!(present(&fence, &key.jwt(&header(), &claims("good"))).await.status, 200);
    for (header, claims) in changes {
        let answer = present(&fence, &key.jwt(&header, &claims)).await;
        assert_eq!(answer.error(), (401, "invalid_client".to_owned()), "{header} {claims}");
    }
}

#[tokio::test]
async fn b16_an_assertion_authenticates_once() {
    let (fence, key) = fence().await;
    let jwt = key.jwt(&header(), &claims("once"));
    assert_eq!(present(&fence, &jwt).await.status, 200);
    assert_eq!(present(&fence, &jwt).await.error(), (401, "invalid_client".to_owned()));
    let other = key.jwt(&header(), &with(&claims("once"), "exp", json!(START.as_secs() + 61)));
    assert_eq!(present(&fence, &other).await.error().0, 401, "the id is used up, whatever else changes");
    // A client_id beside it must be the same.
    let form = |id| [("grant_type", "client_credentials"), ("client_assertion_type", TYPE), ("client_id", id)];
    let fresh = key.jwt(&header(), &claims("fresh"));
    let mut wrong = form("app").to_vec();
    wrong.push(("client_assertion", &fresh));
    assert_eq!(fence.post("/oauth/token", None, &wrong).await.error().0, 401);
    let mut right = form("signer").to_vec();
    right.push(("client_assertion", &fresh));
    assert_eq!(fence.post("/oauth/token", None, &right).await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn b16_of_many_at_once_exactly_one_is_accepted() {
    let (fence, key) = fence().await;
    let fence = Arc::new(fence);
    let jwt = Arc::new(key.jwt(&header(), &claims("raced")));
    let tries: Vec<_> = (0..20)
        .map(|_| {
            let (fence, jwt) = (Arc::clone(&fence), Arc::clone(&jwt));
            tokio::spawn(async move { present(&fence, &jwt).await.status.as_u16() })
        })
        .collect();
    let mut statuses = Vec::new();
    for one in tries {
        statuses.push(one.await.unwrap());
    }
    assert_eq!(statuses.iter().filter(|s| **s == 200).count(), 1, "{statuses:?}");
    assert_eq!(statuses.iter().filter(|s| **s == 401).count(), 19, "{statuses:?}");
}

#[tokio::test]
async fn b16_a_restart_does_not_forget_what_was_used() {
    for test in crate::support::stores::stores().await {
        let name = test.name;
        let key = Key::p256();
        let jwt = key.jwt(&header(), &claims("kept"));
        let clock = Arc::new(stockade::base::ManualClock::at(START));
        let first = Fence::on(test, Arc::clone(&clock), wish()).await;
        first.add(signer(&first, &key)).await;
        assert_eq!(present(&first, &jwt).await.status, 200, "{name}");
        let Fence { store, .. } = first;
        let second = Fence::on(store, clock, wish()).await;
        assert_eq!(present(&second, &jwt).await.error().0, 401, "{name}");
        assert_eq!(present(&second, &key.jwt(&header(), &claims("new"))).await.status, 200, "{name}");
    }
}

#[tokio::test]
async fn b16_the_audience_must_be_the_issuer_as_a_single_string() {
    let token_endpoint = format!("{ISSUER}/oauth/token");
    let audiences = [
        json!(token_endpoint),
        json!([ISSUER]),
        json!([ISSUER, token_endpoint]),
        json!(format!("{ISSUER}/")),
        json!("https://elsewhere.example"),
        json!(null),
    ];
    let changes = audiences.into_iter().enumerate();
    refused(changes.map(|(i, aud)| (header(), with(&claims(&format!("aud{i}")), "aud", aud)))).await;
    refused([(header(), without(&claims("aud"), "aud"))]).await;
}

#[tokio::test]
async fn b16_issuer_subject_expiry_and_id_are_required() {
    let now = START.as_secs();
    let mut changes = vec![
        (header(), with(&claims("a"), "iss", json!("app"))),
        (header(), with(&claims("b"), "sub", json!("app"))),
        (header(), with(&claims("c"), "exp", json!(now))),
        (header(), with(&claims("d"), "exp", json!(now + 3600))),
        (header(), with(&claims("e"), "nbf", json!(now + 60))),
        (header(), with(&claims("f"), "iat", json!(now + 60))),
    ];
    changes.extend(["iss", "sub", "exp", "jti"].map(|claim| (header(), without(&claims(claim), claim))));
    refused(changes).await;
}

#[tokio::test]
async fn b17_the_algorithm_is_pinned_to_the_key() {
    let (fence, key) = fence().await;
    for alg in ["none", "None", "HS256", "RS256", "EdDSA", "ES384"] {
        let jwt = key.jwt(&with(&header(), "alg", json!(alg)), &claims(alg));
        assert_eq!(present(&fence, &jwt).await.error().0, 401, "{alg}");
    }
    let unsigned = forge::unsigned(&with(&header(), "alg", json!("none")), &claims("unsigned"));
    assert_eq!(present(&fence, &unsigned).await.error().0, 401);
    for (i, secret) in key.public_spellings("c1").iter().enumerate() {
        let jwt = forge::hs256(secret, &with(&header(), "alg", json!("HS256")), &claims(&format!("hs{i}")));
        assert_eq!(present(&fence, &jwt).await.error().0, 401, "spelling {i}");
    }
    let (curve, jwk) = (Key::p384(), Key::p256());
    assert_eq!(present(&fence, &curve.jwt(&header(), &claims("p384"))).await.error().0, 401);
    let smuggled = with(&header(), "jwk", jwk.jwk("c1"));
    assert_eq!(present(&fence, &jwk.jwt(&smuggled, &claims("jwk"))).await.error().0, 401);
    let fetched = with(&header(), "jku", json!("https://attacker.example/keys"));
    assert_eq!(present(&fence, &jwk.jwt(&fetched, &claims("jku"))).await.error().0, 401);
    assert_eq!(present(&fence, &key.jwt(&with(&header(), "crit", json!(["x"])), &claims("crit"))).await.error().0, 401);
    assert_eq!(present(&fence, &key.jwt(&fetched, &claims("ignored"))).await.status, 200, "ours, jku ignored");
}

#[tokio::test]
async fn b18_dates_of_the_wrong_type_fail_closed() {
    let mut changes = Vec::new();
    for claim in ["exp", "nbf", "iat"] {
        let near = START.as_secs() + 30;
        for (i, odd) in
            [json!(near.to_string()), json!(null), json!(true), json!([near]), json!({})].into_iter().enumerate()
        {
            changes.push((header(), with(&claims(&format!("{claim}{i}")), claim, odd)));
        }
    }
    refused(changes).await;
}

#[tokio::test]
async fn other_tokens_are_no_assertions() {
    let (fence, key) = fence().await;
    let access = fence.token("app", &[]).await;
    for jwt in [access.as_str(), "", "x", "x.y.z", "...", &"a".repeat(60_000)] {
        let answer = present(&fence, jwt).await;
        assert!([400, 401].contains(&answer.error().0), "{answer:?}");
    }
    for typ in ["at+jwt", "dpop+jwt", "logout+jwt"] {
        let jwt = key.jwt(&with(&header(), "typ", json!(typ)), &claims(typ));
        assert_eq!(present(&fence, &jwt).await.error().0, 401, "{typ}");
    }
    let saml = [
        ("grant_type", "client_credentials"),
        ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:saml2-bearer"),
        ("client_assertion", "x"),
    ];
    assert_eq!(fence.post("/oauth/token", None, &saml).await.error().0, 401);
}

#[tokio::test]
async fn an_assertion_of_an_unknown_or_disabled_client_is_answered_like_any_other() {
    let (fence, key) = fence().await;
    let unknown = with(&with(&claims("u"), "iss", json!("nobody")), "sub", json!("nobody"));
    let a = present(&fence, &key.jwt(&header(), &unknown)).await;
    let b = present(&fence, &Key::p256().jwt(&header(), &claims("b"))).await;
    fence.change("signer", |client| client.disabled = true).await;
    let c = present(&fence, &key.jwt(&header(), &claims("c"))).await;
    assert_eq!((a.error(), &a.body, &b.body), (b.error(), &c.body, &c.body));
    assert_eq!(a.error().0, 401);
    fence.change("signer", |client| client.disabled = false).await;
    assert_eq!(present(&fence, &key.jwt(&header(), &claims("c"))).await.status, 200, "the refusal did not use it up");
}

#[tokio::test]
async fn keys_that_a_client_replaced_no_longer_count() {
    let (fence, old) = fence().await;
    assert_eq!(present(&fence, &old.jwt(&header(), &claims("1"))).await.status, 200);
    let new = Key::ed25519();
    fence.change("signer", |client| client.jwks = Some(new.jwks("c1"))).await;
    assert_eq!(present(&fence, &old.jwt(&header(), &claims("2"))).await.error().0, 401);
    let header = json!({"alg": "EdDSA", "kid": "c1"});
    assert_eq!(present(&fence, &new.jwt(&header, &claims("3"))).await.status, 200);
}
