//! `audit query`, `audit tail`, and `audit export` of what matches: the audit API, inside this process or at a server.

use std::io::{self, BufWriter, Write};
use std::time::Duration;

use serde_json::{Map, Value};

use super::super::api::{Api, At};
use super::super::failure::Failure;
use super::super::output::{self, Format, Output};
use super::super::progress::Counted;
use super::show::Look;
use crate::base::{Clock as _, SystemClock, Timestamp};
use crate::config::text;
use crate::model::{PrincipalRef, event};

const EVENTS: &str = "/api/v1/audit/events";
/// How long `tail` waits before it goes on after an end.
const AGAIN: Duration = Duration::from_millis(250);

/// Which events. Every flag that is given must hold.
#[derive(Debug, Default, clap::Args)]
pub(in crate::cli) struct FilterArgs {
    /// Conditions: 'outcome = denied AND (client = app OR address:10.0.0.0/8)', or @FILE for those that a file holds
    #[arg(long, value_name = "CONDITIONS", value_parser = saved)]
    filter: Option<String>,
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
    filter: FilterArgs,
    /// At most so many
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    limit: u32,
    /// Tell what the index did, on stderr
    #[arg(long)]
    explain: bool,
    /// Times as they are recorded, also on a terminal
    #[arg(long)]
    utc: bool,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct TailArgs {
    #[command(flatten)]
    filter: FilterArgs,
    /// Begin with the last N
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(0..=500))]
    lines: u32,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, Default, clap::Args)]
pub(in crate::cli) struct ExportArgs {
    #[command(flatten)]
    filter: FilterArgs,
    /// Events alone, without what verifies them: as they are, or in OCSF 1.3 [default: the whole log, verifiable]
    #[arg(long, value_name = "FORMAT", value_parser = ["ndjson", "ocsf"])]
    format: Option<String>,
    /// Go on after the event of this number; of events alone
    #[arg(long, value_name = "SEQ", value_parser = clap::value_parser!(i64).range(0..))]
    after: Option<i64>,
}

impl ExportArgs {
    /// Whether it is about events alone: the whole log is another thing.
    pub(super) fn is_of_events(&self) -> bool {
        self.format.is_some() || self.after.is_some() || self.filter.parameters().next().is_some()
    }
}

/// A filter, or the one in a file: its lines, without those that begin with `#`.
pub(in crate::cli) fn saved(text: &str) -> Result<String, String> {
    let Some(file) = text.strip_prefix('@') else { return Ok(text.to_owned()) };
    let read = std::fs::read_to_string(file).map_err(|e| format!("cannot read {file}: {e}"))?;
    let lines = read.lines().filter(|line| !line.trim_start().starts_with('#'));
    Ok(lines.collect::<Vec<_>>().join(" "))
}

pub(in crate::cli) fn time(text: &str) -> Result<Timestamp, String> {
    if let Some(time) = Timestamp::parse(text) {
        return Ok(time);
    }
    let ago = text::duration(text).map_err(|_| "write 2026-11-24T10:00:00Z, or how long ago: 15m".to_owned())?;
    Ok(SystemClock.now().minus(ago))
}

/// As events spell it: `Type::"id"`, which a shell makes hard to write.
pub(super) fn principal(text: &str) -> Result<String, String> {
    let (kind, id) = text.split_once("::").unwrap_or(("Client", text));
    let id = id.strip_prefix('"').and_then(|id| id.strip_suffix('"')).unwrap_or(id);
    if kind.is_empty() || id.is_empty() {
        return Err("write Type::id, or the id of a client".to_owned());
    }
    Ok(PrincipalRef::new(kind, id).to_string())
}

