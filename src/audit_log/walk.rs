//! One walk over the log of a store, from its first entry to its last: every number, leaf, head, erasure
//! and the index are checked on the way. The verifier walks for the answer, an export for the entries.

use std::collections::VecDeque;

use super::checkpoint::{self, Checkpoint};
use super::heads;
use super::merkle::{Frontier, Hash};
use super::tiles;
use super::verify::{Report, Tree, VerifyError};
use crate::store::blocks::{self, Block, Numbered};
use crate::store::events::Waiting;
use crate::store::log;
use crate::store::segments::{self, Builder, Segment};
use crate::store::{self, Store, StoreError};

const PAGE: i64 = 1000;

/// What a walk gives.
pub(super) struct Walked {
    pub(super) report: Report,
    /// The tree of every entry that was seen.
    pub(super) frontier: Frontier,
}

/// What a walk comes by.
pub(super) enum Seen {
    /// An entry.
    Entry(Numbered),
    /// The number and leaf of one that retention dropped.
    Dropped(i64, Hash),
}

impl Seen {
    const fn seq(&self) -> i64 {
        match self {
            Self::Entry(numbered) => numbered.seq,
            Self::Dropped(seq, _) => *seq,
        }
    }

    const fn leaf(&self) -> &Hash {
        match self {
            Self::Entry(numbered) => &numbered.leaf,
            Self::Dropped(_, leaf) => leaf,
        }
    }
}

fn seen(block: &Block) -> Result<Vec<Seen>, StoreError> {
    let entries = block.open()?;
    if !block.is_dropped() {
        return Ok(entries.into_iter().map(Seen::Entry).collect());
    }
    let leaves = block.leaves.as_chunks::<32>().0;
    Ok((block.first_seq..).zip(leaves).map(|(seq, leaf)| Seen::Dropped(seq, *leaf)).collect())
}

/// The heads of a store, smallest first, read as they are needed.
struct Heads<'a> {
    store: &'a Store,
    public: &'a [u8; 32],
    ahead: VecDeque<Checkpoint>,
    read_to: i64,
    newest: i64,
}

impl Heads<'_> {
    /// The next head, if it covers just `size` entries.
    async fn at(&mut self, size: u64) -> Result<Option<Checkpoint>, VerifyError> {
        if self.ahead.is_empty() && self.read_to < self.newest {
            let page = store::heads::after(&mut self.store.read_log().await?, self.read_to, PAGE).await?;
            // What was signed after the walk began is left to the next.
            self.read_to = page.last().map_or(self.newest, |head| head.size);
            for head in page.iter().filter(|head| head.size <= self.newest) {
                self.ahead.push_back(heads::open(head, self.public)?);
            }
        }
        Ok(if self.ahead.front().is_some_and(|head| head.size == size) { self.ahead.pop_front() } else { None })
    }
}

/// Holds the index against the entries, a segment after the other.
struct Index {
    /// How many entries it says it covers.
    end: i64,
    builder: Builder,
    at: Option<Segment>,
}

impl Index {
    /// The next entry.
    async fn add(&mut self, store: &Store, numbered: &Numbered) -> Result<(), VerifyError> {
        if numbered.seq >= self.end {
            return Ok(());
        }
        let segment = match self.at {
            Some(segment) => segment,
            None => {
                self.builder = Builder::new(numbered.seq);
                let next = segments::after(&mut store.read_log().await?, numbered.seq, 1).await?.pop();
                let fits = |segment: &Segment| {
                    segment.first_seq == numbered.seq && segment.count > 0 && numbered.seq + segment.count <= self.end
                };
                next.filter(fits).ok_or(VerifyError::Index(numbered.seq))?
            }
        };
        self.builder.add(&numbered.entry);
        self.at = Some(segment);
        if self.builder.count() == segment.count {
            self.at = None;
            if !self.builder.agrees(&mut store.read_log().await?, &segment).await? {
                return Err(VerifyError::Index(segment.first_seq));
            }
        }
        Ok(())
    }

    /// What was dropped is in no segment.
    fn no_more(&self) -> Result<(), VerifyError> {
        self.at.map_or(Ok(()), |segment| Err(VerifyError::Index(segment.first_seq)))
    }
}

