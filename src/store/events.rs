//! The intake: events recorded by the transaction of the change they belong to. That commit is what "recorded" means;
//! the sequencer moves the rows to the log in order.

use super::changes::{self, Topic};
use super::entry::Entry;
use super::sql::{Handle, affected, run, statements};
use super::{Store, StoreError, Tx};
use crate::base::SystemRng;
use crate::model::Event;

statements! {
    PUT = shared("insert into event_intake (entry) values ($1)");
    WAITING = shared("select id, entry from event_intake where id > $1 order by id limit $2");
    MOVED = shared("delete from event_intake where id <= $1");
    /// PostgreSQL only: takes rows out in the transaction that appends them, so their ids need not follow commit order.
    TAKE = shared(
        "delete from event_intake where id in (select id from event_intake order by id limit $1) returning id, entry"
    );
    /// The group commit of a process that is not the sequencer, and of every process on PostgreSQL.
    PUT_MANY = split("select 1", "insert into event_intake (entry) select * from unnest($1::bytea[])");
}

/// A row that waits in the intake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// Its place.
    pub id: i64,
    /// The event.
    pub entry: Entry,
}

fn waiting((id, entry): (i64, Vec<u8>)) -> Result<Waiting, StoreError> {
    let damaged = || StoreError::Corrupt { table: "event_intake", problem: format!("row {id} is no event") };
    Ok(Waiting { id, entry: Entry::read(entry.into()).ok_or_else(damaged)? })
}

/// Records `event` with the change that `tx` makes.
///
/// # Errors
/// When the database fails: then nothing of the transaction happened.
pub async fn intake(tx: &mut Tx, event: &Event) -> Result<(), StoreError> {
    put(tx, &Entry::new(event, &SystemRng)).await?;
    changes::notify(tx, Topic::Intake).await
}

async fn put(tx: &mut Tx, entry: &Entry) -> Result<(), StoreError> {
    affected!(tx, PUT, |text| sqlx::query(text).bind(entry.bytes())).map(drop)
}

/// Records many events in one transaction of their own; when this returns `Ok` they are durable.
///
/// # Errors
/// When the database fails: then none of them is recorded.
pub async fn put_many(store: &Store, entries: &[Entry]) -> Result<(), StoreError> {
    let mut tx = store.begin().await?;
    match &mut tx {
        Tx::Turn(_) | Tx::Sqlite(_) => {
            for entry in entries {
                put(&mut tx, entry).await?;
            }
        }
        Tx::Postgres(conn) => {
            let all: Vec<&[u8]> = entries.iter().map(Entry::bytes).collect();
            let insert = sqlx::query(PUT_MANY.postgres).bind(all);
            insert.execute(&mut **conn).await.map_err(|e| PUT_MANY.failed(e))?;
        }
    }
    changes::notify(&mut tx, Topic::Intake).await?;
    tx.commit().await
}

/// Up to `limit` rows after `after`, in order.
///
/// # Errors
/// When the database fails.
pub async fn waiting_after(handle: &mut impl Handle, after: i64, limit: i64) -> Result<Vec<Waiting>, StoreError> {
    let rows: Vec<(i64, Vec<u8>)> =
        run!(handle, WAITING, |conn, text| sqlx::query_as(text).bind(after).bind(limit).fetch_all(conn))?;
    rows.into_iter().map(waiting).collect()
}

/// Takes up to `limit` rows out of the intake, in order of their ids (PostgreSQL, where intake and log share a `Tx`).
///
/// # Errors
/// When the database fails.
pub async fn take(tx: &mut Tx, limit: i64) -> Result<Vec<Waiting>, StoreError> {
    let mut rows: Vec<(i64, Vec<u8>)> = run!(tx, TAKE, |conn, text| sqlx::query_as(text).bind(limit).fetch_all(conn))?;
    rows.sort_by_key(|row| row.0);
    rows.into_iter().map(waiting).collect()
}

/// Removes what the log has, up to and including `id` (SQLite, where the log is another file).
///
/// # Errors
/// When the database fails.
pub async fn moved(tx: &mut Tx, id: i64) -> Result<(), StoreError> {
    affected!(tx, MOVED, |text| sqlx::query(text).bind(id)).map(drop)
}
