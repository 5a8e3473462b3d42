//! The log as NDJSON, with everything that is needed to verify it offline: one line an entry, then what still waits in
//! the intake, then the signed head.

use std::io::Write;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::checkpoint::{self, SignError};
use super::tiles::TreeError;
use super::verify::VerifyError;
use super::walk::{Seen, walk};
use crate::base::Clock;
use crate::crypto::log_key::LogKey;
use crate::store::log::Numbered;
use crate::store::{self, Store, StoreError};

/// How long an export waits for the intake to be moved.
const PATIENCE_NS: u64 = 2_000_000_000;

/// What a line of an export is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LineType {
    /// An entry of the log: `seq`, `leaf`, and its two halves. In a file of proofs also `tree_size` and `path`.
    Entry,
    /// An entry that retention dropped: `seq` and `leaf`.
    Dropped,
    /// An event that is recorded but has no number yet: its two halves.
    Waiting,
    /// That the signed log begins with an older one: its `size` and `root`, `tree_size` and `path`.
    Consistency,
    /// The signed head over all entries above: `note`, `public_key`. Always the last line.
    Checkpoint,
}

/// One line of an export. `rest` and `personal` are verbatim: their bytes are what the leaf commits to. Of an erased half
/// only the commitment is there, in place of the salt.
#[derive(Debug, Serialize, Deserialize)]
pub struct Line<'a> {
    /// Which of the fields below there are.
    pub r#type: LineType,
    /// The entry's number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seq: Option<i64>,
    /// The half that stays.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub rest: Option<&'a RawValue>,
    /// The half that can be erased.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub personal: Option<&'a RawValue>,
    /// Salt of `rest`, base64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rest_salt: Option<String>,
    /// Salt of `personal`, base64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub personal_salt: Option<String>,
    /// The leaf hash, base64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leaf: Option<String>,
    /// How many entries the tree has that `path` leads to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tree_size: Option<u64>,
    /// The hashes from here to the root (RFC 9162), base64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<Vec<String>>,
    /// The size of an older log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// The root of an older log, base64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root: Option<String>,
    /// The signed note.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// The Ed25519 key of the signature, base64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub public_key: Option<String>,
}

impl Line<'_> {
    pub(super) const fn new(r#type: LineType) -> Self {
        Self {
            r#type,
            seq: None,
            rest: None,
            personal: None,
            rest_salt: None,
            personal_salt: None,
            leaf: None,
            tree_size: None,
            path: None,
            size: None,
            root: None,
            note: None,
            public_key: None,
        }
    }
}

/// Why an export stopped.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The output.
    #[error("the export could not be written")]
    Write(#[from] std::io::Error),
    /// The log does not hold: nothing is signed over it.
    #[error(transparent)]
    Verify(#[from] VerifyError),
    /// The tree, of which proofs are made.
    #[error(transparent)]
    Tree(#[from] TreeError),
    /// No head covers it.
    #[error("no signed head covers entry {0} yet: try again in a moment, or run `stockade audit checkpoint`")]
    Unsigned(i64),
    /// There was such an entry.
    #[error("entry {0} is older than the log keeps entries: only its leaf is left")]
    Dropped(i64),
    /// There is no such entry.
    #[error("the log has no entry {0}")]
    Missing(i64),
    /// The head was not signed.
    #[error(transparent)]
    Sign(#[from] SignError),
    /// A stored body is not the JSON that was written.
    #[error("entry {0} does not hold the JSON that was recorded; run `stockade audit verify`")]
    Damaged(i64),
}

fn raw(seq: i64, bytes: &[u8]) -> Result<&RawValue, ExportError> {
    serde_json::from_slice(bytes).map_err(|_| ExportError::Damaged(seq))
}

pub(super) fn write_line(out: &mut impl Write, line: &Line<'_>) -> Result<(), ExportError> {
    serde_json::to_writer(&mut *out, line).map_err(std::io::Error::from)?;
    out.write_all(b"\n")?;
    Ok(())
}

/// The line of an entry.
pub(super) fn entry(numbered: &Numbered) -> Result<Line<'_>, ExportError> {
    let (personal, rest) = (numbered.entry.personal(), numbered.entry.rest());
    Ok(Line {
        seq: Some(numbered.seq),
        rest: rest.body.map(|bytes| raw(numbered.seq, bytes)).transpose()?,
        personal: personal.body.map(|bytes| raw(numbered.seq, bytes)).transpose()?,
        rest_salt: Some(STANDARD.encode(rest.salt)),
        personal_salt: Some(STANDARD.encode(personal.salt)),
        leaf: Some(STANDARD.encode(numbered.leaf)),
        ..Line::new(LineType::Entry)
    })
}

/// The line of an entry that retention dropped.
fn dropped(seq: i64, leaf: &[u8; 32]) -> Line<'static> {
    Line { seq: Some(seq), leaf: Some(STANDARD.encode(leaf)), ..Line::new(LineType::Dropped) }
}

/// The line of the head, which is the last.
pub(super) fn write_head(out: &mut impl Write, note: String, public: &[u8; 32]) -> Result<(), ExportError> {
    let public_key = Some(STANDARD.encode(public));
    write_line(out, &Line { note: Some(note), public_key, ..Line::new(LineType::Checkpoint) })?;
    Ok(out.flush()?)
}

/// Writes the whole log, verifying it on the way, and signs its head; how many entries. What is appended while it runs is
/// left to the next export.
///
/// # Errors
/// [`ExportError`]; what was written until then ends without a checkpoint, and does not verify.
pub async fn export(
    store: &Store,
    origin: &str,
    key: &LogKey,
    clock: &dyn Clock,
    out: &mut impl Write,
) -> Result<u64, ExportError> {
    // What is recorded and has no number yet is in no tree: a moment's patience, and the sequencer has moved it.
    let deadline_ns = clock.monotonic_ns().saturating_add(PATIENCE_NS);
    let waiting = loop {
        // The intake is read before the log: what waits now is either still waiting below or has a number by then.
        let waiting = store::events::waiting_after(&mut store.read().await?, -1, i64::MAX).await?;
        if waiting.is_empty() || clock.monotonic_ns() >= deadline_ns {
            break waiting;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    };
    let mut numbered = std::collections::HashSet::new();
    let public = key.public();
    let walked = walk(
        store,
        &public,
        &waiting,
        |_| (),
        |entry| match entry {
            Seen::Entry(it) => {
                if !waiting.is_empty() {
                    numbered.insert(it.entry.clone());
                }
                write_line(out, &self::entry(it)?)
            }
            Seen::Dropped(seq, leaf) => write_line(out, &dropped(*seq, leaf)),
        },
    );
    let walked = walked.await?;
    let note = checkpoint::sign(store, origin, key, &walked.frontier, clock.now()).await?;
    for waiting in waiting.iter().filter(|w| !numbered.contains(&w.entry)) {
        let halves = [waiting.entry.rest(), waiting.entry.personal()];
        let [rest, personal] = halves.map(|half| half.body.map(|bytes| raw(-1, bytes)).transpose());
        let (rest, personal) = (rest?, personal?);
        write_line(out, &Line { rest, personal, ..Line::new(LineType::Waiting) })?;
    }
    write_head(out, note, &public)?;
    Ok(walked.frontier.size())
}
