//! The intake: events recorded by the transaction of the change they belong to. That commit is what "recorded" means;
//! the sequencer moves the rows to the log in order.

use super::changes::{self, Topic};
use super::entry::Entry;
use super::sql::{Conn, Handle, affected, run, statements};
use super::{Store, StoreError, Tx};
use crate::base::SystemRng;
use crate::model::Event;

statements! {
    PUT = split(
        "insert into event_intake (entry) values (?)",
        "insert into event_intake (entry) select * from unnest($1::bytea[])"
    );
    WAITING = shared("select id, entry from event_intake where id > $1 order by id limit $2");
    MOVED = shared("delete from event_intake where id <= $1");
    /// PostgreSQL only: takes rows out in the transaction that appends them, so their ids need not follow commit order.
    TAKE = shared(
        "delete from event_intake where id in (select id from event_intake order by id limit $1) returning id, entry"
    );
}

/// For the writer of SQLite: one row, to which it adds.
pub(super) const ROWS: &str = PUT.sqlite;

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
    put(tx, vec![Entry::new(event, &SystemRng)]).await
}

/// On SQLite they are written with the commit, together with those of the transactions that share it.
async fn put(tx: &mut Tx, entries: Vec<Entry>) -> Result<(), StoreError> {
    if let Tx::Turn(turn) = tx {
        turn.record(entries);
        return Ok(());
    }
    match tx.conn() {
        // The log's own file has no intake: this says so.
        Conn::Sqlite(conn) => {
            let insert = sqlx::query(PUT.sqlite).bind(entries.first().map(Entry::bytes));
            insert.execute(conn).await.map_err(|e| PUT.failed(e))?;
        }
        Conn::Postgres(conn) => {
            let all: Vec<&[u8]> = entries.iter().map(Entry::bytes).collect();
            let insert = sqlx::query(PUT.postgres).bind(all);
            insert.execute(conn).await.map_err(|e| PUT.failed(e))?;
        }
    }
    changes::notify(tx, Topic::Intake).await
}

/// Records many events in one transaction of their own; when this returns `Ok` they are durable.
///
/// # Errors
/// When the database fails: then none of them is recorded.
pub async fn put_many(store: &Store, entries: &[Entry]) -> Result<(), StoreError> {
    let mut tx = store.begin().await?;
    put(&mut tx, entries.to_vec()).await?;
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
