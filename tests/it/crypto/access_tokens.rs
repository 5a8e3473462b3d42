//! Access tokens that others made: the header rules of RFC 8725, the claims of RFC 9068.

use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use serde_json::{Value, json};
use stockade::base::Timestamp;
use stockade::crypto::jwk;
use stockade::crypto::verify::{TokenError, Verifier};

use super::forge::{self, Key, with, without};

const ISSUER: &str = "https://issuer.example";
const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

fn header() -> Value {
    json!({"alg": "ES256", "typ": "at+jwt", "kid": "k1"})
}

fn claims() -> Value {
    json!({
        "iss": ISSUER, "sub": "app", "client_id": "app", "aud": "https://api.example", "jti": "at_1",
        "iat": NOW.as_secs() - 10, "exp": NOW.as_secs() + 300, "scope": "notes:read notes:write",
    })
}

fn verifier(key: &Key) -> Verifier {
    Verifier::from_jwks(ISSUER, &key.jwks("k1")).unwrap()
}

/// Refused for the reason given; so that nothing else can be the reason, the unchanged token is accepted first.
fn refused(changes: impl IntoIterator<Item = (Value, Value)>, why: TokenError) {
    let key = Key::p256();
    let verifier = verifier(&key);
    verifier.verify(&key.jwt(&header(), &claims()), NOW).unwrap();
    for (header, claims) in changes {
        let error = verifier.verify(&key.jwt(&header, &claims), NOW).expect_err(&format!("{header} {claims}"));
        assert_eq!(error, why, "{header} {claims}");
    }
}

#[test]
fn a_token_says_what_its_claims_say() {
    let key = Key::p256();
    let token = verifier(&key).verify(&key.jwt(&header(), &claims()), NOW).unwrap();
    assert_eq!((token.jti.as_str(), token.sub.as_str(), token.client_id.as_str()), ("at_1", "app", "app"));
    assert_eq!(token.aud, ["https://api.example"]);
    assert_eq!(token.scopes().collect::<Vec<_>>(), ["notes:read", "notes:write"]);
    assert_eq!(token.exp, NOW.plus(Duration::from_secs(300)));
    let many = with(&without(&claims(), "scope"), "aud", json!(["https://a.example", "https://b.example"]));
    let token = verifier(&key).verify(&key.jwt(&header(), &many), NOW).unwrap();
    assert_eq!((token.aud.len(), token.scope.as_str()), (2, ""));
}

#[test]
fn b17_alg_none_is_refused_in_every_spelling() {
    let key = Key::p256();
    let verifier = verifier(&key);
    for alg in ["none", "None", "NONE", "nOnE", ""] {
        let token = forge::unsigned(&with(&header(), "alg", json!(alg)), &claims());
        assert_eq!(verifier.verify(&token, NOW).unwrap_err(), TokenError::WrongAlgorithm, "{alg}");
        let signed = key.jwt(&with(&header(), "alg", json!(alg)), &claims());
        assert_eq!(verifier.verify(&signed, NOW).unwrap_err(), TokenError::WrongAlgorithm, "{alg}");
    }
    assert_eq!(verifier.verify(&forge::unsigned(&header(), &claims()), NOW).unwrap_err(), TokenError::BadSignature);
}

#[test]
fn b17_the_public_key_is_no_hmac_secret() {
    for key in [Key::p256(), Key::ed25519()] {
        let verifier = verifier(&key);
        for secret in key.public_spellings("k1") {
            for alg in ["HS256", "ES256", "EdDSA"] {
                let token = forge::hs256(&secret, &with(&header(), "alg", json!(alg)), &claims());
                assert!(verifier.verify(&token, NOW).is_err(), "{alg}");
            }
        }
    }
}

#[test]
fn b17_the_algorithm_is_the_keys() {
    let algs = ["EdDSA", "RS256", "ES384", "es256", "ES256K", "HS256", "PS256"];
    refused(algs.map(|alg| (with(&header(), "alg", json!(alg)), claims())), TokenError::WrongAlgorithm);
}

#[test]
fn b17_a_key_in_the_header_has_no_effect() {
    let (ours, theirs) = (Key::p256(), Key::p256());
    let verifier = verifier(&ours);
    let decoys = [
        ("jwk", theirs.jwk("k1")),
        ("jku", json!("https://attacker.example/jwks.json")),
        ("x5u", json!("https://attacker.example/cert.pem")),
        ("x5c", json!(["MIIB"])),
        ("x5t", json!("AAAA")),
    ];
    for (member, value) in decoys {
        let header = with(&header(), member, value);
        let error = verifier.verify(&theirs.jwt(&header, &claims()), NOW).unwrap_err();
        assert_eq!(error, TokenError::BadSignature, "{member}");
        verifier.verify(&ours.jwt(&header, &claims()), NOW).unwrap();
    }
}