impl FilterArgs {
    /// As the audit API takes them.
    fn parameters(&self) -> impl Iterator<Item = (&'static str, String)> {
        let time = |time: Option<Timestamp>| time.map(|time| time.to_string());
        let all = [
            ("filter", self.filter.clone()),
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

    fn path(&self, place: &str, more: &[(&str, String)]) -> String {
        let mut asked = url::form_urlencoded::Serializer::new(String::new());
        for (name, value) in self.parameters() {
            asked.append_pair(name, &value);
        }
        for (name, value) in more {
            asked.append_pair(name, value);
        }
        format!("{EVENTS}{place}?{}", asked.finish())
    }
}

type Entry = Map<String, Value>;

/// The newest `wanted` events that match, and what the index did.
async fn found(
    api: &Api,
    filter: &FilterArgs,
    wanted: usize,
    explain: bool,
) -> Result<(Vec<Entry>, Vec<Value>), Failure> {
    let (mut all, mut told, mut cursor) = (Vec::<Entry>::new(), Vec::new(), None::<String>);
    while all.len() < wanted {
        let mut more = vec![("limit", (wanted - all.len()).min(500).to_string()), ("explain", explain.to_string())];
        more.extend(cursor.take().map(|cursor| ("cursor", cursor)));
        let mut body = api.get(&filter.path("", &more)).await?.body;
        let items = body.get_mut("items").map(Value::take);
        all.extend(items.and_then(|items| serde_json::from_value::<Vec<Entry>>(items).ok()).unwrap_or_default());
        told.extend(body.get_mut("explain").map(Value::take));
        match body.get("next_cursor").and_then(Value::as_str) {
            Some(next) => cursor = Some(next.to_owned()),
            None => break,
        }
    }
    Ok((all, told))
}

pub(super) async fn query(api: &Api, args: &QueryArgs) -> Result<(), Failure> {
    api.sequence().await?;
    let (all, told) = found(api, &args.filter, args.limit as usize, args.explain).await?;
    if all.is_empty()
        && let Api::Inside(local, _) = api
    {
        super::plausible(local, args.filter.principal.as_deref(), args.filter.action.as_deref()).await?;
    }
    api.settle().await?;
    explain(&told);
    match args.output.output {
        Format::Json => output::json(&all),
        Format::Table => Look::new(!args.utc).list(&all),
    }
}

/// What all pages took together.
fn explain(told: &[Value]) {
    let Some(first) = told.first() else { return };
    let text = |name: &str| first.get(name).and_then(Value::as_str).unwrap_or_default();
    let sum = |name: &str| told.iter().filter_map(|one| one.get(name)?.as_u64()).sum::<u64>();
    output::note(format!("filter: {}", output::shown(text("filter"))));
    output::note(format!("index: {}", output::shown(text("index"))));
    output::note(format!(
        "{} segments looked at, {} passed over; {} blocks opened, {} entries read, {} of them in no index yet",
        sum("segments"),
        sum("segments_passed_over"),
        sum("blocks"),
        sum("entries_read"),
        sum("entries_unindexed"),
    ));
}

/// Never returns but by a failure or the reader's leaving.
pub(super) async fn tail(at: &At, args: &TailArgs) -> Result<(), Failure> {
    let api = Api::open(at).await?;
    let mut printed = Printed {
        look: Look::new(false),
        output: args.output,
        line: Vec::new(),
        last: None,
        end: None,
        with_reads: args.filter.kind.is_some() || args.filter.filter.is_some(),
    };
    if args.lines > 0 {
        api.sequence().await?;
        let (all, _) = found(&api, &args.filter, args.lines as usize, false).await?;
        // Where nothing matched so far, everything that will is looked for from the beginning.
        printed.last = Some(all.first().and_then(|newest| newest.get("seq")?.as_i64()).unwrap_or(-1));
        for entry in all.iter().rev() {
            printed.look.line(args.output.output, entry)?;
        }
    }
    let path = args.filter.path("/tail", &[]);
    let mut api = api;
    loop {
        let (last, sequence) = (printed.last, !matches!(api, Api::Remote(_)));
        let done = {
            let stream = api.stream(&path, last, &mut printed);
            tokio::pin!(stream);
            loop {
                tokio::select! {
                    done = &mut stream => break done,
                    () = tokio::time::sleep(AGAIN), if sequence => api.sequence().await?,
                }
            }
        };
        api.close(done).await?;
        if printed.end.take().as_deref() == Some("denied") {
            return Err(Failure::failed("a policy no longer allows to read along"));
        }
        tokio::time::sleep(AGAIN).await;
        api = Api::open(at).await?;
    }
}

/// Prints server-sent events as they come.
struct Printed {
    look: Look,
    output: Output,
    line: Vec<u8>,
    last: Option<i64>,
    /// Why the stream ended.
    end: Option<String>,
    /// Whether it is told that the log is read, as by this.
    with_reads: bool,
}

impl Printed {
    fn event(&mut self, text: &str) -> Result<(), Failure> {
        let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        self.last = field("id").and_then(|id| id.parse().ok()).or(self.last);
        let Some(data) = field("data").and_then(|data| serde_json::from_str::<Entry>(data).ok()) else { return Ok(()) };
        let is_read = data.get("kind").and_then(Value::as_str) == Some(event::kind::AUDIT_READ);
        match field("event") {
            None if is_read && !self.with_reads => Ok(()),
            None => self.look.line(self.output.output, &data),
            Some(_) => {
                self.end = data.get("reason").and_then(Value::as_str).map(str::to_owned);
                Ok(())
            }
        }
    }
}

impl Write for Printed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.line.extend_from_slice(bytes);
        while let Some(end) = self.line.windows(2).position(|pair| pair == b"\n\n") {
            let event: Vec<u8> = self.line.drain(..end + 2).collect();
            match self.event(&String::from_utf8_lossy(&event)) {
                Ok(()) => {}
                Err(Failure::ReaderLeft) => return Err(io::ErrorKind::BrokenPipe.into()),
                Err(other) => return Err(io::Error::other(other.to_string())),
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Events alone.
pub(super) async fn export(api: &Api, args: &ExportArgs) -> Result<(), Failure> {
    api.sequence().await?;
    let mut more = Vec::new();
    more.extend(args.format.clone().map(|format| ("format", format)));
    more.extend(args.after.map(|after| ("after", after.to_string())));
    let path = args.filter.path("/export", &more);
    let mut out = Counted::new(BufWriter::new(io::stdout().lock()), "events exported");
    api.stream(&path, None, &mut out).await?;
    match out.flush() {
        Ok(()) => api.settle().await,
        Err(e) if e.kind() == io::ErrorKind::BrokenPipe => Err(Failure::ReaderLeft),
        Err(e) => Err(Failure::failed(format!("cannot write to stdout: {e}"))),
    }
}
