//! The ID token (OpenID Connect Core 3.1.3.7), checked by the keys that the server publishes.

use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{DecodingKey, Validation, decode, decode_header};
use serde::Deserialize;
use serde_json::Value;

use super::super::failure::Failure;
use super::party::Party;
use crate::crypto::id_token::at_hash;
use crate::model::Algorithm;

#[derive(Deserialize)]
struct Claims {
    sub: String,
    #[serde(default)]
    nonce: Option<String>,
    #[serde(default)]
    azp: Option<String>,
    #[serde(default)]
    at_hash: Option<String>,
}

/// Whom it speaks of.
pub(super) async fn check(party: &Party, token: &str, nonce: Option<&str>, access: &str) -> Result<String, Failure> {
    let endpoint = party.endpoint(party.metadata.jwks_uri.as_ref(), "key set")?;
    let answer = party.wire.send(party.wire.plain(endpoint)).await?;
    let keys: JwkSet = serde_json::from_str(&answer.text)
        .map_err(|e| Failure::failed(format!("what `jwks_uri` answers is no key set: {e}")))?;
    let algs: Vec<&str> = party.metadata.id_token_signing_alg_values_supported.iter().map(String::as_str).collect();
    let expected = Expected { issuer: &party.metadata.issuer, client_id: &party.client_id, algs: &algs, nonce, access };
    verified(token, &keys, &expected).map_err(|why| Failure::failed(format!("the ID token is not good: {why}")))
}

struct Expected<'a> {
    issuer: &'a str,
    client_id: &'a str,
    algs: &'a [&'a str],
    nonce: Option<&'a str>,
    access: &'a str,
}

fn verified(token: &str, keys: &JwkSet, expected: &Expected<'_>) -> Result<String, String> {
    let header = decode_header(token).map_err(|e| e.to_string())?;
    let name = serde_json::to_value(header.alg).unwrap_or(Value::Null);
    let name = name.as_str().unwrap_or_default();
    if !expected.algs.contains(&name) {
        return Err(format!("it is signed with {name}, which the server does not offer"));
    }
    let kid = header.kid.ok_or("it names no key")?;
    let key = keys.find(&kid).ok_or("its key is not in the key set")?;
    let key = DecodingKey::from_jwk(key).map_err(|e| e.to_string())?;
    let mut rules = Validation::new(header.alg);
    rules.set_audience(&[expected.client_id]);
    rules.set_issuer(&[expected.issuer]);
    rules.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
    rules.leeway = 5;
    let claims = decode::<Claims>(token, &key, &rules).map_err(|e| e.to_string())?.claims;
    if expected.nonce.is_some() && claims.nonce.as_deref() != expected.nonce {
        return Err("its `nonce` is not ours".to_owned());
    }
    if claims.azp.as_deref().is_some_and(|azp| azp != expected.client_id) {
        return Err("it is for another client: see `azp`".to_owned());
    }
    let ours = Algorithm::parse(name).and_then(|alg| at_hash(alg, expected.access));
    if claims.at_hash.is_some() && ours.is_some() && claims.at_hash != ours {
        return Err("it came with another access token: see `at_hash`".to_owned());
    }
    Ok(claims.sub)
}

#[cfg(test)]
mod tests {
    use jsonwebtoken::{EncodingKey, Header, encode};
    use serde_json::json;

    use super::*;

    /// The key of RFC 8037 A.1, and a set that has its public half.
    fn keys() -> (EncodingKey, JwkSet) {
        let private = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g\n-----END PRIVATE KEY-----\n";
        let set = json!({ "keys": [{
            "kty": "OKP", "crv": "Ed25519", "kid": "k", "alg": "EdDSA",
            "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
        }] });
        (EncodingKey::from_ed_pem(private.as_bytes()).unwrap(), serde_json::from_value(set).unwrap())
    }

    fn told(change: impl FnOnce(&mut Value), nonce: Option<&str>) -> Result<String, String> {
        let (key, keys) = keys();
        let mut claims = json!({
            "iss": "https://a.example", "aud": "app", "sub": "usr_1", "nonce": "n", "exp": 4_000_000_000_u64, "iat": 0,
        });
        change(&mut claims);
        let header = Header { kid: Some("k".to_owned()), ..Header::new(jsonwebtoken::Algorithm::EdDSA) };
        let token = encode(&header, &claims, &key).unwrap();
        let (issuer, client_id) = ("https://a.example", "app");
        verified(&token, &keys, &Expected { issuer, client_id, algs: &["EdDSA"], nonce, access: "x" })
    }

    #[test]
    fn only_what_the_server_says_about_this_sign_in_is_believed() {
        assert_eq!(told(|_| (), Some("n")), Ok("usr_1".to_owned()));
        assert_eq!(told(|claims| claims["nonce"] = Value::Null, None), Ok("usr_1".to_owned()));
        for (name, value) in [
            ("iss", json!("https://b.example")),
            ("aud", json!("other")),
            ("exp", json!(1000)),
            ("nonce", json!("m")),
            ("azp", json!("other")),
        ] {
            assert!(told(|claims| claims[name] = value, Some("n")).is_err(), "{name}");
        }
    }

    #[test]
    fn a_signature_by_another_key_or_another_algorithm_is_worth_nothing() {
        let (key, keys) = keys();
        let expected = |algs| Expected { issuer: "i", client_id: "app", algs, nonce: None, access: "" };
        let claims = json!({ "iss": "i", "aud": "app", "sub": "s", "exp": 4_000_000_000_u64 });
        let header = Header { kid: Some("k".to_owned()), ..Header::new(jsonwebtoken::Algorithm::EdDSA) };
        let token = encode(&header, &claims, &key).unwrap();
        assert!(verified(&token, &keys, &expected(&["EdDSA"])).is_ok());
        assert!(verified(&token, &keys, &expected(&["RS256"])).unwrap_err().contains("EdDSA"));
        let (head, rest) = token.split_at(token.len() - 4);
        let broken = format!("{head}{}", if rest == "AAAA" { "BBBB" } else { "AAAA" });
        assert!(verified(&broken, &keys, &expected(&["EdDSA"])).is_err());
        assert!(verified(&token, &JwkSet { keys: Vec::new() }, &expected(&["EdDSA"])).unwrap_err().contains("key set"));
    }
}