/// Walks; `each` gets every entry, after it was checked, and `grown` the tree with it. `waiting` is the intake, read before the walk.
///
/// # Errors
/// [`VerifyError`] names the first thing that does not hold; or what `each` says.
pub(super) async fn walk<E: From<VerifyError>>(
    store: &Store,
    public: &[u8; 32],
    waiting: &[Waiting],
    mut grown: impl FnMut(&Frontier),
    mut each: impl FnMut(&Seen) -> Result<(), E>,
) -> Result<Walked, E> {
    let fail = |error: VerifyError| E::from(error);
    // The heads are read before the state, and the state before the entries: all can only grow meanwhile.
    let read = async {
        let standing = store::heads::standing(&mut store.read_log().await?).await?;
        let state = log::state(&mut store.read_log().await?).await?;
        Ok((standing, state))
    };
    let (standing, state) = read.await.map_err(VerifyError::Store).map_err(fail)?;
    let claimed = checkpoint::frontier(&state).map_err(VerifyError::Store).map_err(fail)?;
    let head = heads::newest(&standing, claimed.size(), public).map_err(VerifyError::Heads).map_err(fail)?;
    let newest = head.as_ref().map_or(-1, |head| i64::try_from(head.size).unwrap_or(i64::MAX));
    let mut heads = Heads { store, public, ahead: VecDeque::new(), read_to: -1, newest };
    let mut tree = Tree::default();
    let mut reached = check(&mut heads, &tree).await.map_err(fail)?;
    let mut stored = tiles::Check::default();
    let mut index = Index { end: state.indexed, builder: Builder::new(0), at: None };
    while tree.frontier.size() < claimed.size() {
        let seq = i64::try_from(tree.frontier.size()).unwrap_or(i64::MAX);
        let page = async { blocks::from(&mut store.read_log().await?, seq, PAGE).await };
        let page = page.await.map_err(VerifyError::Store).map_err(fail)?;
        if page.is_empty() {
            break;
        }
        for block in &page {
            for seen in seen(block).map_err(VerifyError::Store).map_err(fail)? {
                if tree.frontier.size() == claimed.size() {
                    break;
                }
                // Blocks that were put together meanwhile begin before.
                if seen.seq() < seq {
                    continue;
                }
                match &seen {
                    Seen::Entry(it) => {
                        tree.add(it.seq, &it.leaf, it.entry.personal(), it.entry.rest()).map_err(fail)?;
                        index.add(store, it).await.map_err(fail)?;
                    }
                    Seen::Dropped(seq, leaf) => {
                        tree.add_dropped(*seq, *leaf).map_err(fail)?;
                        index.no_more().map_err(fail)?;
                    }
                }
                stored.add(store, *seen.leaf()).await.map_err(fail)?;
                grown(&tree.frontier);
                each(&seen)?;
                if let Some(size) = check(&mut heads, &tree).await.map_err(fail)? {
                    reached = Some(size);
                }
            }
        }
    }
    let signed = head.as_ref().map(|head| head.size);
    if reached != signed || tree.frontier != claimed {
        let size = signed.unwrap_or(0).max(claimed.size());
        return Err(fail(VerifyError::Root { entries: tree.frontier.size(), size }));
    }
    for waiting in waiting {
        tree.account.waiting(waiting.entry.rest().body.unwrap_or_default());
    }
    if tree.accounted().is_err() {
        // What was dropped or erased while this ran has its event behind what was walked.
        let since = since(store, claimed.size(), &mut tree);
        since.await.map_err(VerifyError::Store).map_err(fail)?;
    }
    tree.accounted().map_err(fail)?;
    let report = Report {
        entries: tree.frontier.size(),
        erased: tree.erased,
        dropped: tree.dropped,
        waiting: u64::try_from(waiting.len()).unwrap_or(u64::MAX),
        unsigned: tree.frontier.size() - signed.unwrap_or(0),
        head,
        anchored: None,
        proofs: None,
    };
    Ok(Walked { report, frontier: tree.frontier })
}

/// Lets events account for what is gone that were recorded since the log had `size` entries.
async fn since(store: &Store, size: u64, tree: &mut Tree) -> Result<(), StoreError> {
    for waiting in store::events::waiting_after(&mut store.read().await?, -1, i64::MAX).await? {
        tree.account.waiting(waiting.entry.rest().body.unwrap_or_default());
    }
    let mut seq = i64::try_from(size).unwrap_or(i64::MAX) - 1;
    loop {
        let page = log::after(&mut store.read_log().await?, seq, PAGE).await?;
        let Some(last) = page.last() else { return Ok(()) };
        seq = last.seq;
        page.iter().for_each(|it| tree.account.waiting(it.entry.rest().body.unwrap_or_default()));
    }
}

/// Holds the tree against the head over as many entries, if there is one: its size.
async fn check(heads: &mut Heads<'_>, tree: &Tree) -> Result<Option<u64>, VerifyError> {
    let Some(head) = heads.at(tree.frontier.size()).await? else { return Ok(None) };
    tree.check(&head)?;
    Ok(Some(head.size))
}
