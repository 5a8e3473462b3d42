//! An OAuth client (RFC 6749 2): who it is, how it authenticates, what it may ask for. Policies decide what it gets.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::key::Algorithm;
use crate::base::Timestamp;

/// A registered client. Stored as JSON beside its indexed columns `client_id`, `disabled`, `version`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Client {
    /// The identifier, 1 to 128 characters of `A-Z a-z 0-9 - _ . ~`.
    pub client_id: String,
    /// Public clients hold no secret (RFC 6749 2.1).
    pub kind: ClientKind,
    /// The one method that this client may use at the token endpoint.
    pub auth_method: AuthMethod,
    /// SHA-256 digests of its secrets, newest first; two while a rotation overlaps.
    #[serde(default)]
    pub secrets: Vec<ClientSecret>,
    /// Public keys for `private_key_jwt`: a JWK Set (RFC 7517) as JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jwks: Option<serde_json::Value>,
    /// Grants it may use.
    pub grants: Vec<GrantType>,
    /// Scopes it may ask for; policies may narrow what it is given.
    pub scopes: Vec<String>,
    /// Resources (RFC 8707) it may ask tokens for.
    #[serde(default)]
    pub resources: Vec<String>,
    /// The resource of a request that names none.
    pub default_resource: String,
    /// Resources it is the resource server of: it may introspect tokens with that `aud`.
    #[serde(default)]
    pub serves: Vec<String>,
    /// Where authorization responses may go, compared as exact strings (RFC 9700 2.1).
    #[serde(default)]
    pub redirect_uris: Vec<String>,
    /// Signature of its access tokens, instead of the default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access_token_alg: Option<Algorithm>,
    /// Lifetime of its access tokens in seconds, instead of the default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access_token_ttl_secs: Option<u64>,
    /// Roles: the Cedar parents of the client's entity.
    #[serde(default)]
    pub roles: Vec<String>,
    /// A disabled client gets nothing, and what it holds is no longer active.
    #[serde(default)]
    pub disabled: bool,
    /// When it was made.
    pub created_at: Timestamp,
}

impl Client {
    /// The lifetime of its access tokens.
    pub fn access_token_ttl(&self, default: Duration) -> Duration {
        self.access_token_ttl_secs.map_or(default, Duration::from_secs)
    }
}

/// One secret of a client.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientSecret {
    /// SHA-256 of the whole secret text, base64url without padding.
    pub digest: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// After this it no longer authenticates (rotation overlap).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
}

/// RFC 6749 2.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClientKind {
    /// Can keep a secret.
    Confidential,
    /// Cannot.
    Public,
}

/// How a client authenticates (RFC 6749 2.3, OpenID Connect Core 9).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AuthMethod {
    /// The secret in an `Authorization: Basic` header. A client registered with a secret may send it either way.
    ClientSecretBasic,
    /// The secret in the form.
    ClientSecretPost,
    /// An assertion signed with its own key (RFC 7523).
    PrivateKeyJwt,
    /// A public client: `client_id` alone.
    None,
}

/// Grants that exist here (RFC 6749 1.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GrantType {
    /// RFC 6749 4.4.
    ClientCredentials,
}

impl GrantType {
    /// The wire name, as in `grant_type=`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ClientCredentials => "client_credentials",
        }
    }

    /// From the wire name.
    pub fn parse(text: &str) -> Option<Self> {
        (text == "client_credentials").then_some(Self::ClientCredentials)
    }
}
