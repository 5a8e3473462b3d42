//! `/api/v1/cases`: findings of one cause together, as GuardDuty's finding and Security Hub's copy of it. A case is open while
//! one of its findings is active; what is done to a case is done to each of its findings.

use std::sync::Arc;

use axum::extract::{Path, RawQuery, State};
use axum::response::Response;
use serde_json::{Value, json};

use super::api::view;
use super::permissions::{Read, Triage as MayTriage};
use super::triage::{Doing, perform, read};
use super::{Ctx, Shared};
use crate::base::Timestamp;
use crate::http::change::{self, Answer, Begun, Change, broken};
use crate::http::query::Query;
use crate::http::sent::Sent;
use crate::http::{Kind, May, Permission as _, Problem};
use crate::model::event::kind;
use crate::model::{FindingState, Handling, Severity};
use crate::store::Handle;
use crate::store::changes::{self, Topic};
use crate::store::findings::Stored;
use crate::store::findings::cases::{self, Case};
use crate::store::findings::triage::{self, Held};

/// Findings of one case that are shown, and worked on at once.
const MOST: i64 = 1000;
const LIMITS: std::ops::RangeInclusive<i64> = 1..=500;
const DEFAULT_LIMIT: i64 = 50;

fn listed(case: &Case) -> Value {
    json!({
        "case_id": case.case_id, "active": case.active, "severity": case.severity, "updated_at": case.updated,
        "recorded_at": case.recorded_at, "sample": case.sample,
    })
}

/// `GET /api/v1/cases`: those that are open, the newest activity first.
pub(super) async fn list(
    may: May<Read>,
    State(Shared(ctx)): State<Shared>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let mut query = Query::read(query.as_deref(), &["limit", "cursor"]);
    let caller = may.caller.reference().to_string();
    let bound = [caller.as_str(), "cases"];
    let limit = query.take("limit", |text| match text.parse() {
        Ok(limit) if LIMITS.contains(&limit) => Ok(limit),
        _ => Err("write a number from 1 to 500"),
    });
    let before = query.take("cursor", |text| {
        let opened = ctx.cursors.open_text(&bound, text).and_then(|text| super::api::position(&text));
        opened.ok_or("this cursor belongs to another list or caller, or is none: begin again without it")
    });
    query.finish()?;
    let limit = limit.unwrap_or(DEFAULT_LIMIT);
    let before = before.as_ref().map(|(updated, id): &(Timestamp, String)| (*updated, id.as_str()));
    let mut found =
        cases::open(&mut ctx.store.read().await.map_err(broken)?, before, limit + 1).await.map_err(broken)?;
    let wanted = usize::try_from(limit).unwrap_or(usize::MAX);
    let more = found.len() > wanted;
    found.truncate(wanted);
    let end = |last: &Case| format!("{} {}", last.updated.as_micros(), last.case_id);
    let next = found.last().filter(|_| more).map(|last| ctx.cursors.seal_text(&bound, &end(last)));
    change::read(&ctx, &may, &Read::resource().name(), found.len());
    let items: Vec<_> = found.iter().map(listed).collect();
    Ok(Answer::ok(json!({ "items": items, "next_cursor": next })).response())
}

/// The findings of a case with what was made of each; never empty.
async fn members(handle: &mut impl Handle, case_id: &str) -> Result<Vec<(Stored, Held)>, Problem> {
    let found = cases::findings(handle, case_id, MOST).await.map_err(broken)?;
    if found.is_empty() {
        return Err(Problem::new(Kind::NotFound).detail("there is no such case"));
    }
    let ids = found.iter().map(|one| one.finding_id.as_str());
    let mut held = triage::of_each(handle, ids).await.map_err(broken)?;
    let with = |one: Stored| {
        let held = held.remove(&one.finding_id).unwrap_or_default();
        (one, held)
    };
    Ok(found.into_iter().map(with).collect())
}

fn shown(case_id: &str, members: &[(Stored, Held)], now: Timestamp) -> Value {
    let counts = |(one, held): &&(Stored, Held)| one.finding.state == FindingState::Open && !held.triage.is_quiet();
    let active: Vec<_> = members.iter().filter(counts).collect();
    let worst: Option<Severity> = active.iter().map(|(one, _)| one.finding.severity).max();
    let items: Vec<_> = members.iter().map(|(one, held)| view(one, held, now)).collect();
    json!({
        "case_id": case_id, "active": active.len(), "severity": worst,
        "updated_at": members.iter().map(|(one, _)| one.updated).max(),
        "recorded_at": members.iter().map(|(one, _)| one.recorded_at).min(),
        "sample": members.iter().any(|(one, _)| one.finding.sample), "findings": items,
    })
}

/// `GET /api/v1/cases/{id}`.
pub(super) async fn show(
    may: May<Read>,
    State(Shared(ctx)): State<Shared>,
    Path(case_id): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    Query::read(query.as_deref(), &[]).finish()?;
    let members = members(&mut ctx.store.read().await.map_err(broken)?, &case_id).await?;
    change::read(&ctx, &may, &format!("Case::{case_id:?}"), members.len());
    Ok(Answer::ok(shown(&case_id, &members, ctx.guard.clock.now())).response())
}

async fn act(
    ctx: &Arc<Ctx>,
    may: &May<MayTriage>,
    sent: &Sent,
    case_id: &str,
    doing: &Doing,
) -> Result<Response, Problem> {
    let mut change = match Change::begin(ctx, may, sent).await? {
        Begun::Work(change) => change,
        Begun::Done(response) => return Ok(response),
    };
    let mut found = cases::findings(&mut change.tx, case_id, MOST).await.map_err(broken)?;
    // Always in this order: two who work on one case do not wait for each other in a circle.
    found.sort_by(|a, b| a.finding_id.cmp(&b.finding_id));
    for one in &found {
        triage::hold(&mut change.tx, &one.finding_id).await.map_err(broken)?;
    }
    let mut members = members(&mut change.tx, case_id).await?;
    let mut events = Vec::new();
    for (stored, held) in &mut members {
        if held.triage.handling == Handling::Resolved && !doing.act.is_for_resolved() {
            continue;
        }
        let event = change::event(ctx, may, kind::FINDING_TRIAGED, "");
        if let Some((after, event)) = perform(&mut change, event, stored, held, doing, ctx).await? {
            *held = after;
            events.push(event);
        }
    }
    changes::bump(&mut change.tx, Topic::Findings).await.map_err(broken)?;
    let answer = Answer::ok(shown(case_id, &members, ctx.guard.clock.now()));
    change.commit(&events, answer).await
}

macro_rules! handlers {
    ($($(#[$meta:meta])* $name:ident;)+) => {$(
        $(#[$meta])*
        pub(super) async fn $name(
            may: May<MayTriage>,
            State(Shared(ctx)): State<Shared>,
            Path(case_id): Path<String>,
            sent: Sent,
        ) -> Result<Response, Problem> {
            let doing = read(stringify!($name), &sent, ctx.guard.clock.now())?;
            act(&ctx, &may, &sent, &case_id, &doing).await
        }
    )+};
}

handlers! {
    /// Somebody has all of it in hand.
    acknowledge;
    /// Who works on all of it.
    assign;
    /// All of it is dealt with.
    resolve;
    /// It is not.
    reopen;
}
