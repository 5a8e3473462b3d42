//! `/api/v1/suppressions`: which findings nobody wants to be told of. Each has an owner, a reason and an end; what it would
//! hide can be asked first, over everything that was ever found. What is hidden stays where it is, and says so.

use std::time::Duration;

use axum::extract::{Path, RawQuery, State};
use axum::response::Response;
use serde_json::{Map, Value, json};

use super::permissions::{Read, Suppress};
use super::settle::{changed, hide, lift};
use super::triage::{ahead, text};
use super::{Ctx, Shared};
use crate::base::{Timestamp, id};
use crate::http::change::{self, Answer, Begun, Change, broken};
use crate::http::query::Query;
use crate::http::sent::{Sent, invalid};
use crate::http::{Kind, May, Permission as _, Problem};
use crate::model::event::kind;
use crate::model::{FindingState, Matching, PrincipalRef, Resolution, Severity, Suppression};
use crate::registry::Mistake;
use crate::store::Handle;
use crate::store::changes::{self, Topic};
use crate::store::findings::{suppressions, triage};

/// How long one holds at most.
const LONGEST: Duration = Duration::from_secs(366 * 86_400);
/// How many hold at once: each is held against each finding that comes.
const MOST: usize = 500;
/// How many are listed.
const LISTED: i64 = 1000;
const MEMBERS: [&str; 4] = ["matching", "owner", "reason", "expires_at"];

/// What of the history a suppression applies to.
#[derive(Debug, Default)]
struct Reach {
    /// All findings.
    findings: u64,
    /// Of these, those that are open and would be hidden.
    open: u64,
    /// Of these, those that somebody said were true and fixed.
    confirmed: u64,
    /// The worst.
    worst: Option<Severity>,
}

async fn reach(handle: &mut impl Handle, matching: &Matching) -> Result<Reach, Problem> {
    let (mut reach, mut after) = (Reach::default(), String::new());
    loop {
        let (page, last) = suppressions::matched(handle, matching, &after).await.map_err(broken)?;
        let ids = page.iter().map(|one| one.finding_id.as_str());
        let held = triage::of_each(handle, ids).await.map_err(broken)?;
        for one in &page {
            reach.findings += 1;
            reach.open += u64::from(one.finding.state == FindingState::Open);
            reach.worst = reach.worst.max(Some(one.finding.severity));
            let resolution = held.get(&one.finding_id).and_then(|held| held.triage.resolution);
            reach.confirmed += u64::from(resolution == Some(Resolution::Fixed));
        }
        let Some(last) = last else { return Ok(reach) };
        after = last;
    }
}

fn view(rule: &Suppression) -> Value {
    let mut view = serde_json::to_value(rule).unwrap_or_default();
    if let Some(view) = view.as_object_mut() {
        view.insert("created_by".to_owned(), rule.created_by.to_string().into());
    }
    view
}

fn reaching(mut body: Value, reach: &Reach) -> Value {
    if let Some(body) = body.as_object_mut() {
        let worst = reach.worst.map(Severity::as_str);
        let told =
            json!({ "findings": reach.findings, "open": reach.open, "confirmed": reach.confirmed, "worst": worst });
        body.insert("hides".to_owned(), told);
    }
    body
}

fn read(
    members: &Map<String, Value>,
    by: &PrincipalRef,
    now: Timestamp,
    suppression_id: String,
) -> Result<Suppression, Vec<Mistake>> {
    let mut wrong = Vec::new();
    let unknown = members.keys().filter(|name| !MEMBERS.contains(&name.as_str()));
    wrong.extend(unknown.map(|name| Mistake::unknown(name, &MEMBERS)));
    let matching = match members.get("matching").map(|value| serde_json::from_value::<Matching>(value.clone())) {
        None => Err("say which findings".to_owned()),
        Some(Err(error)) => Err(error.to_string()),
        Some(Ok(matching)) if !matching.is_specific() => {
            Err("name a `type`, a `control_id` or what they are `about`: a place alone hides everything in it"
                .to_owned())
        }
        Some(Ok(matching)) if matching.max_severity == Some(Severity::Critical) => {
            Err("nothing critical is hidden: resolve it instead".to_owned())
        }
        Some(Ok(matching)) => Ok(matching),
    };
    let matching = matching.map_err(|detail| wrong.push(Mistake::of("matching", detail))).ok();
    let mut needed = |name: &'static str, longest, detail: &str| {
        let found = text(members, name, longest).and_then(|found| found.ok_or_else(|| Mistake::of(name, detail)));
        found.map_err(|mistake| wrong.push(mistake)).ok()
    };
    let owner = needed("owner", 200, "say who answers for it");
    let reason = needed("reason", 4000, "say why it is right to hide them");
    let expires_at = ahead(members, "expires_at", now, LONGEST);
    let expires_at = expires_at.and_then(|time| time.ok_or_else(|| Mistake::of("expires_at", "say when it ends")));
    let expires_at = expires_at.map_err(|mistake| wrong.push(mistake)).ok();
    match (matching, owner, reason, expires_at) {
        (Some(matching), Some(owner), Some(reason), Some(expires_at)) if wrong.is_empty() => Ok(Suppression {
            suppression_id,
            matching,
            owner,
            reason,
            expires_at,
            created_at: now,
            created_by: by.clone(),
            ended_at: None,
        }),
        _ => Err(wrong),
    }
}

