//! An OAuth client (RFC 6749 2): who it is, how it authenticates, what it may ask for. Policies decide what it gets.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::key::Algorithm;
use crate::base::Timestamp;

/// The role of clients that describe themselves: nobody of this house has looked at them. Policies tell them by it; taking it
/// away is adopting the client.
pub const DYNAMIC: &str = "dynamic";

/// A registered client. Stored as JSON beside its indexed columns `client_id`, `disabled`, `version`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Client {
    /// The identifier, 1 to 128 characters of `A-Z a-z 0-9 - _ . ~`.
    pub client_id: String,
    /// What people are shown on the consent page, instead of the identifier.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_name: Option<String>,
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
    /// Where a browser may go after logout, compared as exact strings (OpenID Connect RP-Initiated Logout 3).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub post_logout_redirect_uris: Vec<String>,
    /// Where logout tokens are sent (OpenID Connect Back-Channel Logout 2.2).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backchannel_logout_uri: Option<String>,
    /// Whether authorization requests must carry a code challenge (RFC 7636); false only of confidential clients.
    #[serde(default = "yes")]
    pub require_pkce: bool,
    /// Whether authorization requests must be pushed (RFC 9126).
    #[serde(default)]
    pub require_par: bool,
    /// Whether its access tokens are always bound to a key (RFC 9449).
    #[serde(default)]
    pub dpop_bound: bool,
    /// Origins whose pages may call the token endpoint and userinfo for it, such as `https://app.example`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cors_origins: Vec<String>,
    /// Signature of its ID tokens; `None` is RS256 (OpenID Connect Registration 2).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id_token_alg: Option<Algorithm>,
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

const fn yes() -> bool {
    true
}

impl Client {
    /// A client that may do nothing yet: the other fields are the caller's to fill.
    pub fn new(client_id: impl Into<String>, auth_method: AuthMethod, created_at: Timestamp) -> Self {
        let kind = match auth_method {
            AuthMethod::None => ClientKind::Public,
            _ => ClientKind::Confidential,
        };
        Self {
            client_id: client_id.into(),
            client_name: None,
            kind,
            auth_method,
            secrets: Vec::new(),
            jwks: None,
            grants: Vec::new(),
            scopes: Vec::new(),
            resources: Vec::new(),
            default_resource: String::new(),
            serves: Vec::new(),
            redirect_uris: Vec::new(),
            post_logout_redirect_uris: Vec::new(),
            backchannel_logout_uri: None,
            require_pkce: true,
            require_par: false,
            dpop_bound: false,
            cors_origins: Vec::new(),
            id_token_alg: None,
            access_token_alg: None,
            access_token_ttl_secs: None,
            roles: Vec::new(),
            disabled: false,
            created_at,
        }
    }

    /// Whether it describes itself: see [`DYNAMIC`].
    pub fn is_dynamic(&self) -> bool {
        self.roles.iter().any(|role| role == DYNAMIC)
    }

    /// What people are shown.
    pub fn display_name(&self) -> &str {
        self.client_name.as_deref().unwrap_or(&self.client_id)
    }

    /// Whether its authorization requests need a code challenge: always, for a client that cannot keep a secret.
    pub fn needs_pkce(&self) -> bool {
        self.require_pkce || self.kind == ClientKind::Public
    }

    /// The signature of its ID tokens.
    pub fn id_token_alg(&self) -> Algorithm {
        self.id_token_alg.unwrap_or(Algorithm::RS256)
    }

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
pub enum GrantType {
    /// RFC 6749 4.1.
    #[serde(rename = "authorization_code")]
    AuthorizationCode,
    /// RFC 6749 4.4.
    #[serde(rename = "client_credentials")]
    ClientCredentials,
    /// RFC 6749 6.
    #[serde(rename = "refresh_token")]
    RefreshToken,
    /// RFC 8628.
    #[serde(rename = "urn:ietf:params:oauth:grant-type:device_code")]
    DeviceCode,
    /// RFC 8693.
    #[serde(rename = "urn:ietf:params:oauth:grant-type:token-exchange")]
    TokenExchange,
    /// RFC 7523 2.1.
    #[serde(rename = "urn:ietf:params:oauth:grant-type:jwt-bearer")]
    JwtBearer,
}

impl GrantType {
    /// Every grant.
    pub const ALL: [Self; 6] = [
        Self::AuthorizationCode,
        Self::ClientCredentials,
        Self::RefreshToken,
        Self::DeviceCode,
        Self::TokenExchange,
        Self::JwtBearer,
    ];

    /// The wire name, as in `grant_type=`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AuthorizationCode => "authorization_code",
            Self::ClientCredentials => "client_credentials",
            Self::RefreshToken => "refresh_token",
            Self::DeviceCode => "urn:ietf:params:oauth:grant-type:device_code",
            Self::TokenExchange => "urn:ietf:params:oauth:grant-type:token-exchange",
            Self::JwtBearer => "urn:ietf:params:oauth:grant-type:jwt-bearer",
        }
    }

    /// From the wire name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|grant| grant.as_str() == text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_stored_before_people_came_still_reads() {
        let old = r#"{"client_id":"a","kind":"confidential","auth_method":"client_secret_basic",
            "grants":["client_credentials"],"scopes":["x"],"default_resource":"https://a.example",
            "created_at":"2026-11-24T10:00:00Z"}"#;
        let client: Client = serde_json::from_str(old).unwrap();
        assert!(client.require_pkce && !client.require_par && !client.dpop_bound);
        assert_eq!((client.id_token_alg(), client.display_name()), (Algorithm::RS256, "a"));
        assert_eq!(serde_json::from_str::<Client>(&serde_json::to_string(&client).unwrap()).unwrap(), client);
    }

    #[test]
    fn a_grant_is_stored_under_its_wire_name() {
        for grant in GrantType::ALL {
            assert_eq!(serde_json::to_value(grant).unwrap(), grant.as_str());
            assert_eq!(GrantType::parse(grant.as_str()), Some(grant));
        }
        assert_eq!(GrantType::parse("password"), None);
    }

    #[test]
    fn a_client_that_cannot_keep_a_secret_needs_pkce_whatever_it_registered() {
        let mut client = Client::new("a", AuthMethod::None, Timestamp::from_secs(0));
        client.require_pkce = false;
        assert!(client.needs_pkce());
        assert!(!Client { kind: ClientKind::Confidential, ..client }.needs_pkce());
    }
}
