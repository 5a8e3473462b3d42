//! Client assertions may be used once (RFC 7523 3, `jti`).

use super::sql::{affected, run, statements};
use super::{StoreError, Tx};
use crate::base::Timestamp;

statements! {
    CLAIM = shared(
        "insert into client_assertions (client_id, jti, exp) values ($1, $2, $3)
         on conflict (client_id, jti) do nothing returning jti"
    );
    SWEEP = split(
        "delete from client_assertions where rowid in (select rowid from client_assertions where exp < $1 limit $2)",
        "delete from client_assertions where ctid in (select ctid from client_assertions where exp < $1 limit $2)"
    );
}

/// Uses up an assertion: true for the first caller alone, however many ask at once.
///
/// # Errors
/// When the database fails.
pub async fn claim(tx: &mut Tx, client_id: &str, jti: &str, exp: Timestamp) -> Result<bool, StoreError> {
    let row: Option<(String,)> = run!(tx, CLAIM, |conn, text| sqlx::query_as(text)
        .bind(client_id)
        .bind(jti)
        .bind(exp.as_micros())
        .fetch_optional(conn))?;
    Ok(row.is_some())
}

/// Removes up to `limit` assertions that died before `now`; how many there were.
///
/// # Errors
/// When the database fails.
pub async fn sweep(tx: &mut Tx, now: Timestamp, limit: i64) -> Result<u64, StoreError> {
    affected!(tx, SWEEP, |text| sqlx::query(text).bind(now.as_micros()).bind(limit))
}