/// `GET /api/v1/suppressions`: those in force first.
pub(super) async fn list(
    may: May<Read>,
    State(Shared(ctx)): State<Shared>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    Query::read(query.as_deref(), &[]).finish()?;
    let mut reader = ctx.store.read().await.map_err(broken)?;
    let all = suppressions::newest(&mut reader, LISTED).await.map_err(broken)?;
    drop(reader);
    change::read(&ctx, &may, &Read::resource().name(), all.len());
    let items: Vec<_> = all.iter().map(view).collect();
    Ok(Answer::ok(json!({ "items": items, "next_cursor": null })).response())
}

/// `POST /api/v1/suppressions`; with `dry_run` it is only said what it would hide.
pub(super) async fn create(
    may: May<Suppress>,
    State(Shared(ctx)): State<Shared>,
    sent: Sent,
) -> Result<Response, Problem> {
    let guard = &ctx.guard;
    let (now, suppression_id) = (guard.clock.now(), id::new("sup", guard.clock.now(), &*guard.rng));
    let rule = read(&sent.object()?, may.caller.reference(), now, suppression_id).map_err(|wrong| invalid(&wrong))?;
    let location = format!("/api/v1/suppressions/{}", rule.suppression_id);
    if sent.dry_run {
        let reach = reach(&mut ctx.store.read().await.map_err(broken)?, &rule.matching).await?;
        return Ok(Answer::created(location, reaching(view(&rule), &reach)).response());
    }
    let mut change = match Change::begin(&ctx, &may, &sent).await? {
        Begun::Work(change) => change,
        Begun::Done(response) => return Ok(response),
    };
    suppressions::lock(&mut change.tx).await.map_err(broken)?;
    if suppressions::in_force(&mut change.tx).await.map_err(broken)?.len() >= MOST {
        let detail = format!("{MOST} suppressions hold already: end some first");
        return Err(Problem::new(Kind::Conflict).detail(detail));
    }
    suppressions::put(&mut change.tx, &rule).await.map_err(broken)?;
    let reach = reach(&mut change.tx, &rule.matching).await?;
    hide_all(&ctx, &mut change, &rule).await?;
    changes::bump(&mut change.tx, Topic::Findings).await.map_err(broken)?;
    let event = change::event(&ctx, &may, kind::SUPPRESSION_CHANGED, "");
    let event = changed(event, "created", &rule, reach.findings);
    change.commit(&[event], Answer::created(location, reaching(view(&rule), &reach))).await
}

/// Hides what is there and not yet hidden.
async fn hide_all(ctx: &Ctx, change: &mut Change<'_>, rule: &Suppression) -> Result<(), Problem> {
    let (clock, rng, mut after) = (&*ctx.guard.clock, &*ctx.guard.rng, String::new());
    loop {
        let (page, last) = suppressions::matched(&mut change.tx, &rule.matching, &after).await.map_err(broken)?;
        for one in page {
            triage::hold(&mut change.tx, &one.finding_id).await.map_err(broken)?;
            let held = triage::of(&mut change.tx, &one.finding_id).await.map_err(broken)?;
            if held.triage.suppressed_by.is_none() {
                let by = Some(rule.suppression_id.clone());
                hide(&mut change.tx, &one, held.triage, by, clock, rng).await.map_err(broken)?;
            }
        }
        let Some(last) = last else { return Ok(()) };
        after = last;
    }
}

/// `POST /api/v1/suppressions/{id}/end`: what it hid is shown again.
pub(super) async fn end(
    may: May<Suppress>,
    State(Shared(ctx)): State<Shared>,
    Path(suppression_id): Path<String>,
    sent: Sent,
) -> Result<Response, Problem> {
    sent.options(&[])?;
    let mut change = match Change::begin(&ctx, &may, &sent).await? {
        Begun::Work(change) => change,
        Begun::Done(response) => return Ok(response),
    };
    suppressions::lock(&mut change.tx).await.map_err(broken)?;
    let found = suppressions::find(&mut change.tx, &suppression_id).await.map_err(broken)?;
    let found = found.ok_or_else(|| Problem::new(Kind::NotFound).detail("there is no such suppression"))?;
    if found.ended_at.is_some() {
        return change.commit(&[], Answer::ok(view(&found))).await;
    }
    let ended = Suppression { ended_at: Some(ctx.guard.clock.now()), ..found };
    suppressions::put(&mut change.tx, &ended).await.map_err(broken)?;
    let shown = lift(&mut change.tx, &ended, &*ctx.guard.clock, &*ctx.guard.rng).await.map_err(broken)?;
    changes::bump(&mut change.tx, Topic::Findings).await.map_err(broken)?;
    let event = changed(change::event(&ctx, &may, kind::SUPPRESSION_CHANGED, ""), "ended", &ended, shown);
    change.commit(&[event], Answer::ok(view(&ended))).await
}