#[test]
fn b17_critical_extensions_are_refused() {
    let crits = [json!(["b64"]), json!(["exp"]), json!([]), json!("b64"), json!(null)];
    refused(
        crits.map(|crit| (with(&with(&header(), "crit", crit), "b64", json!(true)), claims())),
        TokenError::Critical,
    );
}

#[test]
fn b17_a_token_must_name_a_known_key() {
    let headers = [without(&header(), "kid"), with(&header(), "kid", json!("k2")), with(&header(), "kid", json!(""))];
    refused(headers.map(|header| (header, claims())), TokenError::UnknownKey);
    let odd = [json!(1), json!(null), json!(["k1"]), json!({"k1": 1})];
    refused(odd.map(|kid| (with(&header(), "kid", kid), claims())), TokenError::Malformed);
}

#[test]
fn c10_other_kinds_of_tokens_are_not_access_tokens() {
    let kinds = ["JWT", "logout+jwt", "dpop+jwt", "client-authentication+jwt", "id+jwt", "application/jwt", ""];
    refused(kinds.map(|typ| (with(&header(), "typ", json!(typ)), claims())), TokenError::WrongType);
    refused([(without(&header(), "typ"), claims())], TokenError::WrongType);
}

#[test]
fn b18_dates_of_the_wrong_type_fail_closed() {
    let odd = || {
        let far = NOW.as_secs() + 300;
        [
            json!(far.to_string()),
            json!(null),
            json!(true),
            json!([far]),
            json!({"n": far}),
            json!(""),
            json!(-1),
            json!(1e300),
            json!(i64::MAX),
            json!(u64::MAX),
            json!(99_999_999_999_999_i64),
        ]
    };
    for claim in ["exp", "iat", "nbf"] {
        refused(odd().map(|value| (header(), with(&claims(), claim, value))), TokenError::BadClaims);
    }
}

#[test]
fn b18_missing_and_mistyped_claims_fail_closed() {
    for claim in ["iss", "sub", "aud", "client_id", "iat", "exp", "jti"] {
        refused([(header(), without(&claims(), claim))], TokenError::BadClaims);
        refused(
            [json!(1), json!(null), json!({}), json!(false)]
                .map(|v| (header(), with(&claims(), claim, v)))
                .into_iter()
                .filter(|(_, c)| !(c[claim].is_number() && ["iat", "exp"].contains(&claim))),
            TokenError::BadClaims,
        );
    }
    for claim in ["sub", "client_id", "jti"] {
        refused([(header(), with(&claims(), claim, json!("")))], TokenError::BadClaims);
    }
    let audiences = [json!([]), json!([1]), json!(vec!["a"; 17])];
    refused(audiences.map(|aud| (header(), with(&claims(), "aud", aud))), TokenError::BadClaims);
    refused(
        [json!(["a"]), json!(1), json!(null)].map(|s| (header(), with(&claims(), "scope", s))),
        TokenError::BadClaims,
    );
}

#[test]
fn b18_expired_and_future_tokens_are_refused() {
    let now = NOW.as_secs();
    refused([now, now - 1, 0].map(|t| (header(), with(&claims(), "exp", json!(t)))), TokenError::Expired);
    for claim in ["iat", "nbf"] {
        refused(
            [now + 11, now + 86_400].map(|t| (header(), with(&claims(), claim, json!(t)))),
            TokenError::NotYetValid,
        );
    }
    let key = Key::p256();
    let skewed = with(&claims(), "iat", json!(now + 9));
    verifier(&key).verify(&key.jwt(&header(), &skewed), NOW).unwrap();
}

#[test]
fn c13_the_issuer_is_compared_byte_for_byte() {
    let issuers = ["https://issuer.example/", "https://ISSUER.example", "http://issuer.example", ""];
    refused(issuers.map(|iss| (header(), with(&claims(), "iss", json!(iss)))), TokenError::WrongIssuer);
}

