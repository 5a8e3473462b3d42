//! JWTs that others issued: workloads' assertions (RFC 7523 3) and ID tokens of upstream providers (OpenID Connect Core
//! 3.1.3.7). Whose keys those are, the caller knows; nothing in the token chooses them but `kid`.

use serde::Deserialize;
use serde_json::{Map, Value};

use super::claims;
use super::jwk::PublicKey;
use super::jws::Parts;
use super::verify::TokenError;
use crate::base::Timestamp;
use crate::model::Algorithm;

/// What a token must be to count.
#[derive(Clone, Copy, Debug)]
pub struct Expected<'a> {
    /// `iss`, byte for byte.
    pub issuer: &'a str,
    /// What must be in `aud`.
    pub audience: &'a str,
    /// What it may be signed with.
    pub algs: &'a [Algorithm],
}

/// What a verified token says.
#[derive(Clone, Debug, PartialEq)]
pub struct ForeignToken {
    /// Whom it is about.
    pub sub: String,
    /// Everyone it is for.
    pub aud: Vec<String>,
    /// When it dies.
    pub exp: Timestamp,
    /// When it was issued.
    pub iat: Option<Timestamp>,
    /// The `nonce` of the request that led to it.
    pub nonce: Option<String>,
    /// The party it was issued to, where it is for several.
    pub azp: Option<String>,
    /// When the person it is about authenticated.
    pub auth_time: Option<Timestamp>,
    /// What it is signed with.
    pub alg: Algorithm,
    /// All of its claims.
    pub claims: Map<String, Value>,
}

#[derive(Deserialize)]
struct Claims {
    iss: String,
    sub: String,
    #[serde(deserialize_with = "claims::audience")]
    aud: Vec<String>,
    #[serde(deserialize_with = "claims::numeric_date")]
    exp: Timestamp,
    #[serde(default, deserialize_with = "claims::optional_date")]
    nbf: Option<Timestamp>,
    #[serde(default, deserialize_with = "claims::optional_date")]
    iat: Option<Timestamp>,
    #[serde(default, deserialize_with = "claims::optional_text")]
    nonce: Option<String>,
    #[serde(default, deserialize_with = "claims::optional_text")]
    azp: Option<String>,
    #[serde(default, deserialize_with = "claims::optional_date")]
    auth_time: Option<Timestamp>,
}

/// Verifies `jwt` with `keys`: with a `kid` that key is tried, without one every key of its algorithm.
///
/// # Errors
/// Why it does not count; [`TokenError::UnknownKey`] when newer keys might help.
pub fn verify(
    jwt: &str,
    keys: &[PublicKey],
    expected: &Expected<'_>,
    now: Timestamp,
) -> Result<ForeignToken, TokenError> {
    let parts = Parts::read(jwt)?;
    if parts.header.typ.is_some() && !parts.header.is("JWT") {
        return Err(TokenError::WrongType);
    }
    let allowed = |key: &&PublicKey| expected.algs.contains(&key.alg()) && key.alg().is_called(&parts.header.alg);
    let named: Vec<&PublicKey> = match parts.header.kid.as_deref() {
        Some(kid) => keys.iter().filter(|key| key.kid() == Some(kid)).collect(),
        None => keys.iter().collect(),
    };
    if named.is_empty() {
        return Err(TokenError::UnknownKey);
    }
    let mut fitting = named.into_iter().filter(allowed).peekable();
    if fitting.peek().is_none() {
        return Err(TokenError::WrongAlgorithm);
    }
    let Some(key) = fitting.find(|key| key.verifies(parts.message, &parts.signature)) else {
        return Err(TokenError::BadSignature);
    };
    let bytes = parts.claims().ok_or(TokenError::Malformed)?;
    let claims: Claims = claims::object(&bytes).ok_or(TokenError::BadClaims)?;
    if claims.iss != expected.issuer || !claims.aud.iter().any(|aud| aud == expected.audience) {
        return Err(TokenError::WrongIssuer);
    }
    if claims.sub.is_empty() || claims.sub.len() > 255 {
        return Err(TokenError::BadClaims);
    }
    if claims.exp <= now {
        return Err(TokenError::Expired);
    }
    let latest = now.plus(claims::SKEW);
    if claims.nbf.is_some_and(|t| t > latest) || claims.iat.is_some_and(|t| t > latest) {
        return Err(TokenError::NotYetValid);
    }
    Ok(ForeignToken {
        sub: claims.sub,
        aud: claims.aud,
        exp: claims.exp,
        iat: claims.iat,
        nonce: claims.nonce,
        azp: claims.azp,
        auth_time: claims.auth_time,
        alg: key.alg(),
        claims: claims::object(&bytes).ok_or(TokenError::BadClaims)?,
    })
}

/// Who a token claims to be from, and by which key: whose keys to verify it with. Nothing is proven by it.
pub fn claimed(jwt: &str) -> Option<(String, Option<String>)> {
    #[derive(Deserialize)]
    struct Issuer {
        iss: String,
    }
    let parts = Parts::read(jwt).ok()?;
    let issuer = claims::object::<Issuer>(&parts.claims()?)?.iss;
    Some((issuer, parts.header.kid))
}
