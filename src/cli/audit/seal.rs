//! `audit export`, `audit checkpoint`, `audit verify`.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Write as _};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::super::api::Api;
use super::super::failure::Failure;
use super::super::local::Local;
use super::super::output::{self, Output};
use super::super::progress::Counted;
use crate::audit_log::anchor::{self, Anchor};
use crate::audit_log::checkpoint;
use crate::audit_log::export::{self, ExportError};
use crate::audit_log::verify::{self, Report, VerifyError};
use crate::base::Clock as _;
use crate::crypto::log_key::LogKey;
use crate::model::{Outcome, event};
use crate::policy::Resource;
use crate::store::heads::Head;

#[derive(Debug, Default, clap::Args)]
pub(in crate::cli) struct VerifyArgs {
    /// An export, `-` for stdin [default: the configured store]
    #[arg(value_name = "EXPORT")]
    pub(super) export: Option<PathBuf>,
    /// The log's public key as `audit checkpoint` told it, in base64: proves who made the export [default: the key of
    /// the deployment that --config names]
    #[arg(long, value_name = "KEY", value_parser = public_key, requires = "export")]
    key: Option<PublicKey>,
    /// Heads that were kept elsewhere: the file of `[audit_log.anchors]`, or what `audit checkpoint` printed. Shows a tail
    /// that was cut off, and a log that was rewritten
    #[arg(long, value_name = "FILE")]
    anchor: Vec<PathBuf>,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, Default, clap::Args)]
pub(in crate::cli) struct CheckpointArgs {
    /// Sign though heads that were signed before are missing or do not fit: verification goes on from here
    #[arg(long)]
    anew: bool,
}

/// 32 bytes.
#[derive(Clone, Debug)]
struct PublicKey([u8; 32]);

fn public_key(text: &str) -> Result<PublicKey, String> {
    let bytes = STANDARD.decode(text).ok().and_then(|bytes| bytes.try_into().ok());
    bytes.map(PublicKey).ok_or_else(|| "expected 32 bytes in base64".to_owned())
}

/// The operator may, and that it did is recorded.
pub(super) async fn opened(local: &Local, action: &str, by: &str) -> Result<LogKey, Failure> {
    let decision = local.permit(event::kind::AUDIT_READ, action, &Resource::audit_log()).await?;
    let event = local.event(event::kind::AUDIT_READ, Outcome::Allowed, action, &Resource::audit_log().name());
    local.record(&event.decided(&decision).with("by", by)).await?;
    local.log_key().await
}

pub(in crate::cli) async fn export(local: &Local) -> Result<(), Failure> {
    let key = opened(local, "audit:export", "audit export").await?;
    local.sequence().await?;
    let origin = checkpoint::origin(&local.config.server.issuer);
    let mut out = Counted::new(BufWriter::new(io::stdout().lock()), "entries exported");
    match export::export(&local.store, &origin, &key, &local.clock, &mut out).await {
        Ok(_) => Ok(()),
        Err(ExportError::Write(e)) if e.kind() == io::ErrorKind::BrokenPipe => Err(Failure::ReaderLeft),
        Err(error) => Err(Failure::chain(&error)),
    }
}

/// The whole log of a server.
pub(super) async fn remote_export(api: &Api) -> Result<(), Failure> {
    let mut out = Counted::new(BufWriter::new(io::stdout().lock()), "entries exported");
    api.stream("/api/v1/audit/export", None, &mut out).await?;
    match out.flush() {
        Ok(()) => Ok(()),
        Err(e) if e.kind() == io::ErrorKind::BrokenPipe => Err(Failure::ReaderLeft),
        Err(e) => Err(Failure::failed(format!("cannot write to stdout: {e}"))),
    }
}

/// The newest head of a server.
pub(super) async fn remote_checkpoint(api: &Api, args: &CheckpointArgs) -> Result<(), Failure> {
    if args.anew {
        return Err(Failure::usage("`--anew` works on the store itself: leave out --server"));
    }
    let head = api.get("/api/v1/audit/checkpoint").await?.body;
    output::bytes(head.get("note").and_then(Value::as_str).unwrap_or_default().as_bytes())
}

pub(in crate::cli) async fn checkpoint(local: &Local, args: &CheckpointArgs) -> Result<(), Failure> {
    let key =
        opened(local, "audit:verify", if args.anew { "audit checkpoint --anew" } else { "audit checkpoint" }).await?;
    let origin = checkpoint::origin(&local.config.server.issuer);
    let now = local.clock.now();
    let note = if args.anew {
        let (note, replaced) = checkpoint::sign_anew(&local.store, &origin, &key, now).await?;
        for note in replaced {
            output::note(format!("replaces this head: keep it\n{note}"));
        }
        note
    } else {
        local.sequence().await?;
        checkpoint::sign_now(&local.store, &origin, &key, now).await.map_err(|e| Failure::chain(&e))?
    };
    if let Some(file) = &local.config.audit_log.anchors.file {
        let anchor = Anchor::File(file.clone());
        if let Err(error) = anchor.keep(&note) {
            output::note(format!("warning: the head was not kept in {anchor}: {error}"));
        }
    }
    output::bytes(note.as_bytes())?;
    output::note(format!("the log's public key: {}", STANDARD.encode(key.public())));
    Ok(())
}

