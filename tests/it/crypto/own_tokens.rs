//! Our own tokens, through the key ring, as a resource server sees them.

use std::time::Duration;

use stockade::base::{Secret, SystemRng, Timestamp};
use stockade::crypto::keyring::KeyRing;
use stockade::crypto::seal::Sealer;
use stockade::crypto::verify::{AccessClaims, PersonClaims, TokenError, Verifier};
use stockade::crypto::{b64url, jws, keys};
use stockade::model::Algorithm;

const ISSUER: &str = "https://issuer.example";
const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

fn sealer() -> Sealer {
    Sealer::new(&[Secret::new("a sealing key of thirty-two chars".to_owned())]).unwrap()
}

fn claims() -> AccessClaims<'static> {
    AccessClaims {
        iss: ISSUER,
        sub: "app",
        aud: "https://api.example",
        client_id: "app",
        iat: NOW.as_secs(),
        exp: NOW.as_secs() + 60,
        jti: "at_1",
        scope: "notes:read",
        person: PersonClaims::default(),
    }
}

#[test]
fn a_token_in_each_algorithm_verifies_against_the_published_set() {
    let sealer = sealer();
    let stored = Algorithm::ALL.map(|alg| keys::generate(alg, &sealer, &SystemRng, NOW, NOW).unwrap());
    let ring = KeyRing::build(&stored, &sealer).unwrap();
    let jwks = serde_json::from_slice(&ring.jwks(NOW)).unwrap();
    let published = Verifier::from_jwks(ISSUER, &jwks).unwrap();
    let parsed = Verifier::new(ISSUER, ring.public(NOW));
    for alg in Algorithm::ALL {
        let signer = ring.signer(alg, NOW).unwrap();
        let token = jws::sign(signer, jws::ACCESS_TOKEN, &claims()).unwrap();
        let header = b64url::decode_strict(token.split('.').next().unwrap()).unwrap();
        let header: serde_json::Value = serde_json::from_slice(&header).unwrap();
        assert_eq!(header, serde_json::json!({"alg": alg.as_str(), "typ": "at+jwt", "kid": signer.kid()}));
        let said = published.verify(&token, NOW).unwrap();
        assert_eq!((said.jti.as_str(), said.scope.as_str()), ("at_1", "notes:read"));
        assert_eq!(*parsed.verify(&token, NOW).unwrap(), *said);
        let other = jws::sign(signer, "logout+jwt", &claims()).unwrap();
        assert_eq!(parsed.verify(&other, NOW).unwrap_err(), TokenError::WrongType);
    }
}

/// An independent implementation agrees: header, signature and claims.
#[test]
fn another_library_verifies_our_tokens() {
    let sealer = sealer();
    for (alg, theirs) in [
        (Algorithm::ES256, jsonwebtoken::Algorithm::ES256),
        (Algorithm::EdDSA, jsonwebtoken::Algorithm::EdDSA),
        (Algorithm::RS256, jsonwebtoken::Algorithm::RS256),
    ] {
        let ring = KeyRing::build(&[keys::generate(alg, &sealer, &SystemRng, NOW, NOW).unwrap()], &sealer).unwrap();
        let token = jws::sign(ring.signer(alg, NOW).unwrap(), jws::ACCESS_TOKEN, &claims()).unwrap();
        let set: jsonwebtoken::jwk::JwkSet = serde_json::from_slice(&ring.jwks(NOW)).unwrap();
        let mut rules = jsonwebtoken::Validation::new(theirs);
        rules.set_audience(&["https://api.example"]);
        rules.set_issuer(&[ISSUER]);
        let key = jsonwebtoken::DecodingKey::from_jwk(&set.keys[0]).unwrap();
        let said = jsonwebtoken::decode::<serde_json::Value>(&token, &key, &rules).unwrap();
        assert_eq!(said.claims["client_id"], "app", "{alg:?}");
        assert_eq!(said.header.kid.as_deref(), set.keys[0].common.key_id.as_deref());
    }
}

/// C14: at every second of a rotation what is signed verifies against a set fetched up to `max-age` before.
#[test]
fn c14_a_rotation_fails_no_verifier_that_caches_the_set() {
    use stockade::crypto::rotation::{self, Settings, Step};
    const JWKS_MAX_AGE: Duration = Duration::from_secs(300);
    let sealer = sealer();
    let settings = Settings {
        algs: vec![Algorithm::ES256],
        period: Duration::from_secs(1200),
        publish_ahead: Duration::from_secs(400),
        keep: Duration::from_secs(90),
    };
    let mut stored = Vec::new();
    let mut fetched: Vec<(Timestamp, Verifier)> = Vec::new();
    let mut signed: Vec<String> = Vec::new();
    let mut signers = std::collections::BTreeSet::new();
    for minute in 0..80 {
        let now = NOW.plus(Duration::from_secs(60) * minute);
        for step in rotation::plan(&stored, &settings, now) {
            match step {
                Step::Generate { alg, activates_at } => {
                    stored.push(keys::generate(alg, &sealer, &SystemRng, now, activates_at).unwrap());
                }
                Step::Retire { kid, retired_at, expires_at } => {
                    let key = stored.iter_mut().find(|k| k.kid == kid).unwrap();
                    (key.retired_at, key.expires_at) = (Some(retired_at), Some(expires_at));
                }
                Step::Delete { kid } => stored.retain(|k| k.kid != kid),
            }
        }
        let ring = KeyRing::build(&stored, &sealer).unwrap();
        let signer = ring.signer(Algorithm::ES256, now).unwrap();
        signers.insert(signer.kid().to_owned());
        let claims = AccessClaims { iat: now.as_secs(), exp: now.as_secs() + 80, ..claims() };
        signed.push(jws::sign(signer, jws::ACCESS_TOKEN, &claims).unwrap());
        let jwks = serde_json::from_slice(&ring.jwks(now)).unwrap();
        fetched.push((now, Verifier::from_jwks(ISSUER, &jwks).unwrap()));
        fetched.retain(|(at, _)| now.since(*at) < JWKS_MAX_AGE);
        // The newest token, and the one before it while it lives, by every set that may still be cached.
        for (at, verifier) in &fetched {
            verifier
                .verify(signed.last().unwrap(), now)
                .unwrap_or_else(|e| panic!("minute {minute}, set of {at}: {e}"));
        }
        if let [.., before, _] = signed.as_slice() {
            fetched.last().unwrap().1.verify(before, now).unwrap();
        }
    }
    assert!(signers.len() >= 4, "the test saw {} keys sign", signers.len());
    assert!(stored.len() <= 3, "dead keys are deleted");
}
