//! `stockade audit`: what happened, and the proof that nobody changed it.

mod prove;
mod read;
mod remote;
mod seal;

use clap::Subcommand;

use super::api::At;
use super::failure::Failure;
use super::local::Local;

pub(super) use read::time;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Search the log, newest first
    Query(read::QueryArgs),
    /// Print events as they are recorded
    Tail(read::TailArgs),
    /// Write the whole log as NDJSON to stdout, with what it takes to verify it anywhere
    Export,
    /// Sign the log's present head and print it
    Checkpoint(seal::CheckpointArgs),
    /// Prove single entries, or that the log begins with an older one; `audit verify` takes what it writes
    Prove(prove::ProveArgs),
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
    if let Command::Verify(args) = command
        && args.export.is_some()
    {
        return seal::verify_export(args, config).await;
    }
    if at.server.is_some() {
        return remote::run(command, at).await;
    }
    let local = Local::open(config).await;
    // An answer about the log needs the log: without it nobody can tell.
    let local = if matches!(command, Command::Verify(_)) { local.map_err(Failure::cannot_tell)? } else { local? };
    let done = match command {
        Command::Query(args) => read::query(&local, args).await,
        Command::Tail(args) => read::tail(&local, args).await,
        Command::Export => seal::export(&local).await,
        Command::Checkpoint(args) => seal::checkpoint(&local, args).await,
        Command::Prove(args) => prove::local(&local, args).await,
        Command::Verify(args) => seal::verify_store(&local, args).await,
    };
    local.store.close().await;
    done
}
