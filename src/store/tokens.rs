//! Opaque access tokens, under the digest of their text. Self-contained tokens are never stored.

use super::sql::{Handle, affected, run, statements};
use super::{StoreError, Tx, decode, encode};
use crate::base::Timestamp;
use crate::model::{AccessToken, TokenDigest};

statements! {
    INSERT = shared("insert into access_tokens (digest, jti, body, exp) values ($1, $2, $3, $4)");
    FIND = shared("select body from access_tokens where digest = $1");
    SWEEP = split(
        "delete from access_tokens where rowid in (select rowid from access_tokens where exp < $1 limit $2)",
        "delete from access_tokens where ctid in (select ctid from access_tokens where exp < $1 limit $2)"
    );
}

/// Keeps an opaque token.
///
/// # Errors
/// When the database fails.
pub async fn insert(tx: &mut Tx, digest: &TokenDigest, token: &AccessToken) -> Result<(), StoreError> {
    let body = encode("access_tokens", token)?;
    affected!(tx, INSERT, |text| sqlx::query(text)
        .bind(digest.as_slice())
        .bind(&token.jti)
        .bind(&body)
        .bind(token.exp.as_micros()))
    .map(drop)
}

/// The opaque token with this digest, expired or not: the caller holds the clock.
///
/// # Errors
/// When the database fails.
pub async fn find(handle: &mut impl Handle, digest: &TokenDigest) -> Result<Option<AccessToken>, StoreError> {
    let row: Option<(String,)> =
        run!(handle, FIND, |conn, text| sqlx::query_as(text).bind(digest.as_slice()).fetch_optional(conn))?;
    row.map(|(body,)| decode("access_tokens", &body)).transpose()
}

/// Removes up to `limit` tokens that died before `now`; how many there were.
///
/// # Errors
/// When the database fails.
pub async fn sweep(tx: &mut Tx, now: Timestamp, limit: i64) -> Result<u64, StoreError> {
    affected!(tx, SWEEP, |text| sqlx::query(text).bind(now.as_micros()).bind(limit))
}
