//! `audit query` and `audit tail`.

use std::time::Duration;

use serde_json::{Map, Value};

use super::super::failure::Failure;
use super::super::local::Local;
use super::super::output::{self, Format, Output};
use crate::base::{Clock as _, SystemClock, Timestamp};
use crate::config::text;
use crate::model::{Outcome, PrincipalRef, event};
use crate::policy::Resource;
use crate::store::log::{self, Filter, Numbered};

/// How often `tail` looks.
const POLL: Duration = Duration::from_millis(250);

/// Which events. Every flag that is given must hold.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct FilterArgs {
    /// Not before this: an RFC 3339 time, or how long ago ("15m")
    #[arg(long, value_name = "TIME", value_parser = time)]
    since: Option<Timestamp>,
    /// Before this: an RFC 3339 time, or how long ago
    #[arg(long, value_name = "TIME", value_parser = time)]
    until: Option<Timestamp>,
    /// Who: Operator::local, User::ada, or just app for a client
    #[arg(long, value_name = "PRINCIPAL", value_parser = principal)]
    principal: Option<String>,
    /// What was done: notes:write, token:issue, client:create …
    #[arg(long, value_name = "ACTION")]
    action: Option<String>,
    /// How it ended
    #[arg(long, value_name = "OUTCOME", value_parser = ["allowed", "denied", "failed"])]
    outcome: Option<String>,
    /// What it was done to, as recorded
    #[arg(long, value_name = "RESOURCE")]
    resource: Option<String>,
    /// The kind of event: token.issued, decision, rate.limited …
    #[arg(long, value_name = "KIND", value_parser = event::kind::ALL)]
    kind: Option<String>,
    /// The request's X-Request-ID
    #[arg(long, value_name = "ID")]
    request_id: Option<String>,
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct QueryArgs {
    #[command(flatten)]
    pub(super) filter: FilterArgs,
    /// At most so many
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    limit: u32,
    #[command(flatten)]
    pub(super) output: Output,
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct TailArgs {
    #[command(flatten)]
    pub(super) filter: FilterArgs,
    /// Begin with the last N
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(0..=500))]
    lines: u32,
    #[command(flatten)]
    pub(super) output: Output,
}

pub(in crate::cli) fn time(text: &str) -> Result<Timestamp, String> {
    if let Some(time) = Timestamp::parse(text) {
        return Ok(time);
    }
    let ago = text::duration(text).map_err(|_| "write 2026-11-24T10:00:00Z, or how long ago: 15m".to_owned())?;
    Ok(SystemClock.now().minus(ago))
}

/// As events spell it: `Type::"id"`, which a shell makes hard to write.
fn principal(text: &str) -> Result<String, String> {
    let (kind, id) = text.split_once("::").unwrap_or(("Client", text));
    let id = id.strip_prefix('"').and_then(|id| id.strip_suffix('"')).unwrap_or(id);
    if kind.is_empty() || id.is_empty() {
        return Err("write Type::id, or the id of a client".to_owned());
    }
    Ok(PrincipalRef::new(kind, id).to_string())
}

impl QueryArgs {
    pub(super) fn limit(&self) -> usize {
        self.limit as usize
    }
}

impl TailArgs {
    pub(super) fn lines(&self) -> usize {
        self.lines as usize
    }
}

impl FilterArgs {
    /// As the audit API takes them.
    pub(super) fn parameters(&self) -> impl Iterator<Item = (&'static str, String)> {
        let time = |time: Option<Timestamp>| time.map(|time| time.to_string());
        let all = [
            ("since", time(self.since)),
            ("until", time(self.until)),
            ("principal", self.principal.clone()),
            ("action", self.action.clone()),
            ("outcome", self.outcome.clone()),
            ("resource", self.resource.clone()),
            ("kind", self.kind.clone()),
            ("request_id", self.request_id.clone()),
        ];
        all.into_iter().filter_map(|(name, value)| Some((name, value?)))
    }

    pub(super) fn asks_for_a_kind(&self) -> bool {
        self.kind.is_some()
    }

    fn filter(&self) -> Filter {
        Filter {
            since: self.since,
            until: self.until,
            principal: self.principal.clone(),
            action: self.action.clone(),
            outcome: self.outcome.clone(),
            resource: self.resource.clone(),
            kind: self.kind.clone(),
            request_id: self.request_id.clone(),
        }
    }
}

