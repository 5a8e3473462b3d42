//! The verifier: recomputes every leaf and the tree, and names the entry that does not hold. Works on an export without
//! server, database or secret, and on a store.

use std::io::BufRead;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::checkpoint::{Checkpoint, NoteError};
use super::erasure::Account;
use super::export::{Line, LineType};
use super::heads::HeadsError;
use super::leaf;
use super::merkle::{Frontier, Hash};
use super::walk;
use crate::store::entry::Half;
use crate::store::{self, Store, StoreError};

/// What held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Entries whose leaf is in the tree.
    pub entries: u64,
    /// Of them, entries with an erased half, of which the commitment is left.
    pub erased: u64,
    /// Events that are recorded and wait for a number: nothing proves that they are whole, or all there.
    pub waiting: u64,
    /// Entries that no signed head covers yet.
    pub unsigned: u64,
    /// The newest signed head; `None` for a log that was never signed.
    pub head: Option<Checkpoint>,
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
    /// Halves are gone, and nothing says who erased them.
    #[error("{count} halves of entries are erased without an event that accounts for it; the first is entry {first}")]
    Erased {
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

    pub(super) fn check(&self, head: &Checkpoint) -> Result<(), VerifyError> {
        if head.size == self.frontier.size() && head.root == self.frontier.root() {
            return Ok(());
        }
        Err(VerifyError::Root { entries: self.frontier.size(), size: head.size })
    }

    /// After the last entry: whether events account for every half that is gone.
    pub(super) fn accounted(&self) -> Result<(), VerifyError> {
        self.account.open().map_or(Ok(()), |(count, first)| Err(VerifyError::Erased { count, first }))
    }
}

/// Verifies an export. `trusted` is the log's key as known from elsewhere; without it the key in the export is believed,
/// which proves that the export is whole, not who made it.
///
/// # Errors
/// [`VerifyError`] names the first entry or line that does not hold.
pub fn export(input: impl BufRead, trusted: Option<&[u8; 32]>) -> Result<Report, VerifyError> {
    let mut tree = Tree::default();
    let mut waiting = 0;
    let mut head = None;
    for (number, line) in (1_u64..).zip(input.lines()) {
        let line = line?;
        let broken = |problem: String| VerifyError::Line { line: number, problem };
        if head.is_some() {
            return Err(broken("something follows the signed head".to_owned()));
        }
        let line: Line<'_> = serde_json::from_str(&line).map_err(|e| broken(e.to_string()))?;
        let field = |field: &Option<String>, name: &str| {
            let text = field.as_deref().ok_or_else(|| broken(format!("`{name}` is missing")))?;
            STANDARD.decode(text).map_err(|e| broken(format!("`{name}`: {e}")))
        };
        match line.r#type {
            LineType::Entry => {
                let seq = line.seq.ok_or_else(|| broken("`seq` is missing".to_owned()))?;
                let (leaf, personal_salt) = (field(&line.leaf, "leaf")?, field(&line.personal_salt, "personal_salt")?);
                let rest_salt = field(&line.rest_salt, "rest_salt")?;
                let personal = Half { body: line.personal.map(|raw| raw.get().as_bytes()), salt: &personal_salt };
                let rest = Half { body: line.rest.map(|raw| raw.get().as_bytes()), salt: &rest_salt };
                tree.add(seq, &leaf, personal, rest)?;
            }
            LineType::Waiting => {
                waiting += 1;
                tree.account.waiting(line.rest.map(|raw| raw.get().as_bytes()).unwrap_or_default());
            }
            LineType::Checkpoint => {
                let inside = <[u8; 32]>::try_from(field(&line.public_key, "public_key")?)
                    .map_err(|_| broken("the public key is not 32 bytes".to_owned()))?;
                let note = line.note.as_deref().ok_or_else(|| broken("`note` is missing".to_owned()))?;
                let checkpoint = Checkpoint::open(note, trusted.unwrap_or(&inside))?;
                tree.check(&checkpoint)?;
                head = Some(checkpoint);
            }
        }
    }
    let head = head.ok_or(VerifyError::NoHead)?;
    tree.accounted()?;
    Ok(Report { entries: tree.frontier.size(), erased: tree.erased, waiting, unsigned: 0, head: Some(head) })
}

/// Verifies the log of a store: every leaf, the index, the frontier, every signed head against the tree at its size, and
/// that no head is missing and no half gone without an event.
///
/// # Errors
/// [`VerifyError`] names the first thing that does not hold.
pub async fn store(store: &Store, public: &[u8; 32]) -> Result<Report, VerifyError> {
    let waiting = store::events::waiting_after(&mut store.read().await?, -1, i64::MAX).await?;
    walk::walk(store, public, &waiting, |_| Ok::<(), VerifyError>(())).await.map(|walked| walked.report)
}
