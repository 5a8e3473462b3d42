//! A browser in which a person has signed in.

use serde::{Deserialize, Serialize};

use crate::base::Timestamp;

/// How strongly a person authenticated. On the wire its number as text: `"1"`, `"2"`, `"3"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "u8", try_from = "u8")]
pub enum Acr {
    /// One factor: a password, or an upstream provider.
    One,
    /// Two factors.
    Two,
    /// Resists phishing: a passkey that verified its user.
    Three,
}

impl Acr {
    /// Every level, weakest first.
    pub const ALL: [Self; 3] = [Self::One, Self::Two, Self::Three];

    /// The number that policies see.
    pub const fn level(self) -> u8 {
        match self {
            Self::One => 1,
            Self::Two => 2,
            Self::Three => 3,
        }
    }

    /// The text of `acr` and `acr_values`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::One => "1",
            Self::Two => "2",
            Self::Three => "3",
        }
    }

    /// From the text.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|acr| acr.as_str() == text)
    }
}

impl From<Acr> for u8 {
    fn from(acr: Acr) -> Self {
        acr.level()
    }
}

impl TryFrom<u8> for Acr {
    type Error = String;

    fn try_from(level: u8) -> Result<Self, String> {
        Self::ALL.into_iter().find(|acr| acr.level() == level).ok_or_else(|| format!("`{level}` is no acr level"))
    }
}

/// A session. Its row stands under the SHA-256 of the cookie's value; that value is nowhere else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// `ses_…`: the `sid` of tokens. Public; survives a step-up, while the cookie's value changes.
    pub session_id: String,
    /// Who signed in.
    pub user_id: String,
    /// How strongly.
    pub acr: Acr,
    /// By which methods (RFC 8176): `pwd`, `otp`, `hwk`, `mfa`, ….
    pub amr: Vec<String>,
    /// When the person last authenticated, a step-up included.
    pub auth_time: Timestamp,
    /// When it began.
    pub created_at: Timestamp,
    /// When it was last used, to the minute.
    pub last_seen_at: Timestamp,
    /// When it ends by itself.
    pub expires_at: Timestamp,
    /// The peer's address at its beginning.
    pub address: Option<String>,
    /// What the browser called itself, shortened.
    pub user_agent: Option<String>,
}
