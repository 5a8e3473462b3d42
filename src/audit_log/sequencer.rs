//! Who appends. One process of a deployment holds the sequencer's lease; it numbers events, computes leaves and writes
//! them under its fence. A holder that was paused and wakes after another took over is refused by the database.

use std::sync::Arc;
use std::time::Duration;

use super::checkpoint::frontier;
use super::heads;
use super::leaf;
use super::merkle::Frontier;
use super::tiles;
use crate::base::Clock;
use crate::crypto::log_key::LogKey;
use crate::store::blocks;
use crate::store::entry::Entry;
use crate::store::events;
use crate::store::log::{self, Numbered, SEGMENT, State};
use crate::store::{self, Store, StoreError, Tx, leases};

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
    key: Arc<LogKey>,
    held: Option<Held>,
    renewed_ns: u64,
    /// The index or the tree met what it could not read.
    damaged: bool,
    /// The tree is written down as far as it goes; a log of an earlier version has that before it.
    grown: bool,
}

#[derive(Clone, Debug)]
struct Held {
    fence: i64,
    /// How many leaves the state row has written down.
    written: i64,
    /// How far the intake has been moved (SQLite).
    intake_moved: i64,
    /// How many entries the index covers.
    indexed: i64,
    frontier: Frontier,
}

impl Held {
    fn new(state: &State) -> Result<Self, StoreError> {
        let frontier = frontier(state)?;
        let State { size, fence, intake_moved, indexed, .. } = *state;
        Ok(Self { fence, written: size, intake_moved, indexed, frontier })
    }

    /// The number of the next entry.
    fn next_seq(&self) -> i64 {
        i64::try_from(self.frontier.size()).unwrap_or(i64::MAX)
    }

    /// The same once its state is written down.
    fn written_down(self) -> Self {
        Self { written: self.next_seq(), ..self }
    }

    /// What to write down.
    fn state(&self) -> State {
        State {
            size: self.next_seq(),
            frontier: self.frontier.to_bytes(),
            tail: Vec::new(),
            fence: self.fence,
            intake_moved: self.intake_moved,
            indexed: self.indexed,
        }
    }
}

/// How many leaves may be appended before the state is written down: what a start reads again, at most.
const UNWRITTEN: i64 = 2000;

