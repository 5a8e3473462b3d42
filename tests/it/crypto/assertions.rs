//! Client assertions (RFC 7523 3).

use std::time::Duration;

use serde_json::{Value, json};
use stockade::base::Timestamp;
use stockade::crypto::assertion::{self, ClientKeys};
use stockade::crypto::verify::TokenError;

use super::forge::{self, Key, with, without};

const ISSUER: &str = "https://issuer.example";
const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

fn header() -> Value {
    json!({"alg": "ES256", "kid": "c1"})
}

fn claims() -> Value {
    json!({
        "iss": "app", "sub": "app", "aud": ISSUER, "jti": "once", "iat": NOW.as_secs(), "exp": NOW.as_secs() + 60,
    })
}

fn refused(changes: impl IntoIterator<Item = (Value, Value)>, why: TokenError) {
    let key = Key::p256();
    let keys = ClientKeys::parse(&key.jwks("c1")).unwrap();
    keys.verify(&key.jwt(&header(), &claims()), ISSUER, "app", NOW).unwrap();
    for (header, claims) in changes {
        let error =
            keys.verify(&key.jwt(&header, &claims), ISSUER, "app", NOW).expect_err(&format!("{header} {claims}"));
        assert_eq!(error, why, "{header} {claims}");
    }
}

#[test]
fn an_assertion_gives_its_id_and_its_end() {
    let key = Key::ed25519();
    for typ in [None, Some("JWT"), Some("client-authentication+jwt"), Some("application/JWT")] {
        let mut header = json!({"alg": "EdDSA"});
        if let Some(typ) = typ {
            header["typ"] = json!(typ);
        }
        let said = assertion::verify(&key.jwks("c1"), &key.jwt(&header, &claims()), ISSUER, "app", NOW).unwrap();
        assert_eq!((said.jti.as_str(), said.exp), ("once", NOW.plus(Duration::from_secs(60))), "{typ:?}");
    }
}

#[test]
fn b16_the_audience_is_the_issuer_as_one_string() {
    let others = ["https://issuer.example/oauth/token", "https://issuer.example/", "issuer.example", ""];
    refused(others.map(|aud| (header(), with(&claims(), "aud", json!(aud)))), TokenError::WrongIssuer);
    let mistyped = [json!([ISSUER]), json!([ISSUER, "https://other.example"]), json!(null), json!(1), json!({})];
    refused(mistyped.map(|aud| (header(), with(&claims(), "aud", aud))), TokenError::BadClaims);
    refused([(header(), without(&claims(), "aud"))], TokenError::BadClaims);
}

#[test]
fn b16_issuer_and_subject_are_the_client() {
    for claim in ["iss", "sub"] {
        refused(["other", "", "APP"].map(|id| (header(), with(&claims(), claim, json!(id)))), TokenError::WrongIssuer);
        refused([(header(), without(&claims(), claim))], TokenError::BadClaims);
    }
}

#[test]
fn b16_it_must_end_and_soon() {
    let now = NOW.as_secs();
    refused([(header(), without(&claims(), "exp"))], TokenError::BadClaims);
    refused([now + 311, now + 86_400].map(|t| (header(), with(&claims(), "exp", json!(t)))), TokenError::BadClaims);
    refused([now, now - 1].map(|t| (header(), with(&claims(), "exp", json!(t)))), TokenError::Expired);
    for claim in ["iat", "nbf"] {
        refused([(header(), with(&claims(), claim, json!(now + 11)))], TokenError::NotYetValid);
    }
}

#[test]
fn b16_it_must_have_an_id() {
    refused([(header(), without(&claims(), "jti"))], TokenError::BadClaims);
    let odd = [json!(""), json!(1), json!(null), json!("x".repeat(257))];
    refused(odd.map(|jti| (header(), with(&claims(), "jti", jti))), TokenError::BadClaims);
}

#[test]
fn b18_dates_of_the_wrong_type_fail_closed() {
    for claim in ["exp", "iat", "nbf"] {
        let odd = [json!("1800000060"), json!(null), json!(true), json!([1_800_000_060]), json!(1e300)];
        refused(odd.map(|value| (header(), with(&claims(), claim, value))), TokenError::BadClaims);
    }
}

#[test]
fn b17_the_algorithm_is_the_keys_and_other_kinds_of_tokens_do_not_count() {
    let algs = ["none", "HS256", "EdDSA", "RS256", "ES384"];
    refused(algs.map(|alg| (with(&header(), "alg", json!(alg)), claims())), TokenError::WrongAlgorithm);
    let kinds = ["at+jwt", "dpop+jwt", "logout+jwt", ""];
    refused(kinds.map(|typ| (with(&header(), "typ", json!(typ)), claims())), TokenError::WrongType);
    refused([(with(&header(), "crit", json!(["exp"])), claims())], TokenError::Critical);
    refused([(with(&header(), "kid", json!("c2")), claims())], TokenError::UnknownKey);
}

#[test]
fn b17_keys_in_the_header_and_hmac_under_the_public_key_do_not_count() {
    let (ours, theirs) = (Key::p256(), Key::p256());
    let keys = ClientKeys::parse(&ours.jwks("c1")).unwrap();
    let smuggled = with(&header(), "jwk", theirs.jwk("c1"));
    let error = keys.verify(&theirs.jwt(&smuggled, &claims()), ISSUER, "app", NOW).unwrap_err();
    assert_eq!(error, TokenError::BadSignature);
    for secret in ours.public_spellings("c1") {
        for header in [with(&header(), "alg", json!("HS256")), header()] {
            assert!(keys.verify(&forge::hs256(&secret, &header, &claims()), ISSUER, "app", NOW).is_err());
        }
    }
}

#[test]
fn b17_es256_with_a_key_on_another_curve_does_not_count() {
    let (p256, p384) = (Key::p256(), Key::p384());
    let mut disguised = p384.jwk("c1");
    disguised["crv"] = json!("P-256");
    assert!(ClientKeys::parse(&json!({"keys": [disguised]})).is_err());
    assert!(ClientKeys::parse(&p384.jwks("c1")).is_err(), "no usable key");
    let both = json!({"keys": [p384.jwk("c1"), p256.jwk("c2")]});
    let error = ClientKeys::parse(&both).unwrap().verify(&p384.jwt(&header(), &claims()), ISSUER, "app", NOW);
    assert_eq!(error.unwrap_err(), TokenError::UnknownKey);
}

#[test]
fn without_a_kid_each_key_of_the_algorithm_is_tried() {
    let (old, new) = (Key::p256(), Key::p256());
    let keys = ClientKeys::parse(&json!({"keys": [new.jwk("c2"), old.jwk("c1")]})).unwrap();
    let unnamed = without(&header(), "kid");
    keys.verify(&old.jwt(&unnamed, &claims()), ISSUER, "app", NOW).unwrap();
    let stranger = Key::p256().jwt(&unnamed, &claims());
    assert_eq!(keys.verify(&stranger, ISSUER, "app", NOW).unwrap_err(), TokenError::BadSignature);
}
