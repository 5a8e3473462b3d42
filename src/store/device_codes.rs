//! Device authorizations (RFC 8628), under the digest of their device code. A person decides once, the device is served
//! once: both are conditional statements.

use super::sql::{Handle, affected, run, statements};
use super::{StoreError, Tx, decode, digest, encode};
use crate::base::Timestamp;
use crate::model::{DeviceCode, DeviceState, TokenDigest};

statements! {
    INSERT = shared(
        "insert into device_codes (digest, user_code, client_id, scopes, resources, dpop_jkt, state, grant_id,
             interval_secs, polled_at, created_at, expires_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)"
    );
    FIND = shared(
        "select digest, user_code, client_id, scopes, resources, dpop_jkt, state, grant_id, interval_secs, polled_at,
             created_at, expires_at
         from device_codes where digest = $1"
    );
    BY_USER_CODE = shared(
        "select digest, user_code, client_id, scopes, resources, dpop_jkt, state, grant_id, interval_secs, polled_at,
             created_at, expires_at
         from device_codes where user_code = $1"
    );
    /// The poll that asks and the note that it asked are one: of two at once, the second sees the first.
    POLL = shared(
        "update device_codes set polled_at = $3,
             interval_secs = case when polled_at + interval_secs * 1000000 > $3 then interval_secs + 5
                 else interval_secs end
         where digest = $1 and client_id = $2
         returning digest, user_code, client_id, scopes, resources, dpop_jkt, state, grant_id, interval_secs, polled_at,
             created_at, expires_at"
    );
    APPROVE = shared(
        "update device_codes set state = 'approved', grant_id = $2
         where user_code = $1 and state = 'pending' and expires_at > $3 returning client_id"
    );
    DENY = shared(
        "update device_codes set state = 'denied'
         where user_code = $1 and state = 'pending' and expires_at > $2 returning client_id"
    );
    USE_UP = shared(
        "update device_codes set state = 'used' where digest = $1 and client_id = $2 and state = 'approved'
             and expires_at > $3
         returning grant_id"
    );
    SWEEP = shared(
        "delete from device_codes where digest in (select digest from device_codes where expires_at < $1 limit $2)"
    );
}

type Row =
    (Vec<u8>, String, String, String, String, Option<String>, String, Option<String>, i64, Option<i64>, i64, i64);

fn code(row: Row) -> Result<DeviceCode, StoreError> {
    let (own, user_code, client_id, scopes, resources, dpop_jkt, state, grant_id, interval_secs, polled, made, dies) =
        row;
    let unknown = || StoreError::Corrupt { table: "device_codes", problem: format!("`{state}` is no state") };
    Ok(DeviceCode {
        digest: digest("device_codes", &own)?,
        user_code,
        client_id,
        scopes: decode("device_codes", &scopes)?,
        resources: decode("device_codes", &resources)?,
        dpop_jkt,
        state: DeviceState::parse(&state).ok_or_else(unknown)?,
        grant_id,
        interval_secs,
        polled_at: polled.map(Timestamp::from_micros),
        created_at: Timestamp::from_micros(made),
        expires_at: Timestamp::from_micros(dies),
    })
}

/// Keeps a device authorization.
///
/// # Errors
/// [`StoreError::Conflict`] when the user code is taken: make another.
pub async fn insert(tx: &mut Tx, code: &DeviceCode) -> Result<(), StoreError> {
    let scopes = encode("device_codes", &code.scopes)?;
    let resources = encode("device_codes", &code.resources)?;
    affected!(tx, INSERT, |text| sqlx::query(text)
        .bind(code.digest.as_slice())
        .bind(&code.user_code)
        .bind(&code.client_id)
        .bind(&scopes)
        .bind(&resources)
        .bind(&code.dpop_jkt)
        .bind(code.state.as_str())
        .bind(&code.grant_id)
        .bind(code.interval_secs)
        .bind(code.polled_at.map(Timestamp::as_micros))
        .bind(code.created_at.as_micros())
        .bind(code.expires_at.as_micros()))
    .map(drop)
    .map_err(|e| if e.is_unique_violation() { StoreError::Conflict("user code".to_owned()) } else { e })
}

/// The authorization of this device code.
///
/// # Errors
/// When the database fails.
pub async fn find(handle: &mut impl Handle, digest: &TokenDigest) -> Result<Option<DeviceCode>, StoreError> {
    let row: Option<Row> =
        run!(handle, FIND, |conn, text| sqlx::query_as(text).bind(digest.as_slice()).fetch_optional(conn))?;
    row.map(code).transpose()
}

/// The authorization of this user code, in its one spelling.
///
/// # Errors
/// When the database fails.
pub async fn by_user_code(handle: &mut impl Handle, user_code: &str) -> Result<Option<DeviceCode>, StoreError> {
    let row: Option<Row> =
        run!(handle, BY_USER_CODE, |conn, text| sqlx::query_as(text).bind(user_code).fetch_optional(conn))?;
    row.map(code).transpose()
}

/// A poll of the device at `now`: the authorization as it is from now on. A poll that came too early raises
/// `interval_secs` by five (RFC 8628 3.5); whoever wants to know compares it with what was told before.
///
/// # Errors
/// When the database fails.
pub async fn poll(
    tx: &mut Tx,
    digest: &TokenDigest,
    client_id: &str,
    now: Timestamp,
) -> Result<Option<DeviceCode>, StoreError> {
    let row: Option<Row> = run!(tx, POLL, |conn, text| sqlx::query_as(text)
        .bind(digest.as_slice())
        .bind(client_id)
        .bind(now.as_micros())
        .fetch_optional(conn))?;
    row.map(code).transpose()
}

/// A person says yes, and this family waits for the device: true for the first decision alone.
///
/// # Errors
/// When the database fails.
pub async fn approve(tx: &mut Tx, user_code: &str, grant_id: &str, now: Timestamp) -> Result<bool, StoreError> {
    let row: Option<(String,)> = run!(tx, APPROVE, |conn, text| sqlx::query_as(text)
        .bind(user_code)
        .bind(grant_id)
        .bind(now.as_micros())
        .fetch_optional(conn))?;
    Ok(row.is_some())
}

/// A person says no: true for the first decision alone.
///
/// # Errors
/// When the database fails.
pub async fn deny(tx: &mut Tx, user_code: &str, now: Timestamp) -> Result<bool, StoreError> {
    let row: Option<(String,)> =
        run!(tx, DENY, |conn, text| sqlx::query_as(text).bind(user_code).bind(now.as_micros()).fetch_optional(conn))?;
    Ok(row.is_some())
}

/// Uses up an approved authorization: the id of its family, for the first caller alone.
///
/// # Errors
/// When the database fails.
pub async fn use_up(
    tx: &mut Tx,
    digest: &TokenDigest,
    client_id: &str,
    now: Timestamp,
) -> Result<Option<String>, StoreError> {
    let row: Option<(Option<String>,)> = run!(tx, USE_UP, |conn, text| sqlx::query_as(text)
        .bind(digest.as_slice())
        .bind(client_id)
        .bind(now.as_micros())
        .fetch_optional(conn))?;
    Ok(row.and_then(|(id,)| id))
}

/// Removes up to `limit` authorizations that died before `now`; how many there were.
///
/// # Errors
/// When the database fails.
pub async fn sweep(tx: &mut Tx, now: Timestamp, limit: i64) -> Result<u64, StoreError> {
    affected!(tx, SWEEP, |text| sqlx::query(text).bind(now.as_micros()).bind(limit))
}
