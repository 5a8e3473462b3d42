//! `/enforce/nginx`: what nginx is told, and what nobody can talk it into.

use axum::body::Body;
use http::StatusCode;
use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{DecodingKey, Validation};
use serde_json::{Value, json};
use stockade::base::{Clock as _, Timestamp};
use stockade::crypto::b64url;
use stockade::crypto::verify::{TokenError, Verifier};

use super::stage::{API, Answer, ISSUER, PROXY, Stage, request};

const IDENTITY: [&str; 4] = ["x-stockade-subject", "x-stockade-client", "x-stockade-tenant", "x-stockade-scopes"];

fn identity(answer: &Answer) -> [Option<&str>; 4] {
    IDENTITY.map(|name| answer.header(name))
}

#[tokio::test]
async fn an_allowed_call_is_200_without_a_body_and_says_who_calls() {
    let stage = Stage::new();
    let token = stage.token("reader", "notes:read");
    let answer = stage.ask("GET", "/demo/notes?x=1", Some(&token)).await;
    assert_eq!((answer.status.as_u16(), answer.body.len()), (200, 0));
    assert_eq!(identity(&answer), [Some("reader"), Some("reader"), Some(""), Some("notes:read")]);
    assert_eq!(answer.header("x-stockade-status"), Some("200"));
    let events = stage.recorded();
    assert_eq!(answer.header("x-stockade-decision-id"), Some(events[0].id.as_str()));
    assert_eq!(events[0].address.map(|a| a.to_string()).as_deref(), Some("192.0.2.7"), "the client, not the proxy");
}

#[tokio::test]
async fn every_answer_is_200_401_or_403_and_has_every_identity_header() {
    let stage = Stage::new();
    let reader = stage.token("reader", "notes:read");
    for (method, uri, token, status, meant) in [
        ("GET", "/demo/notes", None, 401, "401"),
        ("GET", "/demo/notes", Some("nonsense"), 401, "401"),
        ("GET", "/demo/notes?access_token=x", Some(reader.as_str()), 401, "400"),
        ("POST", "/demo/notes", Some(&reader), 403, "403"),
        ("GET", "/unknown", Some(&reader), 403, "403"),
        ("OPTIONS", "/demo/notes", Some(&reader), 403, "403"),
        ("get", "/demo/notes", Some(&reader), 403, "403"),
        ("GET", "/demo/../demo/notes", Some(&reader), 403, "400"),
        ("GET", "/demo/%2e%2e/demo/notes", Some(&reader), 403, "400"),
        ("GET", "//demo/notes", Some(&reader), 403, "400"),
        ("GET", "http://elsewhere/demo/notes", Some(&reader), 403, "400"),
        ("GET", "*", Some(&reader), 403, "400"),
    ] {
        let answer = stage.ask(method, uri, token).await;
        let case = format!("{method} {uri}");
        assert_eq!((answer.status.as_u16(), answer.header("x-stockade-status")), (status, Some(meant)), "{case}");
        assert_eq!(identity(&answer), [Some(""); 4], "{case}");
        assert_eq!(answer.header("x-stockade-assertion"), Some(""), "{case}");
        assert_eq!(
            answer.header("www-authenticate").is_some_and(|v| v.starts_with("Bearer")),
            meant == "401" || token.is_some() && status == 401 || uri == "/demo/notes" && method == "POST",
            "{case}"
        );
    }
}

#[tokio::test]
async fn a_used_up_tier_is_403_with_the_status_and_the_time_beside_it() {
    let stage = Stage::new();
    let token = stage.token("reader", "notes:read");
    for _ in 0..40 {
        assert_eq!(stage.ask("GET", "/demo/notes", Some(&token)).await.status, 200);
    }
    let answer = stage.ask("GET", "/demo/notes", Some(&token)).await;
    assert_eq!(answer.status, 403);
    assert_eq!((answer.header("x-stockade-status"), answer.header("retry-after")), (Some("429"), Some("1")));
}

#[tokio::test]
async fn only_peers_that_are_trusted_proxies_are_answered() {
    let stage = Stage::new();
    let bearer = format!("Bearer {}", stage.token("reader", "notes:read"));
    for (peer, status) in [(PROXY, 200), ("192.0.2.9", 403), ("127.0.0.1", 403)] {
        let request = request("GET", "/enforce/nginx", &[&bearer], peer)
            .header("x-original-method", "GET")
            .header("x-original-uri", "/demo/notes")
            .header("x-forwarded-for", PROXY);
        let answer = stage.send(request.body(Body::empty()).expect("a request")).await;
        assert_eq!(answer.status.as_u16(), status, "{peer}");
    }
}

