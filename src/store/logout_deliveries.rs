//! Logout tokens still to be delivered (OpenID Connect Back-Channel Logout 2.5): queued in the transaction that ends the
//! session, taken by whichever process comes first, tried again until they are given up.

use super::sql::{affected, run, statements};
use super::{StoreError, Tx};
use crate::base::Timestamp;
use crate::model::LogoutDelivery;

statements! {
    INSERT = shared(
        "insert into logout_deliveries (delivery_id, client_id, user_id, session_id, attempts, next_at, expires_at)
         values ($1, $2, $3, $4, $5, $6, $7)"
    );
    /// Taking is putting off: when this process dies over it, another tries again at `next_at`.
    TAKE = split(
        "update logout_deliveries set attempts = attempts + 1, next_at = $2 where delivery_id in (
             select delivery_id from logout_deliveries where next_at <= $1 order by next_at limit $3)
         returning delivery_id, client_id, user_id, session_id, attempts, next_at, expires_at",
        "update logout_deliveries set attempts = attempts + 1, next_at = $2 where delivery_id in (
             select delivery_id from logout_deliveries where next_at <= $1 order by next_at limit $3
             for update skip locked)
         returning delivery_id, client_id, user_id, session_id, attempts, next_at, expires_at"
    );
    RETRY = shared("update logout_deliveries set next_at = $2 where delivery_id = $1");
    DONE = shared("delete from logout_deliveries where delivery_id = $1");
}

type Row = (String, String, String, Option<String>, i64, i64, i64);

fn delivery((delivery_id, client_id, user_id, session_id, attempts, next_at, expires_at): Row) -> LogoutDelivery {
    LogoutDelivery {
        delivery_id,
        client_id,
        user_id,
        session_id,
        attempts,
        next_at: Timestamp::from_micros(next_at),
        expires_at: Timestamp::from_micros(expires_at),
    }
}

/// Queues a delivery.
///
/// # Errors
/// When the database fails.
pub async fn insert(tx: &mut Tx, delivery: &LogoutDelivery) -> Result<(), StoreError> {
    affected!(tx, INSERT, |text| sqlx::query(text)
        .bind(&delivery.delivery_id)
        .bind(&delivery.client_id)
        .bind(&delivery.user_id)
        .bind(&delivery.session_id)
        .bind(delivery.attempts)
        .bind(delivery.next_at.as_micros())
        .bind(delivery.expires_at.as_micros()))
    .map(drop)
}

/// Takes up to `limit` deliveries that are due; nobody else gets them before `again_at`.
///
/// # Errors
/// When the database fails.
pub async fn take(
    tx: &mut Tx,
    now: Timestamp,
    again_at: Timestamp,
    limit: i64,
) -> Result<Vec<LogoutDelivery>, StoreError> {
    let rows: Vec<Row> = run!(tx, TAKE, |conn, text| sqlx::query_as(text)
        .bind(now.as_micros())
        .bind(again_at.as_micros())
        .bind(limit)
        .fetch_all(conn))?;
    Ok(rows.into_iter().map(delivery).collect())
}

/// Puts a delivery off.
///
/// # Errors
/// When the database fails.
pub async fn retry_at(tx: &mut Tx, delivery_id: &str, next_at: Timestamp) -> Result<(), StoreError> {
    affected!(tx, RETRY, |text| sqlx::query(text).bind(delivery_id).bind(next_at.as_micros())).map(drop)
}

/// Removes a delivery: it arrived, or was given up.
///
/// # Errors
/// When the database fails.
pub async fn done(tx: &mut Tx, delivery_id: &str) -> Result<(), StoreError> {
    affected!(tx, DONE, |text| sqlx::query(text).bind(delivery_id)).map(drop)
}
