//! `stockade findings ack | assign | resolve | reopen | escalate | comment`, and what nobody is told of.

use clap::Subcommand;
use serde_json::{Map, Value, json};

use super::super::api::{Api, segment};
use super::super::failure::Failure;
use super::super::output::{self, Format, Output};
use super::about;
use crate::base::{Clock as _, SystemClock, Timestamp};
use crate::config::text::duration;
use crate::model::Severity;

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum Command {
    /// List what is to be done: the cases that are open, the worst first
    Triage(Output),
    /// Say that somebody has a finding in hand, until it grows worse or the time is over
    Ack(AckArgs),
    /// Say who works on a finding
    Assign(AssignArgs),
    /// Say that a finding is dealt with; it opens again when it grows worse or is seen again
    Resolve(ResolveArgs),
    /// Say that a resolved finding is not
    Reopen(WordsArgs),
    /// Hand a finding up
    Escalate(EscalateArgs),
    /// Add words to a finding
    Comment(CommentArgs),
    /// Hide findings for a time; --dry-run says what of the history that would have been
    Suppress(Box<SuppressArgs>),
    /// List the suppressions, those in force first
    Suppressed(Output),
    /// End a suppression: what it hid is shown again
    Unsuppress(UnsuppressArgs),
}

#[derive(Debug, clap::Args)]
struct One {
    /// Its id, or the provider's: the ARN of a GuardDuty finding. Of a case: all of its findings
    #[arg(value_name = "ID")]
    id: String,
    /// Why, or what else to know
    #[arg(long, value_name = "TEXT")]
    comment: Option<String>,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct AckArgs {
    #[command(flatten)]
    one: One,
    /// Until when: an RFC 3339 time, or how long from now ("8h") [default: 1d]
    #[arg(long, value_name = "TIME", value_parser = ahead)]
    until: Option<Timestamp>,
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct AssignArgs {
    #[command(flatten)]
    one: One,
    /// Who, or which team [default: nobody]
    #[arg(long, value_name = "NAME")]
    to: Option<String>,
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct ResolveArgs {
    #[command(flatten)]
    one: One,
    /// What it came to
    #[arg(long = "as", value_name = "RESOLUTION", value_parser = ["fixed", "benign", "false_positive"])]
    resolution: String,
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct WordsArgs {
    #[command(flatten)]
    one: One,
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct EscalateArgs {
    #[command(flatten)]
    one: One,
    /// To whom
    #[arg(long, value_name = "NAME")]
    to: String,
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct CommentArgs {
    /// Its id, or the provider's: the ARN of a GuardDuty finding
    #[arg(value_name = "ID")]
    id: String,
    /// The words
    #[arg(value_name = "TEXT")]
    text: String,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct SuppressArgs {
    /// Of this type of the provider; one that ends in * stands for all that begin so
    #[arg(long = "type", value_name = "TYPE")]
    kind: Option<String>,
    /// Of this control
    #[arg(long, value_name = "ID")]
    control: Option<String>,
    /// Of this product
    #[arg(long, value_name = "PRODUCT")]
    product: Option<String>,
    /// In this AWS account
    #[arg(long, value_name = "ID")]
    account: Option<String>,
    /// In this region
    #[arg(long, value_name = "REGION")]
    region: Option<String>,
    /// About this, such as address=198.51.100.23; may be repeated
    #[arg(long, value_name = "KIND=VALUE", value_parser = about)]
    about: Vec<(String, String)>,
    /// At most so bad: info, low, medium or high
    #[arg(long, value_name = "SEVERITY", default_value = "medium")]
    max_severity: String,
    /// Who answers for it
    #[arg(long, value_name = "NAME")]
    owner: String,
    /// Why it is right to hide them
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// Until when: an RFC 3339 time, or how long from now ("30d")
    #[arg(long, value_name = "TIME", value_parser = ahead)]
    until: Timestamp,
    /// Hide nothing; say what it would have hidden of everything that was ever found
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct UnsuppressArgs {
    /// Its id
    #[arg(value_name = "ID")]
    id: String,
    #[command(flatten)]
    output: Output,
}

/// A time that lies ahead, or how far it does.
fn ahead(text: &str) -> Result<Timestamp, String> {
    match (Timestamp::parse(text), duration(text)) {
        (Some(time), _) => Ok(time),
        (None, Ok(span)) => Ok(SystemClock.now().plus(span)),
        (None, Err(_)) => Err("write an RFC 3339 time, or how long from now, such as 8h".to_owned()),
    }
}

/// An object of the members that are there.
fn members<const N: usize>(all: [(&str, Option<Value>); N]) -> Value {
    Value::Object(all.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect::<Map<_, _>>())
}

fn text(text: Option<&String>) -> Option<Value> {
    text.map(|text| text.as_str().into())
}

pub(super) async fn run(api: &Api, command: &Command) -> Result<(), Failure> {
    let time = |time: Timestamp| Value::from(time.to_string());
    match command {
        Command::Triage(output) => open_cases(api, output).await,
        Command::Ack(AckArgs { one, until }) => {
            act(api, one, "acknowledge", members([("until", until.map(time)), ("comment", text(one.comment.as_ref()))]))
                .await
        }
        Command::Assign(AssignArgs { one, to }) => {
            let body = members([("assignee", text(to.as_ref())), ("comment", text(one.comment.as_ref()))]);
            act(api, one, "assign", body).await
        }
        Command::Resolve(ResolveArgs { one, resolution }) => {
            let body = members([("resolution", text(Some(resolution))), ("comment", text(one.comment.as_ref()))]);
            act(api, one, "resolve", body).await
        }
        Command::Reopen(WordsArgs { one }) => {
            act(api, one, "reopen", members([("comment", text(one.comment.as_ref()))])).await
        }
        Command::Escalate(EscalateArgs { one, to }) => {
            act(api, one, "escalate", members([("to", text(Some(to))), ("comment", text(one.comment.as_ref()))])).await
        }
        Command::Comment(args) => {
            let path = format!("/api/v1/findings/{}/comment", segment(&args.id));
            shown(&args.output, &api.post(&path, &json!({ "comment": args.text })).await?.body)
        }
        Command::Suppress(args) => suppress(api, args).await,
        Command::Suppressed(output) => list(api, output).await,
        Command::Unsuppress(args) => {
            let path = format!("/api/v1/suppressions/{}/end", segment(&args.id));
            rule(&args.output, &api.post(&path, &json!({})).await?.body)
        }
    }
}

async fn act(api: &Api, one: &One, what: &str, body: Value) -> Result<(), Failure> {
    let is_case = one.id.starts_with("case_");
    let list = if is_case { "cases" } else { "findings" };
    let done = api.post(&format!("/api/v1/{list}/{}/{what}", segment(&one.id)), &body).await?.body;
    if is_case { case(&one.output, &done) } else { shown(&one.output, &done) }
}

async fn open_cases(api: &Api, output: &Output) -> Result<(), Failure> {
    const COLUMNS: [&str; 5] = ["case_id", "severity", "active", "updated_at", "sample"];
    let mut all = api.all("/api/v1/cases").await?;
    // They come with the newest activity first, and stay so among equals.
    let severity = |case: &Value| case.get("severity").and_then(Value::as_str).and_then(Severity::parse);
    all.sort_by_key(|case| std::cmp::Reverse(severity(case)));
    output::list(output.output, &COLUMNS, &all, |item| {
        COLUMNS.iter().map(|name| output::cell(item.get(*name).unwrap_or(&Value::Null))).collect()
    })
}

/// A case, a line for each of its findings.
pub(super) fn case(output: &Output, case: &Value) -> Result<(), Failure> {
    const COLUMNS: [&str; 7] = ["finding_id", "updated_at", "severity", "state", "handling", "type", "title"];
    if output.output == Format::Json {
        return output::json(case);
    }
    let findings = case.get("findings").and_then(Value::as_array).cloned().unwrap_or_default();
    output::list(output.output, &COLUMNS, &findings, |one| {
        let of = |name: &&str| match *name {
            "handling" => one.pointer("/triage/handling"),
            name => one.get(name),
        };
        COLUMNS.iter().map(|name| output::cell(of(name).unwrap_or(&Value::Null))).collect()
    })
}

/// How people are with it now.
fn shown(output: &Output, finding: &Value) -> Result<(), Failure> {
    let mut rows = Vec::new();
    for name in ["finding_id", "severity", "state", "active"] {
        rows.push((name, output::cell(finding.get(name).unwrap_or(&Value::Null))));
    }
    let triage = finding.get("triage").and_then(Value::as_object);
    for (name, value) in triage.into_iter().flatten().filter(|(_, value)| !value.is_null()) {
        rows.push((name.as_str(), output::cell(value)));
    }
    output::record(output.output, finding, &rows)
}

async fn suppress(api: &Api, args: &SuppressArgs) -> Result<(), Failure> {
    let about: Vec<_> = args.about.iter().map(|(kind, value)| json!({ "kind": kind, "value": value })).collect();
    let matching = members([
        ("type", text(args.kind.as_ref())),
        ("control_id", text(args.control.as_ref())),
        ("product", text(args.product.as_ref())),
        ("account", text(args.account.as_ref())),
        ("region", text(args.region.as_ref())),
        ("about", (!about.is_empty()).then(|| about.into())),
        ("max_severity", text(Some(&args.max_severity))),
    ]);
    let body = json!({
        "matching": matching, "owner": args.owner, "reason": args.reason, "expires_at": args.until.to_string(),
    });
    let query = if args.dry_run { "?dry_run=true" } else { "" };
    let made = api.post(&format!("/api/v1/suppressions{query}"), &body).await?.body;
    rule(&args.output, &made)?;
    if args.dry_run {
        output::note("nothing was hidden: leave out --dry-run to hide them");
    }
    Ok(())
}

fn rule(output: &Output, rule: &Value) -> Result<(), Failure> {
    let mut rows = Vec::new();
    for name in ["suppression_id", "matching", "owner", "reason", "expires_at", "ended_at"] {
        rows.push((name, output::cell(rule.get(name).unwrap_or(&Value::Null))));
    }
    for (name, value) in rule.get("hides").and_then(Value::as_object).into_iter().flatten() {
        rows.push((name.as_str(), output::cell(value)));
    }
    output::record(output.output, rule, &rows)
}

async fn list(api: &Api, output: &Output) -> Result<(), Failure> {
    const COLUMNS: [&str; 6] = ["suppression_id", "expires_at", "ended_at", "owner", "matching", "reason"];
    let body = api.get("/api/v1/suppressions").await?.body;
    let items = body.get("items").and_then(Value::as_array).cloned().unwrap_or_default();
    output::list(output.output, &COLUMNS, &items, |item| {
        COLUMNS.iter().map(|name| output::cell(item.get(*name).unwrap_or(&Value::Null))).collect()
    })
}
