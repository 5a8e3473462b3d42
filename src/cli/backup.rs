//! `stockade backup`: a consistent copy.

use std::path::{Path, PathBuf};

use super::failure::Failure;
use super::{local, output};
use crate::store::{Store, StoreError};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The copy of the main file; the audit log's copy is made beside it
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

pub(super) async fn run(args: &Args, path: Option<&Path>) -> Result<(), Failure> {
    let config = local::configured(path)?;
    if config.database.sqlite_file().is_none() {
        // The password stays where it is: pg_dump reads it from PGPASSWORD or ~/.pgpass.
        let url = without_password(config.database.url.expose());
        output::line(format!("pg_dump --format=custom --file={} '{url}'", args.file.display()))?;
        output::note("this database is PostgreSQL's: run the line above");
        return Ok(());
    }
    let store = Store::open(config.database.url.expose()).await?;
    match store.backup(&args.file).await {
        Ok(()) => {
            output::line(format!("copied to {}, the audit log beside it", args.file.display()))?;
            output::note("keep `crypto.seal_keys` with it, elsewhere: without them its keys cannot be opened");
            Ok(())
        }
        Err(StoreError::Conflict(file)) => {
            Err(Failure::failed(format!("{file} exists and is left as it is: choose another name")))
        }
        Err(error) => Err(error.into()),
    }
}

fn without_password(url: &str) -> String {
    let Ok(mut url) = url::Url::parse(url) else { return "postgres://…".to_owned() };
    // A URL that has a host can always lose its password.
    let _ = url.set_password(None);
    url.into()
}
