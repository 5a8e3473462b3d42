//! Access tokens as facts: what a verified or looked-up token says, whatever form it had.

use serde::{Deserialize, Serialize};

use crate::base::Timestamp;

/// SHA-256 of a token's text. Tokens are stored and cached under this, never as themselves.
pub type TokenDigest = [u8; 32];

/// What an access token says (RFC 9068 2.2, RFC 7662 2.2), read from a JWT or from the row of an opaque token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessToken {
    /// Unique id; the issuance event carries it, the denylist names it.
    pub jti: String,
    /// Who it speaks for. Of a client's own token this is the `client_id`.
    pub sub: String,
    /// Which client it was issued to.
    pub client_id: String,
    /// Whom it is for (RFC 8707), one or more.
    pub aud: Vec<String>,
    /// Granted scopes, space-separated as on the wire.
    pub scope: String,
    /// When it was issued.
    pub iat: Timestamp,
    /// When it dies.
    pub exp: Timestamp,
}

impl AccessToken {
    /// Whether the client speaks for itself (RFC 9068 2.2: `sub` equals `client_id`).
    pub fn is_client(&self) -> bool {
        self.sub == self.client_id
    }

    /// The granted scopes.
    pub fn scopes(&self) -> impl Iterator<Item = &str> {
        self.scope.split(' ').filter(|s| !s.is_empty())
    }
}
