//! What is wrong with a configuration.

use std::fmt;

use super::source::Origin;

/// One mistake: where, and what to do about it. Never carries the value of a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// Where the value came from; `None` when what is wrong is that there is none.
    pub at: Option<Origin>,
    /// What is wrong, with the key's name.
    pub message: String,
}

impl ConfigError {
    pub(super) fn new(at: Option<Origin>, message: impl Into<String>) -> Self {
        Self { at, message: message.into() }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.at {
            Some(at) => write!(f, "{at}: {}", self.message),
            None => f.write_str(&self.message),
        }
    }
}

impl std::error::Error for ConfigError {}
