//! Proofs of single entries, and that the log begins with an older one: lines of the form of an export, which
//! [`super::verify::export`] verifies. A proof reads a few tiles, whatever the log's size.

use std::io::Write;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::checkpoint::Checkpoint;
use super::export::{self, ExportError, Line, LineType};
use super::heads;
use super::merkle::Hash;
use super::proof;
use super::tiles::Tree;
use super::verify::VerifyError;
use crate::store::{self, Handle, Store, blocks, log};

/// The newest signed head with its note, checked; `None` before the first.
///
/// # Errors
/// When the database fails, or the head does not hold.
pub async fn newest(handle: &mut impl Handle, public: &[u8; 32]) -> Result<Option<(Checkpoint, String)>, VerifyError> {
    let standing = store::heads::standing(handle).await?;
    let entries = u64::try_from(log::last_seq(handle).await? + 1).unwrap_or_default();
    let head = heads::newest(&standing, entries, public)?;
    Ok(head.zip(standing.newest.map(|head| head.note)))
}

fn base64(path: &[Hash]) -> Vec<String> {
    path.iter().map(|hash| STANDARD.encode(hash)).collect()
}

/// Writes the entries `seqs`, each with its path to the newest signed head, that the log under that head begins with those of
/// the sizes `older`, and the head.
///
/// # Errors
/// [`ExportError`]; what was written until then ends without a head, and does not verify.
pub async fn prove(
    store: &Store,
    public: &[u8; 32],
    seqs: &[i64],
    older: &[u64],
    out: &mut impl Write,
) -> Result<(), ExportError> {
    let mut reader = store.read_log().await?;
    let (head, note) = newest(&mut reader, public).await?.ok_or(ExportError::Unsigned(0))?;
    let mut found = Vec::with_capacity(seqs.len());
    for seq in seqs {
        found.push(entry(&mut reader, *seq).await?);
        if u64::try_from(*seq).is_ok_and(|index| index >= head.size) {
            return Err(ExportError::Unsigned(*seq));
        }
    }
    let mut tree = Tree::open(&mut reader).await?;
    // A log that does not give what was signed has no proofs.
    if tree.size() < head.size || tree.root(0..head.size).await? != head.root {
        return Err(VerifyError::Root { entries: tree.size(), size: head.size }.into());
    }
    let tree_size = Some(head.size);
    for numbered in &found {
        let index = u64::try_from(numbered.seq).unwrap_or_default();
        let runs = proof::inclusion(index, head.size).ok_or(ExportError::Unsigned(numbered.seq))?;
        let path = Some(base64(&tree.path(runs).await?));
        export::write_line(out, &Line { tree_size, path, ..export::entry(numbered)? })?;
    }
    for size in older {
        let runs = proof::consistency(*size, head.size).filter(|_| *size > 0);
        let runs = runs.ok_or(super::tiles::TreeError::Beyond(*size))?;
        let (root, path) = (tree.root(0..*size).await?, tree.path(runs).await?);
        let (root, path) = (Some(STANDARD.encode(root)), Some(base64(&path)));
        let line = Line { tree_size, path, root, size: Some(*size), ..Line::new(LineType::Consistency) };
        export::write_line(out, &line)?;
    }
    export::write_head(out, note, public)
}

async fn entry(handle: &mut impl Handle, seq: i64) -> Result<blocks::Numbered, ExportError> {
    let block = blocks::holding(handle, seq).await?.ok_or(ExportError::Missing(seq))?;
    if block.is_dropped() {
        return Err(ExportError::Dropped(seq));
    }
    let found = block.open()?.into_iter().find(|numbered| numbered.seq == seq);
    found.ok_or(ExportError::Missing(seq))
}
