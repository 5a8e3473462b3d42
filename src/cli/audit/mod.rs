//! `stockade audit`: what happened, and the proof that nobody changed it.

mod hold;
mod prove;
mod read;
mod seal;
mod show;

use clap::Subcommand;

use super::api::{Api, At};
use super::failure::Failure;
use super::local::Local;
use crate::model::filter::EventField;
use crate::store::log::{self, Filter};

pub(super) use read::{saved, time};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Search the log, newest first
    Query(Box<read::QueryArgs>),
    /// Print events as they are recorded
    Tail(Box<read::TailArgs>),
    /// Write the whole log as NDJSON to stdout, with what it takes to verify it anywhere; or the events that match
    Export(Box<read::ExportArgs>),
    /// Sign the log's present head and print it
    Checkpoint(seal::CheckpointArgs),
    /// Prove single entries, or that the log begins with an older one; `audit verify` takes what it writes
    Prove(prove::ProveArgs),
    /// What retention leaves alone
    #[command(subcommand)]
    Hold(hold::Command),
    /// Recompute every leaf and the tree; exit 1 names what does not hold
    Verify(seal::VerifyArgs),
}

impl Command {
    /// `audit checkpoint`.
    pub(super) fn checkpoint() -> Self {
        Self::Checkpoint(seal::CheckpointArgs::default())
    }

    /// `audit verify` of the configured store.
    pub(super) fn verify_store() -> Self {
        Self::Verify(seal::VerifyArgs::default())
    }
}

pub(super) async fn run(command: &Command, at: &At) -> Result<(), Failure> {
    let config = at.config.as_deref();
    match command {
        Command::Verify(args) if args.export.is_some() => return seal::verify_export(args, config).await,
        Command::Verify(_) if at.server.is_some() => {
            return Err(Failure::usage(
                "`audit verify` works on an export: `audit export --server URL > log.ndjson` gets one",
            ));
        }
        Command::Tail(args) => return read::tail(at, args).await,
        Command::Query(args) => {
            let api = Api::open(at).await?;
            let done = read::query(&api, args).await;
            return api.close(done).await;
        }
        Command::Export(args) if args.is_of_events() => {
            let api = Api::open(at).await?;
            let done = read::export(&api, args).await;
            return api.close(done).await;
        }
        Command::Export(_) | Command::Checkpoint(_) | Command::Prove(_) if at.server.is_some() => {
            let api = Api::open(at).await?;
            let done = match command {
                Command::Checkpoint(args) => seal::remote_checkpoint(&api, args).await,
                Command::Prove(args) => prove::remote(&api, args).await,
                _ => seal::remote_export(&api).await,
            };
            return api.close(done).await;
        }
        Command::Hold(_) if at.server.is_some() => {
            return Err(Failure::usage("`audit hold` works on the store itself: leave out --server"));
        }
        Command::Export(_) | Command::Checkpoint(_) | Command::Prove(_) | Command::Hold(_) | Command::Verify(_) => {}
    }
    let local = Local::open(config).await;
    // An answer about the log needs the log: without it nobody can tell.
    let local = if matches!(command, Command::Verify(_)) { local.map_err(Failure::cannot_tell)? } else { local? };
    let done = match command {
        Command::Checkpoint(args) => seal::checkpoint(&local, args).await,
        Command::Prove(args) => prove::local(&local, args).await,
        Command::Hold(command) => hold::run(&local, command).await,
        Command::Verify(args) => seal::verify_store(&local, args).await,
        Command::Export(_) | Command::Query(_) | Command::Tail(_) => seal::export(&local).await,
    };
    local.store.close().await;
    done
}

/// Nothing was found: that is no answer when it asks for an action or a type of principal that there is not.
async fn plausible(local: &Local, principal: Option<&str>, action: Option<&str>) -> Result<(), Failure> {
    if let Some(kind) = principal.and_then(|principal| principal.split("::\"").next()) {
        let known = local.policies()?.principal_types();
        if !known.iter().any(|name| name == kind) {
            return Err(unknown("type of principal", kind, &known));
        }
    }
    if let Some(action) = action {
        let known = local.policies()?.action_names();
        if !known.iter().any(|name| **name == *action) {
            // Actions that the schema had once, or that need none, are known by having happened.
            let once = Filter::is(EventField::Action, action);
            if log::page(&mut local.store.read_log().await?, &once, None, 1).await?.is_empty() {
                return Err(unknown("action", action, &known));
            }
        }
    }
    Ok(())
}

fn unknown<T: AsRef<str>>(what: &str, given: &str, known: &[T]) -> Failure {
    let near = |name: &&T| strsim::jaro_winkler(name.as_ref(), given);
    let nearest = known.iter().max_by(|a, b| near(a).total_cmp(&near(b)));
    let hint = nearest.map(|name| format!("; the nearest there is: `{}`", name.as_ref())).unwrap_or_default();
    Failure::usage(format!("there is no {what} `{given}`{hint}"))
}
