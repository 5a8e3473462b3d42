//! The verifier: recomputes every leaf and the tree, and names the entry that does not hold. Works on an export without
//! server, database or secret, and on a store.

use super::anchor;
use super::checkpoint::{Checkpoint, NoteError};
use super::erasure::Account;
use super::heads::HeadsError;
use super::leaf;
use super::merkle::{Frontier, Hash};
pub use super::offline::{export, export_against};
use super::walk;
use crate::store::entry::Half;
use crate::store::heads::Head;
use crate::store::{self, Store, StoreError};

/// What held.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Entries whose leaf is in the tree.
    pub entries: u64,
    /// Of them, entries with an erased half, of which the commitment is left.
    pub erased: u64,
    /// Of them, entries that retention dropped, of which the leaf is left.
    pub dropped: u64,
    /// Events that are recorded and wait for a number: nothing proves that they are whole, or all there.
    pub waiting: u64,
    /// Entries that no signed head covers yet.
    pub unsigned: u64,
    /// The newest signed head; `None` for a log that was never signed.
    pub head: Option<Checkpoint>,
    /// The size of the largest head that was kept elsewhere and holds.
    pub anchored: Option<u64>,
    /// For proofs of single entries: nothing is said of the others.
    pub proofs: Option<Proofs>,
}

/// What proofs of single entries say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Proofs {
    /// The sizes of older logs that the signed one begins with.
    pub begins_with: Vec<u64>,
}

