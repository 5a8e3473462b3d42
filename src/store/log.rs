//! The log's tables: append under a fence, read by sequence number.

use std::sync::OnceLock;

use sqlx::Sqlite;
use sqlx::sqlite::SqliteArguments;

use super::events::Row;
pub use super::search::{Filter, page, plan};
use super::sql::{Conn, Handle, affected, run, statements};
use super::{Store, StoreError, Tx};
use crate::base::Timestamp;

statements! {
    STATE = shared("select size, frontier, fence, intake_moved from log_state where id = 1");
    /// A new holder moves the fence up; from then on the old one appends nothing.
    FENCE = shared("update log_state set fence = $1 where id = 1 and fence <= $1");
    ADVANCE = shared(
        "update log_state set size = $2, frontier = $3, intake_moved = $4 where id = 1 and fence = $1 and size = $5"
    );
    INSERT_MANY = split(
        "select 1",
        "insert into events (seq, event_id, time, kind, outcome, principal, action, resource, request_id,
             personal, personal_salt, rest, rest_salt, leaf)
         select * from unnest($1::bigint[], $2::text[], $3::bigint[], $4::text[], $5::text[], $6::text[], $7::text[],
             $8::text[], $9::text[], $10::bytea[], $11::bytea[], $12::bytea[], $13::bytea[], $14::bytea[])"
    );
    /// With the searchable copies, for who compares them.
    WHOLE_AFTER = shared(
        "select seq, event_id, time, personal, personal_salt, rest, rest_salt, leaf,
             kind, outcome, principal, action, resource, request_id
         from events where seq > $1 order by seq limit $2"
    );
    TAIL = shared("select leaf from events where seq >= $1 order by seq");
    LAST_SEQ = shared("select coalesce(max(seq), -1) from events");
}

const INSERT_SQLITE: &str = "insert into events (seq, event_id, time, kind, outcome, principal, action, resource, request_id, \
     personal, personal_salt, rest, rest_salt, leaf)";
const COLUMNS: usize = 14;

/// The log as it stands: a written-down part, and what has been appended since (on SQLite, where a small append is one
/// statement and does not touch the row of the state).
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct State {
    /// How many leaves the written-down part has.
    pub size: i64,
    /// The roots of its full subtrees, 32 bytes each, largest first.
    pub frontier: Vec<u8>,
    /// The leaves after it.
    pub tail: Vec<Vec<u8>>,
    /// Whose turn it is to append.
    pub fence: i64,
    /// How far the intake has been moved (SQLite).
    pub intake_moved: i64,
}

/// An event with its number and leaf hash.
#[derive(Clone, Debug)]
pub struct Entry<'a> {
    /// Its number: 0, 1, 2 … without gaps.
    pub seq: i64,
    /// The RFC 9162 leaf hash.
    pub leaf: [u8; 32],
    /// The event.
    pub row: &'a Row,
}

/// One half of a stored event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Half {
    /// JSON, or `None` once it is erased.
    pub body: Option<Vec<u8>>,
    /// Its salt; of an erased half its commitment.
    pub salt: Vec<u8>,
}

/// An entry as read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Its number.
    pub seq: i64,
    /// `evt_…`.
    pub event_id: String,
    /// When it happened.
    pub time: Timestamp,
    /// The half that can be erased.
    pub personal: Half,
    /// The half that stays.
    pub rest: Half,
    /// The leaf hash.
    pub leaf: Vec<u8>,
}

pub(super) type StoredRow = (i64, String, i64, Option<Vec<u8>>, Vec<u8>, Option<Vec<u8>>, Vec<u8>, Vec<u8>);

pub(super) fn stored((seq, event_id, time, personal, personal_salt, rest, rest_salt, leaf): StoredRow) -> Stored {
    Stored {
        seq,
        event_id,
        time: Timestamp::from_micros(time),
        personal: Half { body: personal, salt: personal_salt },
        rest: Half { body: rest, salt: rest_salt },
        leaf,
    }
}

