//! The log: append under a fence, read by number. Its entries stand in [`blocks`], its index in [`super::segments`].

pub use super::blocks::Numbered;
use super::blocks::{self, Block};
pub use super::search::{Filter, Found, Order, Walk, Work, page, pages, times_of as times, walk};
pub use super::segments::{SEGMENT, settle};
use super::sql::{Handle, affected, run, statements};
use super::{Store, StoreError, Tx};

statements! {
    STATE = shared("select size, frontier, fence, intake_moved, indexed from log_state where id = 1");
    /// A new holder moves the fence up; from then on the old one appends nothing.
    FENCE = shared("update log_state set fence = $1 where id = 1 and fence <= $1");
    ADVANCE = shared(
        "update log_state set size = $2, frontier = $3, intake_moved = $4, indexed = $5
         where id = 1 and fence = $1 and size = $6"
    );
    PUT_FENCED = shared(
        "insert into log_blocks (first_seq, count, leaves, entries)
         select $1, $2, $3, $4 from log_state where id = 1 and fence = $5"
    );
    LOCK = shared("update log_state set fence = fence where id = 1");
    TAIL = shared("select leaves from log_blocks where first_seq >= $1 order by first_seq");
    LAST_SEQ = shared("select first_seq + count - 1 from log_blocks order by first_seq desc limit 1");
}

/// The log as it stands: a written-down part, and what has been appended since (on SQLite, where a small append is one
/// statement and does not touch the row of the state).
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct State {
    /// How many leaves the written-down part has. A block begins there.
    pub size: i64,
    /// The roots of its full subtrees, 32 bytes each, largest first.
    pub frontier: Vec<u8>,
    /// The leaves after it.
    pub tail: Vec<[u8; 32]>,
    /// Whose turn it is to append.
    pub fence: i64,
    /// How far the intake has been moved (SQLite).
    pub intake_moved: i64,
    /// How many entries the segments cover. A block begins there.
    pub indexed: i64,
}

/// Size, frontier and fence, and the leaves since.
///
/// # Errors
/// [`StoreError::Corrupt`] when the row is missing or a leaf is not whole.
pub async fn state(handle: &mut impl Handle) -> Result<State, StoreError> {
    let row: Option<(i64, Vec<u8>, i64, i64, i64)> =
        run!(handle, STATE, |conn, text| sqlx::query_as(text).fetch_optional(conn))?;
    let corrupt = |table, problem: &str| StoreError::Corrupt { table, problem: problem.to_owned() };
    let (size, frontier, fence, intake_moved, indexed) =
        row.ok_or_else(|| corrupt("log_state", "the row is missing"))?;
    let rows: Vec<(Vec<u8>,)> = run!(handle, TAIL, |conn, text| sqlx::query_as(text).bind(size).fetch_all(conn))?;
    let mut tail = Vec::new();
    for (leaves,) in &rows {
        let (leaves, odd) = leaves.as_chunks::<32>();
        if !odd.is_empty() {
            return Err(corrupt("log_blocks", "a leaf is not 32 bytes"));
        }
        tail.extend_from_slice(leaves);
    }
    Ok(State { size, frontier, tail, fence, intake_moved, indexed })
}

/// How many entries the segments cover.
pub(super) async fn indexed(handle: &mut impl Handle) -> Result<i64, StoreError> {
    let row: Option<(i64, Vec<u8>, i64, i64, i64)> =
        run!(handle, STATE, |conn, text| sqlx::query_as(text).fetch_optional(conn))?;
    Ok(row.map_or(0, |row| row.4))
}

/// Keeps everybody else from changing blocks until `tx` ends: who reads a block to write it again must not meet another.
///
/// # Errors
/// When the database fails.
pub(super) async fn lock(tx: &mut Tx) -> Result<(), StoreError> {
    affected!(tx, LOCK, |text| sqlx::query(text)).map(drop)
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

/// Appends entries that fit one block to an embedded log in one statement, which is its own transaction and checks the
/// fence: a commit costs one trip to the database instead of four. The state row is left for [`append`].
///
/// # Errors
/// [`StoreError::Fenced`] when another holder took over, or on PostgreSQL; a number that is taken fails as a statement.
pub async fn append_at_once(store: &Store, fence: i64, block: &Block) -> Result<(), StoreError> {
    let Store::Sqlite(files) = store else { return Err(StoreError::Fenced) };
    let insert = sqlx::query(PUT_FENCED.sqlite)
        .bind(block.first_seq)
        .bind(block.count)
        .bind(block.leaves.as_slice())
        .bind(block.entries.as_slice())
        .bind(fence);
    let done = insert.execute(&files.log_write).await.map_err(|e| PUT_FENCED.failed(e))?;
    if done.rows_affected() == 0 { Err(StoreError::Fenced) } else { Ok(()) }
}

/// Appends blocks under the fence of `next` and writes the state down: all of them and the new state, or nothing.
///
/// # Errors
/// [`StoreError::Fenced`] when another holder took over or the written-down part is not of size `size_before`.
pub async fn append(tx: &mut Tx, size_before: i64, blocks: &[Block], next: &State) -> Result<(), StoreError> {
    // The state row goes first: on PostgreSQL its lock keeps a second sequencer out until this one commits.
    let changed = affected!(tx, ADVANCE, |text| sqlx::query(text)
        .bind(next.fence)
        .bind(next.size)
        .bind(&next.frontier)
        .bind(next.intake_moved)
        .bind(next.indexed)
        .bind(size_before))?;
    if changed == 0 {
        return Err(StoreError::Fenced);
    }
    for block in blocks {
        blocks::put(tx, block).await?;
    }
    Ok(())
}

/// The next entries after number `seq` that are there, up to `limit` and the rest of a block, in order; `-1` starts at the beginning.
///
/// # Errors
/// When the database fails, or a block is damaged.
pub async fn after(handle: &mut impl Handle, seq: i64, limit: i64) -> Result<Vec<Numbered>, StoreError> {
    let (mut entries, mut next) = (Vec::new(), seq + 1);
    loop {
        let found = blocks::from(handle, next, limit).await?;
        let Some(last) = found.last() else { break };
        next = last.first_seq + last.count;
        for block in found {
            entries.extend(block.open()?.into_iter().filter(|numbered| numbered.seq > seq));
        }
        // What was dropped is passed over.
        if !entries.is_empty() {
            break;
        }
    }
    Ok(entries)
}

/// The number of the last entry, `-1` when there is none.
///
/// # Errors
/// When the database fails.
pub async fn last_seq(handle: &mut impl Handle) -> Result<i64, StoreError> {
    let row: Option<(i64,)> = run!(handle, LAST_SEQ, |conn, text| sqlx::query_as(text).fetch_optional(conn))?;
    Ok(row.map_or(-1, |row| row.0))
}
