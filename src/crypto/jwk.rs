//! Public keys in and out: JWK (RFC 7517), its thumbprint (RFC 7638). One algorithm per key, fixed when it is read.

use std::fmt;

use aws_lc_rs::rsa::PublicKeyComponents;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, ED25519, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{CryptoError, b64url, sha256};
use crate::model::Algorithm;

/// A JWK Set with more keys than this is refused: nobody needs them, and a verifier may have to try each.
const MOST_KEYS: usize = 64;
/// RSA keys beyond this many bytes of modulus cost more to verify than they are worth.
const MOST_RSA_BYTES: usize = 512;

/// A public key with the one algorithm it verifies.
pub struct PublicKey {
    kid: Option<String>,
    alg: Algorithm,
    thumbprint: String,
    key: ParsedPublicKey,
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({}, {})", self.alg.as_str(), self.thumbprint)
    }
}

/// The parts of a public key, as they stand in a JWK.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Parts {
    /// Uncompressed point on P-256, without its leading 4: x and y, 32 bytes each.
    P256 { x: [u8; 32], y: [u8; 32] },
    /// Ed25519.
    Ed25519 { x: [u8; 32] },
    /// Modulus and exponent, big-endian without leading zeros.
    Rsa { n: Vec<u8>, e: Vec<u8> },
}

impl Parts {
    pub(super) fn alg(&self) -> Algorithm {
        match self {
            Self::P256 { .. } => Algorithm::ES256,
            Self::Ed25519 { .. } => Algorithm::EdDSA,
            Self::Rsa { .. } => Algorithm::RS256,
        }
    }

    /// RFC 7638 3: required members in lexical order, no white space, SHA-256, base64url.
    pub(super) fn thumbprint(&self) -> String {
        let e = |bytes: &[u8]| b64url::encode(bytes);
        let text = match self {
            Self::P256 { x, y } => format!(r#"{{"crv":"P-256","kty":"EC","x":"{}","y":"{}"}}"#, e(x), e(y)),
            Self::Ed25519 { x } => format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{}"}}"#, e(x)),
            Self::Rsa { n, e: exponent } => format!(r#"{{"e":"{}","kty":"RSA","n":"{}"}}"#, e(exponent), e(n)),
        };
        b64url::encode(&sha256(text.as_bytes()))
    }

    /// The JWK with `kid`, `alg` and `use`; public members only.
    pub(super) fn jwk(&self, kid: &str) -> Value {
        let e = |bytes: &[u8]| b64url::encode(bytes);
        let alg = self.alg().as_str();
        match self {
            Self::P256 { x, y } => {
                json!({"kty": "EC", "crv": "P-256", "x": e(x), "y": e(y), "kid": kid, "alg": alg, "use": "sig"})
            }
            Self::Ed25519 { x } => {
                json!({"kty": "OKP", "crv": "Ed25519", "x": e(x), "kid": kid, "alg": alg, "use": "sig"})
            }
            Self::Rsa { n, e: exponent } => {
                json!({"kty": "RSA", "n": e(n), "e": e(exponent), "kid": kid, "alg": alg, "use": "sig"})
            }
        }
    }

    fn parse(&self) -> Result<ParsedPublicKey, CryptoError> {
        let bad = |_| CryptoError::BadJwks("a key is not a valid point or modulus");
        match self {
            Self::P256 { x, y } => {
                let mut point = [4; 65];
                for (to, from) in point.iter_mut().skip(1).zip(x.iter().chain(y)) {
                    *to = *from;
                }
                ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).map_err(bad)
            }
            Self::Ed25519 { x } => ParsedPublicKey::new(&ED25519, x).map_err(bad),
            Self::Rsa { n, e } => {
                let odd = n.last().is_some_and(|b| b & 1 == 1) && e.last().is_some_and(|b| b & 1 == 1);
                if !odd || !(256..=MOST_RSA_BYTES).contains(&n.len()) || e.len() > 4 || e.as_slice() == [1] {
                    return Err(CryptoError::BadJwks("RSA keys must have 2048 to 4096 bits and a small odd exponent"));
                }
                PublicKeyComponents { n: n.as_slice(), e: e.as_slice() }
                    .to_parsed_public_key(&RSA_PKCS1_2048_8192_SHA256)
                    .map_err(bad)
            }
        }
    }
}

/// What is read of a JWK. Members that carry a certificate or a URL are not read at all.
#[derive(Deserialize)]
struct Wire {
    kty: String,
    crv: Option<String>,
    x: Option<String>,
    y: Option<String>,
    n: Option<String>,
    e: Option<String>,
    kid: Option<String>,
    alg: Option<String>,
    #[serde(rename = "use")]
    purpose: Option<String>,
}

impl PublicKey {
    pub(super) fn from_parts(parts: &Parts, kid: Option<String>) -> Result<Self, CryptoError> {
        Ok(Self { kid, alg: parts.alg(), thumbprint: parts.thumbprint(), key: parts.parse()? })
    }

    /// The `kid`, when the JWK has one.
    pub fn kid(&self) -> Option<&str> {
        self.kid.as_deref()
    }

    /// The one algorithm that it verifies.
    pub fn alg(&self) -> Algorithm {
        self.alg
    }

    /// RFC 7638 thumbprint, base64url.
    pub fn thumbprint(&self) -> &str {
        &self.thumbprint
    }

