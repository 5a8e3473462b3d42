//! Signing keys and their life: published before they sign, kept until the last token they signed has died.

use serde::{Deserialize, Serialize};

use crate::base::Timestamp;

/// A JWS algorithm (RFC 7518, RFC 8037).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Algorithm {
    /// ECDSA on P-256 with SHA-256: the default of access tokens.
    ES256,
    /// Ed25519.
    EdDSA,
    /// RSASSA-PKCS1-v1_5 with SHA-256, 2048 bits.
    RS256,
}

impl Algorithm {
    /// Every algorithm, in order of preference.
    pub const ALL: [Self; 3] = [Self::ES256, Self::EdDSA, Self::RS256];

    /// The JOSE name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ES256 => "ES256",
            Self::EdDSA => "EdDSA",
            Self::RS256 => "RS256",
        }
    }

    /// Whether `name` names it in what others sign: Ed25519 has two names (RFC 8037 3.1, RFC 9864 2.2).
    pub fn is_called(self, name: &str) -> bool {
        name == self.as_str() || (self == Self::EdDSA && name == "Ed25519")
    }

    /// From the JOSE name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|a| a.as_str() == text)
    }
}

/// A signing key as stored: the private half sealed, the public half as a JWK.
#[derive(Clone, Debug, PartialEq)]
pub struct SigningKey {
    /// Key id: the RFC 7638 thumbprint of the public key.
    pub kid: String,
    /// What it signs with.
    pub alg: Algorithm,
    /// Public JWK (RFC 7517) as JSON, without any private member.
    pub public_jwk: String,
    /// PKCS#8 private key, sealed with the configured key (`crypto::seal`).
    pub sealed: Vec<u8>,
    /// When it was made, which is when it was published.
    pub created_at: Timestamp,
    /// From when it signs: at least the JWKS `max-age` after it was published.
    pub activates_at: Timestamp,
    /// Since when its successor signs instead; `None` while it is the newest.
    pub retired_at: Option<Timestamp>,
    /// When it leaves the JWKS: after the last token it signed has died. Set together with `retired_at`.
    pub expires_at: Option<Timestamp>,
}

/// Where a key stands in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyState {
    /// In the JWKS, does not sign yet.
    Published,
    /// Signs.
    Active,
    /// Signs no more, still verifies.
    Retired,
    /// Gone from the JWKS.
    Expired,
}

impl SigningKey {
    /// The state at `now`.
    pub fn state(&self, now: Timestamp) -> KeyState {
        if self.expires_at.is_some_and(|t| t <= now) {
            KeyState::Expired
        } else if self.retired_at.is_some_and(|t| t <= now) {
            KeyState::Retired
        } else if self.activates_at > now {
            KeyState::Published
        } else {
            KeyState::Active
        }
    }
}
