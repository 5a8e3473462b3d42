//! Clients that registered themselves: the token that each manages itself with, and whether anything was ever issued to it.

use super::sql::{Handle, affected, run, statements};
use super::{StoreError, Tx};
use crate::base::Timestamp;
use crate::model::TokenDigest;

statements! {
    INSERT = shared("insert into client_registrations (client_id, token_digest, created_at) values ($1, $2, $3)");
    FIND = shared("select token_digest from client_registrations where client_id = $1");
    USED = shared("update client_registrations set used_at = $2 where client_id = $1 and used_at is null");
    COUNT = shared("select count(*) from client_registrations");
    UNUSED = shared(
        "select client_id from client_registrations where used_at is null and created_at < $1
         order by created_at limit $2"
    );
    DELETE = shared("delete from client_registrations where client_id = $1");
}

/// Adds a registration; `token` is that of RFC 7592, which a client whose metadata stand elsewhere has none of.
///
/// # Errors
/// When the database fails.
pub async fn insert(
    tx: &mut Tx,
    client_id: &str,
    token: Option<&TokenDigest>,
    now: Timestamp,
) -> Result<(), StoreError> {
    affected!(tx, INSERT, |text| sqlx::query(text)
        .bind(client_id)
        .bind(token.map(<[u8; 32]>::as_slice))
        .bind(now.as_micros()))
    .map(drop)
}

/// The digest of the token that a client manages itself with.
///
/// # Errors
/// When the database fails.
pub async fn token(handle: &mut impl Handle, client_id: &str) -> Result<Option<Vec<u8>>, StoreError> {
    let row: Option<(Option<Vec<u8>>,)> =
        run!(handle, FIND, |conn, text| sqlx::query_as(text).bind(client_id).fetch_optional(conn))?;
    Ok(row.and_then(|(digest,)| digest))
}

/// Notes that something was issued to a client.
///
/// # Errors
/// When the database fails.
pub async fn used(tx: &mut Tx, client_id: &str, now: Timestamp) -> Result<(), StoreError> {
    affected!(tx, USED, |text| sqlx::query(text).bind(client_id).bind(now.as_micros())).map(drop)
}

/// How many there are.
///
/// # Errors
/// When the database fails.
pub async fn count(handle: &mut impl Handle) -> Result<i64, StoreError> {
    let (count,): (i64,) = run!(handle, COUNT, |conn, text| sqlx::query_as(text).fetch_one(conn))?;
    Ok(count)
}

/// Up to `limit` clients that registered before `before` and were never given anything.
///
/// # Errors
/// When the database fails.
pub async fn unused(handle: &mut impl Handle, before: Timestamp, limit: i64) -> Result<Vec<String>, StoreError> {
    let rows: Vec<(String,)> =
        run!(handle, UNUSED, |conn, text| sqlx::query_as(text).bind(before.as_micros()).bind(limit).fetch_all(conn))?;
    Ok(rows.into_iter().map(|(client_id,)| client_id).collect())
}

/// Forgets a registration, if there is one.
///
/// # Errors
/// When the database fails.
pub(super) async fn delete(tx: &mut Tx, client_id: &str) -> Result<(), StoreError> {
    affected!(tx, DELETE, |text| sqlx::query(text).bind(client_id)).map(drop)
}