#[test]
fn repeated_claims_and_payloads_that_are_no_object_are_refused() {
    let key = Key::p256();
    let verifier = verifier(&key);
    let twice = claims().to_string().replacen('{', r#"{"exp":99999999999,"#, 1);
    let in_order = json!([ISSUER, "app", "aud", "app", NOW.as_secs(), NOW.as_secs() + 300, NOW.as_secs(), "at_1", ""]);
    let deep = format!("{}{}", "[".repeat(4000), "]".repeat(4000));
    let nested = claims().to_string().replace(r#""https://api.example""#, &deep);
    for payload in [twice, in_order.to_string(), deep, nested, "null".to_owned(), String::new(), "{".to_owned()] {
        let error = verifier.verify(&key.jws(&header().to_string(), &payload), NOW).unwrap_err();
        assert_eq!(error, TokenError::BadClaims, "{}", payload.get(..60).unwrap_or(&payload));
    }
}

#[test]
fn signatures_of_zeros_and_of_the_wrong_length_are_refused() {
    let key = Key::p256();
    let verifier = verifier(&key);
    let token = key.jwt(&header(), &claims());
    let (message, _) = token.rsplit_once('.').unwrap();
    for signature in [vec![0; 64], vec![0; 63], vec![0; 65], vec![0xff; 64], Vec::new()] {
        let forged = format!("{message}.{}", stockade::crypto::b64url::encode(&signature));
        assert_eq!(verifier.verify(&forged, NOW).unwrap_err(), TokenError::BadSignature);
    }
}

#[test]
fn a_remembered_token_still_expires() {
    let key = Key::p256();
    let verifier = verifier(&key);
    let token = key.jwt(&header(), &claims());
    let first = verifier.verify(&token, NOW).unwrap();
    let second = verifier.verify(&token, NOW).unwrap();
    assert!(Arc::ptr_eq(&first, &second), "the second time it is remembered");
    let later = NOW.plus(Duration::from_secs(300));
    assert_eq!(verifier.verify(&token, later).unwrap_err(), TokenError::Expired);
    assert_eq!(verifier.verify(&token, later).unwrap_err(), TokenError::Expired);
}

#[test]
fn a_remembered_token_dies_with_its_key_and_survives_an_unchanged_set() {
    let (old, new) = (Key::p256(), Key::ed25519());
    let verifier = verifier(&old);
    let token = old.jwt(&header(), &claims());
    let first = verifier.verify(&token, NOW).unwrap();
    verifier.set_jwks(&old.jwks("k1")).unwrap();
    assert!(Arc::ptr_eq(&first, &verifier.verify(&token, NOW).unwrap()), "the same keys forget nothing");
    assert!(verifier.set_jwks(&json!({"keys": []})).is_err());
    verifier.verify(&token, NOW).unwrap();
    verifier.set_keys(jwk::read_set(&new.jwks("k1")).unwrap().into_iter().map(Arc::new).collect());
    assert_eq!(verifier.verify(&token, NOW).unwrap_err(), TokenError::WrongAlgorithm);
    verifier.set_keys(Vec::new());
    assert_eq!(verifier.verify(&token, NOW).unwrap_err(), TokenError::UnknownKey);
}

fn json_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "\\PC{0,12}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::hash_map("[a-z]{1,3}", inner, 0..4)
                .prop_map(|m| Value::Object(m.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn one_changed_character_is_refused(at in any::<prop::sample::Index>(), to in "[A-Za-z0-9_.=-]") {
        let key = Key::ed25519();
        let verifier = verifier(&key);
        let token = key.jwt(&with(&header(), "alg", json!("EdDSA")), &claims());
        prop_assert!(verifier.verify(&token, NOW).is_ok());
        let at = at.index(token.len());
        let mut changed = token.clone();
        changed.replace_range(at..=at, &to);
        if changed != token {
            prop_assert!(verifier.verify(&changed, NOW).is_err(), "{changed}");
        }
    }

    #[test]
    fn any_claim_of_any_type_is_taken_as_it_is_or_refused(
        claim in prop::sample::select(vec!["iss", "sub", "aud", "client_id", "iat", "exp", "nbf", "jti", "scope"]),
        value in json_value(),
    ) {
        let key = Key::ed25519();
        let token = key.jwt(&with(&header(), "alg", json!("EdDSA")), &with(&claims(), claim, value.clone()));
        if let Ok(token) = verifier(&key).verify(&token, NOW) {
            prop_assert!(token.exp > NOW);
            let kind = match claim {
                "iat" | "exp" | "nbf" => value.is_number(),
                "aud" => value.is_string() || value.is_array(),
                _ => value.is_string(),
            };
            prop_assert!(kind, "{claim} = {value} was accepted");
        }
    }

    #[test]
    fn arbitrary_text_is_refused(text in "\\PC{0,200}", dotted in "[A-Za-z0-9_-]{0,40}(\\.[A-Za-z0-9_-]{0,40}){2}") {
        let verifier = verifier(&Key::ed25519());
        prop_assert!(verifier.verify(&text, NOW).is_err());
        prop_assert!(verifier.verify(&dotted, NOW).is_err());
    }
}
