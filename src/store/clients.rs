//! Clients. Every write bumps `changes` first, so that other processes see it within a second.

use super::changes::{self, Topic};
use super::sql::{Handle, affected, run, statements};
use super::{StoreError, Tx, decode, encode, registrations};
use crate::base::Timestamp;
use crate::model::Client;

statements! {
    FIND = shared("select version, body from clients where client_id = $1");
    PAGE = shared("select version, body from clients where client_id > $1 order by client_id limit $2");
    NEWEST = shared(
        "select version, body from clients where (created_at, client_id) < ($1, $2)
         order by created_at desc, client_id desc limit $3"
    );
    INSERT = shared("insert into clients (client_id, version, body, created_at) values ($1, 1, $2, $3)");
    UPDATE = shared(
        "update clients set version = version + 1, body = $3 where client_id = $1 and version = $2 returning version"
    );
    DELETE = shared("delete from clients where client_id = $1 returning version");
}

/// A client with the version that an update must name.
#[derive(Clone, Debug, PartialEq)]
pub struct Stored {
    /// Raised by every update.
    pub version: i64,
    /// The client.
    pub client: Client,
}

fn stored((version, body): (i64, String)) -> Result<Stored, StoreError> {
    Ok(Stored { version, client: decode("clients", &body)? })
}

/// The client with this id.
///
/// # Errors
/// When the database fails.
pub async fn find(handle: &mut impl Handle, client_id: &str) -> Result<Option<Stored>, StoreError> {
    let row: Option<(i64, String)> =
        run!(handle, FIND, |conn, text| sqlx::query_as(text).bind(client_id).fetch_optional(conn))?;
    row.map(stored).transpose()
}

/// Up to `limit` clients after `after`, in order of their ids; start with an empty `after`.
///
/// # Errors
/// When the database fails.
pub async fn page(handle: &mut impl Handle, after: &str, limit: i64) -> Result<Vec<Stored>, StoreError> {
    let rows: Vec<(i64, String)> =
        run!(handle, PAGE, |conn, text| sqlx::query_as(text).bind(after).bind(limit).fetch_all(conn))?;
    rows.into_iter().map(stored).collect()
}

/// Up to `limit` clients made before `before` (when, and the id among those of one moment), newest first.
///
/// # Errors
/// When the database fails.
pub async fn newest(
    handle: &mut impl Handle,
    before: Option<(Timestamp, &str)>,
    limit: i64,
) -> Result<Vec<Stored>, StoreError> {
    let (at, id) = before.unwrap_or((Timestamp::from_micros(i64::MAX), ""));
    let rows: Vec<(i64, String)> = run!(handle, NEWEST, |conn, text| sqlx::query_as(text)
        .bind(at.as_micros())
        .bind(id)
        .bind(limit)
        .fetch_all(conn))?;
    rows.into_iter().map(stored).collect()
}

/// Adds a client.
///
/// # Errors
/// [`StoreError::Conflict`] when the id is taken.
pub async fn insert(tx: &mut Tx, client: &Client) -> Result<(), StoreError> {
    changes::bump(tx, Topic::Clients).await?;
    let body = encode("clients", client)?;
    affected!(tx, INSERT, |text| sqlx::query(text)
        .bind(&client.client_id)
        .bind(&body)
        .bind(client.created_at.as_micros()))
    .map(drop)
    .map_err(|e| if e.is_unique_violation() { StoreError::Conflict(client.client_id.clone()) } else { e })
}

/// Replaces a client whose version is still `version`; gives the new version.
///
/// # Errors
/// [`StoreError::Conflict`] when it was changed meanwhile or does not exist.
pub async fn update(tx: &mut Tx, client: &Client, version: i64) -> Result<i64, StoreError> {
    changes::bump(tx, Topic::Clients).await?;
    let body = encode("clients", client)?;
    let row: Option<(i64,)> = run!(tx, UPDATE, |conn, text| sqlx::query_as(text)
        .bind(&client.client_id)
        .bind(version)
        .bind(&body)
        .fetch_optional(conn))?;
    row.map(|(version,)| version).ok_or_else(|| StoreError::Conflict(client.client_id.clone()))
}

/// Removes a client; whether there was one.
///
/// # Errors
/// When the database fails.
pub async fn delete(tx: &mut Tx, client_id: &str) -> Result<bool, StoreError> {
    changes::bump(tx, Topic::Clients).await?;
    registrations::delete(tx, client_id).await?;
    let row: Option<(i64,)> = run!(tx, DELETE, |conn, text| sqlx::query_as(text).bind(client_id).fetch_optional(conn))?;
    Ok(row.is_some())
}
