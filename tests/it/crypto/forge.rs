//! What an outsider can do: sign any header and any claims with keys of one's own, or without any.

use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _,
};
use serde_json::{Value, json};
use stockade::crypto::b64url;

/// A key that the product did not make.
pub(crate) enum Key {
    P256(EcdsaKeyPair),
    P384(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

impl Key {
    pub(crate) fn p256() -> Self {
        Self::P256(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap())
    }

    pub(crate) fn p384() -> Self {
        Self::P384(EcdsaKeyPair::generate(&ECDSA_P384_SHA384_FIXED_SIGNING).unwrap())
    }

    pub(crate) fn ed25519() -> Self {
        Self::Ed25519(Ed25519KeyPair::generate().unwrap())
    }

    /// The public half as a JWK.
    pub(crate) fn jwk(&self, kid: &str) -> Value {
        let point = |key: &EcdsaKeyPair, crv: &str, len: usize| {
            let point = key.public_key().as_ref();
            let (x, y) = (b64url::encode(&point[1..=len]), b64url::encode(&point[1 + len..]));
            json!({"kty": "EC", "crv": crv, "x": x, "y": y, "kid": kid})
        };
        match self {
            Self::P256(key) => point(key, "P-256", 32),
            Self::P384(key) => point(key, "P-384", 48),
            Self::Ed25519(key) => {
                json!({"kty": "OKP", "crv": "Ed25519", "x": b64url::encode(key.public_key().as_ref()), "kid": kid})
            }
        }
    }

    /// A JWK Set of this key alone.
    pub(crate) fn jwks(&self, kid: &str) -> Value {
        json!({"keys": [self.jwk(kid)]})
    }

    /// The public half in every spelling that has ever been taken for an HMAC secret.
    pub(crate) fn public_spellings(&self, kid: &str) -> Vec<Vec<u8>> {
        let (raw, der) = match self {
            Self::P256(key) | Self::P384(key) => {
                (key.public_key().as_ref().to_vec(), key.public_key().as_der().unwrap().as_ref().to_vec())
            }
            Self::Ed25519(key) => {
                (key.public_key().as_ref().to_vec(), key.public_key().as_der().unwrap().as_ref().to_vec())
            }
        };
        let body = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, &der);
        let pem = format!("-----BEGIN PUBLIC KEY-----\n{body}\n-----END PUBLIC KEY-----\n");
        let jwk = self.jwk(kid).to_string().into_bytes();
        vec![raw, der, pem.clone().into_bytes(), pem.trim_end().as_bytes().to_vec(), jwk, Vec::new()]
    }

    fn signature(&self, message: &[u8]) -> Vec<u8> {
        match self {
            Self::P256(key) | Self::P384(key) => key.sign(&SystemRandom::new(), message).unwrap().as_ref().to_vec(),
            Self::Ed25519(key) => key.sign(message).as_ref().to_vec(),
        }
    }

    /// Any header over any claims, signed.
    pub(crate) fn jwt(&self, header: &Value, claims: &Value) -> String {
        self.jws(&header.to_string(), &claims.to_string())
    }

    /// Any text over any text, signed.
    pub(crate) fn jws(&self, header: &str, payload: &str) -> String {
        let message = signed(header, payload);
        let signature = b64url::encode(&self.signature(message.as_bytes()));
        format!("{message}.{signature}")
    }
}

fn signed(header: &str, payload: &str) -> String {
    format!("{}.{}", b64url::encode(header.as_bytes()), b64url::encode(payload.as_bytes()))
}

/// Without a signature.
pub(crate) fn unsigned(header: &Value, claims: &Value) -> String {
    format!("{}.", signed(&header.to_string(), &claims.to_string()))
}

/// With an HMAC under `secret`.
pub(crate) fn hs256(secret: &[u8], header: &Value, claims: &Value) -> String {
    let message = signed(&header.to_string(), &claims.to_string());
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), message.as_bytes());
    format!("{message}.{}", b64url::encode(tag.as_ref()))
}

/// `base` with one member set.
pub(crate) fn with(base: &Value, member: &str, value: Value) -> Value {
    let mut changed = base.clone();
    changed[member] = value;
    changed
}

/// `base` without one member.
pub(crate) fn without(base: &Value, member: &str) -> Value {
    let mut changed = base.clone();
    changed.as_object_mut().unwrap().remove(member);
    changed
}