/// Size, frontier and fence, and the leaves since.
///
/// # Errors
/// [`StoreError::Corrupt`] when the row is missing.
pub async fn state(handle: &mut impl Handle) -> Result<State, StoreError> {
    let row: Option<(i64, Vec<u8>, i64, i64)> =
        run!(handle, STATE, |conn, text| sqlx::query_as(text).fetch_optional(conn))?;
    let missing = || StoreError::Corrupt { table: "log_state", problem: "the row is missing".to_owned() };
    let (size, frontier, fence, intake_moved) = row.ok_or_else(missing)?;
    let tail: Vec<(Vec<u8>,)> = run!(handle, TAIL, |conn, text| sqlx::query_as(text).bind(size).fetch_all(conn))?;
    Ok(State { size, frontier, tail: tail.into_iter().map(|(leaf,)| leaf).collect(), fence, intake_moved })
}

/// Raises the fence for a new holder, and gives the state from which it goes on.
///
/// # Errors
/// [`StoreError::Fenced`] when a later holder has been here.
pub async fn raise_fence(tx: &mut Tx, fence: i64) -> Result<State, StoreError> {
    let changed = affected!(tx, FENCE, |text| sqlx::query(text).bind(fence))?;
    if changed == 0 {
        return Err(StoreError::Fenced);
    }
    state(tx).await
}

/// How many rows one statement inserts: 14 columns of 100 rows stay well under SQLite's 32,766 parameters.
pub const AT_ONCE: usize = 100;

/// The statement that inserts `rows` rows; written once, because spelling out fourteen hundred placeholders costs as much
/// as inserting them.
fn insert_sqlite(rows: usize, fenced: bool) -> Option<&'static str> {
    static PLAIN: [OnceLock<String>; AT_ONCE + 1] = [const { OnceLock::new() }; AT_ONCE + 1];
    static FENCED: [OnceLock<String>; AT_ONCE + 1] = [const { OnceLock::new() }; AT_ONCE + 1];
    let text = if fenced { FENCED.get(rows) } else { PLAIN.get(rows) };
    let write = || {
        let values = format!("({})", vec!["?"; COLUMNS].join(","));
        let values = vec![values; rows].join(",");
        match fenced {
            true => format!(
                "{INSERT_SQLITE} select * from (values {values}) where (select fence from log_state where id = 1) = ?"
            ),
            false => format!("{INSERT_SQLITE} values {values}"),
        }
    };
    text.map(|text| text.get_or_init(write).as_str())
}

type SqliteQuery<'q> = sqlx::query::Query<'q, Sqlite, SqliteArguments>;

/// Its query, with every value but the fence.
fn bound<'q>(text: &'static str, entries: &'q [Entry<'q>]) -> SqliteQuery<'q> {
    entries.iter().fold(sqlx::query(text), |query, entry| {
        let row = entry.row;
        query
            .bind(entry.seq)
            .bind(row.event_id.as_str())
            .bind(row.time.as_micros())
            .bind(row.kind.as_str())
            .bind(row.outcome.as_str())
            .bind(row.principal.as_deref())
            .bind(row.action.as_deref())
            .bind(row.resource.as_deref())
            .bind(row.request_id.as_deref())
            .bind(row.personal.as_slice())
            .bind(row.personal_salt.as_slice())
            .bind(row.rest.as_slice())
            .bind(row.rest_salt.as_slice())
            .bind(entry.leaf.as_slice())
    })
}

