//! What a person granted a client, and the short-lived rows that lead there: codes, refresh tokens, pushed requests,
//! device codes, consents.

use serde::{Deserialize, Serialize};

use super::session::Acr;
use super::token::TokenDigest;
use crate::base::Timestamp;

/// A family of tokens: everything that one authorization of a person led to lives and dies with it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// `gr_…`: the `gid` of its access tokens.
    pub grant_id: String,
    /// To whom.
    pub client_id: String,
    /// By whom.
    pub user_id: String,
    /// In which session; `None` of a grant made without a browser.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_id: Option<String>,
    /// What was granted; an access token may have less.
    pub scopes: Vec<String>,
    /// The resources (RFC 8707) that tokens may be for; the first is the default.
    pub resources: Vec<String>,
    /// How strongly the person had authenticated.
    pub acr: Acr,
    /// By which methods (RFC 8176).
    #[serde(default)]
    pub amr: Vec<String>,
    /// When.
    pub auth_time: Timestamp,
    /// The `nonce` of the authorization request, for the ID token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nonce: Option<String>,
    /// The key that its tokens are bound to (RFC 9449): set by the first token request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dpop_jkt: Option<String>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When the last of it dies, whatever is refreshed.
    pub expires_at: Timestamp,
    /// Since when nothing of it counts.
    #[serde(skip)]
    pub revoked_at: Option<Timestamp>,
}

impl Grant {
    /// Whether anything of it can still count.
    pub fn is_live(&self, now: Timestamp) -> bool {
        self.revoked_at.is_none() && self.expires_at > now
    }

    /// Whether a refresh token goes with it (OpenID Connect Core 11).
    pub fn is_offline(&self) -> bool {
        self.scopes.iter().any(|scope| scope == "offline_access")
    }
}

/// An authorization code, under the SHA-256 of its text. Good for one use within its minute (RFC 6749 4.1.2).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuthorizationCode {
    /// The family that it opens.
    pub grant_id: String,
    /// To whom it was sent.
    pub client_id: String,
    /// Where.
    pub redirect_uri: String,
    /// S256 challenge (RFC 7636 4.2).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code_challenge: Option<String>,
    /// The key that will prove itself at the token endpoint (RFC 9449 10).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dpop_jkt: Option<String>,
    /// The resources asked for.
    pub resources: Vec<String>,
    /// When it dies unused.
    pub expires_at: Timestamp,
}

/// Where a refresh token stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefreshState {
    /// May be used.
    Active,
    /// Was used, and has a child.
    Rotated,
    /// Was never used, and a sibling took its place (a lost answer).
    Replaced,
}

impl RefreshState {
    /// The name in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Rotated => "rotated",
            Self::Replaced => "replaced",
        }
    }

    /// From the name.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Active, Self::Rotated, Self::Replaced].into_iter().find(|state| state.as_str() == text)
    }
}

/// A refresh token, under the SHA-256 of its text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefreshToken {
    /// SHA-256 of its text.
    pub digest: TokenDigest,
    /// Its family.
    pub grant_id: String,
    /// The one it replaced; `None` of the first.
    pub parent: Option<TokenDigest>,
    /// Where it stands.
    pub state: RefreshState,
    /// When it was issued.
    pub issued_at: Timestamp,
    /// When it was used up, or last used where it is not rotated.
    pub used_at: Option<Timestamp>,
    /// When it dies unused.
    pub expires_at: Timestamp,
    /// The access token that was issued with it: revoked when its answer was lost.
    pub access_jti: String,
    /// When that one dies.
    pub access_exp: Timestamp,
}

/// A pushed authorization request (RFC 9126), under the SHA-256 of its `request_uri`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PushedRequest {
    /// Who pushed it.
    pub client_id: String,
    /// The checked request, as JSON.
    pub body: String,
    /// Until when it may be brought to the authorization endpoint.
    pub expires_at: Timestamp,
    /// When a code was issued for it: then it is used up.
    pub used_at: Option<Timestamp>,
}

/// Where a device authorization stands (RFC 8628 3.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeviceState {
    /// Nobody has decided.
    Pending,
    /// A person said yes: a family waits.
    Approved,
    /// A person said no.
    Denied,
    /// Tokens were issued.
    Used,
}

impl DeviceState {
    /// The name in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Approved => "approved",
            Self::Denied => "denied",
            Self::Used => "used",
        }
    }

    /// From the name.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Pending, Self::Approved, Self::Denied, Self::Used].into_iter().find(|state| state.as_str() == text)
    }
}

/// A device authorization, under the SHA-256 of its device code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceCode {
    /// SHA-256 of the device code.
    pub digest: TokenDigest,
    /// What a person types, in its one spelling.
    pub user_code: String,
    /// Which client asks.
    pub client_id: String,
    /// Scopes asked for.
    pub scopes: Vec<String>,
    /// Resources asked for.
    pub resources: Vec<String>,
    /// The key that its tokens are to be bound to (RFC 9449).
    pub dpop_jkt: Option<String>,
    /// Where it stands.
    pub state: DeviceState,
    /// The family, once approved.
    pub grant_id: Option<String>,
    /// Seconds that the device must wait between two polls.
    pub interval_secs: i64,
    /// When it last polled.
    pub polled_at: Option<Timestamp>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it dies.
    pub expires_at: Timestamp,
}

/// What a person has agreed to give a client.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Consent {
    /// Who agreed.
    pub user_id: String,
    /// To give to whom.
    pub client_id: String,
    /// Scopes, sorted.
    pub scopes: Vec<String>,
    /// Resources, sorted.
    pub resources: Vec<String>,
    /// When it was last given.
    pub given_at: Timestamp,
}

impl Consent {
    /// Whether it covers all that is asked for.
    pub fn covers<'a>(
        &self,
        scopes: impl IntoIterator<Item = &'a str>,
        resources: impl IntoIterator<Item = &'a str>,
    ) -> bool {
        scopes.into_iter().all(|scope| self.scopes.iter().any(|s| s == scope))
            && resources.into_iter().all(|resource| self.resources.iter().any(|r| r == resource))
    }
}

/// A person's account at an upstream provider.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpstreamLink {
    /// The provider's `iss`. Its name in the configuration may change, and come to mean another.
    pub issuer: String,
    /// The provider's `sub`.
    pub subject: String,
    /// Who it is here.
    pub user_id: String,
    /// What the provider called the person, for the account page.
    pub label: String,
    /// When it was linked.
    pub created_at: Timestamp,
    /// When it was last used.
    pub last_used_at: Option<Timestamp>,
}

/// A logout token that is still to be delivered (OpenID Connect Back-Channel Logout 2.5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogoutDelivery {
    /// `lgd_…`.
    pub delivery_id: String,
    /// To whom.
    pub client_id: String,
    /// Who was signed out.
    pub user_id: String,
    /// Of which session; `None`: of all.
    pub session_id: Option<String>,
    /// How often it was tried.
    pub attempts: i64,
    /// When it is tried next.
    pub next_at: Timestamp,
    /// When it is given up.
    pub expires_at: Timestamp,
}
