//! The log's rows: up to [`ENTRIES`] events a block, one after another, compressed together. Neighbours repeat each
//! other, so a block is a fraction of its events, and a row costs as much as one event alone would.

use bytes::Bytes;
use futures_util::TryStreamExt as _;
use futures_util::stream::BoxStream;

use super::entry::Entry;
use super::sql::{Handle, affected, run, statements};
use super::{StoreError, Tx};

statements! {
    PUT = shared("insert into log_blocks (first_seq, count, leaves, entries) values ($1, $2, $3, $4)");
    /// From the block that holds a number.
    FROM = shared(
        "select first_seq, count, leaves, entries from log_blocks
         where first_seq >= (select coalesce(max(first_seq), 0) from log_blocks where first_seq <= $1)
         order by first_seq"
    );
    /// From the block that holds a number, of those that begin below another.
    FORWARDS = shared(
        "select first_seq, count, leaves, entries from log_blocks
         where first_seq >= (select coalesce(max(first_seq), 0) from log_blocks where first_seq <= $1)
           and first_seq < $2
         order by first_seq"
    );
    /// From the newest of a range of whole blocks.
    BACKWARDS = shared(
        "select first_seq, count, leaves, entries from log_blocks where first_seq >= $1 and first_seq < $2
         order by first_seq desc"
    );
    HOLDING = shared(
        "select first_seq, count, leaves, entries from log_blocks where first_seq <= $1
         order by first_seq desc limit 1"
    );
    DELETE = shared("delete from log_blocks where first_seq >= $1 and first_seq < $2");
    /// The bodies of a range of whole blocks; their leaves stay.
    STRIP = shared("update log_blocks set entries = $3 where first_seq >= $1 and first_seq < $2");
    REPLACE = shared("update log_blocks set entries = $2 where first_seq = $1");
}

/// How many entries a full block has: beyond it compression gains nothing, and whoever wants one entry reads all.
pub const ENTRIES: usize = 128;
/// How many bytes of entries a block has, unless one entry alone is larger.
const BYTES: usize = 256 << 10;
/// Below this compression costs more than it saves.
const PLAIN_BELOW: usize = 2 << 10;
/// No block of ours is larger: what says so is damaged.
const LARGEST: usize = 256 << 20;

const PLAIN: u8 = 0;
const LZ4: u8 = 1;
/// Nothing is left of the entries but their leaves.
const DROPPED: u8 = 2;

/// An entry with its number and leaf hash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Numbered {
    /// 0, 1, 2 … without gaps.
    pub seq: i64,
    /// The RFC 9162 leaf hash.
    pub leaf: [u8; 32],
    /// The event.
    pub entry: Entry,
}

/// A row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// The number of its first entry.
    pub first_seq: i64,
    /// How many entries it has.
    pub count: i64,
    /// Their leaf hashes, 32 bytes each.
    pub leaves: Vec<u8>,
    /// The entries, as [`pack`] makes them.
    pub entries: Vec<u8>,
}

/// Entries as the bytes of a block: a byte that names the format, then each entry behind its length (4 bytes, little
/// endian), plain or compressed.
pub fn pack<'a>(entries: impl Iterator<Item = &'a Entry>) -> Vec<u8> {
    let mut bytes = vec![PLAIN];
    for entry in entries {
        bytes.extend_from_slice(&u32::try_from(entry.bytes().len()).unwrap_or(u32::MAX).to_le_bytes());
        bytes.extend_from_slice(entry.bytes());
    }
    match bytes.get(1..) {
        Some(plain) if plain.len() >= PLAIN_BELOW => {
            let compressed = lz4_flex::block::compress_prepend_size(plain);
            let mut packed = Vec::with_capacity(1 + compressed.len());
            packed.push(LZ4);
            packed.extend_from_slice(&compressed);
            packed
        }
        _ => bytes,
    }
}

