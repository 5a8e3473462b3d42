//! Erasing halves of entries: what remains is their commitment, in the place of their salt.

use super::blocks::{self, Numbered};
pub use super::entry::Which;
use super::entry::{Entry, Half};
use super::{StoreError, Tx, log, segments};

/// Erases one half of entry `seq`, in its block and in the index; whether it was still there. `commit` gives what is left
/// of the half, `None` when it is damaged.
///
/// # Errors
/// When the database fails or the entry is damaged.
pub async fn erase(
    tx: &mut Tx,
    seq: i64,
    which: Which,
    commit: impl Fn(Half<'_>) -> Option<[u8; 32]>,
) -> Result<bool, StoreError> {
    log::lock(tx).await?;
    let Some(block) = blocks::holding(tx, seq).await? else { return Ok(false) };
    let mut entries = block.open()?;
    let Some(Numbered { entry, .. }) = entries.iter_mut().find(|numbered| numbered.seq == seq) else {
        return Ok(false);
    };
    let half = match which {
        Which::Personal => entry.personal(),
        Which::Rest => entry.rest(),
    };
    if half.body.is_none() {
        return Ok(false);
    }
    let damaged = || StoreError::Corrupt { table: "log_blocks", problem: format!("entry {seq} has no commitment") };
    let commitment = commit(half).ok_or_else(damaged)?;
    let before: Entry = entry.clone();
    *entry = before.without(which, &commitment);
    blocks::replace(tx, block.first_seq, entries.iter().map(|numbered| &numbered.entry)).await?;
    segments::forget(tx, seq, &before, which).await?;
    Ok(true)
}
