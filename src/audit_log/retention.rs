//! Retention: what is older than the log keeps it leaves by whole segments, entries and index together. Leaves and tree stay,
//! so everything still verifies, as long as an `audit.dropped` event accounts for what is gone. The newest of them names all
//! that ever was, so the older may leave like any other. A segment stays while a hold wants something in it, and while an
//! erasure in it accounts for an entry that is still there.

use std::sync::Arc;
use std::time::Duration;

use super::erasure::{self, Ranges};
use crate::base::{Clock, Rng, Timestamp, id};
use crate::model::event::kind;
use crate::model::{Event, Outcome};
use crate::store::holds::{self, Hold};
use crate::store::segments::{self, Segment};
use crate::store::{Store, StoreError, blocks, events, leases};

/// How many segments one sweep drops.
const MOST: usize = 16;
/// How many are looked at together.
const LOOK: i64 = 64;
/// How many ranges one event names.
const RANGES: usize = 500;
/// One process of a deployment drops at a time.
const LEASE: &str = "audit_retention";
/// How long it may take for it.
const TTL: Duration = Duration::from_secs(300);

/// Drops what has expired.
#[derive(Debug)]
pub struct Retention {
    store: Store,
    keep: Duration,
    clock: Arc<dyn Clock>,
    rng: Arc<dyn Rng>,
}

impl Retention {
    /// Keeps entries for `keep`; zero keeps them for ever.
    pub fn new(store: Store, keep: Duration, clock: Arc<dyn Clock>, rng: Arc<dyn Rng>) -> Self {
        Self { store, keep, clock, rng }
    }

    /// Drops some of the segments that have expired; how many entries they had. Call it again until that is none.
    ///
    /// # Errors
    /// When the database fails; what is dropped by then is accounted for.
    pub async fn sweep(&self) -> Result<u64, StoreError> {
        if self.keep.is_zero() {
            return Ok(0);
        }
        let now = self.clock.now();
        let holder = id::new("keep", now, &*self.rng);
        let Some(fence) = leases::take(&self.store, LEASE, &holder, TTL, now).await? else { return Ok(0) };
        let done = self.drop_expired(now).await;
        leases::release(&self.store, LEASE, &holder, fence).await?;
        done
    }

    async fn drop_expired(&self, now: Timestamp) -> Result<u64, StoreError> {
        let before = now.minus(self.keep);
        let holds = holds::list(&mut self.store.read().await?).await?;
        let mut gone = segments::dropped(&mut self.store.read_log().await?).await?;
        let (mut chosen, mut after): (Vec<Segment>, i64) = (Vec::new(), -1);
        while chosen.len() < MOST {
            let page = segments::expired(&mut self.store.read_log().await?, after, before, LOOK).await?;
            let Some(last) = page.last() else { break };
            after = last.first_seq;
            for segment in page {
                if chosen.len() < MOST && self.may_go(&segment, &holds, &gone).await? {
                    add(&mut gone, (segment.first_seq, segment.first_seq + segment.count - 1));
                    chosen.push(segment);
                }
            }
        }
        if chosen.is_empty() {
            return Ok(0);
        }
        // First what accounts for it: a crash in between leaves an event that claims too much, never too little.
        let mut tx = self.store.begin().await?;
        for ranges in gone.chunks(RANGES) {
            let event = Event::new(kind::AUDIT_DROPPED, Outcome::Allowed, now, &*self.rng);
            let event = event.with("entries", serde_json::to_value(ranges).unwrap_or_default());
            let event = event.with("before", before.to_string()).with("holds", holds.len());
            events::intake(&mut tx, &event).await?;
        }
        tx.commit().await?;
        let mut entries = 0;
        for segment in &chosen {
            let mut tx = self.store.begin_log().await?;
            segments::delete(&mut tx, segment).await?;
            tx.commit().await?;
            entries += segment.count.unsigned_abs();
        }
        Ok(entries)
    }

    async fn may_go(&self, segment: &Segment, holds: &[Hold], gone: &[(i64, i64)]) -> Result<bool, StoreError> {
        for hold in holds {
            if self.holds(hold, segment).await? {
                return Ok(false);
            }
        }
        let first = segment.first_seq;
        let found = blocks::from(&mut self.store.read_log().await?, first, segment.count).await?;
        let mut gone = gone.to_vec();
        add(&mut gone, (first, first + segment.count - 1));
        for block in found.iter().filter(|block| block.first_seq < first + segment.count) {
            for numbered in block.open()? {
                let said = numbered.entry.rest().body.and_then(erasure::gone).filter(erasure::Gone::is_erasure);
                let mut left = Ranges::of(said.into_iter().flat_map(|said| said.entries));
                for (first, last) in &gone {
                    left.remove(first.unsigned_abs(), last.unsigned_abs());
                }
                if left.first().is_some() {
                    return Ok(false);
                }
            }
            tokio::task::yield_now().await;
        }
        Ok(true)
    }

    async fn holds(&self, hold: &Hold, segment: &Segment) -> Result<bool, StoreError> {
        let after = hold.since.is_none_or(|since| segment.high >= since.as_micros());
        let before = hold.until.is_none_or(|until| segment.low < until.as_micros());
        match &hold.principal {
            _ if !(after && before) => Ok(false),
            None => Ok(true),
            Some(principal) => segments::names(&mut self.store.read_log().await?, segment, principal).await,
        }
    }
}

/// Adds a range to others, which are in order and apart.
fn add(ranges: &mut Vec<(i64, i64)>, (first, last): (i64, i64)) {
    ranges.push((first, last));
    ranges.sort_unstable();
    let mut joined: Vec<(i64, i64)> = Vec::with_capacity(ranges.len());
    for (first, last) in ranges.drain(..) {
        match joined.last_mut() {
            Some(before) if first <= before.1 + 1 => before.1 = before.1.max(last),
            _ => joined.push((first, last)),
        }
    }
    *ranges = joined;
}
