//! Sessions, under the digest of the cookie's value.

use super::sql::{Handle, affected, run, statements};
use super::{StoreError, Tx, decode, encode};
use crate::base::Timestamp;
use crate::model::{Acr, Session, TokenDigest};

statements! {
    INSERT = shared(
        "insert into sessions (digest, session_id, user_id, acr, amr, auth_time, created_at, last_seen_at, expires_at,
             address, user_agent)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)"
    );
    FIND = shared(
        "select session_id, user_id, acr, amr, auth_time, created_at, last_seen_at, expires_at, address, user_agent
         from sessions where digest = $1"
    );
    BY_ID = shared(
        "select session_id, user_id, acr, amr, auth_time, created_at, last_seen_at, expires_at, address, user_agent
         from sessions where session_id = $1"
    );
    OF_USER = shared(
        "select session_id, user_id, acr, amr, auth_time, created_at, last_seen_at, expires_at, address, user_agent
         from sessions where user_id = $1 order by session_id desc"
    );
    TOUCH = shared("update sessions set last_seen_at = $2 where digest = $1 and last_seen_at < $3");
    RENEW = shared(
        "update sessions set digest = $2, acr = $3, amr = $4, auth_time = $7, last_seen_at = $5
         where digest = $1 and user_id = $6 and expires_at > $5 returning session_id"
    );
    END = shared("delete from sessions where session_id = $1 and user_id = $2 returning session_id");
    END_ALL = shared("delete from sessions where user_id = $1 and session_id <> $2 returning session_id");
    SWEEP = shared(
        "delete from sessions where digest in (select digest from sessions where expires_at < $1 limit $2)"
    );
}

pub(super) type Row = (String, String, i64, String, i64, i64, i64, i64, Option<String>, Option<String>);

pub(super) fn session(row: Row) -> Result<Session, StoreError> {
    let (session_id, user_id, acr, amr, auth_time, created_at, last_seen_at, expires_at, address, user_agent) = row;
    let level = u8::try_from(acr).map_err(|e| e.to_string()).and_then(Acr::try_from);
    Ok(Session {
        session_id,
        user_id,
        acr: level.map_err(|problem| StoreError::Corrupt { table: "sessions", problem })?,
        amr: decode("sessions", &amr)?,
        auth_time: Timestamp::from_micros(auth_time),
        created_at: Timestamp::from_micros(created_at),
        last_seen_at: Timestamp::from_micros(last_seen_at),
        expires_at: Timestamp::from_micros(expires_at),
        address,
        user_agent,
    })
}

/// Begins a session.
///
/// # Errors
/// When the database fails.
pub async fn insert(tx: &mut Tx, digest: &TokenDigest, session: &Session) -> Result<(), StoreError> {
    let amr = encode("sessions", &session.amr)?;
    affected!(tx, INSERT, |text| sqlx::query(text)
        .bind(digest.as_slice())
        .bind(&session.session_id)
        .bind(&session.user_id)
        .bind(i64::from(session.acr.level()))
        .bind(&amr)
        .bind(session.auth_time.as_micros())
        .bind(session.created_at.as_micros())
        .bind(session.last_seen_at.as_micros())
        .bind(session.expires_at.as_micros())
        .bind(&session.address)
        .bind(&session.user_agent))
    .map(drop)
}

/// The session of a cookie, expired or not: the caller holds the clock.
///
/// # Errors
/// When the database fails.
pub async fn find(handle: &mut impl Handle, digest: &TokenDigest) -> Result<Option<Session>, StoreError> {
    let row: Option<Row> =
        run!(handle, FIND, |conn, text| sqlx::query_as(text).bind(digest.as_slice()).fetch_optional(conn))?;
    row.map(session).transpose()
}

/// The session with this id.
///
/// # Errors
/// When the database fails.
pub async fn by_id(handle: &mut impl Handle, session_id: &str) -> Result<Option<Session>, StoreError> {
    let row: Option<Row> =
        run!(handle, BY_ID, |conn, text| sqlx::query_as(text).bind(session_id).fetch_optional(conn))?;
    row.map(session).transpose()
}

/// The sessions of a person, newest first.
///
/// # Errors
/// When the database fails.
pub async fn of_user(handle: &mut impl Handle, user_id: &str) -> Result<Vec<Session>, StoreError> {
    let rows: Vec<Row> = run!(handle, OF_USER, |conn, text| sqlx::query_as(text).bind(user_id).fetch_all(conn))?;
    rows.into_iter().map(session).collect()
}

/// Remembers that the session was used, unless it is known for a time after `unless_after`.
///
/// # Errors
/// When the database fails.
pub async fn touch(
    tx: &mut Tx,
    digest: &TokenDigest,
    now: Timestamp,
    unless_after: Timestamp,
) -> Result<(), StoreError> {
    affected!(tx, TOUCH, |text| sqlx::query(text)
        .bind(digest.as_slice())
        .bind(now.as_micros())
        .bind(unless_after.as_micros()))
    .map(drop)
}

/// Steps a session up: from now on it stands under a new cookie value, and the old one is nothing. Gives its id, or `None`
/// when it is gone, expired, renewed by someone else, or another person's.
///
/// # Errors
/// When the database fails.
pub async fn renew(
    tx: &mut Tx,
    old: &TokenDigest,
    new: &TokenDigest,
    user_id: &str,
    (acr, amr, auth_time): (Acr, &[String], Timestamp),
    now: Timestamp,
) -> Result<Option<String>, StoreError> {
    let amr = encode("sessions", &amr)?;
    let row: Option<(String,)> = run!(tx, RENEW, |conn, text| sqlx::query_as(text)
        .bind(old.as_slice())
        .bind(new.as_slice())
        .bind(i64::from(acr.level()))
        .bind(&amr)
        .bind(now.as_micros())
        .bind(user_id)
        .bind(auth_time.as_micros())
        .fetch_optional(conn))?;
    Ok(row.map(|(id,)| id))
}

/// Ends a session of this person; whether there was one.
///
/// # Errors
/// When the database fails.
pub async fn end(tx: &mut Tx, session_id: &str, user_id: &str) -> Result<bool, StoreError> {
    let row: Option<(String,)> =
        run!(tx, END, |conn, text| sqlx::query_as(text).bind(session_id).bind(user_id).fetch_optional(conn))?;
    Ok(row.is_some())
}

/// Ends every session of a person, or every one but `keep`; their ids.
///
/// # Errors
/// When the database fails.
pub async fn end_all(tx: &mut Tx, user_id: &str, keep: Option<&str>) -> Result<Vec<String>, StoreError> {
    let keep = keep.unwrap_or_default();
    let rows: Vec<(String,)> =
        run!(tx, END_ALL, |conn, text| sqlx::query_as(text).bind(user_id).bind(keep).fetch_all(conn))?;
    Ok(rows.into_iter().map(|(id,)| id).collect())
}

/// Removes up to `limit` sessions that ended before `now`; how many there were.
///
/// # Errors
/// When the database fails.
pub async fn sweep(tx: &mut Tx, now: Timestamp, limit: i64) -> Result<u64, StoreError> {
    affected!(tx, SWEEP, |text| sqlx::query(text).bind(now.as_micros()).bind(limit))
}
