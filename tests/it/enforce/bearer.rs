//! Bearer tokens at the layer: RFC 6750 3.1 and the token substitutions of RFC 9068 4.

use serde_json::json;
use stockade::model::Outcome;

use super::stage::{API, ISSUER, Stage};
use crate::crypto::forge::{Key, hs256, unsigned, with, without};

#[tokio::test]
async fn c9_no_token_is_401_with_a_bare_challenge() {
    let stage = Stage::new();
    for authorization in [&[][..], &["Basic YTpi"]] {
        let answer = stage.call("GET", "/demo/notes", authorization).await;
        assert_eq!((answer.status.as_u16(), answer.header("www-authenticate")), (401, Some("Bearer")));
        assert_eq!(answer.header("content-type"), Some("application/problem+json"));
        let body = answer.json();
        assert_eq!(body["type"], "urn:stockade:problem:unauthenticated");
        assert_eq!(body["request_id"], answer.header("x-request-id").expect("has one"));
        let events = stage.folded();
        assert_eq!(events.len(), 1, "and it is one event, folded");
        assert_eq!((events[0].kind, events[0].reason.as_deref()), ("auth.refused", Some("no_token")));
        assert_eq!(body["decision_id"], events[0].id);
        assert_eq!(events[0].address.map(|a| a.to_string()).as_deref(), Some("192.0.2.7"));
    }
    assert!(stage.recorded().is_empty());
}

#[tokio::test]
async fn c9_a_bad_token_is_401_invalid_token() {
    let stage = Stage::new();
    let good = stage.token("reader", "notes:read");
    let expired = stage.signed(&with(&stage.claims("reader", "notes:read"), "exp", json!(1_700_000_000)));
    for token in ["nonsense", "a.b.c", &format!("{good}x"), &expired] {
        let answer = stage.call("GET", "/demo/notes", &[&format!("Bearer {token}")]).await;
        let challenge = answer.header("www-authenticate");
        assert_eq!((answer.status.as_u16(), challenge), (401, Some(r#"Bearer error="invalid_token""#)), "{token}");
        assert!(!String::from_utf8_lossy(&answer.body).contains(token), "the answer repeats the token");
    }
}

#[tokio::test]
async fn c9_a_token_without_the_scope_is_403_insufficient_scope() {
    let stage = Stage::new();
    let token = stage.token("reader", "notes:read");
    let answer = stage.call("POST", "/demo/notes", &[&format!("Bearer {token}")]).await;
    let challenge = answer.header("www-authenticate");
    assert_eq!(answer.status, 403);
    assert_eq!(challenge, Some(r#"Bearer error="insufficient_scope", scope="notes:write""#));
    let events = stage.recorded();
    assert_eq!(events.len(), 1, "a known caller is recorded one by one");
    assert_eq!(events[0].outcome, Outcome::Denied);
    assert_eq!(events[0].reason.as_deref(), Some("no_permit"));
    assert_eq!(events[0].principal.as_ref().map(ToString::to_string).as_deref(), Some("Client::\"reader\""));
    assert_eq!(events[0].action.as_deref(), Some("notes:write"));
    assert_eq!(events[0].resource.as_deref(), Some("Route::\"POST /demo/notes\""));
}

#[tokio::test]
async fn c9_a_token_sent_twice_or_in_the_query_is_400_invalid_request() {
    let stage = Stage::new();
    let bearer = format!("Bearer {}", stage.token("reader", "notes:read"));
    let twice = stage.call("GET", "/demo/notes", &[&bearer, &bearer]).await;
    let query = stage.call("GET", "/demo/notes?access_token=abc", &[&bearer]).await;
    for answer in [twice, query] {
        let challenge = answer.header("www-authenticate");
        assert_eq!((answer.status.as_u16(), challenge), (400, Some(r#"Bearer error="invalid_request""#)));
    }
}

#[tokio::test]
async fn c10_whatever_is_not_an_access_token_for_this_api_is_401_invalid_token() {
    let stage = Stage::new();
    let claims = stage.claims("reader", "notes:read");
    let header = json!({ "alg": "ES256", "typ": "at+jwt", "kid": "k1" });
    let typed = |typ: &str| stage.key.jwt(&with(&header, "typ", json!(typ)), &claims);
    let strangers = Key::p256();
    let others = [
        ("an id_token", typed("JWT")),
        ("a logout token", typed("logout+jwt")),
        ("a client assertion", stage.signed(&with(&claims, "aud", json!(ISSUER)))),
        ("a DPoP proof", typed("dpop+jwt")),
        ("an introspection response", typed("token-introspection+jwt")),
        ("a JWT without a type", stage.key.jwt(&without(&header, "typ"), &claims)),
        ("a token for another API", stage.signed(&with(&claims, "aud", json!("https://issuer.example/demo2")))),
        ("a token for the path above", stage.signed(&with(&claims, "aud", json!("https://issuer.example")))),
        ("a token for the API with a slash", stage.signed(&with(&claims, "aud", json!(format!("{API}/"))))),
        ("a token for nobody", stage.signed(&with(&claims, "aud", json!([])))),
        ("a token of another issuer", stage.signed(&with(&claims, "iss", json!("https://issuer.example/")))),
        ("a token of another key", strangers.jwt(&header, &claims)),
        ("a token without signature", unsigned(&with(&header, "alg", json!("none")), &claims)),
        ("a token with an HMAC", hs256(&[], &with(&header, "alg", json!("HS256")), &claims)),
        ("a refresh token", "stk_rt_0123456789012345678901234567890123456789012abcdef".to_owned()),
    ];
    for (name, token) in others {
        let answer = stage.call("GET", "/demo/notes", &[&format!("Bearer {token}")]).await;
        let challenge = answer.header("www-authenticate");
        assert_eq!((answer.status.as_u16(), challenge), (401, Some(r#"Bearer error="invalid_token""#)), "{name}");
    }
    let many = stage.signed(&with(&claims, "aud", json!(["https://other.example", API])));
    assert_eq!(stage.call("GET", "/demo/notes", &[&format!("Bearer {many}")]).await.status, 200);
}

#[tokio::test]
async fn a_fence_with_an_audience_of_its_own_takes_no_other() {
    let stage = Stage::with(|builder| builder.audience("https://notes.example"));
    let claims = stage.claims("reader", "notes:read");
    let ours = stage.signed(&with(&claims, "aud", json!("https://notes.example")));
    assert_eq!(stage.call("GET", "/demo/notes", &[&format!("Bearer {ours}")]).await.status, 200);
    let theirs = stage.signed(&claims);
    assert_eq!(stage.call("GET", "/demo/notes", &[&format!("Bearer {theirs}")]).await.status, 401);
}

#[tokio::test]
async fn keys_that_the_issuer_rotates_can_be_replaced_while_it_runs() {
    let stage = Stage::new();
    let next = Key::p256();
    let header = json!({ "alg": "ES256", "typ": "at+jwt", "kid": "k2" });
    let token = format!("Bearer {}", next.jwt(&header, &stage.claims("reader", "notes:read")));
    assert_eq!(stage.call("GET", "/demo/notes", &[&token]).await.status, 401);
    let mut both = stage.key.jwks("k1");
    both["keys"].as_array_mut().expect("an array").push(next.jwk("k2"));
    stage.fence.set_jwks(&both).expect("is usable");
    assert_eq!(stage.call("GET", "/demo/notes", &[&token]).await.status, 200);
    assert!(stage.fence.set_jwks(&json!({ "keys": 1 })).is_err());
    assert_eq!(stage.call("GET", "/demo/notes", &[&token]).await.status, 200, "a broken set changes nothing");
}