    /// Whether `signature` is this key's over `message`. ECDSA signatures are `r || s` (RFC 7518 3.4).
    pub fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        self.key.verify_sig(message, signature).is_ok()
    }
}

/// Reads one JWK. `Ok(None)` for a kind of key that is not used here (RFC 7517 5: ignored); a symmetric or private
/// key is an error, because it should not be where this was read from.
pub(super) fn read(jwk: &Value) -> Result<Option<PublicKey>, CryptoError> {
    let members = jwk.as_object().ok_or(CryptoError::BadJwks("a key is not an object"))?;
    if ["d", "k", "p", "q", "dp", "dq", "qi", "oth"].iter().any(|private| members.contains_key(*private)) {
        return Err(CryptoError::BadJwks("it holds a private or symmetric key; publish the public half alone"));
    }
    let wire = Wire::deserialize(jwk).map_err(|_| CryptoError::BadJwks("a member has the wrong JSON type"))?;
    if wire.purpose.as_deref().is_some_and(|purpose| purpose != "sig") {
        return Ok(None);
    }
    let bad = CryptoError::BadJwks("a key's numbers are missing or not base64url of the right length");
    let fixed = |text: &Option<String>| text.as_deref().and_then(b64url::decode_array::<32>).ok_or(bad);
    let number = |text: &Option<String>| {
        let bytes = text.as_deref().and_then(b64url::decode_strict).ok_or(bad)?;
        let start = bytes.iter().position(|b| *b != 0).ok_or(bad)?;
        bytes.get(start..).map(<[u8]>::to_vec).ok_or(bad)
    };
    let parts = match (wire.kty.as_str(), wire.crv.as_deref()) {
        ("EC", Some("P-256")) => Parts::P256 { x: fixed(&wire.x)?, y: fixed(&wire.y)? },
        ("OKP", Some("Ed25519")) => Parts::Ed25519 { x: fixed(&wire.x)? },
        ("RSA", _) => Parts::Rsa { n: number(&wire.n)?, e: number(&wire.e)? },
        _ => return Ok(None),
    };
    if wire.alg.as_deref().is_some_and(|alg| !parts.alg().is_called(alg)) {
        return Ok(None);
    }
    PublicKey::from_parts(&parts, wire.kid).map(Some)
}

/// Reads a JWK Set (RFC 7517 5).
///
/// # Errors
/// When it is not one, holds no usable key, holds a private key, or names two usable keys alike.
pub fn read_set(jwks: &Value) -> Result<Vec<PublicKey>, CryptoError> {
    let list = jwks
        .get("keys")
        .and_then(Value::as_array)
        .ok_or(CryptoError::BadJwks("it must be an object with an array `keys`"))?;
    if list.len() > MOST_KEYS {
        return Err(CryptoError::BadJwks("it holds more than 64 keys"));
    }
    let mut keys: Vec<PublicKey> = Vec::with_capacity(list.len());
    for jwk in list {
        let Some(key) = read(jwk)? else { continue };
        if key.kid.is_some() && keys.iter().any(|k| k.kid == key.kid) {
            return Err(CryptoError::BadJwks("two keys have the same `kid`"));
        }
        keys.push(key);
    }
    if keys.is_empty() {
        return Err(CryptoError::BadJwks("it holds no ES256, EdDSA or RS256 key for signatures"));
    }
    Ok(keys)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_thumbprint_is_that_of_rfc_7638() {
        let n = "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiF\
                 V4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9\
                 c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1\
                 jF44-csFCur-kEgU8awapJzKnqDKgw";
        let set = json!({"keys": [{"kty": "RSA", "n": n, "e": "AQAB", "alg": "RS256", "kid": "2011-04-29"}]});
        let keys = read_set(&set).unwrap();
        assert_eq!(keys[0].thumbprint(), "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs");
        assert_eq!((keys[0].alg(), keys[0].kid()), (Algorithm::RS256, Some("2011-04-29")));
    }

    #[test]
    fn private_and_symmetric_keys_are_refused_and_foreign_kinds_ignored() {
        let ed = json!({"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"});
        let mut private = ed.clone();
        private["d"] = json!("nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A");
        for bad in [
            json!({"keys": [private]}),
            json!({"keys": [ed, {"kty": "oct", "k": "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ"}]}),
            json!({"keys": []}),
            json!({"keys": [{"kty": "EC", "crv": "P-384", "x": "AA", "y": "AA"}]}),
            json!({"keys": {}}),
            json!([ed]),
            json!({"keys": [{"kty": "EC", "crv": "P-256", "x": b64url::encode(&[1; 32]), "y": b64url::encode(&[2; 32])}]}),
            json!({"keys": [{"kty": "RSA", "n": b64url::encode(&[0xff; 128]), "e": "AQAB"}]}),
            json!({"keys": [{"kty": 7}]}),
            json!({"keys": [{"kty": "OKP", "crv": "Ed25519", "x": ed["x"], "alg": "ES256"}]}),
        ] {
            assert!(read_set(&bad).is_err(), "{bad}");
        }
        let mixed = json!({"keys": [ed, {"kty": "EC", "crv": "P-521", "x": "AA", "y": "AA"}, {"kty": "AKP"}]});
        assert_eq!(read_set(&mixed).unwrap().len(), 1);
    }

    #[test]
    fn two_keys_of_one_name_are_refused() {
        let ed =
            json!({"kty": "OKP", "crv": "Ed25519", "kid": "a", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"});
        assert!(read_set(&json!({"keys": [ed, ed]})).is_err());
    }
}
