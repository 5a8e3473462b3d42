//! `audit hold`: what retention leaves alone, until somebody takes the hold back.

use clap::Subcommand;
use serde_json::{Value, json};

use super::super::failure::Failure;
use super::super::local::Local;
use super::super::output::{self, Output};
use super::read;
use crate::base::{Clock as _, Timestamp, id};
use crate::model::{Outcome, event};
use crate::policy::Resource;
use crate::store::holds::{self, Hold};

const ACTION: &str = "audit:hold";

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum Command {
    /// Keep what retention would drop: of a time, of somebody, or all of it
    Add(AddArgs),
    /// List the holds, oldest first
    List(Output),
    /// Let go of what a hold kept
    Remove(RemoveArgs),
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct AddArgs {
    /// Why: it is in the log
    #[arg(long, value_name = "TEXT", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    reason: String,
    /// Only what happened from then on: an RFC 3339 time, or how long ago ("90d")
    #[arg(long, value_name = "TIME", value_parser = read::time)]
    since: Option<Timestamp>,
    /// Only what happened before
    #[arg(long, value_name = "TIME", value_parser = read::time)]
    until: Option<Timestamp>,
    /// Only while this principal acted: User::usr_01, or just app for a client
    #[arg(long, value_name = "PRINCIPAL", value_parser = read::principal)]
    principal: Option<String>,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct RemoveArgs {
    /// The hold's id, as `audit hold list` shows it
    #[arg(value_name = "ID")]
    hold_id: String,
}

pub(in crate::cli) async fn run(local: &Local, command: &Command) -> Result<(), Failure> {
    let decision = local.permit(event::kind::AUDIT_HELD, ACTION, &Resource::audit_log()).await?;
    let kind = if matches!(command, Command::List(_)) { event::kind::AUDIT_READ } else { event::kind::AUDIT_HELD };
    let event = local.event(kind, Outcome::Allowed, ACTION, &Resource::audit_log().name()).decided(&decision);
    match command {
        Command::Add(args) => {
            let now = local.clock.now();
            let hold = Hold {
                hold_id: id::new("hold", now, &local.rng),
                since: args.since,
                until: args.until,
                principal: args.principal.clone(),
                reason: args.reason.clone(),
                created_at: now,
            };
            let mut tx = local.store.begin().await?;
            holds::insert(&mut tx, &hold).await?;
            local.commit(tx, &event.with("change", "added").with("hold", json(&hold))).await?;
            output::record(args.output.output, &json(&hold), &[("hold_id", hold.hold_id.clone())])
        }
        Command::List(output) => {
            let all = holds::list(&mut local.store.read().await?).await?;
            local.record(&event.with("by", "audit hold list")).await?;
            let rows: Vec<Value> = all.iter().map(json).collect();
            output::list(output.output, &COLUMNS, &rows, |row| {
                COLUMNS.iter().map(|name| row.get(name).and_then(Value::as_str).unwrap_or("-").to_owned()).collect()
            })
        }
        Command::Remove(args) => {
            let mut tx = local.store.begin().await?;
            if !holds::delete(&mut tx, &args.hold_id).await? {
                return Err(Failure::failed(format!(
                    "there is no hold `{}`: `stockade audit hold list`",
                    args.hold_id
                )));
            }
            local.commit(tx, &event.with("change", "removed").with("hold_id", args.hold_id.as_str())).await
        }
    }?;
    local.sequence().await
}

const COLUMNS: [&str; 6] = ["hold_id", "since", "until", "principal", "reason", "created_at"];

fn json(hold: &Hold) -> Value {
    json!({
        "hold_id": hold.hold_id, "since": hold.since.map(|time| time.to_string()),
        "until": hold.until.map(|time| time.to_string()), "principal": hold.principal, "reason": hold.reason,
        "created_at": hold.created_at.to_string(),
    })
}
