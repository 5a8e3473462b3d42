//! Which findings nobody wants to be told of, and until when.

use super::super::sql::{Handle, affected, run, statements};
use super::super::{StoreError, Tx, decode, encode};
use super::{Row, Stored, stored};
use crate::base::Timestamp;
use crate::model::{Matching, Suppression};

statements! {
    IN_FORCE = shared("select body from finding_suppressions where is_ended = 0 order by suppression_id");
    FIND = shared("select body from finding_suppressions where suppression_id = $1");
    NEWEST = shared("select body from finding_suppressions order by is_ended, suppression_id desc limit $1");
    DUE = shared("select body from finding_suppressions where is_ended = 0 and expires_at <= $1 order by expires_at limit 1");
    PUT = shared(
        "insert into finding_suppressions (suppression_id, expires_at, is_ended, body) values ($1, $2, $3, $4)
         on conflict (suppression_id) do update set is_ended = excluded.is_ended, body = excluded.body"
    );
    /// Whoever writes a rule and whoever keeps findings wait for each other: none slips between the two.
    LOCK = split("select 1", "select 1 from pg_advisory_xact_lock(7305810632845)");
    LOCK_SHARED = split("select 1", "select 1 from pg_advisory_xact_lock_shared(7305810632845)");
    CANDIDATES = shared(
        "select finding_id, case_id, updated, revision, revisions, content_hash, recorded_at, body from findings
         where finding_id > $1 and severity <= $2 and (cast($3 as text) is null or type = $3)
             and (cast($4 as text) is null or account = $4) and (cast($5 as text) is null or region = $5)
         order by finding_id limit $6"
    );
}

/// Findings that are looked at in one statement.
const PAGE: i64 = 500;

fn read(rows: Vec<(String,)>) -> Result<Vec<Suppression>, StoreError> {
    rows.into_iter().map(|(body,)| decode("finding_suppressions", &body)).collect()
}

/// Those that hide something now. Until `tx` ends none begins.
///
/// # Errors
/// When the database fails.
pub async fn in_force(tx: &mut Tx) -> Result<Vec<Suppression>, StoreError> {
    let _: (i32,) = run!(tx, LOCK_SHARED, |conn, text| sqlx::query_as(text).fetch_one(conn))?;
    read(run!(tx, IN_FORCE, |conn, text| sqlx::query_as(text).fetch_all(conn))?)
}

/// Up to `limit`, those in force before those that ended, newest first.
///
/// # Errors
/// When the database fails.
pub async fn newest(handle: &mut impl Handle, limit: i64) -> Result<Vec<Suppression>, StoreError> {
    read(run!(handle, NEWEST, |conn, text| sqlx::query_as(text).bind(limit).fetch_all(conn))?)
}

/// The one with this id.
///
/// # Errors
/// When the database fails.
pub async fn find(handle: &mut impl Handle, suppression_id: &str) -> Result<Option<Suppression>, StoreError> {
    let row: Option<(String,)> =
        run!(handle, FIND, |conn, text| sqlx::query_as(text).bind(suppression_id).fetch_optional(conn))?;
    row.map(|(body,)| decode("finding_suppressions", &body)).transpose()
}

/// One that is over and has not ended.
///
/// # Errors
/// When the database fails.
pub async fn due(handle: &mut impl Handle, now: Timestamp) -> Result<Option<Suppression>, StoreError> {
    let row: Option<(String,)> =
        run!(handle, DUE, |conn, text| sqlx::query_as(text).bind(now.as_micros()).fetch_optional(conn))?;
    row.map(|(body,)| decode("finding_suppressions", &body)).transpose()
}

/// Lets nobody keep findings or write suppressions until `tx` ends.
///
/// # Errors
/// When the database fails.
pub async fn lock(tx: &mut Tx) -> Result<(), StoreError> {
    let _: (i32,) = run!(tx, LOCK, |conn, text| sqlx::query_as(text).fetch_one(conn))?;
    Ok(())
}

/// Writes one. Take [`lock`] first.
///
/// # Errors
/// When the database fails.
pub async fn put(tx: &mut Tx, suppression: &Suppression) -> Result<(), StoreError> {
    let body = encode("finding_suppressions", suppression)?;
    affected!(tx, PUT, |text| sqlx::query(text)
        .bind(&suppression.suppression_id)
        .bind(suppression.expires_at.as_micros())
        .bind(i64::from(suppression.ended_at.is_some()))
        .bind(&body))
    .map(drop)
}

/// Every finding of the history to which this applies, a page at a time: start with an empty `after`, go on with the last
/// id that comes back, until none does.
///
/// # Errors
/// When the database fails.
pub async fn matched(
    handle: &mut impl Handle,
    matching: &Matching,
    after: &str,
) -> Result<(Vec<Stored>, Option<String>), StoreError> {
    let whole = matching.kind.as_deref().filter(|kind| !kind.ends_with('*'));
    let rows: Vec<Row> = run!(handle, CANDIDATES, |conn, text| sqlx::query_as(text)
        .bind(after)
        .bind(i64::from(matching.most().level()))
        .bind(whole)
        .bind(&matching.account)
        .bind(&matching.region)
        .bind(PAGE)
        .fetch_all(conn))?;
    let mut all = rows.into_iter().map(stored).collect::<Result<Vec<_>, _>>()?;
    let last = all.last().map(|last| last.finding_id.clone());
    all.retain(|one| matching.applies_to(&one.finding));
    Ok((all, last))
}
