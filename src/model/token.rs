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
    /// The family that it belongs to, of a person's token: `gr_…`. A client's own token has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gid: Option<String>,
    /// The session that it was granted in (OpenID Connect Back-Channel Logout 2.1).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sid: Option<String>,
    /// How strongly the person had authenticated, 1 to 3 (see [`super::session::Acr`]).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acr: Option<u8>,
    /// When the person authenticated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth_time: Option<Timestamp>,
    /// Thumbprint of the key that it is bound to (RFC 9449 6.1).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cnf_jkt: Option<String>,
    /// Who acts for the subject (RFC 8693 4.1).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub act: Option<Actor>,
}

/// Who acts for the subject of a token, and for whom that one acts in turn (RFC 8693 4.1).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Actor {
    /// The acting client or person.
    pub sub: String,
    /// The one who acted before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub act: Option<Box<Actor>>,
}

impl AccessToken {
    /// A client's own token (RFC 9068 2.2: `sub` equals `client_id`); the rest is the caller's to fill.
    pub fn of_client(client_id: &str, jti: String, aud: &str, iat: Timestamp, exp: Timestamp) -> Self {
        Self {
            jti,
            sub: client_id.to_owned(),
            client_id: client_id.to_owned(),
            aud: vec![aud.to_owned()],
            scope: String::new(),
            iat,
            exp,
            gid: None,
            sid: None,
            acr: None,
            auth_time: None,
            cnf_jkt: None,
            act: None,
        }
    }

    /// Whether the client speaks for itself.
    pub fn is_client(&self) -> bool {
        self.gid.is_none() && self.sub == self.client_id
    }

    /// Whether a client stands behind it: by itself, or through others that it called (RFC 8693).
    pub fn speaks_for_client(&self) -> bool {
        self.is_client() || (self.gid.is_none() && self.act.is_some())
    }

    /// Whole seconds since the person authenticated; 0 of a token that no person stands behind.
    pub fn auth_age_secs(&self, now: Timestamp) -> u32 {
        self.auth_time.map_or(0, |at| u32::try_from(now.since(at).as_secs()).unwrap_or(u32::MAX))
    }

    /// The granted scopes.
    pub fn scopes(&self) -> impl Iterator<Item = &str> {
        self.scope.split(' ').filter(|s| !s.is_empty())
    }
}
