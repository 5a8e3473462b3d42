//! The tree above the leaves, written down as it grows, so that a proof reads a few tiles and not the log. A tile has 256
//! hashes (C2SP tlog-tiles): those of level 0 are leaves, those above the roots of the tiles below. Whoever appends writes
//! the tiles down afterwards, with the index; what is not written down yet is computed where it is read.

use std::collections::HashMap;
use std::ops::Range;

use super::leaf;
use super::merkle::{Hash, node};
use super::proof;
use super::verify::VerifyError;
use crate::store::{Handle, Store, StoreError, Tx, blocks, log, tiles};

/// Hashes in a whole tile.
pub const WIDTH: u64 = 256;
/// A tile is so many levels of the tree high.
const HEIGHT: u32 = 8;
/// How many tiles of leaves are written down at once.
const AT_ONCE: i64 = 64;
/// A proof reads no more leaves than these beyond what is written down.
const UNWRITTEN: i64 = 1 << 17;

/// Why a tree cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum TreeError {
    /// The database, or what it holds.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A log of an earlier version, whose tree is being written down.
    #[error("the tree of this log is still being written down by the running service: try again in a minute")]
    Growing,
    /// There are not as many leaves.
    #[error("the log has no {0} entries")]
    Beyond(u64),
}

fn index(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// The root of a full subtree.
fn root(hashes: &[Hash]) -> Hash {
    let mut level = hashes.to_vec();
    while level.len() > 1 {
        let (pairs, _) = level.as_chunks::<2>();
        level = pairs.iter().map(|[left, right]| node(left, right)).collect();
    }
    level.pop().unwrap_or_default()
}

/// Writes down what has grown since, of a log of `size` entries; whether all of it. Two who do so at once write the same.
///
/// # Errors
/// When the database fails or a leaf is damaged.
pub async fn grow(tx: &mut Tx, size: i64) -> Result<bool, StoreError> {
    let width = index(WIDTH);
    let mut first = tiles::written(tx, 1).await?;
    let count = (size / width - first).min(AT_ONCE);
    if count <= 0 {
        return Ok(true);
    }
    let leaves = tiles::leaves(tx, first * width, (first + count) * width).await?;
    let mut grown: Vec<Hash> = leaves.as_chunks::<{ WIDTH as usize }>().0.iter().map(|tile| root(tile)).collect();
    let mut level = 1;
    while !grown.is_empty() {
        let mut above = Vec::new();
        let mut number = first / width;
        let mut tile = tiles::get(tx, level, number).await?;
        // Of a tile that is there in part, what it has before `first` stays.
        tile.truncate(usize::try_from(first % width).unwrap_or_default());
        for hash in grown {
            tile.push(hash);
            if tile.len() == WIDTH as usize {
                tiles::put(tx, level, number, &tile).await?;
                above.push(root(&tile));
                tile.clear();
                number += 1;
            }
        }
        if !tile.is_empty() {
            tiles::put(tx, level, number, &tile).await?;
        }
        first /= width;
        grown = above;
        level += 1;
    }
    Ok(count < AT_ONCE)
}

/// The tree of a stored log, read as far as it is asked for.
pub struct Tree<'a, H> {
    handle: &'a mut H,
    size: u64,
    read: HashMap<(u32, u64), Vec<Hash>>,
}

impl<H> std::fmt::Debug for Tree<'_, H> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tree").field("size", &self.size).finish_non_exhaustive()
    }
}

impl<'a, H: Handle> Tree<'a, H> {
    /// The tree over everything that has a number.
    ///
    /// # Errors
    /// [`TreeError`].
    pub async fn open(handle: &'a mut H) -> Result<Self, TreeError> {
        let size = log::last_seq(handle).await? + 1;
        if size - tiles::written(handle, 1).await? * index(WIDTH) > UNWRITTEN {
            return Err(TreeError::Growing);
        }
        Ok(Self { handle, size: u64::try_from(size).unwrap_or_default(), read: HashMap::new() })
    }

    /// How many leaves it has.
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// The first `width` hashes of a tile: `None` when the tree does not have as many there.
    ///
    /// # Errors
    /// [`TreeError`].
    pub async fn tile(&mut self, level: u32, number: u64, width: u64) -> Result<Option<Vec<Hash>>, TreeError> {
        let there = self.size.checked_shr(level.saturating_mul(HEIGHT)).unwrap_or_default();
        let fits = number.checked_mul(WIDTH).and_then(|first| first.checked_add(width)).is_some_and(|end| end <= there);
        if !fits || !(1..=WIDTH).contains(&width) {
            return Ok(None);
        }
        let mut hashes = self.hashes(level, number, width).await?;
        hashes.truncate(usize::try_from(width).unwrap_or_default());
        Ok(Some(hashes))
    }

