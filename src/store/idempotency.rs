//! Answers to management calls that carried an `Idempotency-Key`: claimed before the work, in its transaction, so that
//! the same call again finds the answer, and another call under the same key is told so.

use super::sql::{affected, run, statements};
use super::{StoreError, Tx};
use crate::base::Timestamp;

statements! {
    CLAIM = shared(
        "insert into idempotency_keys (principal, idempotency_key, request_digest, expires_at) values ($1, $2, $3, $4)
         on conflict (principal, idempotency_key) do nothing returning principal"
    );
    FIND = shared(
        "select request_digest, status, body from idempotency_keys where principal = $1 and idempotency_key = $2"
    );
    FINISH = shared(
        "update idempotency_keys set status = $3, body = $4 where principal = $1 and idempotency_key = $2"
    );
    SWEEP = split(
        "delete from idempotency_keys where rowid in (select rowid from idempotency_keys where expires_at < $1 limit $2)",
        "delete from idempotency_keys where ctid in (select ctid from idempotency_keys where expires_at < $1 limit $2)"
    );
}

/// What a key stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claim {
    /// Nothing yet: it is this caller's, until its transaction ends.
    New,
    /// The same call was answered so.
    Answered {
        /// HTTP status.
        status: u16,
        /// The body.
        body: String,
    },
    /// Another call came under this key.
    Other,
}

/// Claims a key for a call with this digest.
///
/// # Errors
/// When the database fails.
pub async fn claim(
    tx: &mut Tx,
    principal: &str,
    key: &str,
    request_digest: &[u8; 32],
    expires_at: Timestamp,
) -> Result<Claim, StoreError> {
    let first: Option<(String,)> = run!(tx, CLAIM, |conn, text| sqlx::query_as(text)
        .bind(principal)
        .bind(key)
        .bind(request_digest.as_slice())
        .bind(expires_at.as_micros())
        .fetch_optional(conn))?;
    if first.is_some() {
        return Ok(Claim::New);
    }
    let row: Option<(Vec<u8>, Option<i64>, Option<String>)> =
        run!(tx, FIND, |conn, text| sqlx::query_as(text).bind(principal).bind(key).fetch_optional(conn))?;
    Ok(match row {
        Some((digest, Some(status), Some(body))) if digest == request_digest => {
            Claim::Answered { status: u16::try_from(status).unwrap_or(500), body }
        }
        _ => Claim::Other,
    })
}

/// Writes down the answer, in the transaction that claimed the key.
///
/// # Errors
/// When the database fails.
pub async fn finish(tx: &mut Tx, principal: &str, key: &str, status: u16, body: &str) -> Result<(), StoreError> {
    affected!(tx, FINISH, |text| sqlx::query(text).bind(principal).bind(key).bind(i64::from(status)).bind(body))
        .map(drop)
}

/// Removes up to `limit` keys that died before `now`; how many there were.
///
/// # Errors
/// When the database fails.
pub async fn sweep(tx: &mut Tx, now: Timestamp, limit: i64) -> Result<u64, StoreError> {
    affected!(tx, SWEEP, |text| sqlx::query(text).bind(now.as_micros()).bind(limit))
}
