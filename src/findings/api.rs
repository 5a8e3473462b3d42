//! `GET /api/v1/findings…`: how findings stand, those with the newest activity first; one with its revisions; the bytes of
//! one as they were received.

use axum::Json;
use axum::extract::{Path, RawQuery, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderName, HeaderValue, header};
use serde_json::{Value, json};

use super::Shared;
use super::filter::{PARAMETERS, PLAIN};
use super::normalise::hex;
use super::permissions::Read;
use super::triage::noted;
use crate::base::Timestamp;
use crate::crypto::sha256;
use crate::http::asked::{Asked, Paged};
use crate::http::change::{Answer, broken};
use crate::http::query::Query;
use crate::http::{Kind, May, Permission, Problem};
use crate::model::filter::FindingField;
use crate::model::{Event, FindingState, Outcome, event};
use crate::store::findings::triage::{self, Held};
use crate::store::findings::{self, Stored};
use crate::store::{Handle, Reader, StoreError};

/// Revisions, and notes, that are listed with a finding.
const REVISIONS: i64 = 100;

fn unavailable(may: &May<Read>, error: &StoreError) -> Problem {
    let error = crate::telemetry::chain(error);
    tracing::warn!(%error, request_id = &*may.info.request_id, "the findings could not be read");
    Problem::new(Kind::Unavailable).detail("the findings cannot be read now: try again")
}

impl Shared {
    fn read_event(&self, may: &May<Read>) -> Event {
        let guard = &self.0.guard;
        let (kind, resource) = (event::kind::FINDING_READ, Read::resource());
        guard.event(&may.caller, &may.info, kind, Outcome::Allowed, Read::ACTION, resource).decided(&may.decision)
    }

    async fn reader(&self, may: &May<Read>) -> Result<Reader, Problem> {
        self.0.store.read().await.map_err(|error| unavailable(may, &error))
    }
}

/// By our id, or by the provider's.
pub(super) async fn find(handle: &mut impl Handle, name: &str) -> Result<Stored, Problem> {
    let found = match name.starts_with("fnd_") {
        true => findings::find(handle, name).await,
        false => findings::called(handle, name).await,
    };
    found.map_err(broken)?.ok_or_else(|| Problem::new(Kind::NotFound).detail("there is no such finding"))
}

/// Names how a finding stands: what its provider says, and what was made of it.
pub(super) fn etag(stored: &Stored, held: &Held) -> String {
    format!("\"{}-{}-{}-{}\"", stored.revision, stored.revisions, stored.finding.state.as_str(), held.version)
}

/// A finding as the API shows it.
pub(super) fn view(stored: &Stored, held: &Held, now: Timestamp) -> Value {
    let is_active = stored.finding.state == FindingState::Open && !held.triage.is_quiet();
    let mut triage = serde_json::to_value(&held.triage).unwrap_or_default();
    if let Some(triage) = triage.as_object_mut() {
        triage.insert("handling".to_owned(), held.triage.handling_at(now).as_str().into());
        triage.insert("by".to_owned(), held.triage.by.as_ref().map(ToString::to_string).into());
    }
    let mut view = json!({
        "finding_id": stored.finding_id,
        "case_id": stored.case_id,
        "revision": stored.revision,
        "revisions": stored.revisions,
        "sha256": hex(&stored.content_hash),
        "recorded_at": stored.recorded_at,
        "active": is_active,
        "triage": triage,
    });
    if let (Value::Object(view), Ok(Value::Object(finding))) = (&mut view, serde_json::to_value(&stored.finding)) {
        view.extend(finding);
    }
    view
}