    /// At least `width` hashes of a tile that has them.
    async fn hashes(&mut self, level: u32, number: u64, width: u64) -> Result<Vec<Hash>, StoreError> {
        let wanted = usize::try_from(width).unwrap_or_default();
        if let Some(known) = self.read.get(&(level, number)).filter(|known| known.len() >= wanted) {
            return Ok(known.clone());
        }
        let first = number * WIDTH;
        let hashes = if level == 0 {
            tiles::leaves(self.handle, index(first), index(first + width)).await?
        } else {
            let mut hashes = tiles::get(self.handle, i64::from(level), index(number)).await?;
            while hashes.len() < wanted {
                let below = first + u64::try_from(hashes.len()).unwrap_or_default();
                hashes.push(root(&Box::pin(self.hashes(level - 1, below, WIDTH)).await?));
            }
            hashes
        };
        self.read.insert((level, number), hashes.clone());
        Ok(hashes)
    }

    /// The root over a run of leaves that begins where subtrees begin.
    ///
    /// # Errors
    /// [`TreeError`].
    pub async fn root(&mut self, run: Range<u64>) -> Result<Hash, TreeError> {
        if run.end > self.size {
            return Err(TreeError::Beyond(run.end));
        }
        let mut above: Option<Hash> = None;
        for (level, at) in proof::full(run).into_iter().rev() {
            let (tile, height) = (level / HEIGHT, level % HEIGHT);
            let (first, count) = (at << height, 1 << height);
            let hashes = self.hashes(tile, first / WIDTH, first % WIDTH + count).await?;
            let from = usize::try_from(first % WIDTH).unwrap_or_default();
            let hash = root(hashes.get(from..from + (1 << height)).unwrap_or_default());
            above = Some(above.map_or(hash, |right| node(&hash, &right)));
        }
        Ok(above.unwrap_or_else(|| crate::crypto::sha256(b"")))
    }

    /// The roots over these runs.
    ///
    /// # Errors
    /// [`TreeError`].
    pub async fn path(&mut self, runs: Vec<Range<u64>>) -> Result<Vec<Hash>, TreeError> {
        let mut path = Vec::with_capacity(runs.len());
        for run in runs {
            path.push(self.root(run).await?);
        }
        Ok(path)
    }
}

/// The leaf data of the entries of a tile, each behind its length (2 bytes, big endian): the two commitments, 64 bytes. `None`
/// when the log does not have them all.
///
/// # Errors
/// [`TreeError`].
pub async fn bundle(handle: &mut impl Handle, number: u64, width: u64) -> Result<Option<Vec<u8>>, TreeError> {
    let Some(first) = number.checked_mul(WIDTH).and_then(|first| i64::try_from(first).ok()) else { return Ok(None) };
    let (mut bytes, mut next, width) = (Vec::new(), first, index(width));
    for block in blocks::from(handle, first, width).await? {
        for numbered in block.open()?.iter().filter(|it| it.seq >= first && it.seq < first.saturating_add(width)) {
            let entry = &numbered.entry;
            let data = leaf::of_personal(entry.personal()).zip(leaf::of_rest(entry.rest()));
            let (Some((personal, rest)), true) = (data, numbered.seq == next) else { return Ok(None) };
            bytes.extend_from_slice(&[0, 64]);
            bytes.extend_from_slice(&personal);
            bytes.extend_from_slice(&rest);
            next += 1;
        }
    }
    Ok((next == first.saturating_add(width)).then_some(bytes))
}

/// Holds the tiles that are written down against the leaves, as they come.
#[derive(Debug, Default)]
pub(super) struct Check {
    levels: Vec<Level>,
}

#[derive(Debug, Default)]
struct Level {
    /// How many hashes of this level there were.
    count: u64,
    /// Those of the present tile.
    here: Vec<Hash>,
    /// What is written down of it.
    stored: Vec<Hash>,
}

impl Check {
    /// The next leaf.
    pub(super) async fn add(&mut self, store: &Store, leaf: Hash) -> Result<(), VerifyError> {
        let (mut at, mut hash) = (0, leaf);
        loop {
            if self.levels.len() == at {
                self.levels.push(Level::default());
            }
            let Some(level) = self.levels.get_mut(at) else { return Ok(()) };
            if at > 0 {
                if level.here.is_empty() {
                    let (above, number) = (i64::try_from(at).unwrap_or_default(), index(level.count / WIDTH));
                    level.stored = tiles::get(&mut store.read_log().await?, above, number).await?;
                }
                if level.stored.get(level.here.len()).is_some_and(|stored| *stored != hash) {
                    let leaves = 1 << (HEIGHT * u32::try_from(at).unwrap_or_default());
                    return Err(VerifyError::Tile {
                        first: level.count * leaves,
                        last: (level.count + 1) * leaves - 1,
                    });
                }
            }
            level.here.push(hash);
            level.count += 1;
            if level.here.len() < WIDTH as usize {
                return Ok(());
            }
            hash = root(&level.here);
            level.here.clear();
            at += 1;
        }
    }
}
