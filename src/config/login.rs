//! `[login]`: sessions of people, and how often they may guess.

use std::time::Duration;

use super::reader::Reader;
use super::text::{self, RateLimit};

/// `[login]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Login {
    /// How long a session lives, whatever is done in it.
    pub session_lifetime: Duration,
    /// How long it lives without being used.
    pub session_idle: Duration,
    /// Wrong passwords for one name.
    pub account_guesses: RateLimit,
    /// Wrong passwords and codes from one address.
    pub address_guesses: RateLimit,
    /// Wrong passwords altogether.
    pub all_guesses: RateLimit,
    /// Wrong codes of one person's second step.
    pub code_guesses: RateLimit,
    /// Wrong codes of devices in one session, and from one address.
    pub device_guesses: RateLimit,
    /// Passwords hashed at once; 0: half of the cores.
    pub hashes: usize,
    /// Scopes in plain words, for the pages that ask.
    pub scopes: Vec<ScopeWords>,
}

/// What a scope means to the person who is asked for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScopeWords {
    /// The scope.
    pub name: String,
    /// What it allows, as in "it asks to …".
    pub words: String,
}

impl Default for Login {
    fn default() -> Self {
        Self {
            session_lifetime: Duration::from_secs(12 * 3600),
            session_idle: Duration::from_secs(2 * 3600),
            account_guesses: RateLimit::per(Duration::from_secs(3600), 20, 10),
            address_guesses: RateLimit::per(Duration::from_secs(3600), 300, 60),
            all_guesses: RateLimit::per_second(100, 500),
            code_guesses: RateLimit::per(Duration::from_secs(3600), 20, 5),
            device_guesses: RateLimit::per(Duration::from_secs(3600), 20, 5),
            hashes: 0,
            scopes: Vec::new(),
        }
    }
}

impl Login {
    pub(super) fn read(r: &mut Reader<'_>) -> Self {
        let d = Self::default();
        let login = Self {
            session_lifetime: r.parsed("login.session_lifetime", d.session_lifetime, text::duration),
            session_idle: r.parsed("login.session_idle", d.session_idle, text::duration),
            account_guesses: r.parsed("login.account_guesses", d.account_guesses, RateLimit::parse),
            address_guesses: r.parsed("login.address_guesses", d.address_guesses, RateLimit::parse),
            all_guesses: r.parsed("login.all_guesses", d.all_guesses, RateLimit::parse),
            code_guesses: r.parsed("login.code_guesses", d.code_guesses, RateLimit::parse),
            device_guesses: r.parsed("login.device_guesses", d.device_guesses, RateLimit::parse),
            hashes: r.number("login.hashes", d.hashes as u64, 0..=64) as usize,
            scopes: r
                .tables("login.scopes", |f| {
                    let text = |text: &str| {
                        if text.is_empty() { Err("must not be empty".to_owned()) } else { Ok(text.to_owned()) }
                    };
                    Some(ScopeWords { name: f.required("name", text)?, words: f.required("words", text)? })
                })
                .into_iter()
                .flatten()
                .collect(),
        };
        for (key, value) in
            [("login.session_lifetime", login.session_lifetime), ("login.session_idle", login.session_idle)]
        {
            if value < Duration::from_secs(60) {
                r.wrong(key, "must be at least \"1m\", or nobody stays signed in");
            }
        }
        login
    }
}
