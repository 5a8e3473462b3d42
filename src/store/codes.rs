//! Authorization codes, under the digest of their text. Using one up is one statement, whatever else is wrong with the
//! request; a used one stays a while, so that its second use is recognised.

use super::sql::{Handle, affected, run, statements};
use super::{StoreError, Tx, decode, encode, grants};
use crate::base::Timestamp;
use crate::model::{AuthorizationCode, Grant, TokenDigest};

statements! {
    INSERT = shared(
        "insert into authorization_codes (digest, grant_id, client_id, body, expires_at) values ($1, $2, $3, $4, $5)"
    );
    USE_UP = shared(
        "update authorization_codes set used_at = $3 where digest = $1 and client_id = $2 and used_at is null
         returning body,
             (select g.body from grants g where g.grant_id = authorization_codes.grant_id),
             (select g.dpop_jkt from grants g where g.grant_id = authorization_codes.grant_id),
             (select g.revoked_at from grants g where g.grant_id = authorization_codes.grant_id)"
    );
    USED = shared("select body from authorization_codes where digest = $1 and client_id = $2 and used_at is not null");
    SWEEP = shared(
        "delete from authorization_codes
         where digest in (select digest from authorization_codes where expires_at < $1 limit $2)"
    );
}

/// Keeps a code.
///
/// # Errors
/// When the database fails.
pub async fn insert(tx: &mut Tx, digest: &TokenDigest, code: &AuthorizationCode) -> Result<(), StoreError> {
    let body = encode("authorization_codes", code)?;
    affected!(tx, INSERT, |text| sqlx::query(text)
        .bind(digest.as_slice())
        .bind(&code.grant_id)
        .bind(&code.client_id)
        .bind(&body)
        .bind(code.expires_at.as_micros()))
    .map(drop)
}

/// Uses up the code of this client, and gives its family, if there still is one: for the first caller alone, however many
/// ask at once. Expired or not: the caller holds the clock.
///
/// # Errors
/// When the database fails.
pub async fn use_up(
    tx: &mut Tx,
    digest: &TokenDigest,
    client_id: &str,
    now: Timestamp,
) -> Result<Option<(AuthorizationCode, Option<Grant>)>, StoreError> {
    type Row = (String, Option<String>, Option<String>, Option<i64>);
    let row: Option<Row> = run!(tx, USE_UP, |conn, text| sqlx::query_as(text)
        .bind(digest.as_slice())
        .bind(client_id)
        .bind(now.as_micros())
        .fetch_optional(conn))?;
    let Some((body, family, dpop_jkt, revoked_at)) = row else { return Ok(None) };
    let family = family.map(|family| grants::grant((family, dpop_jkt, revoked_at))).transpose()?;
    Ok(Some((decode("authorization_codes", &body)?, family)))
}

/// The code of this client that was used up before.
///
/// # Errors
/// When the database fails.
pub async fn used(
    handle: &mut impl Handle,
    digest: &TokenDigest,
    client_id: &str,
) -> Result<Option<AuthorizationCode>, StoreError> {
    let row: Option<(String,)> = run!(handle, USED, |conn, text| sqlx::query_as(text)
        .bind(digest.as_slice())
        .bind(client_id)
        .fetch_optional(conn))?;
    row.map(|(body,)| decode("authorization_codes", &body)).transpose()
}

/// Removes up to `limit` codes that died before `now`; how many there were.
///
/// # Errors
/// When the database fails.
pub async fn sweep(tx: &mut Tx, now: Timestamp, limit: i64) -> Result<u64, StoreError> {
    affected!(tx, SWEEP, |text| sqlx::query(text).bind(now.as_micros()).bind(limit))
}
