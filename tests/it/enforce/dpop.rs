//! C11, B19, B20: tokens bound to a key, where they are shown (RFC 9449 7).

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use serde_json::{Value, json};
use stockade::base::Clock as _;
use stockade::enforce::FenceBuilder;
use stockade::http::dpop::Proofs;

use super::stage::{API, Answer, PROXY, Stage, request};
use crate::crypto::forge::with;
use crate::support::dpop::Prover;

const NOTES: &str = "https://issuer.example/demo/notes";

fn without_nonces(builder: FenceBuilder) -> FenceBuilder {
    builder.proofs(Arc::new(Proofs::new(None)))
}

fn bound(stage: &Stage, prover: &Prover) -> String {
    stage.signed(&with(&stage.claims("reader", "notes:read"), "cnf", json!({ "jkt": prover.jkt() })))
}

async fn call(stage: &Stage, scheme: &str, token: &str, proofs: &[&str]) -> Answer {
    let mut request = request("GET", "/demo/notes?limit=1", &[&format!("{scheme} {token}")], "192.0.2.7");
    for proof in proofs {
        request = request.header("dpop", *proof);
    }
    stage.send(request.body(Body::empty()).expect("a request")).await
}

fn challenge(error: &str) -> String {
    format!(r#"DPoP error="{error}", algs="ES256 EdDSA Ed25519 RS256""#)
}

#[tokio::test]
async fn a_bound_token_passes_with_a_proof_of_its_key() {
    let stage = Stage::with(without_nonces);
    let prover = Prover::new();
    let token = bound(&stage, &prover);
    for _ in 0..2 {
        let proof = prover.proof("GET", NOTES, Some(&token), stage.clock.now());
        let answer = call(&stage, "DPoP", &token, &[&proof]).await;
        assert_eq!(answer.status, 200, "{:?}", answer.body);
    }
}

#[tokio::test]
async fn c11_a_bound_token_is_no_bearer_token_and_a_bearer_token_is_not_bound() {
    let stage = Stage::with(without_nonces);
    let prover = Prover::new();
    let token = bound(&stage, &prover);
    let proof = prover.proof("GET", NOTES, Some(&token), stage.clock.now());
    for proofs in [&[][..], &[proof.as_str()]] {
        let answer = call(&stage, "Bearer", &token, proofs).await;
        assert_eq!(
            (answer.status.as_u16(), answer.header("www-authenticate")),
            (401, Some(r#"Bearer error="invalid_token""#))
        );
    }
    let plain = stage.token("reader", "notes:read");
    let proof = prover.proof("GET", NOTES, Some(&plain), stage.clock.now());
    let answer = call(&stage, "DPoP", &plain, &[&proof]).await;
    assert_eq!(
        (answer.status.as_u16(), answer.header("www-authenticate")),
        (401, Some(challenge("invalid_token").as_str()))
    );
}

#[tokio::test]
async fn b19_a_proof_that_does_not_fit_the_request_is_401_invalid_dpop_proof() {
    let stage = Stage::with(without_nonces);
    let prover = Prover::new();
    let token = bound(&stage, &prover);
    let now = stage.clock.now();
    let claims = prover.claims("GET", NOTES, Some(&token), now);
    let other = stage.token("reader", "notes:write");
    let mut without_ath = claims.clone();
    without_ath.as_object_mut().expect("an object").remove("ath");
    let signed = |claims: &Value| prover.sign(claims);
    let good = signed(&claims);
    for (what, proofs) in [
        ("none", vec![]),
        ("two", vec![good.clone(), good.clone()]),
        ("for a token request", vec![signed(&without_ath)]),
        ("for another token", vec![prover.proof("GET", NOTES, Some(&other), now)]),
        ("for another method", vec![prover.proof("POST", NOTES, Some(&token), now)]),
        ("for another path", vec![prover.proof("GET", &format!("{NOTES}/1"), Some(&token), now)]),
        ("for another host", vec![prover.proof("GET", "https://other.example/demo/notes", Some(&token), now)]),
        ("old", vec![signed(&with(&claims, "iat", json!(now.as_secs() - 61)))]),
    ] {
        let proofs: Vec<&str> = proofs.iter().map(String::as_str).collect();
        let answer = call(&stage, "DPoP", &token, &proofs).await;
        let said = (answer.status.as_u16(), answer.header("www-authenticate"));
        assert_eq!(said, (401, Some(challenge("invalid_dpop_proof").as_str())), "{what}");
    }
    let thief = Prover::new().proof("GET", NOTES, Some(&token), now);
    let answer = call(&stage, "DPoP", &token, &[&thief]).await;
    assert_eq!(answer.header("www-authenticate"), Some(challenge("invalid_token").as_str()), "another's key");
    assert_eq!(call(&stage, "DPoP", &token, &[&good]).await.status, 200);
    let again = call(&stage, "DPoP", &token, &[&good]).await;
    assert_eq!(again.header("www-authenticate"), Some(challenge("invalid_dpop_proof").as_str()), "used before");
    let reasons: Vec<_> = stage.folded().into_iter().map(|e| e.reason.expect("a reason").to_string()).collect();
    assert!(reasons.iter().all(|r| r == "invalid_dpop_proof" || r == "invalid_token"), "{reasons:?}");
}

#[tokio::test]
async fn b20_without_a_nonce_the_answer_is_401_use_dpop_nonce_and_the_nonce() {
    let stage = Stage::new();
    let prover = Prover::new();
    let token = bound(&stage, &prover);
    let fresh = || prover.claims("GET", NOTES, Some(&token), stage.clock.now());
    let answer = call(&stage, "DPoP", &token, &[&prover.sign(&fresh())]).await;
    assert_eq!(
        (answer.status.as_u16(), answer.header("www-authenticate")),
        (401, Some(challenge("use_dpop_nonce").as_str()))
    );
    let nonce = answer.header("dpop-nonce").expect("a nonce").to_owned();
    let proof = || prover.sign(&with(&fresh(), "nonce", json!(nonce)));
    let passed = call(&stage, "DPoP", &token, &[&proof()]).await;
    assert_eq!((passed.status.as_u16(), passed.header("dpop-nonce")), (200, None));
    stage.clock.advance(Duration::from_secs(301));
    let aging = call(&stage, "DPoP", &token, &[&proof()]).await;
    assert_eq!(aging.status, 200);
    assert!(aging.header("dpop-nonce").is_some_and(|next| next != nonce), "the next one comes along");
}

#[tokio::test]
async fn what_cannot_be_remembered_is_refused() {
    let stage = Stage::with(|builder| builder.proofs(Arc::new(Proofs::new(None).remembering(16))));
    let prover = Prover::new();
    let token = bound(&stage, &prover);
    let mut refused = 0;
    for _ in 0..40 {
        let answer =
            call(&stage, "DPoP", &token, &[&prover.proof("GET", NOTES, Some(&token), stage.clock.now())]).await;
        match answer.status.as_u16() {
            200 => {}
            503 => refused += 1,
            other => panic!("{other}"),
        }
    }
    assert!((24..40).contains(&refused), "{refused} of 40 with room for 16");
}

#[tokio::test]
async fn behind_nginx_the_proof_is_for_the_guarded_api() {
    let stage = Stage::new();
    let prover = Prover::new();
    let token = bound(&stage, &prover);
    let ask = |proof: String| {
        let request = request("GET", "/enforce/nginx", &[&format!("DPoP {token}")], PROXY)
            .header("x-original-method", "GET")
            .header("x-original-uri", "/demo/notes?limit=1")
            .header("dpop", proof);
        stage.send(request.body(Body::empty()).expect("a request"))
    };
    let claims = || prover.claims("GET", NOTES, Some(&token), stage.clock.now());
    let answer = ask(prover.sign(&claims())).await;
    assert_eq!(
        (answer.status.as_u16(), answer.header("www-authenticate")),
        (401, Some(challenge("use_dpop_nonce").as_str()))
    );
    let nonce = answer.header("dpop-nonce").expect("a nonce").to_owned();
    assert_eq!(ask(prover.sign(&with(&claims(), "nonce", json!(nonce)))).await.status, 200);
}

#[tokio::test]
async fn an_api_whose_audience_is_no_place_says_where_it_is() {
    let stage =
        Stage::with(|builder| without_nonces(builder).audience("urn:api:notes").origin("https://notes.example"));
    let prover = Prover::new();
    let claims = with(&stage.claims("reader", "notes:read"), "aud", json!("urn:api:notes"));
    let token = stage.signed(&with(&claims, "cnf", json!({ "jkt": prover.jkt() })));
    for (uri, status) in [("https://notes.example/demo/notes", 200), (NOTES, 401), (API, 401)] {
        let proof = prover.proof("GET", uri, Some(&token), stage.clock.now());
        assert_eq!(call(&stage, "DPoP", &token, &[&proof]).await.status.as_u16(), status, "{uri}");
    }
}
