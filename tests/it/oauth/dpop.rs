//! B19, B20: proofs at the token endpoint (RFC 9449).

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use http::{Request, header};
use serde_json::{Value, json};
use stockade::base::{Clock as _, ManualClock};
use stockade::model::Client;

use super::fence::{API, Answer, Fence, ISSUER, OPAQUE, START, Wish, basic, secret, wish};
use crate::crypto::forge::{Key, hs256, unsigned, with, without};
use crate::support::dpop::Prover;
use crate::support::stores;

const TOKEN: &str = "https://issuer.example/oauth/token";

async fn ask(fence: &Fence, client: &str, proofs: &[&str], more: &str) -> Answer {
    let mut request = Request::post("/oauth/token")
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .header(header::AUTHORIZATION, basic(client, &secret(client)));
    for proof in proofs {
        request = request.header("dpop", *proof);
    }
    fence.send(request.body(Body::from(format!("grant_type=client_credentials{more}"))).unwrap()).await
}

fn claims(token: &Value) -> Value {
    let payload = token.as_str().unwrap().split('.').nth(1).unwrap();
    serde_json::from_slice(&stockade::crypto::b64url::decode_strict(payload).unwrap()).unwrap()
}

#[tokio::test]
async fn b19_a_proven_key_is_what_the_token_is_bound_to() {
    let fence = Fence::new().await;
    for (prover, resource) in [(Prover::new(), API), (Prover::with(Key::ed25519()), API), (Prover::new(), OPAQUE)] {
        let proof = prover.proof("POST", TOKEN, None, fence.clock.now());
        let answer = ask(&fence, "app", &[&proof], &format!("&resource={resource}")).await;
        let body = answer.json();
        assert_eq!((answer.status.as_u16(), &body["token_type"]), (200, &json!("DPoP")), "{body}");
        if resource == API {
            assert_eq!(claims(&body["access_token"])["cnf"], json!({ "jkt": prover.jkt() }));
        }
        let said = fence.introspect("app", body["access_token"].as_str().unwrap()).await;
        assert_eq!((&said["token_type"], &said["cnf"]["jkt"]), (&json!("DPoP"), &json!(prover.jkt())), "{said}");
    }
    let plain = ask(&fence, "app", &[], "").await.json();
    assert_eq!((&plain["token_type"], claims(&plain["access_token"]).get("cnf")), (&json!("Bearer"), None));
}

#[tokio::test]
async fn b19_a_client_that_must_prove_a_key_gets_nothing_without() {
    let fence = Fence::new().await;
    fence.add(Client { dpop_bound: true, ..fence.secret_client("bound") }).await;
    assert_eq!(ask(&fence, "bound", &[], "").await.error(), (400, "invalid_dpop_proof".to_owned()));
    let proof = Prover::new().proof("POST", TOKEN, None, fence.clock.now());
    assert_eq!(ask(&fence, "bound", &[&proof], "").await.status, 200);
}

