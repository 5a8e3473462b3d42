//! Tokens as they may be seen: header and claims, never the signature; of others, nothing.

use serde_json::Value;

use super::super::failure::Failure;
use super::super::wire::Answer;
use super::party::Party;
use crate::crypto::b64url;

/// Header and claims of a JWT, unverified.
pub(super) fn parts(token: &str) -> Option<(Value, Value)> {
    let mut parts = token.split('.');
    let mut part = || serde_json::from_slice(&b64url::decode_strict(parts.next()?)?).ok();
    Some((part()?, part()?))
}

/// One token: what it says, or that it says nothing.
pub(super) fn token(party: &Party, name: &str, text: &str) -> Result<(), Failure> {
    match parts(text) {
        Some((header, claims)) => party.tell(format!("{name}: {header} . {claims} . (signature)")),
        None => party.tell(format!("{name}: opaque, {} characters", text.len())),
    }
}

/// A token endpoint's answer.
pub(super) fn issued(party: &Party, answer: &Answer) -> Result<(), Failure> {
    let body = answer.json();
    for name in ["access_token", "id_token", "refresh_token"] {
        if let Some(text) = body.get(name).and_then(Value::as_str) {
            token(party, name, text)?;
        }
    }
    let text = |name: &str| body.get(name).map(|value| value.to_string().replace('"', "")).unwrap_or_default();
    party.tell(format!("{}, {} s, scope {}", text("token_type"), text("expires_in"), text("scope")))
}

#[cfg(test)]
mod tests {
    use super::parts;

    #[test]
    fn a_jwt_is_read_and_nothing_else() {
        let (header, claims) = parts("eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhIn0.c2ln").unwrap();
        assert_eq!((header["alg"].as_str(), claims["sub"].as_str()), (Some("ES256"), Some("a")));
        for other in ["", "a.b.c", "st_at_abc", "eyJhbGciOiJFUzI1NiJ9"] {
            assert!(parts(other).is_none(), "{other}");
        }
    }
}
