//! How a command ends when it does not end well.

use std::error::Error;
use std::fmt::Display;
use std::process::ExitCode;

use super::output;
use crate::config::ConfigError;

/// Why a command failed, and with which exit code.
#[derive(Debug)]
pub(super) enum Failure {
    /// Failed or refused: exit 1. One line for each thing that is wrong.
    Failed(Vec<String>),
    /// Wrong usage, or cannot tell: exit 2. One line for each reason.
    CannotTell(Vec<String>),
    /// The answer is no, and it is printed already: exit 1 without a word.
    No,
    /// Whoever read our output has left: exit 0 without a word.
    ReaderLeft,
}

impl Failure {
    pub(super) fn failed(message: impl Display) -> Self {
        Self::Failed(vec![message.to_string()])
    }

    pub(super) fn usage(message: impl Display) -> Self {
        Self::CannotTell(vec![message.to_string()])
    }

    /// What failed before the question was even put: nobody can tell the answer.
    pub(super) fn cannot_tell(self) -> Self {
        match self {
            Self::Failed(messages) => Self::CannotTell(messages),
            other => other,
        }
    }

    /// An error with everything that caused it.
    pub(super) fn chain(error: &dyn Error) -> Self {
        let mut message = error.to_string();
        let mut cause = error.source();
        while let Some(inner) = cause {
            let text = inner.to_string();
            if !message.contains(&text) {
                message = format!("{message}: {text}");
            }
            cause = inner.source();
        }
        Self::failed(message)
    }

    pub(super) fn report(&self) -> ExitCode {
        match self {
            Self::Failed(messages) => told(messages, 1),
            Self::CannotTell(messages) => told(messages, 2),
            Self::No => ExitCode::from(1),
            Self::ReaderLeft => ExitCode::SUCCESS,
        }
    }
}

fn told(messages: &[String], code: u8) -> ExitCode {
    for message in messages {
        output::note(format!("error: {message}"));
    }
    ExitCode::from(code)
}

impl Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Failed(messages) | Self::CannotTell(messages) => f.write_str(&messages.join("; ")),
            Self::No => f.write_str("the answer is no"),
            Self::ReaderLeft => f.write_str("the reader has left"),
        }
    }
}

impl Error for Failure {}

impl From<Vec<ConfigError>> for Failure {
    fn from(errors: Vec<ConfigError>) -> Self {
        Self::Failed(errors.iter().map(ToString::to_string).collect())
    }
}

impl From<crate::store::StoreError> for Failure {
    fn from(error: crate::store::StoreError) -> Self {
        Self::chain(&error)
    }
}

impl From<crate::crypto::CryptoError> for Failure {
    fn from(error: crate::crypto::CryptoError) -> Self {
        Self::chain(&error)
    }
}
