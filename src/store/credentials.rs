//! What people prove themselves with. Bodies arrive hashed or sealed; what may be used once is one statement.

use super::sql::{Handle, affected, run, statements};
use super::{StoreError, Tx};
use crate::base::Timestamp;
use crate::model::{Credential, CredentialKind};

statements! {
    INSERT = shared(
        "insert into credentials (credential_id, user_id, kind, label, body, last_step, created_at, last_used_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8)"
    );
    OF_USER = shared(
        "select credential_id, user_id, kind, label, body, last_step, created_at, last_used_at
         from credentials where user_id = $1 order by credential_id"
    );
    REPLACE_BODY = shared(
        "update credentials set body = $3, last_used_at = $4 where credential_id = $1 and body = $2
         returning credential_id"
    );
    TOUCH = shared("update credentials set last_used_at = $2 where credential_id = $1");
    USE_STEP = shared(
        "update credentials set last_step = $2, last_used_at = $3
         where credential_id = $1 and (last_step is null or last_step < $2) returning credential_id"
    );
    USE_RECOVERY = shared(
        "delete from credentials where user_id = $1 and kind = 'recovery' and body = $2 returning credential_id"
    );
    DELETE = shared("delete from credentials where user_id = $1 and credential_id = $2");
    DELETE_KIND = shared("delete from credentials where user_id = $1 and kind = $2");
}

type Row = (String, String, String, String, Vec<u8>, Option<i64>, i64, Option<i64>);

fn credential(row: Row) -> Result<Credential, StoreError> {
    let (credential_id, user_id, kind, label, body, last_step, created_at, last_used_at) = row;
    let unknown = || StoreError::Corrupt { table: "credentials", problem: format!("`{kind}` is no kind") };
    Ok(Credential {
        kind: CredentialKind::parse(&kind).ok_or_else(unknown)?,
        credential_id,
        user_id,
        label,
        body,
        last_step,
        created_at: Timestamp::from_micros(created_at),
        last_used_at: last_used_at.map(Timestamp::from_micros),
    })
}

/// Adds a credential.
///
/// # Errors
/// When the database fails.
pub async fn insert(tx: &mut Tx, credential: &Credential) -> Result<(), StoreError> {
    affected!(tx, INSERT, |text| sqlx::query(text)
        .bind(&credential.credential_id)
        .bind(&credential.user_id)
        .bind(credential.kind.as_str())
        .bind(&credential.label)
        .bind(&credential.body)
        .bind(credential.last_step)
        .bind(credential.created_at.as_micros())
        .bind(credential.last_used_at.map(Timestamp::as_micros)))
    .map(drop)
}

/// All credentials of a person, oldest first.
///
/// # Errors
/// When the database fails.
pub async fn of_user(handle: &mut impl Handle, user_id: &str) -> Result<Vec<Credential>, StoreError> {
    let rows: Vec<Row> = run!(handle, OF_USER, |conn, text| sqlx::query_as(text).bind(user_id).fetch_all(conn))?;
    rows.into_iter().map(credential).collect()
}

/// Replaces a body that is still `old` (a passkey's counter, a hash made stronger); whether it was.
///
/// # Errors
/// When the database fails.
pub async fn replace_body(
    tx: &mut Tx,
    credential_id: &str,
    old: &[u8],
    new: &[u8],
    now: Timestamp,
) -> Result<bool, StoreError> {
    let row: Option<(String,)> = run!(tx, REPLACE_BODY, |conn, text| sqlx::query_as(text)
        .bind(credential_id)
        .bind(old)
        .bind(new)
        .bind(now.as_micros())
        .fetch_optional(conn))?;
    Ok(row.is_some())
}

/// Remembers a use.
///
/// # Errors
/// When the database fails.
pub async fn touch(tx: &mut Tx, credential_id: &str, now: Timestamp) -> Result<(), StoreError> {
    affected!(tx, TOUCH, |text| sqlx::query(text).bind(credential_id).bind(now.as_micros())).map(drop)
}

/// Uses up a time step and all before it: true for the first caller alone (RFC 6238 5.2).
///
/// # Errors
/// When the database fails.
pub async fn use_step(tx: &mut Tx, credential_id: &str, step: i64, now: Timestamp) -> Result<bool, StoreError> {
    let row: Option<(String,)> = run!(tx, USE_STEP, |conn, text| sqlx::query_as(text)
        .bind(credential_id)
        .bind(step)
        .bind(now.as_micros())
        .fetch_optional(conn))?;
    Ok(row.is_some())
}

/// Uses up the recovery code whose hash this is: true for the first caller alone.
///
/// # Errors
/// When the database fails.
pub async fn use_recovery(tx: &mut Tx, user_id: &str, hash: &[u8]) -> Result<bool, StoreError> {
    let row: Option<(String,)> =
        run!(tx, USE_RECOVERY, |conn, text| sqlx::query_as(text).bind(user_id).bind(hash).fetch_optional(conn))?;
    Ok(row.is_some())
}

/// Removes one credential of a person; whether there was one.
///
/// # Errors
/// When the database fails.
pub async fn delete(tx: &mut Tx, user_id: &str, credential_id: &str) -> Result<bool, StoreError> {
    affected!(tx, DELETE, |text| sqlx::query(text).bind(user_id).bind(credential_id)).map(|n| n > 0)
}

/// Removes all credentials of one kind; how many there were.
///
/// # Errors
/// When the database fails.
pub async fn delete_kind(tx: &mut Tx, user_id: &str, kind: CredentialKind) -> Result<u64, StoreError> {
    affected!(tx, DELETE_KIND, |text| sqlx::query(text).bind(user_id).bind(kind.as_str()))
}