#[tokio::test]
async fn other_dialects_headers_and_the_query_change_nothing() {
    let stage = Stage::new();
    let bearer = format!("Bearer {}", stage.token("reader", "notes:read"));
    let ask = |uri: &str, headers: &[(&str, &str)]| {
        let mut request = request("GET", uri, &[&bearer], PROXY);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        stage.send(request.body(Body::empty()).expect("a request"))
    };
    let ours = [("x-original-method", "POST"), ("x-original-uri", "/demo/notes")];
    let theirs = [
        ("x-forwarded-method", "GET"),
        ("x-forwarded-uri", "/demo/notes"),
        ("x-http-method-override", "GET"),
        ("x-original-url", "/demo/notes"),
        ("x-rewrite-url", "/demo/notes"),
        ("x-stockade-subject", "admin"),
    ];
    let both: Vec<_> = ours.into_iter().chain(theirs).collect();
    let query = "/enforce/nginx?method=GET&uri=/demo/notes&x-original-method=GET";
    assert_eq!(ask(query, &both).await.status, StatusCode::FORBIDDEN);
    assert_eq!(ask(query, &theirs).await.header("x-stockade-status"), Some("400"), "without ours there is no question");
    let twice = [("x-original-method", "GET"), ("x-original-uri", "/demo/notes"), ("x-original-uri", "/demo/notes")];
    assert_eq!(ask("/enforce/nginx", &twice).await.header("x-stockade-status"), Some("400"));
}

#[tokio::test]
async fn what_passes_carries_an_assertion_that_the_key_set_verifies_and_that_is_no_access_token() {
    let stage = Stage::new();
    let token = stage.token("reader", "notes:read");
    let answer = stage.ask("GET", "/demo/notes", Some(&token)).await;
    let assertion = answer.header("x-stockade-assertion").expect("an assertion").to_owned();
    let now = stage.clock.now();
    let jwks: JwkSet = serde_json::from_slice(&stage.ring.jwks(now)).expect("a key set");
    let header = jsonwebtoken::decode_header(&assertion).expect("a header");
    assert_eq!(header.typ.as_deref(), Some("stockade-assertion+jwt"));
    let key = jwks.find(header.kid.as_deref().expect("a kid")).expect("a published key");
    let mut wanted = Validation::new(jsonwebtoken::Algorithm::ES256);
    wanted.set_audience(&[API]);
    wanted.set_issuer(&[ISSUER]);
    // The stage's clock is not the machine's.
    wanted.validate_exp = false;
    let key = DecodingKey::from_jwk(key).expect("a usable key");
    let said = jsonwebtoken::decode::<Value>(&assertion, &key, &wanted).expect("verifies").claims;
    let (iat, exp) = (now.as_secs(), now.as_secs() + 60);
    let decision = answer.header("x-stockade-decision-id").expect("a decision");
    assert_eq!(
        said,
        json!({
            "iss": ISSUER, "aud": API, "sub": "reader", "client_id": "reader", "scope": "notes:read",
            "iat": iat, "exp": exp, "jti": decision,
        })
    );
    // To a verifier that has the very key it is another kind of token.
    let own = Verifier::from_jwks(ISSUER, &serde_json::from_slice(&stage.ring.jwks(now)).expect("JSON")).expect("keys");
    assert_eq!(own.verify(&assertion, now), Err(TokenError::WrongType));
}

#[tokio::test]
async fn the_assertion_says_how_and_when_a_person_authenticated() {
    let stage = Stage::new();
    let now = stage.clock.now().as_secs();
    let mut claims = stage.claims("reader", "notes:read");
    (claims["acr"], claims["auth_time"]) = (json!("2"), json!(now - 60));
    let answer = stage.ask("GET", "/demo/notes", Some(&stage.signed(&claims))).await;
    let assertion = answer.header("x-stockade-assertion").expect("an assertion");
    let payload = b64url::decode_strict(assertion.split('.').nth(1).expect("claims")).expect("base64url");
    let said: Value = serde_json::from_slice(&payload).expect("JSON");
    assert_eq!((&said["acr"], &said["auth_time"]), (&json!("2"), &json!(now - 60)));
}

#[tokio::test]
async fn of_several_audiences_the_assertion_names_the_one_that_the_request_goes_to() {
    let stage = Stage::new();
    let mut claims = stage.claims("reader", "notes:read");
    claims["aud"] = json!(["https://elsewhere.example", API]);
    let answer = stage.ask("GET", "/demo/notes", Some(&stage.signed(&claims))).await;
    let assertion = answer.header("x-stockade-assertion").expect("an assertion");
    let payload = b64url::decode_strict(assertion.split('.').nth(1).expect("claims")).expect("base64url");
    assert_eq!(serde_json::from_slice::<Value>(&payload).expect("JSON")["aud"], API);
}

#[tokio::test]
async fn without_a_key_to_sign_with_nothing_passes() {
    let stage = Stage::new();
    let token = stage.token("reader", "notes:read");
    // Before the one key there is becomes active.
    stage.clock.set(Timestamp::from_secs(stage.clock.now().as_secs() - 5));
    let answer = stage.ask("GET", "/demo/notes", Some(&token)).await;
    assert_eq!((answer.status.as_u16(), answer.header("x-stockade-status")), (403, Some("503")));
    assert_eq!(identity(&answer), [Some(""); 4]);
}