/// What does not hold, and where.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// A number is missing, repeated or out of order.
    #[error("entry {expected} is missing: entry {found} stands in its place")]
    Gap {
        /// The number that should come.
        expected: u64,
        /// The number that came.
        found: i64,
    },
    /// An entry was changed.
    #[error("entry {0} was changed: its leaf does not fit its content")]
    Leaf(i64),
    /// The tree does not give the signed root.
    #[error(
        "the {entries} entries do not give the root that was signed over {size}: an entry was replaced, or the tail cut off"
    )]
    Root {
        /// Entries there are.
        entries: u64,
        /// Entries the head covers.
        size: u64,
    },
    /// The signed head does not hold.
    #[error("the signed head does not hold: {0}")]
    Note(#[from] NoteError),
    /// A head is missing, or what says that none is.
    #[error(transparent)]
    Heads(#[from] HeadsError),
    /// The index hides entries, or names what they are not.
    #[error("the index from entry {0} on was changed: it does not say what was recorded")]
    Index(i64),
    /// Entries are missing that a head kept elsewhere covers.
    #[error(
        "entries {first} to {last} are missing: a head over {} entries was kept elsewhere, and the log ends before", .last + 1
    )]
    Truncated {
        /// The first that is missing.
        first: u64,
        /// The last that is known to have been there.
        last: u64,
    },
    /// A head that was kept elsewhere is of another log.
    #[error("the first {0} entries are not those whose head was kept elsewhere: the log was rewritten")]
    Rewritten(u64),
    /// Proofs that say nothing of what was kept.
    #[error("the proofs say nothing of the head over {0} entries that was kept elsewhere: ask for `--begins-with {0}`")]
    Uncovered(u64),
    /// No head of this log is in an anchor.
    #[error("what was kept elsewhere has no head that bears the log's signature")]
    NoAnchor,
    /// What is written down of the tree is not what the leaves give.
    #[error("the stored tree over entries {first} to {last} was changed: proofs read from it would not hold")]
    Tile {
        /// The first entry under the hash.
        first: u64,
        /// The last.
        last: u64,
    },
    /// A proof does not lead to the signed root.
    #[error("the proof of entry {0} does not lead to the signed root")]
    Proof(i64),
    /// Proofs for another head.
    #[error("the proofs lead to a tree of {size} entries, and the head is signed over {signed}")]
    Lead {
        /// The size they lead to.
        size: u64,
        /// The size of the head.
        signed: u64,
    },
    /// A file that is half an export.
    #[error("the file has entries with and without a proof: it is neither an export nor a file of proofs")]
    Mixed,
    /// Nor does one of an older head.
    #[error("the proof does not show that the signed log begins with the one over {0} entries")]
    Consistency(u64),
    /// Halves are gone, and nothing says who erased them.
    #[error("{count} halves of entries are erased without an event that accounts for it; the first is entry {first}")]
    Erased {
        /// How many.
        count: u64,
        /// The number of the first.
        first: u64,
    },
    /// Entries are gone, and nothing says that they were to be.
    #[error(
        "only the leaves of {count} entries are left, without an event that accounts for it; the first is entry {first}"
    )]
    Dropped {
        /// How many.
        count: u64,
        /// The number of the first.
        first: u64,
    },
    /// The export breaks off.
    #[error("the export ends without a signed head: its tail is missing")]
    NoHead,
    /// A line is not of an export.
    #[error("line {line} is not part of an export: {problem}")]
    Line {
        /// Its number, from 1.
        line: u64,
        /// Why.
        problem: String,
    },
    /// The file cannot be read.
    #[error("the export could not be read")]
    Read(#[from] std::io::Error),
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Checks entries as they come.
#[derive(Default)]
pub(super) struct Tree {
    pub(super) frontier: Frontier,
    /// Entries with an erased half.
    pub(super) erased: u64,
    /// Entries of which only the leaf is left.
    pub(super) dropped: u64,
    pub(super) account: Account,
}

impl Tree {
    pub(super) fn add(
        &mut self,
        seq: i64,
        claimed: &[u8],
        personal: Half<'_>,
        rest: Half<'_>,
    ) -> Result<(), VerifyError> {
        if u64::try_from(seq) != Ok(self.frontier.size()) {
            return Err(VerifyError::Gap { expected: self.frontier.size(), found: seq });
        }
        let claimed = Hash::try_from(claimed).map_err(|_| VerifyError::Leaf(seq))?;
        if leaf::hash(personal, rest) != Some(claimed) {
            return Err(VerifyError::Leaf(seq));
        }
        self.erased += u64::from(personal.body.is_none() || rest.body.is_none());
        self.account.entry(self.frontier.size(), personal.body, rest.body);
        self.frontier.push(claimed);
        Ok(())
    }

    /// An entry of which only the leaf is left.
    pub(super) fn add_dropped(&mut self, seq: i64, leaf: Hash) -> Result<(), VerifyError> {
        if u64::try_from(seq) != Ok(self.frontier.size()) {
            return Err(VerifyError::Gap { expected: self.frontier.size(), found: seq });
        }
        self.dropped += 1;
        self.account.without_body(self.frontier.size());
        self.frontier.push(leaf);
        Ok(())
    }

    pub(super) fn check(&self, head: &Checkpoint) -> Result<(), VerifyError> {
        if head.size == self.frontier.size() && head.root == self.frontier.root() {
            return Ok(());
        }
        Err(VerifyError::Root { entries: self.frontier.size(), size: head.size })
    }

    /// After the last entry: whether events account for every half that is gone.
    pub(super) fn accounted(&self) -> Result<(), VerifyError> {
        if let Some((count, first)) = self.account.dropped() {
            return Err(VerifyError::Dropped { count, first });
        }
        self.account.open().map_or(Ok(()), |(count, first)| Err(VerifyError::Erased { count, first }))
    }
}

/// Verifies the log of a store: every leaf, the index, the frontier, every signed head against the tree at its size, and
/// that no head is missing and no half gone without an event.
///
/// # Errors
/// [`VerifyError`] names the first thing that does not hold.
pub async fn store(store: &Store, public: &[u8; 32]) -> Result<Report, VerifyError> {
    store_against(store, public, &[]).await
}

/// The same, held against heads that were kept elsewhere, if there are any.
///
/// # Errors
/// [`VerifyError`] names the first thing that does not hold.
pub async fn store_against(store: &Store, public: &[u8; 32], kept: &[Head]) -> Result<Report, VerifyError> {
    let waiting = store::events::waiting_after(&mut store.read().await?, -1, i64::MAX).await?;
    let mut kept = anchor::Kept::new(kept);
    let walked =
        walk::walk(store, public, &waiting, |frontier| kept.at(frontier), |_| Ok::<(), VerifyError>(())).await?;
    let anchored = kept.check(walked.frontier.size(), public)?;
    Ok(Report { anchored, ..walked.report })
}
