//! The client that is played: who it is, how it proves itself, and the server it talks to.

use std::path::Path;

use parking_lot::Mutex;

use super::super::api::{At, Credential, Metadata, http_client, server_url};
use super::super::dev;
use super::super::failure::Failure;
use super::super::wire::{Answer, Wire};
use super::super::{local, output};
use crate::base::Secret;
use crate::config;

/// The client, and what it has come by.
pub(super) struct Party {
    pub(super) metadata: Metadata,
    pub(super) client_id: String,
    pub(super) credential: Option<Credential>,
    /// Whether it is one that `stockade dev` made.
    pub(super) demo: bool,
    pub(super) wire: Wire,
    seen: Mutex<Option<Answer>>,
    steps: usize,
}

impl std::fmt::Debug for Party {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Party").field("client_id", &self.client_id).finish_non_exhaustive()
    }
}

impl Party {
    /// A client of its own right: of `dev.env` the one called `DEMO`.
    pub(super) async fn by_itself(at: &At) -> Result<Self, Failure> {
        Self::new(at, "DEMO").await
    }

    /// A client that people use: of `dev.env` the one called `TRY`.
    pub(super) async fn with_a_person(at: &At) -> Result<Self, Failure> {
        Self::new(at, "TRY").await
    }

    async fn new(at: &At, who: &str) -> Result<Self, Failure> {
        let issuer = match &at.server {
            Some(server) => server_url(server)?,
            None => local::configured(at.config.as_deref())?.server.issuer,
        };
        let (client_id, credential, demo) = match (&at.client_id, at.server.is_none()) {
            (Some(client_id), _) => (client_id.clone(), named(at)?, false),
            (None, true) => demo(at, who)?,
            (None, false) => return Err(Failure::usage("name the client: --client-id ID")),
        };
        let http = http_client()?;
        let metadata = Metadata::fetch(&http, &issuer).await?;
        let (wire, seen) = (Wire::of(http), Mutex::new(None));
        let mut party = Self { metadata, client_id, credential, demo, wire, seen, steps: 0 };
        party.step(&format!("{} says what it offers (RFC 8414); the client is `{}`", issuer, party.client_id))?;
        Ok(party)
    }

    /// Begins a step.
    pub(super) fn step(&mut self, title: &str) -> Result<(), Failure> {
        self.steps += 1;
        output::line(format!("{}. {title}", self.steps))
    }

    /// What came of it.
    pub(super) fn tell(&self, text: impl std::fmt::Display) -> Result<(), Failure> {
        output::line(format!("   {text}"))
    }

    /// An endpoint that this grant needs.
    pub(super) fn endpoint(&self, endpoint: Option<&String>, what: &str) -> Result<String, Failure> {
        endpoint.cloned().ok_or_else(|| Failure::failed(format!("{} has no {what}", self.metadata.issuer)))
    }

    /// The secret, for the library to send.
    pub(super) fn secret(&self) -> Option<oauth2::ClientSecret> {
        match &self.credential {
            Some(Credential::Secret(secret)) => Some(oauth2::ClientSecret::new(secret.expose().clone())),
            _ => None,
        }
    }

    /// What proves the client beside that: an assertion where it has a key.
    pub(super) fn proof(&self) -> Result<Vec<(&'static str, String)>, Failure> {
        match &self.credential {
            Some(credential) => credential.parameters(&self.client_id, &self.metadata.issuer),
            None => Ok(Vec::new()),
        }
    }

    /// The library's HTTP client.
    pub(super) async fn exchange(&self, request: oauth2::HttpRequest) -> Result<oauth2::HttpResponse, Failure> {
        self.wire.exchange(request, &self.seen).await
    }

    /// The answer to the last exchange; a refusal, or what the library makes of it, is a failure.
    pub(super) fn answered<T, E: std::error::Error>(&self, result: Result<T, E>) -> Result<(T, Answer), Failure> {
        match (result, self.seen.lock().take()) {
            (Ok(value), Some(answer)) => Ok((value, answer)),
            (Err(_), Some(answer)) if !answer.status.is_success() => {
                Err(Failure::failed(format!("refused: {} {}", answer.status.as_u16(), answer.shown())))
            }
            (Err(error), _) => Err(Failure::chain(&error)),
            (Ok(_), None) => Err(Failure::failed("an answer came from nowhere")),
        }
    }
}

/// As the flags say; without a file it is a public client.
fn named(at: &At) -> Result<Option<Credential>, Failure> {
    match (&at.client_secret_file, &at.client_key_file) {
        (None, None) => Ok(None),
        (secret, key) => Credential::read(secret.as_deref(), key.as_deref()).map(Some),
    }
}

/// One of `dev.env` beside the configuration.
fn demo(at: &At, who: &str) -> Result<(String, Option<Credential>, bool), Failure> {
    let config = at.config.as_deref().unwrap_or(Path::new(config::FILE_NAME));
    let file = config.with_file_name("dev.env");
    let text = std::fs::read_to_string(&file).map_err(|_| {
        let file = file.display();
        Failure::usage(format!("name the client: --client-id ID ({file}, which `stockade dev` writes, is not there)"))
    })?;
    let value = |name: &str| dev::variable(&text, &format!("{who}_CLIENT_{name}"));
    let Some(client_id) = value("ID") else {
        let file = file.display();
        return Err(Failure::usage(format!(
            "{file} has no {who}_CLIENT_ID: start `stockade dev` again, or --client-id"
        )));
    };
    Ok((client_id, value("SECRET").map(|secret| Credential::Secret(Secret::new(secret))), true))
}
