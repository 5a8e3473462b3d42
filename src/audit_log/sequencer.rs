//! Who appends. One process of a deployment holds the sequencer's lease; it numbers events, computes leaves and writes
//! them under its fence. A holder that was paused and wakes after another took over is refused by the database.

use std::time::Duration;

use super::checkpoint::frontier;
use super::leaf::{self, Half};
use super::merkle::Frontier;
use crate::base::Clock;
use crate::store::events::{self, Row};
use crate::store::log::{self, Entry, State};
use crate::store::{Store, StoreError, leases};

/// The lease's name.
const LEASE: &str = "sequencer";
/// How long a silent holder keeps the lease.
pub const TTL: Duration = Duration::from_millis(1500);
/// How often a holder renews.
pub const RENEW: Duration = Duration::from_millis(400);
/// How many intake rows move in one transaction.
const BATCH: i64 = 1000;

/// The right to append, and where the log stands.
#[derive(Debug)]
pub struct Sequencer {
    store: Store,
    holder: String,
    held: Option<Held>,
    renewed_ns: u64,
}

#[derive(Debug)]
struct Held {
    state: State,
    frontier: Frontier,
}

impl Sequencer {
    /// Holds nothing yet. `holder` is unique to this process.
    pub const fn new(store: Store, holder: String) -> Self {
        Self { store, holder, held: None, renewed_ns: 0 }
    }

    /// Whether this process may append, as far as it knows.
    pub const fn is_holder(&self) -> bool {
        self.held.is_some()
    }

    /// Takes or renews the lease when it is time to.
    ///
    /// # Errors
    /// When the database fails; the lease is then kept or lost by time alone.
    pub async fn keep(&mut self, clock: &dyn Clock) -> Result<(), StoreError> {
        let now_ns = clock.monotonic_ns();
        if self.held.is_some() && now_ns.saturating_sub(self.renewed_ns) < RENEW.as_nanos() as u64 {
            return Ok(());
        }
        match leases::take(&self.store, LEASE, &self.holder, TTL, clock.now()).await? {
            None => self.held = None,
            Some(fence) => {
                self.renewed_ns = now_ns;
                if self.held.as_ref().is_none_or(|held| held.state.fence != fence) {
                    let mut tx = self.store.begin_log().await?;
                    let mut state = log::raise_fence(&mut tx, fence).await?;
                    state.fence = fence;
                    tx.commit().await?;
                    let frontier = frontier(&state)?;
                    self.held = Some(Held { state, frontier });
                    tracing::info!(
                        fence,
                        size = frontier_size(self.held.as_ref()),
                        "this process appends to the audit log"
                    );
                }
            }
        }
        Ok(())
    }

    /// Appends `rows` to the log (SQLite's direct way). The caller holds the lease.
    ///
    /// # Errors
    /// [`StoreError::Fenced`] when the lease is not held or was lost; nothing is appended then.
    pub async fn append(&mut self, rows: &[Row]) -> Result<(), StoreError> {
        let held = self.held.as_mut().ok_or(StoreError::Fenced)?;
        let mut tx = self.store.begin_log().await?;
        let (entries, next) = advance(held, rows.iter(), None);
        let result = log::append(&mut tx, held.state.size, &entries, &next.state).await;
        finish(&mut self.held, tx, result, next).await
    }

    /// Moves one batch of the intake to the log; how many rows it moved.
    ///
    /// # Errors
    /// [`StoreError::Fenced`] when the lease is not held or was lost.
    pub async fn move_intake(&mut self) -> Result<usize, StoreError> {
        let held = self.held.as_mut().ok_or(StoreError::Fenced)?;
        if self.store.is_shared() {
            let mut tx = self.store.begin().await?;
            // The state row is locked before the intake is read: two movers never meet.
            let state = log::raise_fence(&mut tx, held.state.fence).await?;
            if state.size != held.state.size {
                self.held = None;
                return Err(StoreError::Fenced);
            }
            let waiting = events::take(&mut tx, BATCH).await?;
            let moved = waiting.len();
            if moved == 0 {
                return Ok(0);
            }
            let (entries, next) = advance(held, waiting.iter().map(|w| &w.row), None);
            let result = log::append(&mut tx, held.state.size, &entries, &next.state).await;
            finish(&mut self.held, tx, result, next).await?;
            return Ok(moved);
        }
        // SQLite: two files. The log remembers how far it has read, so a crash between the two commits repeats nothing.
        let waiting = {
            let mut reader = self.store.read().await?;
            events::waiting_after(&mut reader, held.state.intake_moved, BATCH).await?
        };
        let Some(last) = waiting.last().map(|w| w.id) else { return Ok(0) };
        let moved = waiting.len();
        let mut tx = self.store.begin_log().await?;
        let (entries, next) = advance(held, waiting.iter().map(|w| &w.row), Some(last));
        let result = log::append(&mut tx, held.state.size, &entries, &next.state).await;
        finish(&mut self.held, tx, result, next).await?;
        let mut tx = self.store.begin().await?;
        events::moved(&mut tx, last).await?;
        tx.commit().await?;
        Ok(moved)
    }

    /// Gives the lease back.
    pub async fn release(&mut self) {
        if let Some(held) = self.held.take()
            && let Err(error) = leases::release(&self.store, LEASE, &self.holder, held.state.fence).await
        {
            tracing::warn!(%error, "the sequencer's lease was not given back; it expires by itself");
        }
    }

    /// The log's size as this holder knows it.
    pub fn size(&self) -> Option<u64> {
        self.held.as_ref().map(|held| held.frontier.size())
    }
}

fn frontier_size(held: Option<&Held>) -> u64 {
    held.map_or(0, |held| held.frontier.size())
}

/// Numbers the rows and grows the tree: the entries, and what is held once they are committed.
fn advance<'a>(held: &Held, rows: impl Iterator<Item = &'a Row>, intake_moved: Option<i64>) -> (Vec<Entry<'a>>, Held) {
    let mut frontier = held.frontier.clone();
    let entries: Vec<_> = (held.state.size..)
        .zip(rows)
        .map(|(seq, row)| {
            // A present half always has a commitment.
            let leaf = leaf::hash(
                Half { body: Some(&row.personal), salt: &row.personal_salt },
                Half { body: Some(&row.rest), salt: &row.rest_salt },
            )
            .unwrap_or_default();
            frontier.push(leaf);
            Entry { seq, leaf, row }
        })
        .collect();
    let state = State {
        size: i64::try_from(frontier.size()).unwrap_or(i64::MAX),
        frontier: frontier.to_bytes(),
        fence: held.state.fence,
        intake_moved: intake_moved.unwrap_or(held.state.intake_moved),
    };
    (entries, Held { state, frontier })
}

/// Commits and takes the new state over; any failure forgets the hold, so that the next round reads the truth anew.
async fn finish(
    held: &mut Option<Held>,
    tx: crate::store::Tx,
    result: Result<(), StoreError>,
    next: Held,
) -> Result<(), StoreError> {
    let result = match result {
        Ok(()) => tx.commit().await,
        Err(error) => Err(error),
    };
    match result {
        Ok(()) => {
            *held = Some(next);
            Ok(())
        }
        Err(error) => {
            *held = None;
            Err(error)
        }
    }
}