impl Sequencer {
    /// Holds nothing yet. `holder` is unique to this process; `key` says of a fresh log that nothing is signed so far.
    pub const fn new(store: Store, holder: String, key: Arc<LogKey>) -> Self {
        Self { store, holder, key, held: None, renewed_ns: 0, damaged: false, grown: false }
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
                if self.held.as_ref().is_none_or(|held| held.fence != fence) {
                    let mut tx = self.store.begin_log().await?;
                    let state = log::raise_fence(&mut tx, fence).await?;
                    self.first_record(&mut tx, &state).await?;
                    tx.commit().await?;
                    let held = Held::new(&state)?;
                    if !self.store.is_shared() {
                        // What a crash left in the intake after it was numbered.
                        let mut tx = self.store.begin().await?;
                        events::moved(&mut tx, held.intake_moved).await?;
                        tx.commit().await?;
                    }
                    tracing::info!(fence, size = held.frontier.size(), "this process appends to the audit log");
                    self.held = Some(held);
                }
            }
        }
        Ok(())
    }

    /// Before the first entry there is a record of what was signed: nothing. From then on its absence tells.
    async fn first_record(&self, tx: &mut Tx, state: &State) -> Result<(), StoreError> {
        let standing = store::heads::standing(tx).await?;
        if state.size == 0 && state.tail.is_empty() && standing.proof.is_empty() && standing.newest.is_none() {
            store::heads::record(tx, 0, &heads::proof(&self.key, 0)).await?;
        }
        Ok(())
    }

    /// Appends `entries` to the log (SQLite's direct way). The caller holds the lease.
    ///
    /// # Errors
    /// [`StoreError::Fenced`] when the lease is not held or was lost; nothing is appended then.
    pub async fn append(&mut self, entries: &[Entry]) -> Result<(), StoreError> {
        let held = self.held.as_mut().ok_or(StoreError::Fenced)?;
        let (entries, next) = advance(held, entries.iter().cloned(), None);
        let blocks = blocks::blocks(&entries);
        if let [block] = &*blocks
            && next.next_seq() - held.written <= UNWRITTEN
        {
            let result = log::append_at_once(&self.store, held.fence, block).await;
            self.held = result.is_ok().then_some(next);
            return result;
        }
        let mut tx = self.store.begin_log().await?;
        let result = log::append(&mut tx, held.written, &blocks, &next.state()).await;
        finish(&mut self.held, tx, result, next.written_down()).await
    }

    /// Indexes what was appended and writes the tree above it down, as long as there is enough of it. The caller holds the
    /// lease.
    ///
    /// # Errors
    /// [`StoreError::Fenced`] when the lease is not held or was lost; the log is then as it was.
    pub async fn settle(&mut self) -> Result<(), StoreError> {
        while let Some(held) = self.held.as_mut()
            && !self.damaged
            && held.next_seq() - held.indexed >= SEGMENT
        {
            let mut tx = self.store.begin_log().await?;
            let mut next = held.state();
            let mut settled = log::settle(&mut tx, held.written, &mut next).await;
            if let Ok(true) = settled {
                match tiles::grow(&mut tx, next.size).await {
                    Ok(grown) => self.grown = grown,
                    Err(error) => settled = Err(error),
                }
            }
            if let Err(error @ StoreError::Corrupt { .. }) = &settled {
                self.damaged_by(error);
                return Ok(());
            }
            let next = Held { indexed: next.indexed, written: next.size, ..held.clone() };
            let more = settled.as_ref().is_ok_and(|settled| *settled);
            finish(&mut self.held, tx, settled.map(drop), next).await?;
            if !more {
                break;
            }
        }
        if self.grown || self.damaged {
            return Ok(());
        }
        let Some(held) = self.held.as_ref() else { return Ok(()) };
        let mut tx = self.store.begin_log().await?;
        match tiles::grow(&mut tx, held.written).await {
            Ok(grown) => {
                self.grown = grown;
                tx.commit().await
            }
            Err(error @ StoreError::Corrupt { .. }) => {
                self.damaged_by(&error);
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// What is damaged stays without an index until somebody looks. Recording goes on.
    fn damaged_by(&mut self, error: &StoreError) {
        tracing::error!(error = %crate::telemetry::chain(error), "the audit log was not indexed");
        self.damaged = true;
    }

    /// Moves one batch of the intake to the log; how many rows it moved.
    ///
    /// # Errors
    /// [`StoreError::Fenced`] when the lease is not held or was lost.
    pub async fn move_intake(&mut self) -> Result<usize, StoreError> {
        let held = self.held.as_mut().ok_or(StoreError::Fenced)?;
        if self.store.is_shared() {
            // Mostly nothing waits, and a look costs no write.
            if events::waiting_after(&mut self.store.read().await?, -1, 1).await?.is_empty() {
                return Ok(0);
            }
            let mut tx = self.store.begin().await?;
            // The state row is locked before the intake is read: two movers never meet.
            let state = log::raise_fence(&mut tx, held.fence).await?;
            if state.size != held.written {
                self.held = None;
                return Err(StoreError::Fenced);
            }
            let waiting = events::take(&mut tx, BATCH).await?;
            let moved = waiting.len();
            if moved == 0 {
                return Ok(0);
            }
            let (entries, next) = advance(held, waiting.into_iter().map(|w| w.entry), None);
            let result = log::append(&mut tx, held.written, &blocks::blocks(&entries), &next.state()).await;
            finish(&mut self.held, tx, result, next.written_down()).await?;
            return Ok(moved);
        }
        // SQLite: two files. The log remembers how far it has read, so a crash between the two commits repeats nothing.
        let waiting = {
            let mut reader = self.store.read().await?;
            events::waiting_after(&mut reader, held.intake_moved, BATCH).await?
        };
        let Some(last) = waiting.last().map(|w| w.id) else { return Ok(0) };
        let moved = waiting.len();
        let mut tx = self.store.begin_log().await?;
        let (entries, next) = advance(held, waiting.into_iter().map(|w| w.entry), Some(last));
        let result = log::append(&mut tx, held.written, &blocks::blocks(&entries), &next.state()).await;
        finish(&mut self.held, tx, result, next.written_down()).await?;
        let mut tx = self.store.begin().await?;
        events::moved(&mut tx, last).await?;
        tx.commit().await?;
        Ok(moved)
    }

    /// Gives the lease back.
    pub async fn release(&mut self) {
        if let Some(held) = self.held.take()
            && let Err(error) = leases::release(&self.store, LEASE, &self.holder, held.fence).await
        {
            tracing::warn!(%error, "the sequencer's lease was not given back; it expires by itself");
        }
    }

    /// The log's tree as this holder knows it.
    pub fn frontier(&self) -> Option<&Frontier> {
        self.held.as_ref().map(|held| &held.frontier)
    }
}

/// Numbers the entries and grows the tree: what to append, and what is held once it is committed.
fn advance(held: &Held, entries: impl Iterator<Item = Entry>, intake_moved: Option<i64>) -> (Vec<Numbered>, Held) {
    let mut frontier = held.frontier.clone();
    let numbered = (held.next_seq()..).zip(entries).map(|(seq, entry)| {
        // A present half always has a commitment.
        let leaf = leaf::hash(entry.personal(), entry.rest()).unwrap_or_default();
        frontier.push(leaf);
        Numbered { seq, leaf, entry }
    });
    let numbered = numbered.collect();
    let intake_moved = intake_moved.unwrap_or(held.intake_moved);
    (numbered, Held { intake_moved, frontier, ..held.clone() })
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
