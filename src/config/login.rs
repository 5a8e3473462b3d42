//! `[login]`: sessions of people, how often they may guess, and where else they may sign in.

use std::time::Duration;

use super::reader::{Fields, Reader};
use super::server;
use super::text::{self, RateLimit};
use crate::base::Secret;

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
    /// OpenID providers that people may sign in with.
    pub providers: Vec<LoginProvider>,
}

/// An OpenID provider that people may sign in with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoginProvider {
    /// Its name in paths and events.
    pub id: String,
    /// Its name on pages.
    pub name: String,
    /// Its `iss`, byte for byte; its metadata are found below it.
    pub issuer: String,
    /// Who we are there.
    pub client_id: String,
    /// How we show it; `None`: a public client.
    pub client_secret: Option<Secret<String>>,
    /// What it is asked for: `openid` at least.
    pub scopes: Vec<String>,
    /// Whether somebody whom nobody knows here becomes a person here.
    pub create: bool,
    /// The claim that becomes their username.
    pub username: String,
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
            providers: Vec::new(),
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
            providers: r.tables("login.providers", provider).into_iter().flatten().collect(),
        };
        for (i, one) in login.providers.iter().enumerate() {
            let before = || login.providers.iter().take(i);
            if before().any(|other| other.id == one.id) {
                r.wrong("login.providers", format!("the id `{}` is there twice: rename one", one.id));
            }
            if before().any(|other| other.issuer == one.issuer) {
                r.wrong("login.providers", format!("the issuer `{}` is there twice: keep one", one.issuer));
            }
        }
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

fn provider(f: &mut Fields<'_>) -> Option<LoginProvider> {
    let text = |text: &str| if text.is_empty() { Err("must not be empty".to_owned()) } else { Ok(text.to_owned()) };
    let scopes = f.optional("scopes", scopes).unwrap_or_else(|| vec!["openid".to_owned(), "profile".to_owned()]);
    let create = f.flag("create").unwrap_or(false);
    let username = f.optional("username", text).unwrap_or_else(|| "preferred_username".to_owned());
    let client_secret = f.secret("client_secret");
    let id = f.required("id", provider_id);
    let name = f.required("name", text);
    let issuer = f.required("issuer", server::foreign_issuer);
    let client_id = f.required("client_id", text);
    Some(LoginProvider {
        id: id?,
        name: name?,
        issuer: issuer?,
        client_id: client_id?,
        client_secret,
        scopes,
        create,
        username,
    })
}

/// A name that stands in a path as it is.
fn provider_id(text: &str) -> Result<String, String> {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    if (1..=32).contains(&text.len()) && text.bytes().all(plain) {
        Ok(text.to_owned())
    } else {
        Err(format!("`{text}` is no id: 1 to 32 of a-z, 0-9 and `-`"))
    }
}

/// Scopes with spaces between them.
fn scopes(text: &str) -> Result<Vec<String>, String> {
    let scopes: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
    if scopes.iter().any(|scope| scope == "openid") {
        Ok(scopes)
    } else {
        Err("must name `openid`, or there is no ID token to know anybody by".to_owned())
    }
}
