//! `stockade audit` at a server: the same listings from `/api/v1/audit`.

use std::io::{self, BufWriter, Write as _};
use std::time::Duration;

use serde_json::{Map, Value};

use super::super::api::{Api, At};
use super::super::failure::Failure;
use super::super::output;
use super::super::progress::Counted;
use super::read::{self, FilterArgs, QueryArgs, TailArgs};
use super::{Command, prove, seal};
use crate::model::event;

/// How often `tail` looks: each look is a call that is decided and recorded.
const POLL: Duration = Duration::from_secs(2);
const EVENTS: &str = "/api/v1/audit/events";

pub(super) async fn run(command: &Command, at: &At) -> Result<(), Failure> {
    if matches!(command, Command::Verify(_)) {
        return Err(Failure::usage(
            "`audit verify` works on an export: `audit export --server URL > log.ndjson` gets one",
        ));
    }
    let api = Api::open(at).await?;
    let done = match command {
        Command::Query(args) => query(&api, args).await,
        Command::Tail(args) => tail(&api, args).await,
        Command::Export => export(&api).await,
        Command::Checkpoint(args) => checkpoint(&api, args).await,
        Command::Prove(args) => prove::remote(&api, args).await,
        Command::Verify(_) => Ok(()),
    };
    api.close(done).await
}

type Entry = Map<String, Value>;

/// One page and the cursor of the next.
async fn page(
    api: &Api,
    filter: &FilterArgs,
    limit: usize,
    cursor: Option<&str>,
) -> Result<(Vec<Entry>, Option<String>), Failure> {
    let mut asked = url::form_urlencoded::Serializer::new(String::new());
    for (name, value) in filter.parameters() {
        asked.append_pair(name, &value);
    }
    asked.append_pair("limit", &limit.clamp(1, 500).to_string());
    if let Some(cursor) = cursor {
        asked.append_pair("cursor", cursor);
    }
    let mut body = api.get(&format!("{EVENTS}?{}", asked.finish())).await?.body;
    let items = body.get_mut("items").map(Value::take);
    let items = items.and_then(|items| serde_json::from_value(items).ok()).unwrap_or_default();
    Ok((items, body.get("next_cursor").and_then(Value::as_str).map(str::to_owned)))
}

async fn query(api: &Api, args: &QueryArgs) -> Result<(), Failure> {
    let (wanted, mut found, mut cursor) = (args.limit(), Vec::new(), None);
    loop {
        let (items, next) = page(api, &args.filter, wanted - found.len(), cursor.as_deref()).await?;
        found.extend(items);
        cursor = next;
        if cursor.is_none() || found.len() >= wanted {
            break;
        }
    }
    read::list(args.output, &found)
}

fn seq(entry: &Entry) -> i64 {
    entry.get("seq").and_then(Value::as_i64).unwrap_or(-1)
}

/// Never returns but by a failure or the reader's leaving.
async fn tail(api: &Api, args: &TailArgs) -> Result<(), Failure> {
    // What looking leaves in the log would be seen by the next look, and so on.
    let told = |entry: &Entry| {
        args.filter.asks_for_a_kind() || entry.get("kind").and_then(Value::as_str) != Some(event::kind::AUDIT_READ)
    };
    let (mut shown, _) = page(api, &args.filter, args.lines().max(1), None).await?;
    let mut last = shown.first().map_or(-1, seq);
    shown.truncate(args.lines());
    loop {
        for entry in shown.iter().rev().filter(|entry| told(entry)) {
            read::print(args.output, entry)?;
        }
        tokio::time::sleep(POLL).await;
        shown = newer(api, &args.filter, last).await?;
        last = last.max(shown.first().map_or(last, seq));
    }
}

/// What matches and has a number above `last`, newest first.
async fn newer(api: &Api, filter: &FilterArgs, last: i64) -> Result<Vec<Entry>, Failure> {
    let (mut found, mut cursor) = (Vec::new(), None);
    loop {
        let (items, next) = page(api, filter, 500, cursor.as_deref()).await?;
        let all = items.len();
        found.extend(items.into_iter().take_while(|entry| seq(entry) > last));
        cursor = next;
        if cursor.is_none()
            || all == 0
            || found.last().is_some_and(|oldest| seq(oldest) <= last + 1)
            || found.len() % 500 != 0
        {
            return Ok(found);
        }
    }
}

async fn export(api: &Api) -> Result<(), Failure> {
    let mut out = Counted::new(BufWriter::new(io::stdout().lock()), "entries exported");
    api.stream("/api/v1/audit/export", &mut out).await?;
    match out.flush() {
        Ok(()) => Ok(()),
        Err(e) if e.kind() == io::ErrorKind::BrokenPipe => Err(Failure::ReaderLeft),
        Err(e) => Err(Failure::failed(format!("cannot write to stdout: {e}"))),
    }
}

async fn checkpoint(api: &Api, args: &seal::CheckpointArgs) -> Result<(), Failure> {
    if args.anew() {
        return Err(Failure::usage("`--anew` works on the store itself: leave out --server"));
    }
    let head = api.get("/api/v1/audit/checkpoint").await?.body;
    output::bytes(head.get("note").and_then(Value::as_str).unwrap_or_default().as_bytes())
}
