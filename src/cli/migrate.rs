//! `stockade migrate`: the database's schema.

use std::path::Path;

use clap::Subcommand;
use serde::Serialize;

use super::failure::Failure;
use super::local;
use super::output::{self, Output};
use crate::store::Store;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List the migrations, and whether the database has them; exit 1 when one is missing
    Status(Output),
}

#[derive(Serialize)]
struct Row {
    migration: &'static str,
    applied: bool,
}

pub(super) async fn run(args: &Args, path: Option<&Path>) -> Result<(), Failure> {
    let config = local::configured(path)?;
    let store = Store::open(config.database.url.expose()).await?;
    let before = store.migration_status().await?;
    if let Some(Command::Status(output)) = &args.command {
        let rows: Vec<Row> = before.iter().map(|m| Row { migration: m.name, applied: m.applied }).collect();
        output::list(output.output, &["migration", "applied"], &rows, |row| {
            vec![row.migration.to_owned(), if row.applied { "yes" } else { "no" }.to_owned()]
        })?;
        return if before.iter().all(|m| m.applied) { Ok(()) } else { Err(Failure::No) };
    }
    store.migrate().await?;
    for migration in before.iter().filter(|m| !m.applied) {
        output::line(format!("applied {}", migration.name))?;
    }
    if before.iter().all(|m| m.applied) {
        output::line("nothing to do: the database is at this version's schema")?;
    }
    Ok(())
}
