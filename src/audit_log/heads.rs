//! Which heads must be there. The log keeps, beside its heads, the largest size that one was signed over, under a
//! signature of the log's key: heads that are deleted are missed, and nothing is signed on top of what is missing.
//!
//! What this cannot see: an older copy of the whole log put in the place of the present one. Only a head that was kept
//! elsewhere tells that.

use super::checkpoint::{Checkpoint, NoteError};
use crate::crypto::log_key::{self, LogKey};
use crate::store::heads::{Head, Standing};

/// What is signed, before the size: no head reads like it.
const RECORD: &str = "stockade audit log: the largest size that a head was signed over\n";

/// What is wrong with the heads.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum HeadsError {
    /// Entries or heads, and no record.
    #[error(
        "the record of what was signed is gone, though the log is not empty: heads may have been deleted with it (a log of \
         an earlier version has none yet: `stockade audit checkpoint --anew`, once)"
    )]
    NoRecord,
    /// A record that the key did not sign.
    #[error("the record of the largest signed size does not bear the log's signature: it was changed")]
    Record,
    /// Heads are missing.
    #[error("a head over {signed} entries was signed and is gone; the newest that is left covers {newest}")]
    Gone {
        /// The largest size that was signed.
        signed: i64,
        /// The size of the newest head; 0 when none is left.
        newest: i64,
    },
    /// A head that does not hold.
    #[error("the signed head over {size} entries does not hold: {error}")]
    Note {
        /// The size it is kept under.
        size: i64,
        /// Why.
        error: NoteError,
    },
}

fn message(size: i64) -> Vec<u8> {
    format!("{RECORD}{size}\n").into_bytes()
}

/// The signature of the record.
pub(super) fn proof(key: &LogKey, size: i64) -> [u8; 64] {
    key.sign(&message(size))
}

/// A head as it is kept, with its signature checked.
pub(super) fn open(head: &Head, public: &[u8; 32]) -> Result<Checkpoint, HeadsError> {
    let note = |error| HeadsError::Note { size: head.size, error };
    let checkpoint = Checkpoint::open(&head.note, public).map_err(note)?;
    if u64::try_from(head.size) != Ok(checkpoint.size) {
        return Err(note(NoteError::Malformed));
    }
    Ok(checkpoint)
}

/// The newest head of a log of `entries` entries: the one that was signed last. `None` when nothing was signed yet.
pub(super) fn newest(standing: &Standing, entries: u64, public: &[u8; 32]) -> Result<Option<Checkpoint>, HeadsError> {
    if standing.proof.is_empty() {
        return if entries == 0 && standing.newest.is_none() { Ok(None) } else { Err(HeadsError::NoRecord) };
    }
    if !log_key::verify(public, &message(standing.signed_size), &standing.proof) {
        return Err(HeadsError::Record);
    }
    let newest = standing.newest.as_ref().map_or(0, |head| head.size);
    if newest != standing.signed_size {
        return Err(HeadsError::Gone { signed: standing.signed_size, newest });
    }
    standing.newest.as_ref().map(|head| open(head, public)).transpose()
}