/// `{"items": […], "next_cursor": … | null}`.
pub(super) async fn list(
    may: May<Read>,
    State(shared): State<Shared>,
    RawQuery(query): RawQuery,
) -> Result<Json<Value>, Problem> {
    let mut q = Query::read(query.as_deref(), &PARAMETERS.map(|parameter| parameter.name));
    let (caller, cursors) = (may.caller.reference().to_string(), &shared.0.cursors);
    let paged = Paged::take(&mut q, cursors, ("findings", caller), &[], shared.0.guard.clock.now());
    let asked: Asked<FindingField> = Asked::take(&mut q, &PLAIN, paged.as_of);
    q.finish()?;
    let before = paged.position.as_deref().and_then(position);
    let before = before.as_ref().map(|(updated, id)| (*updated, id.as_str()));
    let mut reader = shared.reader(&may).await?;
    // One more than asked for tells whether there is another page.
    let more = i64::try_from(paged.limit + 1).unwrap_or(i64::MAX);
    let page = findings::page(&mut reader, &asked.filter, before, more).await;
    let mut page = page.map_err(|error| unavailable(&may, &error))?;
    let held = triage::of_each(&mut reader, page.iter().map(|one| one.finding_id.as_str())).await;
    let held = held.map_err(|error| unavailable(&may, &error))?;
    drop(reader);
    let more = page.len() > paged.limit;
    page.truncate(paged.limit);
    let end = |last: &Stored| format!("{} {}", last.updated.as_micros(), last.finding_id);
    let next = page.last().filter(|_| more).map(|last| paged.next(cursors, &end(last)));
    let read = shared.read_event(&may).with("filters", asked.names).with("items", page.len());
    shared.0.guard.audit.queue(read);
    let (nothing, now) = (Held::default(), shared.0.guard.clock.now());
    let item = |one: &Stored| view(one, held.get(&one.finding_id).unwrap_or(&nothing), now);
    Ok(Json(json!({ "items": page.iter().map(item).collect::<Vec<_>>(), "next_cursor": next })))
}

/// Where a page begins.
pub(super) fn position(text: &str) -> Option<(Timestamp, String)> {
    let (updated, id) = text.split_once(' ')?;
    Some((Timestamp::from_micros(updated.parse().ok()?), id.to_owned()))
}

/// One finding, and its newest revisions.
pub(super) async fn show(
    may: May<Read>,
    State(shared): State<Shared>,
    Path(name): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    Query::read(query.as_deref(), &[]).finish()?;
    let mut reader = shared.reader(&may).await?;
    let found = find(&mut reader, &name).await?;
    let revisions = findings::revisions(&mut reader, &found.finding_id, REVISIONS).await;
    let revisions = revisions.map_err(|error| unavailable(&may, &error))?;
    let held = triage::of(&mut reader, &found.finding_id).await.map_err(broken)?;
    let notes = triage::notes(&mut reader, &found.finding_id, REVISIONS).await.map_err(broken)?;
    drop(reader);
    let listed = revisions.iter().map(|one| {
        json!({
            "revision": one.revision,
            "sha256": hex(&one.content_hash),
            "updated_at": one.updated,
            "recorded_at": one.recorded_at,
            "origin": one.origin,
        })
    });
    let mut body = view(&found, &held, shared.0.guard.clock.now());
    if let Value::Object(body) = &mut body {
        body.insert("notes".to_owned(), noted(&notes));
        body.insert("history".to_owned(), listed.collect());
    }
    shared.0.guard.audit.queue(shared.read_event(&may).with("finding_id", found.finding_id.as_str()));
    Ok(Answer::ok(body).tagged(etag(&found, &held)).response())
}

/// The bytes of a revision, by default of the one in force.
pub(super) async fn raw(
    may: May<Read>,
    State(shared): State<Shared>,
    Path(name): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let mut query = Query::read(query.as_deref(), &["revision"]);
    let revision = query.take("revision", |text| match text.parse::<i64>() {
        Ok(number) if number > 0 => Ok(number),
        _ => Err("write a number from 1"),
    });
    query.finish()?;
    let mut reader = shared.reader(&may).await?;
    let found = find(&mut reader, &name).await?;
    let revision = revision.unwrap_or(found.revision);
    let raw = findings::raw(&mut reader, &found.finding_id, revision).await;
    drop(reader);
    let Some((digest, bytes)) = raw.map_err(|error| unavailable(&may, &error))? else {
        return Err(Problem::new(Kind::NotFound).detail(format!("the finding has no revision {revision}")));
    };
    if sha256(&bytes) != digest {
        tracing::error!(finding_id = found.finding_id, revision, "a finding has other bytes than were recorded");
        return Err(Problem::new(Kind::Unavailable).detail("these are not the bytes that were recorded"));
    }
    let read = shared.read_event(&may).with("finding_id", found.finding_id).with("revision", revision);
    shared.0.guard.audit.queue(read);
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("application/json")),
        (DIGEST, HeaderValue::from_str(&hex(&digest)).unwrap_or(HeaderValue::from_static(""))),
    ];
    Ok((headers, bytes).into_response())
}

/// SHA-256 of the body, as the log has it.
const DIGEST: HeaderName = HeaderName::from_static("x-stockade-sha256");
