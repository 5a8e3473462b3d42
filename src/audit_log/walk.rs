//! One walk over the log of a store, from its first entry to its last: every number, leaf, copy, head and erasure is
//! checked on the way. The verifier walks for the answer, an export for the entries.

use std::collections::VecDeque;

use super::checkpoint::{self, Checkpoint};
use super::copies;
use super::heads;
use super::leaf::Half;
use super::merkle::Frontier;
use super::verify::{Report, Tree, VerifyError};
use crate::store::events::Waiting;
use crate::store::log::{self, Stored};
use crate::store::{self, Store};

const PAGE: i64 = 1000;

/// What a walk gives.
pub(super) struct Walked {
    pub(super) report: Report,
    /// The tree of every entry that was seen.
    pub(super) frontier: Frontier,
}

fn half(stored: &log::Half) -> Half<'_> {
    Half { body: stored.body.as_deref(), salt: &stored.salt }
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

/// Walks; `each` gets every entry, after it was checked. `waiting` is the intake, read before the walk.
///
/// # Errors
/// [`VerifyError`] names the first thing that does not hold; or what `each` says.
pub(super) async fn walk<E: From<VerifyError>>(
    store: &Store,
    public: &[u8; 32],
    waiting: &[Waiting],
    mut each: impl FnMut(&Stored) -> Result<(), E>,
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
    while tree.frontier.size() < claimed.size() {
        let seq = i64::try_from(tree.frontier.size()).unwrap_or(i64::MAX) - 1;
        let page = async { log::after(&mut store.read_log().await?, seq, PAGE).await };
        let page = page.await.map_err(VerifyError::Store).map_err(fail)?;
        if page.is_empty() {
            break;
        }
        for (entry, kept) in &page {
            if tree.frontier.size() == claimed.size() {
                break;
            }
            tree.add(entry.seq, &entry.leaf, half(&entry.personal), half(&entry.rest)).map_err(fail)?;
            if let Some(column) = copies::of_entry(entry, kept) {
                return Err(fail(VerifyError::Copy { seq: entry.seq, column }));
            }
            each(entry)?;
            if let Some(size) = check(&mut heads, &tree).await.map_err(fail)? {
                reached = Some(size);
            }
        }
    }
    let signed = head.as_ref().map(|head| head.size);
    if reached != signed || tree.frontier != claimed {
        let size = signed.unwrap_or(0).max(claimed.size());
        return Err(fail(VerifyError::Root { entries: tree.frontier.size(), size }));
    }
    for waiting in waiting {
        if let Some(column) = copies::of_waiting(&waiting.row) {
            return Err(fail(VerifyError::WaitingCopy { event: waiting.row.event_id.clone(), column }));
        }
        tree.account.waiting(&waiting.row.rest);
    }
    tree.accounted().map_err(fail)?;
    let report = Report {
        entries: tree.frontier.size(),
        erased: tree.erased,
        waiting: u64::try_from(waiting.len()).unwrap_or(u64::MAX),
        unsigned: tree.frontier.size() - signed.unwrap_or(0),
        head,
    };
    Ok(Walked { report, frontier: tree.frontier })
}

/// Holds the tree against the head over as many entries, if there is one: its size.
async fn check(heads: &mut Heads<'_>, tree: &Tree) -> Result<Option<u64>, VerifyError> {
    let Some(head) = heads.at(tree.frontier.size()).await? else { return Ok(None) };
    tree.check(&head)?;
    Ok(Some(head.size))
}
