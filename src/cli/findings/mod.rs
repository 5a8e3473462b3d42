//! `stockade findings`: what GuardDuty and Security Hub found.

mod triage;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::{ArgMatches, Subcommand};
use serde_json::{Value, json};

use super::api::{Api, At, segment};
use super::audit::{saved, time};
use super::failure::Failure;
use super::local::Local;
use super::output::{self, Format, Output};
use super::progress::Progress;
use crate::base::{SystemClock, SystemRng, Timestamp};
use crate::findings::{self as room, Feeds, Past, Tally};
use crate::model::event::kind;
use crate::policy::Resource;
use crate::telemetry::Prometheus;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Fetch findings from the sources of the configuration
    Sync(SyncArgs),
    /// Read findings from files: GuardDuty, Security Hub (ASFF), OCSF, EventBridge events, answers of the AWS APIs
    Import(ImportArgs),
    /// List findings, those with the newest activity first
    List(Box<ListArgs>),
    /// Show one finding, or its bytes as they were received; or a case
    Show(ShowArgs),
    #[command(flatten)]
    Triage(triage::Command),
}

#[derive(Debug, clap::Args)]
pub(super) struct SyncArgs {
    /// Ask each source once, for everything it has
    #[arg(long, required_unless_present = "follow")]
    once: bool,
    /// Go on asking, as a running service does, until interrupted
    #[arg(long, conflicts_with = "once")]
    follow: bool,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, clap::Args)]
pub(super) struct ImportArgs {
    /// JSON, also several documents one after another
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, clap::Args)]
pub(super) struct ListArgs {
    /// Conditions: 'severity >= high AND -state = archived', or @FILE for those that a file holds
    #[arg(long, value_name = "CONDITIONS", value_parser = saved)]
    filter: Option<String>,
    /// With activity not before this: an RFC 3339 time, or how long ago ("15m")
    #[arg(long, value_name = "TIME", value_parser = time)]
    since: Option<Timestamp>,
    /// With no activity from this on: an RFC 3339 time, or how long ago
    #[arg(long, value_name = "TIME", value_parser = time)]
    until: Option<Timestamp>,
    /// guardduty, asff or ocsf
    #[arg(long, value_name = "FORMAT")]
    format: Option<String>,
    /// info, low, medium, high or critical
    #[arg(long, value_name = "SEVERITY")]
    severity: Option<String>,
    /// The same, or worse
    #[arg(long, value_name = "SEVERITY")]
    min_severity: Option<String>,
    /// open, suppressed, resolved, archived or expired_upstream
    #[arg(long, value_name = "STATE")]
    state: Option<String>,
    /// Only those that are made up (true), or none of them (false)
    #[arg(long, value_name = "BOOL")]
    sample: Option<String>,
    /// The provider's type
    #[arg(long = "type", value_name = "TYPE")]
    kind: Option<String>,
    /// The AWS account
    #[arg(long, value_name = "ID")]
    account: Option<String>,
    /// The AWS region
    #[arg(long, value_name = "REGION")]
    region: Option<String>,
    /// Of this case
    #[arg(long, value_name = "ID")]
    case: Option<String>,
    /// About this: principal, client, user, role, session, access_key, address, domain, image or resource; may be repeated
    #[arg(long, value_name = "KIND=VALUE", value_parser = about)]
    about: Vec<(String, String)>,
    /// At most so many
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    limit: u32,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, clap::Args)]
pub(super) struct ShowArgs {
    /// Its id, or the provider's: the ARN of a GuardDuty finding; or the id of a case
    #[arg(value_name = "ID")]
    id: String,
    /// Write the bytes as they were received, and nothing else
    #[arg(long)]
    raw: bool,
    /// Of this revision, instead of the one in force
    #[arg(long, value_name = "N", requires = "raw")]
    revision: Option<u32>,
    #[command(flatten)]
    output: Output,
}

fn about(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((kind, value)) if !kind.is_empty() && !value.is_empty() => Ok((kind.to_owned(), value.to_owned())),
        _ => Err("write KIND=VALUE, such as address=198.51.100.23".to_owned()),
    }
}

pub(super) async fn run(command: &Command, at: At, matches: &ArgMatches) -> Result<(), Failure> {
    match command {
        Command::Sync(args) => {
            at.store_only(matches, "findings sync")?;
            sync(args, at.config.as_deref()).await
        }
        Command::Import(args) => {
            at.store_only(matches, "findings import")?;
            import(args, at.config.as_deref()).await
        }
        Command::List(args) => {
            let api = Api::open(&at.settled(matches)?).await?;
            let done = list(&api, args).await;
            api.close(done).await
        }
        Command::Show(args) => {
            let api = Api::open(&at.settled(matches)?).await?;
            let done = show(&api, args).await;
            api.close(done).await
        }
        Command::Triage(command) => {
            let api = Api::open(&at.settled(matches)?).await?;
            let done = triage::run(&api, command).await;
            api.close(done).await
        }
    }
}

/// Sources that do not answer are told; what the others gave is kept.
async fn sync(args: &SyncArgs, config: Option<&Path>) -> Result<(), Failure> {
    let local = Local::open(config).await?;
    let done = sync_into(&local, args).await;
    local.store.close().await;
    done
}

