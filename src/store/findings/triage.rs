//! What people here made of findings, and what was done to each. The view `active_findings` says which count.

use std::collections::HashMap;

use super::super::sql::{Handle, affected, run, statements};
use super::super::{StoreError, Tx, decode, encode};
use super::{Row, Stored, stored};
use crate::base::Timestamp;
use crate::model::{Note, Triage};

statements! {
    OF = shared("select version, body from finding_triage where finding_id = $1");
    OF_EACH = split(
        "select finding_id, version, body from finding_triage where finding_id in (select value from json_each($1))",
        "select finding_id, version, body from finding_triage
         where finding_id in (select json_array_elements_text($1::json))"
    );
    PUT = shared(
        "insert into finding_triage (finding_id, version, handling, quiet, assignee, suppressed_by, body)
         values ($1, 1, $2, $3, $4, $5, $6)
         on conflict (finding_id) do update set version = finding_triage.version + 1, handling = excluded.handling,
             quiet = excluded.quiet, assignee = excluded.assignee, suppressed_by = excluded.suppressed_by,
             body = excluded.body
         returning version"
    );
    NOTE = shared(
        "insert into finding_notes (note_id, finding_id, at, author, act, text) values ($1, $2, $3, $4, $5, $6)
         on conflict (note_id) do nothing"
    );
    NOTES = shared(
        "select note_id, at, author, act, text from finding_notes where finding_id = $1 order by at desc, note_id desc limit $2"
    );
    SUPPRESSED = shared(
        "select f.finding_id, f.case_id, f.updated, f.revision, f.revisions, f.content_hash, f.recorded_at, f.body
         from finding_triage t join findings f on f.finding_id = t.finding_id
         where t.suppressed_by = $1 order by f.finding_id limit $2"
    );
    ACTIVE = shared(
        "select finding_id, case_id, updated, revision, revisions, content_hash, recorded_at, body
         from active_findings where finding_id > $1 order by finding_id limit $2"
    );
    HOLD = split(
        "select finding_id from findings where finding_id = $1",
        "select finding_id from findings where finding_id = $1 for update"
    );
}

/// What was made of a finding, and the version of that: 0 when nobody made anything of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Held {
    /// Raised by every change.
    pub version: i64,
    /// What was made of it.
    pub triage: Triage,
}

fn held((version, body): (i64, String)) -> Result<Held, StoreError> {
    Ok(Held { version, triage: decode("finding_triage", &body)? })
}

/// What was made of this finding.
///
/// # Errors
/// When the database fails.
pub async fn of(handle: &mut impl Handle, finding_id: &str) -> Result<Held, StoreError> {
    let row: Option<(i64, String)> =
        run!(handle, OF, |conn, text| sqlx::query_as(text).bind(finding_id).fetch_optional(conn))?;
    row.map_or_else(|| Ok(Held::default()), held)
}

/// What was made of each of these; of those that are missing nothing was.
///
/// # Errors
/// When the database fails.
pub async fn of_each(
    handle: &mut impl Handle,
    ids: impl Iterator<Item = &str>,
) -> Result<HashMap<String, Held>, StoreError> {
    let ids = encode("finding_triage", &ids.collect::<Vec<_>>())?;
    let rows: Vec<(String, i64, String)> =
        run!(handle, OF_EACH, |conn, text| sqlx::query_as(text).bind(&ids).fetch_all(conn))?;
    rows.into_iter().map(|(id, version, body)| Ok((id, held((version, body))?))).collect()
}

/// Keeps a finding from changing until `tx` ends.
///
/// # Errors
/// When the database fails.
pub async fn hold(tx: &mut Tx, finding_id: &str) -> Result<(), StoreError> {
    let _: Option<(String,)> = run!(tx, HOLD, |conn, text| sqlx::query_as(text).bind(finding_id).fetch_optional(conn))?;
    Ok(())
}

/// Writes what was made of a finding; its version is then one more.
///
/// # Errors
/// When the database fails.
pub async fn put(tx: &mut Tx, finding_id: &str, triage: Triage) -> Result<Held, StoreError> {
    let body = encode("finding_triage", &triage)?;
    let (version,): (i64,) = run!(tx, PUT, |conn, text| sqlx::query_as(text)
        .bind(finding_id)
        .bind(triage.handling.as_str())
        .bind(i64::from(triage.is_quiet()))
        .bind(&triage.assignee)
        .bind(&triage.suppressed_by)
        .bind(&body)
        .fetch_one(conn))?;
    Ok(Held { version, triage })
}

/// Writes down something that was done; once, whatever has the same id.
///
/// # Errors
/// When the database fails.
pub async fn note(tx: &mut Tx, finding_id: &str, note: &Note) -> Result<(), StoreError> {
    affected!(tx, NOTE, |text| sqlx::query(text)
        .bind(&note.note_id)
        .bind(finding_id)
        .bind(note.at.as_micros())
        .bind(&note.author)
        .bind(&note.act)
        .bind(&note.text))
    .map(drop)
}

/// Up to `limit` things that were done to a finding, newest first.
///
/// # Errors
/// When the database fails.
pub async fn notes(handle: &mut impl Handle, finding_id: &str, limit: i64) -> Result<Vec<Note>, StoreError> {
    type Row = (String, i64, Option<String>, String, Option<String>);
    let rows: Vec<Row> =
        run!(handle, NOTES, |conn, text| sqlx::query_as(text).bind(finding_id).bind(limit).fetch_all(conn))?;
    let one = |(note_id, at, author, act, text)| Note { note_id, at: Timestamp::from_micros(at), author, act, text };
    Ok(rows.into_iter().map(one).collect())
}

/// Up to `limit` findings that this suppression hides.
///
/// # Errors
/// When the database fails.
pub async fn suppressed(handle: &mut impl Handle, suppression_id: &str, limit: i64) -> Result<Vec<Stored>, StoreError> {
    let rows: Vec<Row> =
        run!(handle, SUPPRESSED, |conn, text| sqlx::query_as(text).bind(suppression_id).bind(limit).fetch_all(conn))?;
    rows.into_iter().map(stored).collect()
}

/// Up to `limit` findings after `after` that count: open at their provider, neither resolved nor suppressed here.
///
/// # Errors
/// When the database fails.
pub async fn active(handle: &mut impl Handle, after: &str, limit: i64) -> Result<Vec<Stored>, StoreError> {
    let rows: Vec<Row> =
        run!(handle, ACTIVE, |conn, text| sqlx::query_as(text).bind(after).bind(limit).fetch_all(conn))?;
    rows.into_iter().map(stored).collect()
}