/// The entries of a block; `None` when the bytes are not what [`pack`] makes.
fn unpack(packed: &[u8]) -> Option<Vec<Entry>> {
    let (format, body) = packed.split_first()?;
    let mut bytes = match *format {
        PLAIN => Bytes::copy_from_slice(body),
        LZ4 => {
            let (size, body) = lz4_flex::block::uncompressed_size(body).ok().filter(|(size, _)| *size <= LARGEST)?;
            lz4_flex::block::decompress(body, size).ok()?.into()
        }
        _ => return None,
    };
    let mut entries = Vec::new();
    while !bytes.is_empty() {
        let (length, _) = bytes.split_first_chunk::<4>()?;
        let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
        let mut entry = bytes.split_to_checked(length.checked_add(4)?)?;
        entries.push(Entry::read(entry.split_off(4))?);
    }
    Some(entries)
}

/// `Bytes::split_to` that does not panic.
trait SplitToChecked {
    fn split_to_checked(&mut self, at: usize) -> Option<Bytes>;
}

impl SplitToChecked for Bytes {
    fn split_to_checked(&mut self, at: usize) -> Option<Bytes> {
        (at <= self.len()).then(|| self.split_to(at))
    }
}

impl Block {
    /// Whether retention dropped its entries, and left their leaves.
    pub fn is_dropped(&self) -> bool {
        self.entries == [DROPPED]
    }

    /// Its entries, in order; none once they are dropped.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] when it is not a block of `count` whole entries.
    pub fn open(&self) -> Result<Vec<Numbered>, StoreError> {
        let damaged = || StoreError::Corrupt {
            table: "log_blocks",
            problem: format!("the block of entry {} is damaged; run `stockade audit verify`", self.first_seq),
        };
        let (leaves, odd) = self.leaves.as_chunks::<32>();
        if self.is_dropped() && odd.is_empty() && usize::try_from(self.count) == Ok(leaves.len()) {
            return Ok(Vec::new());
        }
        let entries = unpack(&self.entries).ok_or_else(damaged)?;
        if !odd.is_empty() || leaves.len() != entries.len() || usize::try_from(self.count) != Ok(entries.len()) {
            return Err(damaged());
        }
        let numbered = (self.first_seq..).zip(leaves).zip(entries);
        Ok(numbered.map(|((seq, leaf), entry)| Numbered { seq, leaf: *leaf, entry }).collect())
    }

    fn of(entries: &[Numbered]) -> Option<Self> {
        Some(Self {
            first_seq: entries.first()?.seq,
            count: i64::try_from(entries.len()).ok()?,
            leaves: entries.iter().flat_map(|numbered| numbered.leaf).collect(),
            entries: pack(entries.iter().map(|numbered| &numbered.entry)),
        })
    }
}

type Row = (i64, i64, Vec<u8>, Vec<u8>);

fn block((first_seq, count, leaves, entries): Row) -> Block {
    Block { first_seq, count, leaves, entries }
}

/// Consecutive entries in blocks, each full but the last.
pub fn blocks(entries: &[Numbered]) -> Vec<Block> {
    let mut blocks = Vec::with_capacity(entries.len().div_ceil(ENTRIES));
    let (mut begun, mut bytes) = (0, 0);
    for (n, numbered) in entries.iter().enumerate() {
        let length = numbered.entry.bytes().len();
        if n > begun && (n - begun == ENTRIES || bytes + length > BYTES) {
            blocks.extend(entries.get(begun..n).and_then(Block::of));
            (begun, bytes) = (n, 0);
        }
        bytes += length;
    }
    blocks.extend(entries.get(begun..).and_then(Block::of));
    blocks
}

/// Writes a block.
///
/// # Errors
/// When the database fails, or a block begins with that number already.
pub async fn put(tx: &mut Tx, block: &Block) -> Result<(), StoreError> {
    affected!(tx, PUT, |text| sqlx::query(text)
        .bind(block.first_seq)
        .bind(block.count)
        .bind(block.leaves.as_slice())
        .bind(block.entries.as_slice()))
    .map(drop)
}

