//! `stockade check`: configuration and policies, all mistakes at once.

use std::path::Path;

use super::failure::Failure;
use super::output;
use crate::config::{self, Config};
use crate::crypto::seal::Sealer;
use crate::http::Tls;
use crate::policy;

#[derive(Debug, clap::Args)]
pub(super) struct Args {}

pub(super) fn run(_: &Args, path: Option<&Path>) -> Result<(), Failure> {
    let mut mistakes = Vec::new();
    let loaded = config::read(path, &config::environment());
    let counts = match &loaded.config {
        Ok(config) => further(config, &mut mistakes)?,
        Err(errors) => {
            mistakes.extend(errors.iter().map(ToString::to_string));
            String::new()
        }
    };
    if !mistakes.is_empty() {
        let failure = Failure::Failed(mistakes);
        return Err(if loaded.unreadable { failure.cannot_tell() } else { failure });
    }
    let file = loaded.file.map_or_else(|| "the environment".to_owned(), |file| file.display().to_string());
    output::line(format!("{file} and {counts}: nothing wrong"))
}

/// What the sections cannot see alone: the files they name.
fn further(config: &Config, mistakes: &mut Vec<String>) -> Result<String, Failure> {
    if let Some(Err(error)) = config.http.tls.as_ref().map(Tls::load) {
        mistakes.push(format!("[http.tls]: {error}"));
    }
    if let Err(error) = Sealer::new(&config.crypto.seal_keys) {
        mistakes.push(format!("[crypto]: {error}"));
    }
    if let Some(dir) = &config.policy.dir {
        for problem in policy::check(dir) {
            let text = format!("{}/{problem}", dir.display());
            if problem.is_error() {
                mistakes.push(text);
            } else {
                output::note(text);
            }
        }
        if !mistakes.is_empty() {
            return Ok(String::new());
        }
    }
    let snapshot = super::local::snapshot(config)?;
    let (policies, routes, tiers) = (snapshot.policy_ids().len(), snapshot.routes().len(), snapshot.tiers().count());
    Ok(format!("{policies} policies, {routes} routes, {tiers} tiers"))
}
