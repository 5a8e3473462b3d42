//! `POST /api/v1/findings/{id}/acknowledge | assign | resolve | reopen | escalate | comment`: what people make of a finding.
//! Each is one transaction with its event; doing it again changes nothing. What they say stays out of the event.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, State};
use axum::response::Response;
use serde_json::{Map, Value, json};

use super::permissions::Triage as MayTriage;
use super::settle::told;
use super::{Ctx, Shared, api};
use crate::base::{Timestamp, id};
use crate::http::change::{self, Answer, Begun, Change, broken};
use crate::http::sent::{Sent, invalid};
use crate::http::{Kind, May, Problem};
use crate::model::event::kind;
use crate::model::{Event, Finding, Handling, Note, Resolution, Triage};
use crate::registry::Mistake;
use crate::store::changes::{self, Topic};
use crate::store::findings::Stored;
use crate::store::findings::triage::{self, Held};

/// How long an acknowledgement holds when nobody says.
const A_DAY: Duration = Duration::from_secs(86_400);
/// How long at most.
const LONGEST: Duration = Duration::from_secs(30 * 86_400);
/// Longest name of a person or a team, and longest comment, in characters.
const NAME: usize = 200;
const COMMENT: usize = 4000;

/// Something to do.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Act {
    Acknowledge { until: Timestamp },
    Assign { assignee: Option<String> },
    Resolve { resolution: Resolution },
    Reopen,
    Escalate { to: String },
    Comment,
}

/// The same, in somebody's words.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Doing {
    pub(super) act: Act,
    pub(super) text: Option<String>,
}

impl Act {
    pub(super) const fn done(&self) -> &'static str {
        match self {
            Self::Acknowledge { .. } => "acknowledged",
            Self::Assign { .. } => "assigned",
            Self::Resolve { .. } => "resolved",
            Self::Reopen => "reopened",
            Self::Escalate { .. } => "escalated",
            Self::Comment => "commented",
        }
    }

    /// Whether it does something to a finding that is resolved.
    pub(super) const fn is_for_resolved(&self) -> bool {
        matches!(self, Self::Reopen)
    }

    /// What becomes of what was made of a finding; `None`: it cannot be done to one that is resolved.
    fn apply(&self, before: &Triage, finding: &Finding) -> Option<Triage> {
        let is_resolved = before.handling == Handling::Resolved;
        Some(match self {
            Self::Acknowledge { .. } | Self::Escalate { .. } if is_resolved => return None,
            Self::Acknowledge { until } => Triage {
                handling: Handling::Acknowledged,
                until: Some(*until),
                severity: Some(finding.severity),
                ..before.clone()
            },
            Self::Assign { assignee } => Triage { assignee: assignee.clone(), ..before.clone() },
            Self::Resolve { resolution } => Triage {
                handling: Handling::Resolved,
                until: None,
                resolution: Some(*resolution),
                severity: Some(finding.severity),
                ..before.clone()
            },
            Self::Reopen if is_resolved => before.begun_again(),
            // Whoever it is handed up to has it in hand when they say so.
            Self::Escalate { to } => Triage { escalated_to: Some(to.clone()), ..before.begun_again() },
            Self::Reopen | Self::Comment => before.clone(),
        })
    }
}

/// Does it in the transaction of a change: what became of the finding, and the event; `None` when there is nothing to do.
pub(super) async fn perform(
    change: &mut Change<'_>,
    event: Event,
    stored: &Stored,
    held: &Held,
    doing: &Doing,
    ctx: &Ctx,
) -> Result<Option<(Held, Event)>, Problem> {
    let detail = "this finding is resolved: reopen it first";
    let after = doing.act.apply(&held.triage, &stored.finding);
    let after = after.ok_or_else(|| Problem::new(Kind::Conflict).detail(detail))?;
    if after == held.triage && doing.text.is_none() {
        return Ok(None);
    }
    let (now, author) = (ctx.guard.clock.now(), event.principal.clone());
    let note = Note {
        note_id: id::new("note", now, &*ctx.guard.rng),
        at: now,
        author: author.as_ref().map(ToString::to_string),
        act: doing.act.done().to_owned(),
        text: doing.text.clone(),
    };
    triage::note(&mut change.tx, &stored.finding_id, &note).await.map_err(broken)?;
    let after = match doing.act {
        // Words alone are no act: what they say is in the note.
        Act::Comment => held.clone(),
        _ => {
            let after = Triage { at: Some(now), by: author, ..after };
            triage::put(&mut change.tx, &stored.finding_id, after).await.map_err(broken)?
        }
    };
    let event = told(event, doing.act.done(), stored, &after, &note.note_id);
    Ok(Some((after, event)))
}

