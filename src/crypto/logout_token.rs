//! Logout tokens (OpenID Connect Back-Channel Logout 2.4).

use serde::Serialize;

use super::keyring::Signer;
use super::{CryptoError, jws};

/// The `typ`, so that nothing else is ever taken for one, nor one for anything else.
pub const TYP: &str = "logout+jwt";

/// What a logout token says. Never a `nonce`: that would make it look like an ID token.
#[derive(Debug, Serialize)]
pub struct LogoutClaims<'a> {
    /// Issuer.
    pub iss: &'a str,
    /// The client.
    pub aud: &'a str,
    /// When it was issued, in seconds.
    pub iat: i64,
    /// When it dies, in seconds.
    pub exp: i64,
    /// Unique id.
    pub jti: &'a str,
    /// The person.
    pub sub: &'a str,
    /// The session; `None`: all of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sid: Option<&'a str>,
    /// That it is a logout.
    pub events: Events,
}

/// The one event there is.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Events {
    #[serde(rename = "http://schemas.openid.net/event/backchannel-logout")]
    logout: Nothing,
}

#[derive(Clone, Copy, Debug, Default, Serialize)]
struct Nothing {}

/// Signs a logout token.
///
/// # Errors
/// When the library refuses.
pub fn sign(signer: &Signer, claims: &LogoutClaims<'_>) -> Result<String, CryptoError> {
    jws::sign(signer, TYP, claims)
}
