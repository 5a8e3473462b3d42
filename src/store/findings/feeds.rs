//! How far sources are read, and which findings each has.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::super::sql::{Handle, affected, run, statements};
use super::super::{StoreError, Tx, decode, encode};
use super::{Row, Stored, stored};
use crate::base::Timestamp;

statements! {
    SEEN = shared(
        "insert into finding_origins (source, finding_id, check_at) values ($1, $2, $3)
         on conflict (source, finding_id) do update set check_at = excluded.check_at"
    );
    TO_CHECK = shared(
        "select f.finding_id, f.case_id, f.updated, f.revision, f.revisions, f.content_hash, f.recorded_at, f.body
         from finding_origins o join findings f on f.finding_id = o.finding_id
         where o.source = $1 and o.check_at <= $2 order by o.check_at limit $3"
    );
    SOURCE = shared("select version, body from finding_sources where source = $1");
    ADD_SOURCE = shared(
        "insert into finding_sources (source, version, body, updated_at) values ($1, 1, $2, $3)
         on conflict (source) do nothing"
    );
    COUNT_OPEN = shared(
        "select count(*) from finding_origins o join findings f on f.finding_id = o.finding_id
         where o.source = $1 and f.state = 'open'"
    );
    UPDATE_SOURCE = shared(
        "update finding_sources set version = version + 1, body = $3, updated_at = $4 where source = $1 and version = $2"
    );
}

/// Notes that a source has a finding, and from when on it is to be looked at again; `None`: never.
///
/// # Errors
/// When the database fails.
pub async fn seen(tx: &mut Tx, source: &str, finding_id: &str, check_at: Option<Timestamp>) -> Result<(), StoreError> {
    let check_at = check_at.map_or(i64::MAX, Timestamp::as_micros);
    affected!(tx, SEEN, |text| sqlx::query(text).bind(source).bind(finding_id).bind(check_at)).map(drop)
}

/// Up to `limit` findings of a source that are to be looked at again by `now`, the longest due first.
///
/// # Errors
/// When the database fails.
pub async fn to_check(
    handle: &mut impl Handle,
    source: &str,
    now: Timestamp,
    limit: i64,
) -> Result<Vec<Stored>, StoreError> {
    let rows: Vec<Row> = run!(handle, TO_CHECK, |conn, text| sqlx::query_as(text)
        .bind(source)
        .bind(now.as_micros())
        .bind(limit)
        .fetch_all(conn))?;
    rows.into_iter().map(stored).collect()
}

/// How many findings of a source are open here.
///
/// # Errors
/// When the database fails.
pub async fn count_open(handle: &mut impl Handle, source: &str) -> Result<u64, StoreError> {
    let (count,): (i64,) = run!(handle, COUNT_OPEN, |conn, text| sqlx::query_as(text).bind(source).fetch_one(conn))?;
    Ok(u64::try_from(count).unwrap_or(0))
}

/// How far a source is read, and the version that an update must name.
///
/// # Errors
/// When the database fails.
pub async fn source<T: DeserializeOwned>(
    handle: &mut impl Handle,
    source: &str,
) -> Result<Option<(i64, T)>, StoreError> {
    let row: Option<(i64, String)> =
        run!(handle, SOURCE, |conn, text| sqlx::query_as(text).bind(source).fetch_optional(conn))?;
    row.map(|(version, body)| Ok((version, decode("finding_sources", &body)?))).transpose()
}

/// Writes how far a source is read; its version is then one more. Version 0: it was never read.
///
/// # Errors
/// [`StoreError::Fenced`] when somebody else wrote it meanwhile.
pub async fn put_source(
    tx: &mut Tx,
    source: &str,
    version: i64,
    state: &impl Serialize,
    now: Timestamp,
) -> Result<(), StoreError> {
    let body = encode("finding_sources", state)?;
    let done = if version == 0 {
        affected!(tx, ADD_SOURCE, |text| sqlx::query(text).bind(source).bind(&body).bind(now.as_micros()))?
    } else {
        affected!(tx, UPDATE_SOURCE, |text| sqlx::query(text)
            .bind(source)
            .bind(version)
            .bind(&body)
            .bind(now.as_micros()))?
    };
    if done == 0 { Err(StoreError::Fenced) } else { Ok(()) }
}
