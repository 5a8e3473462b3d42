//! People, and what they prove themselves with.

use serde::{Deserialize, Serialize};
use unicode_normalization::UnicodeNormalization as _;

use crate::base::Timestamp;

/// The one spelling of a username: compatibility-composed (NFKC), lower case, without spaces around it. `None` when nothing
/// is left, more than 128 characters are, or one of them is a control character.
pub fn fold(username: &str) -> Option<String> {
    let folded: String = username.trim().nfkc().flat_map(char::to_lowercase).nfkc().collect();
    let fits = (1..=128).contains(&folded.chars().count());
    (fits && !folded.chars().any(char::is_control)).then_some(folded)
}

/// A person. Stored as JSON beside the indexed columns `user_id`, `username`, `version`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct User {
    /// `usr_…`: the `sub` of tokens, the id of the Cedar entity. Never reused.
    pub user_id: String,
    /// What is typed at login, as [`fold`] makes it. Unique.
    pub username: String,
    /// Full name, as shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Mail address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// Whether somebody showed that mail to it arrives. Not writable by its person.
    #[serde(default)]
    pub email_verified: bool,
    /// Roles: the Cedar parents of the person's entity. Not writable by its person.
    #[serde(default)]
    pub roles: Vec<String>,
    /// A disabled person gets nothing, and what they hold is no longer active.
    #[serde(default)]
    pub disabled: bool,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

impl User {
    /// A person of this name, without credentials and roles.
    pub fn new(user_id: String, username: String, now: Timestamp) -> Self {
        Self {
            user_id,
            username,
            name: None,
            email: None,
            email_verified: false,
            roles: Vec::new(),
            disabled: false,
            created_at: now,
            updated_at: now,
        }
    }
}

/// What a credential is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CredentialKind {
    /// A password, hashed.
    Password,
    /// A WebAuthn credential, sealed.
    Passkey,
    /// The seed of one-time codes (RFC 6238), sealed.
    Totp,
    /// One recovery code, hashed.
    Recovery,
}

impl CredentialKind {
    /// Every kind.
    pub const ALL: [Self; 4] = [Self::Password, Self::Passkey, Self::Totp, Self::Recovery];

    /// The name in the database and in events.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Password => "password",
            Self::Passkey => "passkey",
            Self::Totp => "totp",
            Self::Recovery => "recovery",
        }
    }

    /// From the name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }
}

/// One credential of a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credential {
    /// `cred_…`.
    pub credential_id: String,
    /// Whose it is.
    pub user_id: String,
    /// What it is.
    pub kind: CredentialKind,
    /// What its person calls it; empty where nobody asked.
    pub label: String,
    /// A hash, or bytes sealed with `crypto::seal`. Never a secret in clear.
    pub body: Vec<u8>,
    /// The last time step whose code was used (RFC 6238 5.2).
    pub last_step: Option<i64>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last used.
    pub last_used_at: Option<Timestamp>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_one_spelling_however_it_is_typed() {
        for typed in ["Ada", " ada ", "ADA", "\u{ff21}da"] {
            assert_eq!(fold(typed).as_deref(), Some("ada"), "{typed}");
        }
        assert_eq!(fold("e\u{301}"), fold("\u{c9}"), "composed or not");
        for none in ["", "  ", "a\u{0}b", &"x".repeat(129)] {
            assert_eq!(fold(none), None, "{none:?}");
        }
        let twice = |name| fold(&fold(name).unwrap());
        for name in ["\u{130}x", "\u{1e9e}", "\u{3a3}"] {
            assert_eq!(twice(name), fold(name), "{name}");
        }
    }
}