pub(in crate::cli) async fn verify_store(local: &Local, args: &VerifyArgs) -> Result<(), Failure> {
    let key = opened(local, "audit:verify", "audit verify").await?;
    local.sequence().await?;
    told(args.output, verify::store_against(&local.store, &key.public(), &kept(args)?).await, true)
}

/// The heads in the files of `--anchor`. One that has none is no anchor.
fn kept(args: &VerifyArgs) -> Result<Vec<Head>, Failure> {
    let mut all = Vec::new();
    for file in &args.anchor {
        let text = std::fs::read_to_string(file);
        let text = text.map_err(|e| Failure::usage(format!("cannot read {}: {e}", file.display())))?;
        let heads = anchor::notes(&text);
        if heads.is_empty() {
            return Err(Failure::usage(format!("{} has no signed head in it", file.display())));
        }
        all.extend(heads);
    }
    Ok(all)
}

/// Without `--key` the signer is the one of the deployment that `--config` names; with neither, the key in the export is
/// believed, and the answer says that nobody checked whose it is.
pub(super) async fn verify_export(args: &VerifyArgs, config: Option<&Path>) -> Result<(), Failure> {
    let trusted = match (&args.key, config) {
        (Some(key), _) => Some(key.0),
        (None, Some(config)) => {
            let local = Local::open(Some(config)).await.map_err(Failure::cannot_tell)?;
            let key = opened(&local, "audit:verify", "audit verify").await?;
            local.store.close().await;
            Some(key.public())
        }
        (None, None) => None,
    };
    let kept = kept(args)?;
    let result = match &args.export {
        Some(file) if file.as_os_str() != "-" => {
            let open = File::open(file);
            let open = open.map_err(|e| Failure::usage(format!("cannot read {}: {e}", file.display())))?;
            verify::export_against(BufReader::new(Counted::new(open, "lines verified")), trusted.as_ref(), &kept)
        }
        _ => {
            let input = Counted::new(io::stdin().lock(), "lines verified");
            verify::export_against(BufReader::new(input), trusted.as_ref(), &kept)
        }
    };
    told(args.output, result, trusted.is_some())
}

/// A count of what verification says nothing about.
fn unproven(count: u64, why: &str) -> String {
    if count == 0 { "0".to_owned() } else { format!("{count} (unproven: {why})") }
}

fn told(output: Output, result: Result<Report, VerifyError>, signer_known: bool) -> Result<(), Failure> {
    let report = match result {
        Ok(report) => report,
        // What cannot be read is neither whole nor changed.
        Err(error @ (VerifyError::Read(_) | VerifyError::Store(_))) => {
            return Err(Failure::chain(&error).cannot_tell());
        }
        Err(error) => {
            output::note("the log does NOT verify: keep this copy, and compare it with an older export");
            return Err(Failure::chain(&error));
        }
    };
    let head = report.head.as_ref();
    let (size, root) = head.map_or((0, "-".to_owned()), |head| (head.size, STANDARD.encode(head.root)));
    let begins_with = report.proofs.as_ref().map(|proofs| &proofs.begins_with);
    let json = json!({
        "verified": true, "entries": report.entries, "erased": report.erased,
        "dropped": report.dropped, "signed_size": size, "root": root,
        "signer_checked": signer_known, "unsigned": report.unsigned, "waiting": report.waiting,
        "unproven": report.unsigned + report.waiting, "begins_with": begins_with,
        "anchored": report.anchored,
    });
    let signer = if signer_known { "checked" } else { "not checked: give --key or --config" };
    let sizes = |sizes: &Vec<u64>| sizes.iter().map(u64::to_string).collect::<Vec<_>>().join(", ");
    let mut rows = vec![
        (
            "verified",
            if begins_with.is_some() { "yes: of what is proved, nothing is said of the rest" } else { "yes" }
                .to_owned(),
        ),
        ("entries", report.entries.to_string()),
        ("erased", report.erased.to_string()),
        ("dropped", report.dropped.to_string()),
        ("signed_size", size.to_string()),
        ("root", root),
        ("signer", signer.to_owned()),
        ("unsigned", unproven(report.unsigned, "no signed head covers them yet")),
        ("waiting", unproven(report.waiting, "recorded, without a number and in no tree yet")),
    ];
    rows.extend(report.anchored.map(|size| ("anchored", format!("{size} entries, by a head that was kept elsewhere"))));
    rows.extend(begins_with.map(|all| ("begins_with", sizes(all))));
    output::record(output.output, &json, &rows)
}