/// Appends up to [`AT_ONCE`] entries to an embedded log in one statement, which is its own transaction and checks the
/// fence: a commit costs one trip to the database instead of four. The state row is left for [`append`].
///
/// # Errors
/// [`StoreError::Fenced`] when another holder took over, or on PostgreSQL; a number that is taken fails as a statement.
pub async fn append_at_once(store: &Store, fence: i64, entries: &[Entry<'_>]) -> Result<(), StoreError> {
    let Store::Sqlite(files) = store else { return Err(StoreError::Fenced) };
    let text = insert_sqlite(entries.len(), true).ok_or(StoreError::Fenced)?;
    let insert = bound(text, entries).bind(fence);
    let done = insert.execute(&files.log_write).await.map_err(|e| INSERT_MANY.failed(e))?;
    if done.rows_affected() == 0 { Err(StoreError::Fenced) } else { Ok(()) }
}

/// Appends entries under the fence of `next` and writes the state down: all of them and the new state, or nothing.
///
/// # Errors
/// [`StoreError::Fenced`] when another holder took over or the written-down part is not of size `size_before`.
pub async fn append(tx: &mut Tx, size_before: i64, entries: &[Entry<'_>], next: &State) -> Result<(), StoreError> {
    // The state row goes first: on PostgreSQL its lock keeps a second sequencer out until this one commits.
    let changed = affected!(tx, ADVANCE, |text| sqlx::query(text)
        .bind(next.fence)
        .bind(next.size)
        .bind(&next.frontier)
        .bind(next.intake_moved)
        .bind(size_before))?;
    if changed == 0 {
        return Err(StoreError::Fenced);
    }
    match tx.conn() {
        Conn::Sqlite(conn) => {
            for chunk in entries.chunks(AT_ONCE) {
                let text = insert_sqlite(chunk.len(), false).ok_or(StoreError::Fenced)?;
                bound(text, chunk).execute(&mut *conn).await.map_err(|e| INSERT_MANY.failed(e))?;
            }
        }
        Conn::Postgres(conn) => {
            let rows = || entries.iter().map(|entry| entry.row);
            sqlx::query(INSERT_MANY.postgres)
                .bind(entries.iter().map(|e| e.seq).collect::<Vec<_>>())
                .bind(rows().map(|r| r.event_id.as_str()).collect::<Vec<_>>())
                .bind(rows().map(|r| r.time.as_micros()).collect::<Vec<_>>())
                .bind(rows().map(|r| r.kind.as_str()).collect::<Vec<_>>())
                .bind(rows().map(|r| r.outcome.as_str()).collect::<Vec<_>>())
                .bind(rows().map(|r| r.principal.as_deref()).collect::<Vec<_>>())
                .bind(rows().map(|r| r.action.as_deref()).collect::<Vec<_>>())
                .bind(rows().map(|r| r.resource.as_deref()).collect::<Vec<_>>())
                .bind(rows().map(|r| r.request_id.as_deref()).collect::<Vec<_>>())
                .bind(rows().map(|r| r.personal.as_slice()).collect::<Vec<_>>())
                .bind(rows().map(|r| r.personal_salt.as_slice()).collect::<Vec<_>>())
                .bind(rows().map(|r| r.rest.as_slice()).collect::<Vec<_>>())
                .bind(rows().map(|r| r.rest_salt.as_slice()).collect::<Vec<_>>())
                .bind(entries.iter().map(|e| e.leaf.as_slice()).collect::<Vec<_>>())
                .execute(&mut *conn)
                .await
                .map_err(|e| INSERT_MANY.failed(e))?;
        }
    }
    Ok(())
}

/// What searches go by: copies of what the halves say, kept beside them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Copies {
    /// From the half that stays.
    pub kind: String,
    /// From the half that stays.
    pub outcome: String,
    /// From the half that can be erased.
    pub principal: Option<String>,
    /// From the half that stays.
    pub action: Option<String>,
    /// From the half that stays.
    pub resource: Option<String>,
    /// From the half that stays.
    pub request_id: Option<String>,
}

/// Up to `limit` entries after number `seq` with their copies, in order; `-1` starts at the beginning.
///
/// # Errors
/// When the database fails.
pub async fn after(handle: &mut impl Handle, seq: i64, limit: i64) -> Result<Vec<(Stored, Copies)>, StoreError> {
    type Row = (
        i64,
        String,
        i64,
        Option<Vec<u8>>,
        Vec<u8>,
        Option<Vec<u8>>,
        Vec<u8>,
        Vec<u8>,
        String,
        String,
        Option<String>,
        Option<String>,
        Option<String>,
        Option<String>,
    );
    let rows: Vec<Row> =
        run!(handle, WHOLE_AFTER, |conn, text| sqlx::query_as(text).bind(seq).bind(limit).fetch_all(conn))?;
    let whole = |row: Row| {
        let (seq, id, time, p, ps, r, rs, leaf, kind, outcome, principal, action, resource, request_id) = row;
        (stored((seq, id, time, p, ps, r, rs, leaf)), Copies { kind, outcome, principal, action, resource, request_id })
    };
    Ok(rows.into_iter().map(whole).collect())
}

/// The number of the last entry, `-1` when there is none.
///
/// # Errors
/// When the database fails.
pub async fn last_seq(handle: &mut impl Handle) -> Result<i64, StoreError> {
    let row: (i64,) = run!(handle, LAST_SEQ, |conn, text| sqlx::query_as(text).fetch_one(conn))?;
    Ok(row.0)
}