/// Both halves of an entry as one object, `seq` first. An erased half is missing from it.
fn entry(stored: &Numbered) -> Map<String, Value> {
    let mut all = Map::from_iter([("seq".to_owned(), Value::from(stored.seq))]);
    for half in [stored.entry.rest(), stored.entry.personal()] {
        let fields = half.body.and_then(|body| serde_json::from_slice::<Map<String, Value>>(body).ok());
        all.extend(fields.unwrap_or_default());
    }
    all
}

const COLUMNS: [&str; 8] = ["seq", "time", "kind", "outcome", "principal", "action", "resource", "reason"];

fn columns(entry: &Map<String, Value>) -> Vec<String> {
    let cell = |name| match entry.get(name) {
        None => "-".to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    };
    COLUMNS.into_iter().map(cell).collect()
}

async fn opened(local: &Local, what: &str) -> Result<(), Failure> {
    let decision = local.permit(event::kind::AUDIT_READ, "audit:search", &Resource::audit_log()).await?;
    let event = local.event(event::kind::AUDIT_READ, Outcome::Allowed, "audit:search", &Resource::audit_log().name());
    local.record(&event.decided(&decision).with("by", what)).await?;
    local.sequence().await
}

pub(in crate::cli) async fn query(local: &Local, args: &QueryArgs) -> Result<(), Failure> {
    opened(local, "audit query").await?;
    let (filter, wanted) = (args.filter.filter(), args.limit as usize);
    let (mut found, mut before) = (Vec::new(), None);
    while found.len() < wanted {
        let limit = i64::try_from((wanted - found.len()).min(1000)).unwrap_or(1000);
        let page = log::page(&mut local.store.read_log().await?, &filter, before, limit).await?;
        let Some(last) = page.last() else { break };
        before = Some(last.seq);
        found.extend(page.iter().map(entry));
    }
    if found.is_empty() {
        plausible(local, &filter).await?;
    }
    list(args.output, &found)
}

/// Prints events as a listing.
pub(super) fn list(output: Output, found: &[Map<String, Value>]) -> Result<(), Failure> {
    output::list(output.output, &COLUMNS, found, columns)
}

/// Nothing was found: that is no answer when it asks for an action or a type of principal that there is not.
async fn plausible(local: &Local, filter: &Filter) -> Result<(), Failure> {
    if let Some(kind) = filter.principal.as_deref().and_then(|principal| principal.split("::\"").next()) {
        let known = local.policies()?.principal_types();
        if !known.iter().any(|name| name == kind) {
            return Err(unknown("type of principal", kind, &known));
        }
    }
    if let Some(action) = &filter.action {
        let known = local.policies()?.action_names();
        if !known.iter().any(|name| **name == **action) {
            // Actions that the schema had once, or that need none, are known by having happened.
            let once = Filter { action: Some(action.clone()), ..Filter::default() };
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

/// Never returns but by a failure or the reader's leaving.
pub(in crate::cli) async fn tail(local: &Local, args: &TailArgs) -> Result<(), Failure> {
    opened(local, "audit tail").await?;
    let filter = args.filter.filter();
    let end = log::last_seq(&mut local.store.read_log().await?).await?;
    let mut shown = if args.lines == 0 {
        Vec::new()
    } else {
        log::page(&mut local.store.read_log().await?, &filter, None, i64::from(args.lines)).await?
    };
    let mut last = end.max(shown.first().map_or(-1, |stored| stored.seq));
    loop {
        for stored in shown.iter().rev() {
            print(args.output, &entry(stored))?;
        }
        tokio::time::sleep(POLL).await;
        local.sequence().await?;
        shown = newer(local, &filter, last).await?;
        last = last.max(shown.first().map_or(last, |stored| stored.seq));
    }
}

/// What matches and has a number above `last`, newest first.
async fn newer(local: &Local, filter: &Filter, last: i64) -> Result<Vec<Numbered>, Failure> {
    let (mut found, mut before) = (Vec::new(), None);
    loop {
        let page = log::page(&mut local.store.read_log().await?, filter, before, 500).await?;
        let count = page.len();
        found.extend(page.into_iter().take_while(|stored| stored.seq > last));
        match found.last() {
            Some(oldest) if count == 500 && found.len() % 500 == 0 => before = Some(oldest.seq),
            _ => return Ok(found),
        }
    }
}

/// Prints one event on one line.
pub(super) fn print(output: Output, entry: &Map<String, Value>) -> Result<(), Failure> {
    match output.output {
        Format::Json => output::line(Value::Object(entry.clone())),
        Format::Table => output::line(columns(entry).join("  ")),
    }
}