#[tokio::test]
async fn b19_a_proof_that_is_not_right_in_every_part_is_400_invalid_dpop_proof() {
    let fence = Fence::new().await;
    let prover = Prover::new();
    let now = fence.clock.now();
    let (header, claims) = (prover.header(), prover.claims("POST", TOKEN, None, now));
    let jwt = |header: &Value, claims: &Value| prover.key.jwt(header, claims);
    let mut private = prover.jwk();
    private["d"] = json!("AQ");
    let rsa_1024 = json!({ "kty": "RSA", "n": stockade::crypto::b64url::encode(&[0xff; 128]), "e": "AQAB" });
    let p384 = Prover::with(Key::p384());
    let public = serde_json::to_vec(&prover.jwk()).unwrap();
    let at = |secs: i64| with(&claims, "iat", json!(now.as_secs() + secs));
    let good = jwt(&header, &claims);
    let bad = [
        ("empty", String::new()),
        ("no JWS", "a.b.c".to_owned()),
        ("cut", good.get(..good.len() - 4).unwrap().to_owned()),
        ("typ", jwt(&with(&header, "typ", json!("JWT")), &claims)),
        ("no typ", jwt(&without(&header, "typ"), &claims)),
        ("alg of another kind", jwt(&with(&header, "alg", json!("EdDSA")), &claims)),
        ("alg in another spelling", jwt(&with(&header, "alg", json!("es256")), &claims)),
        ("alg none", unsigned(&with(&header, "alg", json!("none")), &claims)),
        ("HMAC with the public key", hs256(&public, &with(&header, "alg", json!("HS256")), &claims)),
        ("no key", jwt(&without(&header, "jwk"), &claims)),
        ("a private key", jwt(&with(&header, "jwk", private), &claims)),
        ("a symmetric key", jwt(&with(&header, "jwk", json!({ "kty": "oct", "k": "AQ" })), &claims)),
        ("a weak key", jwt(&with(&header, "jwk", rsa_1024), &claims)),
        ("another's key", jwt(&with(&header, "jwk", Prover::new().jwk()), &claims)),
        ("P-384", p384.sign(&p384.claims("POST", TOKEN, None, now))),
        ("crit", jwt(&with(&header, "crit", json!(["x"])), &claims)),
        (
            "kid and jku in place of jwk",
            jwt(&with(&without(&header, "jwk"), "jku", json!("https://x.example")), &claims),
        ),
        ("no jti", jwt(&header, &without(&claims, "jti"))),
        ("an empty jti", jwt(&header, &with(&claims, "jti", json!("")))),
        ("a long jti", jwt(&header, &with(&claims, "jti", json!("x".repeat(257))))),
        ("jti a number", jwt(&header, &with(&claims, "jti", json!(1)))),
        ("htm", jwt(&header, &with(&claims, "htm", json!("GET")))),
        ("htm in lower case", jwt(&header, &with(&claims, "htm", json!("post")))),
        ("no htm", jwt(&header, &without(&claims, "htm"))),
        ("htu", jwt(&header, &with(&claims, "htu", json!("https://issuer.example/oauth/revoke")))),
        ("htu of another host", jwt(&header, &with(&claims, "htu", json!("https://other.example/oauth/token")))),
        ("htu without a host", jwt(&header, &with(&claims, "htu", json!("/oauth/token")))),
        ("htu over http", jwt(&header, &with(&claims, "htu", json!("http://issuer.example/oauth/token")))),
        ("no htu", jwt(&header, &without(&claims, "htu"))),
        ("no iat", jwt(&header, &without(&claims, "iat"))),
        ("iat as text", jwt(&header, &with(&claims, "iat", json!(now.as_secs().to_string())))),
        ("old", jwt(&header, &at(-61))),
        ("early", jwt(&header, &at(61))),
        ("ath of the wrong type", jwt(&header, &with(&claims, "ath", json!(1)))),
        ("nonce of the wrong type", jwt(&header, &with(&claims, "nonce", json!(["x"])))),
        ("too long", jwt(&with(&header, "x", json!("x".repeat(8192))), &claims)),
    ];
    for (what, proof) in &bad {
        let answer = ask(&fence, "app", &[proof], "").await;
        assert_eq!(answer.error(), (400, "invalid_dpop_proof".to_owned()), "{what}: {answer:?}");
    }
    assert_eq!(ask(&fence, "app", &[&good, &good], "").await.error().1, "invalid_dpop_proof", "two headers");
    assert_eq!(ask(&fence, "app", &[&good], "").await.status, 200, "and the one that all of them were made of is good");
}

#[tokio::test]
async fn b19_b20_a_clock_within_a_minute_passes_and_so_does_any_spelling_of_the_uri() {
    let fence = Fence::new().await;
    let prover = Prover::new();
    for secs in [-60, -10, 10, 60] {
        let claims = prover.claims("POST", TOKEN, None, fence.clock.now());
        let claims = with(&claims, "iat", json!(fence.clock.now().as_secs() + secs));
        assert_eq!(ask(&fence, "app", &[&prover.sign(&claims)], "").await.status, 200, "{secs}");
    }
    for uri in [
        "https://ISSUER.example:443/oauth/token",
        "https://issuer.example/oauth/token?a=b#c",
        "https://issuer.example/oauth/%74oken",
    ] {
        let proof = prover.proof("POST", uri, None, fence.clock.now());
        assert_eq!(ask(&fence, "app", &[&proof], "").await.status, 200, "{uri}");
    }
}

