//! Pushed authorization requests (RFC 9126), under the digest of their `request_uri`. One may be looked at until a code
//! was issued for it.

use super::sql::{Handle, affected, run, statements};
use super::{StoreError, Tx};
use crate::base::Timestamp;
use crate::model::{PushedRequest, TokenDigest};

statements! {
    INSERT = shared("insert into pushed_requests (digest, client_id, body, expires_at) values ($1, $2, $3, $4)");
    FIND = shared("select client_id, body, expires_at, used_at from pushed_requests where digest = $1");
    USE_UP = shared(
        "update pushed_requests set used_at = $2 where digest = $1 and used_at is null returning client_id"
    );
    SWEEP = shared(
        "delete from pushed_requests where digest in (select digest from pushed_requests where expires_at < $1 limit $2)"
    );
}

/// Keeps a request.
///
/// # Errors
/// When the database fails.
pub async fn insert(tx: &mut Tx, digest: &TokenDigest, request: &PushedRequest) -> Result<(), StoreError> {
    affected!(tx, INSERT, |text| sqlx::query(text)
        .bind(digest.as_slice())
        .bind(&request.client_id)
        .bind(&request.body)
        .bind(request.expires_at.as_micros()))
    .map(drop)
}

pub(super) type Row = (String, String, i64, Option<i64>);

pub(super) fn request((client_id, body, expires_at, used_at): Row) -> PushedRequest {
    PushedRequest {
        client_id,
        body,
        expires_at: Timestamp::from_micros(expires_at),
        used_at: used_at.map(Timestamp::from_micros),
    }
}

/// The request, used or not, expired or not.
///
/// # Errors
/// When the database fails.
pub async fn find(handle: &mut impl Handle, digest: &TokenDigest) -> Result<Option<PushedRequest>, StoreError> {
    let row: Option<Row> =
        run!(handle, FIND, |conn, text| sqlx::query_as(text).bind(digest.as_slice()).fetch_optional(conn))?;
    Ok(row.map(request))
}

/// Uses up a request: true for the first caller alone.
///
/// # Errors
/// When the database fails.
pub async fn use_up(tx: &mut Tx, digest: &TokenDigest, now: Timestamp) -> Result<bool, StoreError> {
    let row: Option<(String,)> = run!(tx, USE_UP, |conn, text| sqlx::query_as(text)
        .bind(digest.as_slice())
        .bind(now.as_micros())
        .fetch_optional(conn))?;
    Ok(row.is_some())
}

/// Removes up to `limit` requests that died before `now`; how many there were.
///
/// # Errors
/// When the database fails.
pub async fn sweep(tx: &mut Tx, now: Timestamp, limit: i64) -> Result<u64, StoreError> {
    affected!(tx, SWEEP, |text| sqlx::query(text).bind(now.as_micros()).bind(limit))
}
