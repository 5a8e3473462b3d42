//! Refresh tokens, under the digest of their text. Each step is one conditional statement: what checks is what changes.

use super::sql::{Handle, affected, run, statements};
use super::{StoreError, Tx, digest};
use crate::base::Timestamp;
use crate::model::{RefreshState, RefreshToken, TokenDigest};

statements! {
    INSERT = shared(
        "insert into refresh_tokens (digest, grant_id, parent_digest, state, issued_at, used_at, expires_at, access_jti,
             access_exp)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9)"
    );
    FIND = shared(
        "select digest, grant_id, parent_digest, state, issued_at, used_at, expires_at, access_jti, access_exp
         from refresh_tokens where digest = $1"
    );
    ROTATE = shared(
        "update refresh_tokens set state = 'rotated', used_at = $2
         where digest = $1 and state = 'active' and expires_at > $2 and exists (
             select 1 from grants where grants.grant_id = refresh_tokens.grant_id
                 and revoked_at is null and grants.expires_at > $2)
         returning digest, grant_id, parent_digest, state, issued_at, used_at, expires_at, access_jti, access_exp"
    );
    KEEP = shared(
        "update refresh_tokens set used_at = $2, expires_at = $3, access_jti = $4, access_exp = $5
         where digest = $1 and state = 'active' and expires_at > $2 and exists (
             select 1 from grants where grants.grant_id = refresh_tokens.grant_id
                 and revoked_at is null and grants.expires_at > $2)
         returning digest, grant_id, parent_digest, state, issued_at, used_at, expires_at, access_jti, access_exp"
    );
    /// Locks the row, so that of two that come late with the same token the second sees what the first did.
    LOCK = shared(
        "update refresh_tokens set state = state where digest = $1
         returning digest, grant_id, parent_digest, state, issued_at, used_at, expires_at, access_jti, access_exp"
    );
    REPLACE_CHILD = shared(
        "update refresh_tokens set state = 'replaced' where parent_digest = $1 and state = 'active'
         returning digest, grant_id, parent_digest, state, issued_at, used_at, expires_at, access_jti, access_exp"
    );
    SWEEP = shared(
        "delete from refresh_tokens where digest in (select digest from refresh_tokens where expires_at < $1 limit $2)"
    );
}

type Row = (Vec<u8>, String, Option<Vec<u8>>, String, i64, Option<i64>, i64, String, i64);

fn token(row: Row) -> Result<RefreshToken, StoreError> {
    let (own, grant_id, parent, state, issued_at, used_at, expires_at, access_jti, access_exp) = row;
    let unknown = || StoreError::Corrupt { table: "refresh_tokens", problem: format!("`{state}` is no state") };
    Ok(RefreshToken {
        digest: digest("refresh_tokens", &own)?,
        grant_id,
        parent: parent.map(|bytes| digest("refresh_tokens", &bytes)).transpose()?,
        state: RefreshState::parse(&state).ok_or_else(unknown)?,
        issued_at: Timestamp::from_micros(issued_at),
        used_at: used_at.map(Timestamp::from_micros),
        expires_at: Timestamp::from_micros(expires_at),
        access_jti,
        access_exp: Timestamp::from_micros(access_exp),
    })
}

/// Keeps a token.
///
/// # Errors
/// When the database fails.
pub async fn insert(tx: &mut Tx, token: &RefreshToken) -> Result<(), StoreError> {
    affected!(tx, INSERT, |text| sqlx::query(text)
        .bind(token.digest.as_slice())
        .bind(&token.grant_id)
        .bind(token.parent.as_ref().map(TokenDigest::as_slice))
        .bind(token.state.as_str())
        .bind(token.issued_at.as_micros())
        .bind(token.used_at.map(Timestamp::as_micros))
        .bind(token.expires_at.as_micros())
        .bind(&token.access_jti)
        .bind(token.access_exp.as_micros()))
    .map(drop)
}

/// The token with this digest, whatever its state.
///
/// # Errors
/// When the database fails.
pub async fn find(handle: &mut impl Handle, digest: &TokenDigest) -> Result<Option<RefreshToken>, StoreError> {
    let row: Option<Row> =
        run!(handle, FIND, |conn, text| sqlx::query_as(text).bind(digest.as_slice()).fetch_optional(conn))?;
    row.map(token).transpose()
}

/// Uses up an active token of a live family: for the first caller alone. Its child is the caller's to insert in the same
/// transaction.
///
/// # Errors
/// When the database fails.
pub async fn rotate(tx: &mut Tx, digest: &TokenDigest, now: Timestamp) -> Result<Option<RefreshToken>, StoreError> {
    let row: Option<Row> = run!(tx, ROTATE, |conn, text| sqlx::query_as(text)
        .bind(digest.as_slice())
        .bind(now.as_micros())
        .fetch_optional(conn))?;
    row.map(token).transpose()
}

/// Uses an active token of a live family and keeps it: for tokens bound to a client or a key.
///
/// # Errors
/// When the database fails.
pub async fn keep(
    tx: &mut Tx,
    digest: &TokenDigest,
    now: Timestamp,
    expires_at: Timestamp,
    (access_jti, access_exp): (&str, Timestamp),
) -> Result<Option<RefreshToken>, StoreError> {
    let row: Option<Row> = run!(tx, KEEP, |conn, text| sqlx::query_as(text)
        .bind(digest.as_slice())
        .bind(now.as_micros())
        .bind(expires_at.as_micros())
        .bind(access_jti)
        .bind(access_exp.as_micros())
        .fetch_optional(conn))?;
    row.map(token).transpose()
}

/// The token, locked until the transaction ends.
///
/// # Errors
/// When the database fails.
pub async fn lock(tx: &mut Tx, digest: &TokenDigest) -> Result<Option<RefreshToken>, StoreError> {
    let row: Option<Row> =
        run!(tx, LOCK, |conn, text| sqlx::query_as(text).bind(digest.as_slice()).fetch_optional(conn))?;
    row.map(token).transpose()
}

/// Replaces the child of a locked token, if it was never used; the child as it was. Then its sibling is the caller's to
/// insert: a token never has two live children.
///
/// # Errors
/// When the database fails.
pub async fn replace_child(tx: &mut Tx, parent: &TokenDigest) -> Result<Option<RefreshToken>, StoreError> {
    let row: Option<Row> =
        run!(tx, REPLACE_CHILD, |conn, text| sqlx::query_as(text).bind(parent.as_slice()).fetch_optional(conn))?;
    row.map(token).transpose()
}

/// Removes up to `limit` tokens that died before `now`; how many there were.
///
/// # Errors
/// When the database fails.
pub async fn sweep(tx: &mut Tx, now: Timestamp, limit: i64) -> Result<u64, StoreError> {
    affected!(tx, SWEEP, |text| sqlx::query(text).bind(now.as_micros()).bind(limit))
}
