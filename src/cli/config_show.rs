//! `stockade config show`: what is set, and where from.

use std::path::Path;

use clap::Subcommand;
use serde::Serialize;

use super::failure::Failure;
use super::output::{self, Format, Output};
use crate::config;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Print every key with its value, secrets redacted
    Show(Args),
}

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Also print where each value came from
    #[arg(long)]
    origin: bool,
    #[command(flatten)]
    output: Output,
}

#[derive(Serialize)]
struct Row {
    key: String,
    value: String,
    origin: String,
}

pub(super) fn run(command: &Command, path: Option<&Path>) -> Result<(), Failure> {
    let Command::Show(args) = command;
    let loaded = config::read(path, &config::environment());
    let rows: Vec<Row> = loaded
        .shown
        .into_iter()
        .map(|shown| Row { key: shown.key, value: shown.value, origin: shown.origin.to_string() })
        .collect();
    if args.origin || args.output.output == Format::Json {
        output::list(args.output.output, &["key", "value", "origin"], &rows, |row| {
            vec![row.key.clone(), row.value.clone(), row.origin.clone()]
        })?;
    } else {
        output::list(args.output.output, &["key", "value"], &rows, |row| vec![row.key.clone(), row.value.clone()])?;
    }
    let failure = |errors| if loaded.unreadable { Failure::from(errors).cannot_tell() } else { Failure::from(errors) };
    loaded.config.map(drop).map_err(failure)
}