#[tokio::test]
async fn b19_a_proof_counts_once_in_whichever_process() {
    for store in stores::stores().await {
        let name = store.name;
        let fence = Fence::on(store, Arc::new(ManualClock::at(START)), wish()).await;
        fence.add(fence.secret_client("app")).await;
        let prover = Prover::new();
        let proof = prover.proof("POST", TOKEN, None, fence.clock.now());
        let once = [proof.as_str()];
        let tries = (0..20).map(|_| ask(&fence, "app", &once, ""));
        let answers = futures_util::future::join_all(tries).await;
        assert_eq!(answers.iter().filter(|a| a.status == 200).count(), 1, "{name}");
        assert!(answers.iter().filter(|a| a.status != 200).all(|a| a.error().1 == "invalid_dpop_proof"), "{name}");
        // The same id of another key is another proof; and when it is forgotten it is too old.
        let other = Prover::new().proof("POST", TOKEN, None, fence.clock.now());
        assert_eq!(ask(&fence, "app", &[&other], "").await.status, 200, "{name}");
        fence.clock.advance(Duration::from_secs(61));
        assert_eq!(ask(&fence, "app", &[&proof], "").await.error().1, "invalid_dpop_proof", "{name}");
    }
}

#[tokio::test]
async fn b20_without_a_nonce_the_answer_is_use_dpop_nonce_and_the_nonce() {
    let fence = Fence::with(Wish { nonces: true, ..wish() }).await;
    let prover = Prover::new();
    let fresh = |nonce: &str| {
        let claims = prover.claims("POST", TOKEN, None, fence.clock.now());
        prover.sign(&if nonce.is_empty() { claims } else { with(&claims, "nonce", json!(nonce)) })
    };
    let asked = ask(&fence, "app", &[&fresh("")], "").await;
    assert_eq!(asked.error(), (400, "use_dpop_nonce".to_owned()));
    let nonce = asked.header("dpop-nonce").unwrap().to_owned();
    for wrong in ["nonsense", nonce.get(1..).unwrap()] {
        let again = ask(&fence, "app", &[&fresh(wrong)], "").await;
        assert_eq!((again.error().1.as_str(), again.header("dpop-nonce")), ("use_dpop_nonce", Some(nonce.as_str())));
    }
    let good = ask(&fence, "app", &[&fresh(&nonce)], "").await;
    assert_eq!((good.status.as_u16(), good.header("dpop-nonce")), (200, None), "as long as it is fresh");
    assert_eq!(ask(&fence, "app", &[], "").await.status, 200, "who proves nothing needs no nonce");
    // It grows old: first the next one comes along, then it is worth nothing.
    fence.clock.advance(Duration::from_secs(300));
    let aging = ask(&fence, "app", &[&fresh(&nonce)], "").await;
    assert_eq!(aging.status, 200);
    let next = aging.header("dpop-nonce").unwrap().to_owned();
    assert_ne!(next, nonce);
    fence.clock.advance(Duration::from_secs(300));
    assert_eq!(ask(&fence, "app", &[&fresh(&nonce)], "").await.error().1, "use_dpop_nonce");
    assert_eq!(ask(&fence, "app", &[&fresh(&next)], "").await.status, 200);
}

#[tokio::test]
async fn a_key_is_asked_for_only_after_the_client_is_known() {
    let fence = Fence::new().await;
    let request = Request::post("/oauth/token")
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .header(header::AUTHORIZATION, basic("app", "wrong"))
        .header("dpop", "nonsense");
    let answer = fence.send(request.body(Body::from("grant_type=client_credentials")).unwrap()).await;
    assert_eq!(answer.error(), (401, "invalid_client".to_owned()));
    for path in ["/.well-known/oauth-authorization-server", "/.well-known/oauth-protected-resource"] {
        let said = fence.get(path).await.json();
        assert_eq!(said["dpop_signing_alg_values_supported"], json!(["ES256", "EdDSA", "Ed25519", "RS256"]), "{path}");
        assert!(said.to_string().contains(ISSUER));
    }
}
