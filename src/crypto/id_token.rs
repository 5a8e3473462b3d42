//! ID tokens (OpenID Connect Core 2): what stands in one, and what one says that a client hands back as a hint.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::jwk::PublicKey;
use super::jws::Parts;
use super::keyring::Signer;
use super::verify::TokenError;
use super::{CryptoError, b64url, claims, jws, sha256};
use crate::model::Algorithm;

/// The `typ` of ID tokens: what a JWT has that claims nothing more.
const TYP: &str = "JWT";

/// The claims of an ID token.
#[derive(Debug, Serialize)]
pub struct IdClaims<'a> {
    /// Issuer.
    pub iss: &'a str,
    /// The person.
    pub sub: &'a str,
    /// The client.
    pub aud: &'a str,
    /// When it dies, in seconds.
    pub exp: i64,
    /// When it was issued, in seconds.
    pub iat: i64,
    /// When the person authenticated, in seconds.
    pub auth_time: i64,
    /// The nonce of the request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nonce: Option<&'a str>,
    /// How strongly.
    pub acr: &'a str,
    /// By which methods (RFC 8176).
    #[serde(skip_serializing_if = "slice_is_empty")]
    pub amr: &'a [String],
    /// The session.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sid: Option<&'a str>,
    /// The access token that came with it: see [`at_hash`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at_hash: Option<String>,
}

fn slice_is_empty(amr: &&[String]) -> bool {
    amr.is_empty()
}

/// Signs an ID token.
///
/// # Errors
/// When the library refuses.
pub fn sign(signer: &Signer, claims: &IdClaims<'_>) -> Result<String, CryptoError> {
    jws::sign(signer, TYP, claims)
}

/// The left half of the access token's hash, where the signature's algorithm names the hash (Core 3.1.3.6).
pub fn at_hash(alg: Algorithm, access_token: &str) -> Option<String> {
    let digest = sha256(access_token.as_bytes());
    match alg {
        Algorithm::ES256 | Algorithm::RS256 => Some(b64url::encode(digest.first_chunk::<16>()?)),
        Algorithm::EdDSA => None,
    }
}

/// What an ID token of ours says, whether or not it has expired.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hint {
    /// The person.
    pub sub: String,
    /// The client.
    pub aud: Vec<String>,
    /// The session.
    pub sid: Option<String>,
}

#[derive(Deserialize)]
struct Claims {
    iss: String,
    sub: String,
    #[serde(deserialize_with = "claims::audience")]
    aud: Vec<String>,
    #[serde(default, deserialize_with = "claims::optional_text")]
    sid: Option<String>,
}

/// Reads an ID token of `issuer` that comes back as `id_token_hint` (RP-Initiated Logout 4: an expired one counts). `keys` are
/// those that are published.
///
/// # Errors
/// Why it does not count.
pub fn read_hint(keys: &[Arc<PublicKey>], issuer: &str, text: &str) -> Result<Hint, TokenError> {
    let parts = Parts::read(text)?;
    if !parts.header.is(TYP) {
        return Err(TokenError::WrongType);
    }
    let kid = parts.header.kid.as_deref().ok_or(TokenError::UnknownKey)?;
    let key = keys.iter().find(|key| key.kid() == Some(kid)).ok_or(TokenError::UnknownKey)?;
    if parts.header.alg != key.alg().as_str() {
        return Err(TokenError::WrongAlgorithm);
    }
    if !key.verifies(parts.message, &parts.signature) {
        return Err(TokenError::BadSignature);
    }
    let bytes = parts.claims().ok_or(TokenError::Malformed)?;
    let claims: Claims = claims::object(&bytes).ok_or(TokenError::BadClaims)?;
    if claims.iss != issuer {
        return Err(TokenError::WrongIssuer);
    }
    Ok(Hint { sub: claims.sub, aud: claims.aud, sid: claims.sid })
}
