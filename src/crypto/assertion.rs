//! Client assertions, `private_key_jwt` (RFC 7523 3, as tightened by its successor draft and FAPI 2.0): the audience is
//! the issuer, as one string; nothing else will do.

use std::time::Duration;

use serde::Deserialize;

use super::claims;
use super::jwk::{self, PublicKey};
use super::jws::Parts;
use super::keys;
use super::{CryptoError, verify::TokenError};
use crate::base::Timestamp;

/// An assertion may not outlive this: its `jti` must be remembered as long.
pub const LONGEST_LIFE: Duration = Duration::from_secs(300);

/// What of an assertion is needed after it was verified: claiming `jti` once, until `exp`, makes it single use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assertion {
    /// Unique id.
    pub jti: String,
    /// When it dies.
    pub exp: Timestamp,
}

#[derive(Deserialize)]
struct Claims {
    iss: String,
    sub: String,
    /// A string: an array is refused, because it would let one assertion serve several servers.
    aud: String,
    #[serde(deserialize_with = "claims::numeric_date")]
    exp: Timestamp,
    #[serde(default, deserialize_with = "claims::optional_date")]
    nbf: Option<Timestamp>,
    #[serde(default, deserialize_with = "claims::optional_date")]
    iat: Option<Timestamp>,
    #[serde(default, deserialize_with = "claims::optional_text")]
    jti: Option<String>,
}

/// A client's registered keys, parsed once.
#[derive(Debug)]
pub struct ClientKeys(Vec<PublicKey>);

impl ClientKeys {
    /// From the client's JWK Set.
    ///
    /// # Errors
    /// When the set is not usable.
    pub fn parse(jwks: &serde_json::Value) -> Result<Self, CryptoError> {
        jwk::read_set(jwks).map(Self)
    }

    /// Verifies an assertion of `client_id` for `issuer`. With a `kid` that key is tried, without one every key of the
    /// assertion's algorithm.
    ///
    /// # Errors
    /// Why it does not count; all of them are answered `invalid_client`.
    pub fn verify(&self, jwt: &str, issuer: &str, client_id: &str, now: Timestamp) -> Result<Assertion, TokenError> {
        let parts = Parts::read(jwt)?;
        let plain = parts.header.typ.is_none() || parts.header.is("JWT");
        if !plain && !parts.header.is("client-authentication+jwt") {
            return Err(TokenError::WrongType);
        }
        let named: Vec<&PublicKey> = match parts.header.kid.as_deref() {
            Some(kid) => self.0.iter().filter(|k| k.kid() == Some(kid)).collect(),
            None => self.0.iter().collect(),
        };
        if named.is_empty() {
            return Err(TokenError::UnknownKey);
        }
        let mut fitting = named.into_iter().filter(|k| k.alg().is_called(&parts.header.alg)).peekable();
        if fitting.peek().is_none() {
            return Err(TokenError::WrongAlgorithm);
        }
        if !fitting.any(|key| key.verifies(parts.message, &parts.signature)) {
            return Err(TokenError::BadSignature);
        }
        let bytes = parts.claims().ok_or(TokenError::Malformed)?;
        let claims: Claims = claims::object(&bytes).ok_or(TokenError::BadClaims)?;
        if claims.iss != client_id || claims.sub != client_id || claims.aud != issuer {
            return Err(TokenError::WrongIssuer);
        }
        if claims.exp <= now {
            return Err(TokenError::Expired);
        }
        let latest = now.plus(claims::SKEW);
        if claims.nbf.is_some_and(|t| t > latest) || claims.iat.is_some_and(|t| t > latest) {
            return Err(TokenError::NotYetValid);
        }
        if claims.exp > latest.plus(LONGEST_LIFE) {
            return Err(TokenError::BadClaims);
        }
        let jti = claims.jti.filter(|jti| (1..=256).contains(&jti.len())).ok_or(TokenError::BadClaims)?;
        Ok(Assertion { jti, exp: claims.exp })
    }
}

/// Which client an assertion claims to speak for (`sub`), when the request does not say: whose keys to verify it with.
/// Nothing is proven by it.
pub fn claimed_client(jwt: &str) -> Option<String> {
    #[derive(Deserialize)]
    struct Subject {
        sub: String,
    }
    let parts = Parts::read(jwt).ok()?;
    claims::object::<Subject>(&parts.claims()?).map(|claims| claims.sub)
}

/// A key that no client has. [`Decoy::burn`] takes as long as verifying, so that the time of a refusal does not tell
/// which clients exist.
#[derive(Debug)]
pub struct Decoy(PublicKey);

impl Decoy {
    /// A decoy.
    ///
    /// # Errors
    /// When the library refuses to make a key.
    pub fn new() -> Result<Self, CryptoError> {
        keys::decoy().map(Self)
    }

    /// Verifies, in vain.
    pub fn burn(&self, jwt: &str) {
        if let Ok(parts) = Parts::read(jwt) {
            std::hint::black_box(self.0.verifies(parts.message, &parts.signature));
        }
    }
}

/// Parses the keys and verifies: see [`ClientKeys::verify`].
///
/// # Errors
/// As [`ClientKeys::verify`]; [`TokenError::UnknownKey`] when the set is not usable.
pub fn verify(
    jwks: &serde_json::Value,
    jwt: &str,
    issuer: &str,
    client_id: &str,
    now: Timestamp,
) -> Result<Assertion, TokenError> {
    ClientKeys::parse(jwks).map_err(|_| TokenError::UnknownKey)?.verify(jwt, issuer, client_id, now)
}
