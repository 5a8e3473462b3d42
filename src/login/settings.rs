//! What the configuration says to this room.

use std::collections::HashMap;
use std::time::Duration;

use crate::config;
use crate::limits::{Limit, LimitError};

/// Settings of the pages.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Wrong passwords for one name.
    pub account_guesses: Limit,
    /// Wrong passwords and codes from one address.
    pub address_guesses: Limit,
    /// Wrong passwords altogether.
    pub all_guesses: Limit,
    /// Wrong codes of one person's second step.
    pub code_guesses: Limit,
    /// Wrong codes of devices.
    pub device_guesses: Limit,
    /// How long a session lives at most.
    pub session_lifetime: Duration,
    /// How long what a device was allowed lives.
    pub grant_lifetime: Duration,
    /// Scopes in plain words.
    pub scopes: HashMap<String, String>,
}

impl Settings {
    /// From the section that concerns this room.
    ///
    /// # Errors
    /// When a limit lies outside what a bucket can count.
    pub fn from_config(login: &config::Login, grant_lifetime: Duration) -> Result<Self, LimitError> {
        let limit = |l: &config::RateLimit| Limit::new(l.count.get(), l.per, l.burst.get());
        Ok(Self {
            account_guesses: limit(&login.account_guesses)?,
            address_guesses: limit(&login.address_guesses)?,
            all_guesses: limit(&login.all_guesses)?,
            code_guesses: limit(&login.code_guesses)?,
            device_guesses: limit(&login.device_guesses)?,
            session_lifetime: login.session_lifetime,
            grant_lifetime,
            scopes: login.scopes.iter().map(|scope| (scope.name.clone(), scope.words.clone())).collect(),
        })
    }
}
