//! `audit prove`: what shows somebody else that an entry is in the signed log, or that the log goes on from an older one,
//! without showing the rest.

use std::io::{self, BufWriter};

use super::super::api::Api;
use super::super::failure::Failure;
use super::super::local::Local;
use super::super::output;
use super::seal;
use crate::audit_log::export::ExportError;
use crate::audit_log::{checkpoint, prove};
use crate::base::Clock as _;

#[derive(Debug, clap::Args)]
#[group(required = true, multiple = true)]
pub(in crate::cli) struct ProveArgs {
    /// The numbers (`seq`) of entries
    #[arg(value_name = "SEQ", num_args = 0..=100, value_parser = clap::value_parser!(i64).range(0..))]
    entries: Vec<i64>,
    /// The size of a head that was kept: its second line
    #[arg(long, value_name = "SIZE")]
    begins_with: Vec<u64>,
}

pub(in crate::cli) async fn local(local: &Local, args: &ProveArgs) -> Result<(), Failure> {
    let action = if args.entries.is_empty() { "audit:verify" } else { "audit:export" };
    let key = seal::opened(local, action, "audit prove").await?;
    local.sequence().await?;
    let origin = checkpoint::origin(&local.config.server.issuer);
    let signed = checkpoint::sign_now(&local.store, &origin, &key, local.clock.now()).await;
    signed.map_err(|e| Failure::chain(&e))?;
    let mut out = BufWriter::new(io::stdout().lock());
    match prove::prove(&local.store, &key.public(), &args.entries, &args.begins_with, &mut out).await {
        Ok(()) => Ok(()),
        Err(ExportError::Write(e)) if e.kind() == io::ErrorKind::BrokenPipe => Err(Failure::ReaderLeft),
        Err(error) => Err(Failure::chain(&error)),
    }
}

pub(in crate::cli) async fn remote(api: &Api, args: &ProveArgs) -> Result<(), Failure> {
    let list = |numbers: Vec<String>| numbers.join(",");
    let older = list(args.begins_with.iter().map(u64::to_string).collect());
    let path = if args.entries.is_empty() {
        format!("/api/v1/audit/consistency?from={older}")
    } else {
        let entries = list(args.entries.iter().map(i64::to_string).collect());
        let older = if older.is_empty() { older } else { format!("&begins_with={older}") };
        format!("/api/v1/audit/proofs?entries={entries}{older}")
    };
    let body = api.bytes(&path).await?;
    output::bytes(&body)
}