async fn act(
    ctx: &Arc<Ctx>,
    may: &May<MayTriage>,
    sent: &Sent,
    name: &str,
    doing: &Doing,
) -> Result<Response, Problem> {
    let mut change = match Change::begin(ctx, may, sent).await? {
        Begun::Work(change) => change,
        Begun::Done(response) => return Ok(response),
    };
    let found = api::find(&mut change.tx, name).await?;
    triage::hold(&mut change.tx, &found.finding_id).await.map_err(broken)?;
    // Once more: it may have changed before it was held.
    let stored = api::find(&mut change.tx, &found.finding_id).await?;
    let held = triage::of(&mut change.tx, &stored.finding_id).await.map_err(broken)?;
    sent.matches(&api::etag(&stored, &held))?;
    let event = change::event(ctx, may, kind::FINDING_TRIAGED, "");
    let done = perform(&mut change, event, &stored, &held, doing, ctx).await?;
    let (after, events) = match done {
        Some((after, event)) => (after, vec![event]),
        None => (held, Vec::new()),
    };
    changes::bump(&mut change.tx, Topic::Findings).await.map_err(broken)?;
    let answer = Answer::ok(api::view(&stored, &after, ctx.guard.clock.now())).tagged(api::etag(&stored, &after));
    change.commit(&events, answer).await
}

/// A text of a member, without control characters except line ends.
pub(super) fn text(
    members: &Map<String, Value>,
    name: &'static str,
    longest: usize,
) -> Result<Option<String>, Mistake> {
    match members.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) if is_text(text, longest) => Ok(Some(text.trim().to_owned())),
        Some(_) => Err(Mistake::of(name, format!("expected text of 1 to {longest} characters"))),
    }
}

fn is_text(text: &str, longest: usize) -> bool {
    !text.trim().is_empty()
        && text.chars().count() <= longest
        && text.chars().all(|c| !c.is_control() || c == '\n' || c == '\t')
}

fn needed(found: Result<Option<String>, Mistake>, name: &'static str, detail: &str) -> Result<String, Mistake> {
    found?.ok_or_else(|| Mistake::of(name, detail))
}

/// A time that lies ahead, at most so far.
pub(super) fn ahead(
    members: &Map<String, Value>,
    name: &'static str,
    now: Timestamp,
    most: Duration,
) -> Result<Option<Timestamp>, Mistake> {
    let detail = || {
        let days = most.as_secs() / 86_400;
        Mistake::of(name, format!("expected an RFC 3339 time that lies ahead, at most {days} days"))
    };
    match members.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => {
            let time = Timestamp::parse(text).filter(|time| *time > now && *time <= now.plus(most));
            time.map(Some).ok_or_else(detail)
        }
        Some(_) => Err(detail()),
    }
}

/// What is to be done, from the members that were sent.
pub(super) fn read(what: &str, sent: &Sent, now: Timestamp) -> Result<Doing, Problem> {
    let known: &[&str] = match what {
        "acknowledge" => &["until", "comment"],
        "assign" => &["assignee", "comment"],
        "resolve" => &["resolution", "comment"],
        "escalate" => &["to", "comment"],
        _ => &["comment"],
    };
    let members = sent.options(known)?;
    let act = || {
        Ok(match what {
            "acknowledge" => {
                Act::Acknowledge { until: ahead(&members, "until", now, LONGEST)?.unwrap_or_else(|| now.plus(A_DAY)) }
            }
            "assign" => Act::Assign { assignee: text(&members, "assignee", NAME)? },
            "resolve" => {
                let named = members.get("resolution").and_then(Value::as_str).and_then(Resolution::parse);
                let detail = "say what it came to: `fixed`, `benign` or `false_positive`";
                Act::Resolve { resolution: named.ok_or_else(|| Mistake::of("resolution", detail))? }
            }
            "reopen" => Act::Reopen,
            "escalate" => Act::Escalate { to: needed(text(&members, "to", NAME), "to", "say to whom")? },
            _ => {
                needed(text(&members, "comment", COMMENT), "comment", "say something")?;
                Act::Comment
            }
        })
    };
    let read: Result<(Act, Option<String>), Mistake> =
        act().and_then(|act| Ok((act, text(&members, "comment", COMMENT)?)));
    let (act, text) = read.map_err(|mistake| invalid(&[mistake]))?;
    Ok(Doing { act, text })
}

macro_rules! handlers {
    ($($(#[$meta:meta])* $name:ident;)+) => {$(
        $(#[$meta])*
        pub(super) async fn $name(
            may: May<MayTriage>,
            State(Shared(ctx)): State<Shared>,
            Path(name): Path<String>,
            sent: Sent,
        ) -> Result<Response, Problem> {
            let doing = read(stringify!($name), &sent, ctx.guard.clock.now())?;
            act(&ctx, &may, &sent, &name, &doing).await
        }
    )+};
}

handlers! {
    /// Somebody has it in hand, until it grows worse or the time is over.
    acknowledge;
    /// Who works on it; nobody without `assignee`.
    assign;
    /// It is dealt with.
    resolve;
    /// It is not.
    reopen;
    /// Somebody else must see it.
    escalate;
    /// Words alone.
    comment;
}

/// The notes of a finding, as they are shown.
pub(super) fn noted(notes: &[Note]) -> Value {
    let one = |note: &Note| json!({ "note_id": note.note_id, "at": note.at, "author": note.author, "act": note.act, "text": note.text });
    notes.iter().map(one).collect()
}
