//! Somebody who holds a key and proves it (RFC 9449), well or badly.

use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::{Value, json};
use stockade::base::Timestamp;
use stockade::crypto::{b64url, jwk, sha256};

use crate::crypto::forge::Key;

/// A key, and proofs of it.
pub(crate) struct Prover {
    pub(crate) key: Key,
    count: AtomicU64,
}

impl Prover {
    pub(crate) fn new() -> Self {
        Self::with(Key::p256())
    }

    pub(crate) fn with(key: Key) -> Self {
        Self { key, count: AtomicU64::new(0) }
    }

    /// The public key as it stands in a proof.
    pub(crate) fn jwk(&self) -> Value {
        let mut jwk = self.key.jwk("k");
        jwk.as_object_mut().unwrap().remove("kid");
        jwk
    }

    /// RFC 7638 thumbprint.
    pub(crate) fn jkt(&self) -> String {
        jwk::read_set(&json!({ "keys": [self.jwk()] })).unwrap()[0].thumbprint().to_owned()
    }

    pub(crate) fn header(&self) -> Value {
        let alg = if matches!(self.key, Key::Ed25519(_)) { "EdDSA" } else { "ES256" };
        json!({ "typ": "dpop+jwt", "alg": alg, "jwk": self.jwk() })
    }

    /// The claims of a fresh proof; `token` is what it is shown beside.
    pub(crate) fn claims(&self, method: &str, uri: &str, token: Option<&str>, now: Timestamp) -> Value {
        let jti = format!("proof-{}", self.count.fetch_add(1, Ordering::SeqCst));
        let mut claims = json!({ "jti": jti, "htm": method, "htu": uri, "iat": now.as_secs() });
        if let Some(token) = token {
            claims["ath"] = b64url::encode(&sha256(token.as_bytes())).into();
        }
        claims
    }

    /// A proof of any claims.
    pub(crate) fn sign(&self, claims: &Value) -> String {
        self.key.jwt(&self.header(), claims)
    }

    /// A good proof.
    pub(crate) fn proof(&self, method: &str, uri: &str, token: Option<&str>, now: Timestamp) -> String {
        self.sign(&self.claims(method, uri, token, now))
    }
}
