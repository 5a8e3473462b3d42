//! The inner nodes of the log's tree, as tiles: `hashes` of tile `number` of a level above 0 are the roots of up to 256
//! tiles of the level below. Level 0 are the leaves, which stand in [`super::blocks`] and nowhere else.

use super::sql::{Handle, affected, run, statements};
use super::{StoreError, Tx};

statements! {
    PUT = shared(
        "insert into log_tiles (level, number, hashes) values ($1, $2, $3)
         on conflict (level, number) do update set hashes = excluded.hashes"
    );
    GET = shared("select hashes from log_tiles where level = $1 and number = $2");
    LAST = shared("select number, hashes from log_tiles where level = $1 order by number desc limit 1");
    LEAVES = shared(
        "select first_seq, leaves from log_blocks
         where first_seq >= (select coalesce(max(first_seq), 0) from log_blocks where first_seq <= $1) and first_seq < $2
         order by first_seq"
    );
}

type Hash = [u8; 32];

fn hashes(table: &'static str, bytes: &[u8]) -> Result<Vec<Hash>, StoreError> {
    let (hashes, odd) = bytes.as_chunks::<32>();
    let corrupt =
        || StoreError::Corrupt { table, problem: "a hash is not 32 bytes; run `stockade audit verify`".to_owned() };
    if odd.is_empty() { Ok(hashes.to_vec()) } else { Err(corrupt()) }
}

/// The hashes of a tile as far as they are written down; none of one that is not.
///
/// # Errors
/// When the database fails or the tile is damaged.
pub async fn get(handle: &mut impl Handle, level: i64, number: i64) -> Result<Vec<Hash>, StoreError> {
    let row: Option<(Vec<u8>,)> =
        run!(handle, GET, |conn, text| sqlx::query_as(text).bind(level).bind(number).fetch_optional(conn))?;
    hashes("log_tiles", &row.unwrap_or_default().0)
}

/// How many hashes of a level are written down.
///
/// # Errors
/// When the database fails or the last tile is damaged.
pub async fn written(handle: &mut impl Handle, level: i64) -> Result<i64, StoreError> {
    let row: Option<(i64, Vec<u8>)> =
        run!(handle, LAST, |conn, text| sqlx::query_as(text).bind(level).fetch_optional(conn))?;
    let Some((number, bytes)) = row else { return Ok(0) };
    let here = hashes("log_tiles", &bytes)?.len();
    Ok(number * 256 + i64::try_from(here).unwrap_or(256))
}

/// Writes a tile down, in the place of what there was of it.
///
/// # Errors
/// When the database fails.
pub async fn put(tx: &mut Tx, level: i64, number: i64, hashes: &[Hash]) -> Result<(), StoreError> {
    let bytes = hashes.as_flattened();
    affected!(tx, PUT, |text| sqlx::query(text).bind(level).bind(number).bind(bytes)).map(drop)
}

/// The leaves `first..end`, all of them.
///
/// # Errors
/// [`StoreError::Corrupt`] when one is missing.
pub async fn leaves(handle: &mut impl Handle, first: i64, end: i64) -> Result<Vec<Hash>, StoreError> {
    let rows: Vec<(i64, Vec<u8>)> =
        run!(handle, LEAVES, |conn, text| sqlx::query_as(text).bind(first).bind(end).fetch_all(conn))?;
    let mut leaves = Vec::with_capacity(usize::try_from(end - first).unwrap_or_default());
    let mut next = first;
    for (first_seq, bytes) in rows {
        for (seq, leaf) in (first_seq..).zip(hashes("log_blocks", &bytes)?) {
            if seq == next && seq < end {
                leaves.push(leaf);
                next += 1;
            }
        }
    }
    if next == end {
        return Ok(leaves);
    }
    let problem = format!("the leaf of entry {next} is missing; run `stockade audit verify`");
    Err(StoreError::Corrupt { table: "log_blocks", problem })
}