async fn sync_into(local: &Local, args: &SyncArgs) -> Result<(), Failure> {
    local.permit(kind::FINDING_REVISED, "finding:import", &Resource::findings()).await?;
    let metrics = Arc::new(Prometheus::new().1);
    let (store, settings) = (local.store.clone(), &local.config.findings);
    let Some(feeds) = Feeds::new(settings, store, metrics, Arc::new(SystemClock), Arc::new(SystemRng)) else {
        return Err(Failure::usage("no source is configured: `[findings] sources` names them"));
    };
    loop {
        let mut progress = Progress::new("findings fetched");
        let round = feeds.round(Past::All, &mut |page| progress.step(page.read)).await?;
        drop(progress);
        if round.is_elsewhere {
            return Err(Failure::failed("a running service fetches already: it is up to it until it stops"));
        }
        local.sequence().await?;
        match args.output.output {
            Format::Json => output::json(&round.tally)?,
            Format::Table => output::line(told(&round.tally))?,
        }
        match args.follow {
            false if round.failures.is_empty() => return Ok(()),
            false => return Err(Failure::Failed(round.failures)),
            true => round.failures.iter().for_each(|failure| output::note(format!("warning: {failure}"))),
        }
        tokio::time::sleep(settings.poll).await;
    }
}

/// Files that cannot be read are told at the end; the others are imported.
async fn import(args: &ImportArgs, config: Option<&Path>) -> Result<(), Failure> {
    let local = Local::open(config).await?;
    let done = import_into(&local, args).await;
    local.store.close().await;
    done
}

async fn import_into(local: &Local, args: &ImportArgs) -> Result<(), Failure> {
    local.permit(kind::FINDING_REVISED, "finding:import", &Resource::findings()).await?;
    let (mut all, mut wrong) = (Tally::default(), Vec::new());
    for file in &args.files {
        let document = match std::fs::read(file) {
            Ok(document) => document,
            Err(error) => {
                wrong.push(format!("{}: {error}", file.display()));
                continue;
            }
        };
        let operator = local.operator();
        match room::import(&local.store, &document, operator.reference(), &local.clock, &local.rng).await {
            Ok((tally, _)) => {
                if tally.read == 0 {
                    output::note(format!("{}: no finding in it", file.display()));
                }
                all.add_all(&tally);
            }
            Err(error) => wrong.push(format!("{}: {error}", file.display())),
        }
    }
    local.sequence().await?;
    match args.output.output {
        Format::Json => output::json(&all)?,
        Format::Table => output::line(told(&all))?,
    }
    if wrong.is_empty() { Ok(()) } else { Err(Failure::Failed(wrong)) }
}

fn told(tally: &Tally) -> String {
    let Tally { read, new, changed, late, known, odd } = tally;
    let noun = if *read == 1 { "finding" } else { "findings" };
    let odd = if *odd > 0 { format!("; {odd} not read whole") } else { String::new() };
    format!("{read} {noun} read: {new} new, {changed} changed, {late} late, {known} known{odd}")
}

const COLUMNS: [&str; 8] = ["finding_id", "updated_at", "severity", "state", "account", "region", "type", "title"];

async fn list(api: &Api, args: &ListArgs) -> Result<(), Failure> {
    let time = |time: Option<Timestamp>| time.map(|time| time.to_string());
    let mut asked: Vec<(&str, String)> = [
        ("filter", args.filter.clone()),
        ("since", time(args.since)),
        ("until", time(args.until)),
        ("format", args.format.clone()),
        ("severity", args.severity.clone()),
        ("min_severity", args.min_severity.clone()),
        ("state", args.state.clone()),
        ("sample", args.sample.clone()),
        ("type", args.kind.clone()),
        ("account", args.account.clone()),
        ("region", args.region.clone()),
        ("case", args.case.clone()),
    ]
    .into_iter()
    .filter_map(|(name, value)| Some((name, value?)))
    .collect();
    asked.extend(args.about.iter().map(|(kind, value)| (kind.as_str(), value.clone())));
    let wanted = args.limit as usize;
    let (mut items, mut cursor) = (Vec::new(), None::<String>);
    while items.len() < wanted {
        let mut query = asked.clone();
        query.push(("limit", (wanted - items.len()).min(500).to_string()));
        query.extend(cursor.take().map(|cursor| ("cursor", cursor)));
        let query = serde_urlencoded::to_string(&query).map_err(|e| Failure::usage(format!("cannot ask: {e}")))?;
        let Value::Object(mut page) = api.get(&format!("/api/v1/findings?{query}")).await?.body else { break };
        if let Some(Value::Array(found)) = page.remove("items") {
            items.extend(found);
        }
        match page.get("next_cursor").and_then(Value::as_str) {
            Some(next) => cursor = Some(next.to_owned()),
            None => break,
        }
    }
    output::list(args.output.output, &COLUMNS, &items, |item| {
        COLUMNS.iter().map(|name| output::cell(item.get(*name).unwrap_or(&Value::Null))).collect()
    })
}

async fn show(api: &Api, args: &ShowArgs) -> Result<(), Failure> {
    if args.id.starts_with("case_") && !args.raw {
        return triage::case(&args.output, &api.get(&format!("/api/v1/cases/{}", segment(&args.id))).await?.body);
    }
    let path = format!("/api/v1/findings/{}", segment(&args.id));
    if args.raw {
        let revision = args.revision.map(|revision| format!("?revision={revision}")).unwrap_or_default();
        return output::bytes(&api.bytes(&format!("{path}/raw{revision}")).await?);
    }
    let finding = api.get(&path).await?.body;
    let mut rows = Vec::new();
    for (name, value) in finding.as_object().into_iter().flatten() {
        match (name.as_str(), value) {
            (_, Value::Null) => {}
            ("entities", Value::Array(entities)) => {
                let text = |entity: &Value, name: &str| output::cell(entity.get(name).unwrap_or(&Value::Null));
                let all = entities.iter().map(|one| json!(format!("{}={}", text(one, "kind"), text(one, "value"))));
                rows.push((name.as_str(), output::cell(&all.collect())));
            }
            ("history" | "notes", _) => {}
            _ => rows.push((name.as_str(), output::cell(value))),
        }
    }
    output::record(args.output.output, &finding, &rows)
}
