//! Signed tree heads, and the record of the largest size that one was ever signed over.

use super::sql::{Handle, affected, run, statements};
use super::{StoreError, Tx};
use crate::base::Timestamp;

statements! {
    INSERT = shared("insert into checkpoints (size, note, time) values ($1, $2, $3) on conflict (size) do nothing");
    /// The record only grows: of two who sign at once the larger size stays.
    RECORD = shared("update log_state set signed_size = $1, signed_proof = $2 where id = 1 and signed_size <= $1");
    RECORD_ANEW = shared("update log_state set signed_size = $1, signed_proof = $2 where id = 1");
    DELETE = shared("delete from checkpoints where size = $1");
    /// One statement, so that the record and the newest head are of one moment.
    STANDING = shared(
        "select log_state.signed_size, log_state.signed_proof, newest.size, newest.note from log_state
         left join (select size, note from checkpoints order by size desc limit 1) newest on true
         where log_state.id = 1"
    );
    AFTER = shared("select size, note from checkpoints where size > $1 order by size limit $2");
}

/// A signed tree head as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// How many leaves it covers.
    pub size: i64,
    /// The signed note.
    pub note: String,
}

/// What is known of the heads: the record, and the newest one there is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// The largest size that a head was signed over.
    pub signed_size: i64,
    /// The log key's signature on that; empty before the first.
    pub proof: Vec<u8>,
    /// The newest head.
    pub newest: Option<Head>,
}

/// Record and newest head.
///
/// # Errors
/// [`StoreError::Corrupt`] when the row of the state is missing.
pub async fn standing(handle: &mut impl Handle) -> Result<Standing, StoreError> {
    type Row = (i64, Vec<u8>, Option<i64>, Option<String>);
    let row: Option<Row> = run!(handle, STANDING, |conn, text| sqlx::query_as(text).fetch_optional(conn))?;
    let missing = || StoreError::Corrupt { table: "log_state", problem: "the row is missing".to_owned() };
    let (signed_size, proof, size, note) = row.ok_or_else(missing)?;
    let newest = size.zip(note).map(|(size, note)| Head { size, note });
    Ok(Standing { signed_size, proof, newest })
}

/// Keeps a head and raises the record to it.
///
/// # Errors
/// When the database fails.
pub async fn keep(tx: &mut Tx, head: &Head, proof: &[u8], now: Timestamp) -> Result<(), StoreError> {
    affected!(tx, INSERT, |text| sqlx::query(text).bind(head.size).bind(&head.note).bind(now.as_micros()))?;
    record(tx, head.size, proof).await
}

/// Raises the record alone: of a log that has no entries yet.
///
/// # Errors
/// When the database fails.
pub async fn record(tx: &mut Tx, size: i64, proof: &[u8]) -> Result<(), StoreError> {
    affected!(tx, RECORD, |text| sqlx::query(text).bind(size).bind(proof)).map(drop)
}

/// Keeps a head and sets the record to it, whatever it was.
///
/// # Errors
/// When the database fails.
pub async fn keep_anew(tx: &mut Tx, head: &Head, proof: &[u8], now: Timestamp) -> Result<(), StoreError> {
    affected!(tx, INSERT, |text| sqlx::query(text).bind(head.size).bind(&head.note).bind(now.as_micros()))?;
    affected!(tx, RECORD_ANEW, |text| sqlx::query(text).bind(head.size).bind(proof)).map(drop)
}

/// Removes the head that is kept under `size`.
///
/// # Errors
/// When the database fails.
pub async fn delete(tx: &mut Tx, size: i64) -> Result<(), StoreError> {
    affected!(tx, DELETE, |text| sqlx::query(text).bind(size)).map(drop)
}

/// Up to `limit` heads over more than `size` leaves, smallest first; `-1` starts at the beginning.
///
/// # Errors
/// When the database fails.
pub async fn after(handle: &mut impl Handle, size: i64, limit: i64) -> Result<Vec<Head>, StoreError> {
    let rows: Vec<(i64, String)> =
        run!(handle, AFTER, |conn, text| sqlx::query_as(text).bind(size).bind(limit).fetch_all(conn))?;
    Ok(rows.into_iter().map(|(size, note)| Head { size, note }).collect())
}