/// From the block that holds entry `seq`, whole blocks with at least `least` entries together, if there are as many.
///
/// # Errors
/// When the database fails.
pub async fn from(handle: &mut impl Handle, seq: i64, least: i64) -> Result<Vec<Block>, StoreError> {
    run!(handle, FROM, |conn, text| async {
        let mut rows = sqlx::query_as::<_, Row>(text).bind(seq).fetch(conn);
        let (mut blocks, mut have) = (Vec::new(), 0);
        while have < least
            && let Some(row) = rows.try_next().await?
        {
            let block = block(row);
            let here = block.first_seq + block.count - block.first_seq.max(seq);
            // The last block there is may end before.
            if here > 0 {
                have += here;
                blocks.push(block);
            }
        }
        Ok::<_, sqlx::Error>(blocks)
    })
}

/// Goes through the blocks that begin in `first..end`, newest first, until `each` has enough (`false`).
///
/// # Errors
/// When the database fails, or what `each` says.
pub async fn backwards(
    handle: &mut impl Handle,
    first: i64,
    end: i64,
    each: impl FnMut(&Block) -> Result<bool, StoreError>,
) -> Result<(), StoreError> {
    run!(handle, BACKWARDS, |conn, text| walk(sqlx::query_as::<_, Row>(text).bind(first).bind(end).fetch(conn), each))?
}

/// Goes through the blocks from the one that holds entry `first` on, of those that begin below `end`, in order, until
/// `each` has enough (`false`).
///
/// # Errors
/// When the database fails, or what `each` says.
pub async fn forwards(
    handle: &mut impl Handle,
    first: i64,
    end: i64,
    each: impl FnMut(&Block) -> Result<bool, StoreError>,
) -> Result<(), StoreError> {
    run!(handle, FORWARDS, |conn, text| walk(sqlx::query_as::<_, Row>(text).bind(first).bind(end).fetch(conn), each))?
}

async fn walk(
    mut rows: BoxStream<'_, Result<Row, sqlx::Error>>,
    mut each: impl FnMut(&Block) -> Result<bool, StoreError>,
) -> Result<Result<(), StoreError>, sqlx::Error> {
    while let Some(row) = rows.try_next().await? {
        match each(&block(row)) {
            Ok(true) => {}
            Ok(false) => break,
            Err(error) => return Ok(Err(error)),
        }
    }
    Ok(Ok(()))
}

/// The block that holds entry `seq`, if there is such an entry.
///
/// # Errors
/// When the database fails.
pub async fn holding(handle: &mut impl Handle, seq: i64) -> Result<Option<Block>, StoreError> {
    let row: Option<Row> = run!(handle, HOLDING, |conn, text| sqlx::query_as(text).bind(seq).fetch_optional(conn))?;
    Ok(row.map(block).filter(|block| seq < block.first_seq + block.count))
}

/// Puts `blocks` in the place of those that begin in `first..end`.
///
/// # Errors
/// When the database fails.
pub async fn rewrite(tx: &mut Tx, first: i64, end: i64, blocks: &[Block]) -> Result<(), StoreError> {
    affected!(tx, DELETE, |text| sqlx::query(text).bind(first).bind(end))?;
    for block in blocks {
        put(tx, block).await?;
    }
    Ok(())
}

/// Takes the entries out of the blocks that begin in `first..end`; their leaves stay.
///
/// # Errors
/// When the database fails.
pub async fn strip(tx: &mut Tx, first: i64, end: i64) -> Result<(), StoreError> {
    affected!(tx, STRIP, |text| sqlx::query(text).bind(first).bind(end).bind([DROPPED].as_slice())).map(drop)
}

/// Puts other entries into a block; its leaves stay.
///
/// # Errors
/// When the database fails.
pub async fn replace<'a>(
    tx: &mut Tx,
    first_seq: i64,
    entries: impl Iterator<Item = &'a Entry>,
) -> Result<(), StoreError> {
    let packed = pack(entries);
    affected!(tx, REPLACE, |text| sqlx::query(text).bind(first_seq).bind(packed.as_slice())).map(drop)
}
