//! The sources of the configuration, asked one after another by whoever holds the lease.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use super::aws::Aws;
use super::record::Tally;
use super::source::{Source, SourceError};
use super::sync::{Compared, OnPage, Sync, SyncError};
use crate::base::{Clock, Rng, Timestamp, id};
use crate::config;
use crate::model::Service;
use crate::store::changes::{self, Topic};
use crate::store::{Store, StoreError, leases, risk};
use crate::telemetry::Metrics;
use crate::telemetry::labels::Ended;

/// The lease of whoever fetches.
const LEASE: &str = "findings";
/// Longer than the slowest page; kept up between sources.
const LEASE_TTL: Duration = Duration::from_secs(300);

/// Every configured source.
#[derive(Debug)]
pub struct Feeds {
    sync: Sync,
    aws: Aws,
    holder: String,
    /// Of each source, when it was last read to its end.
    read: Mutex<Vec<(String, Service, Timestamp)>>,
    /// Of each source, by how many findings the two sides differed.
    drift: Mutex<HashMap<String, (Service, u64)>>,
}

/// What a round came to.
#[derive(Debug, Default)]
pub struct Round {
    /// Whether another process fetches: then nothing was done here.
    pub is_elsewhere: bool,
    /// What came.
    pub tally: Tally,
    /// Sources that were read to their end.
    pub sources: usize,
    /// What went wrong, a line each; the other sources were read.
    pub failures: Vec<String>,
}

/// How much of the past a round reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Past {
    /// One day of each source: what is new is not kept waiting.
    ADay,
    /// All of it.
    All,
}

impl Feeds {
    /// Nothing is asked yet. `None` when no source is configured.
    pub fn new(
        config: &config::Findings,
        store: Store,
        metrics: Arc<Metrics>,
        clock: Arc<dyn Clock>,
        rng: Arc<dyn Rng>,
    ) -> Option<Self> {
        if config.sources.is_empty() {
            return None;
        }
        let holder = id::new("fds", clock.now(), &*rng);
        let aws = Aws::new(config.clone(), Arc::clone(&clock));
        let sync = Sync { store, metrics, clock, rng, backfill: config.backfill };
        Some(Self { sync, aws, holder, read: Mutex::default(), drift: Mutex::default() })
    }

    /// Whether this binary can ask AWS at all.
    pub const fn is_supported() -> bool {
        cfg!(feature = "aws")
    }

    /// Asks every source for what changed, and for some of the past.
    ///
    /// # Errors
    /// When the database fails; that a source does not answer is a line of [`Round::failures`].
    pub async fn round(&self, past: Past, on_page: OnPage<'_>) -> Result<Round, StoreError> {
        let mut round = Round::default();
        let Some(fence) = self.lease().await? else {
            round.is_elsewhere = true;
            return Ok(round);
        };
        for source in self.aws.sources().await {
            if self.lease().await?.is_none() {
                round.is_elsewhere = true;
                return Ok(round);
            }
            let done = match &source {
                Ok(source) => self.one(&**source, past, on_page).await,
                Err(error) => Err(SyncError::Source(error.clone())),
            };
            match done {
                Ok(tally) => {
                    round.sources += 1;
                    round.tally.add_all(&tally);
                }
                Err(SyncError::Store(error)) => return Err(error),
                Err(SyncError::Source(error)) => round.failures.push(error.to_string()),
            }
        }
        self.show();
        if round.failures.is_empty() {
            let mut tx = self.sync.store.begin().await?;
            risk::mark_read(&mut tx, self.sync.clock.now()).await?;
            changes::bump(&mut tx, Topic::Findings).await?;
            tx.commit().await?;
        }
        leases::release(&self.sync.store, LEASE, &self.holder, fence).await?;
        Ok(round)
    }

    async fn lease(&self) -> Result<Option<i64>, StoreError> {
        leases::take(&self.sync.store, LEASE, &self.holder, LEASE_TTL, self.sync.clock.now()).await
    }

    async fn one(&self, source: &dyn Source, past: Past, on_page: OnPage<'_>) -> Result<Tally, SyncError> {
        let polls = |ended| self.sync.metrics.finding_polls.add((source.service(), ended));
        let mut tally = self.sync.live(source, on_page).await.inspect_err(|_| polls(Ended::Failed))?;
        polls(Ended::Done);
        self.was_read(source);
        self.sync.sweep(source, on_page).await?;
        while let Some(more) = self.sync.further_back(source, on_page).await? {
            tally.add_all(&more);
            if past == Past::ADay {
                break;
            }
        }
        match self.sync.compare(source).await {
            Ok(None) => {}
            Ok(Some(Compared { theirs, ours })) => {
                if theirs != ours {
                    tracing::warn!(source = source.name(), theirs, ours, "another number of findings is open there");
                }
                let drift = (source.service(), theirs.abs_diff(ours));
                self.drift.lock().insert(source.name().to_owned(), drift);
            }
            Err(SyncError::Store(error)) => return Err(error.into()),
            // Everything is read all the same.
            Err(SyncError::Source(error)) => tracing::warn!(%error, "nobody can tell whether findings are missing"),
        }
        Ok(tally)
    }

    fn was_read(&self, source: &dyn Source) {
        let mut read = self.read.lock();
        let now = self.sync.clock.now();
        match read.iter_mut().find(|(name, ..)| name == source.name()) {
            Some((.., at)) => *at = now,
            None => read.push((source.name().to_owned(), source.service(), now)),
        }
    }

    /// Of each service the source that was not read for the longest time is what counts.
    fn show(&self) {
        let read = self.read.lock();
        for service in Service::ALL {
            let oldest = read.iter().filter(|(_, of, _)| of == service).map(|(.., at)| at.as_secs()).min();
            if let Some(oldest) = oldest {
                self.sync.metrics.findings_read.set(*service, u64::try_from(oldest).unwrap_or(0));
            }
            let drift = self.drift.lock().values().filter(|(of, _)| of == service).map(|(_, drift)| drift).sum();
            self.sync.metrics.findings_drift.set(*service, drift);
        }
    }

    /// One round of a service, told to its log.
    ///
    /// # Errors
    /// When the database fails, or a source: then what the others gave is kept all the same.
    pub async fn tick(&self) -> Result<Ended, SyncError> {
        let round = self.round(Past::ADay, &mut |_| {}).await?;
        if round.is_elsewhere {
            return Ok(Ended::Skipped);
        }
        if round.tally.new + round.tally.changed > 0 {
            let Tally { read, new, changed, late, odd, .. } = round.tally;
            tracing::info!(read, new, changed, late, odd, sources = round.sources, "findings were fetched");
        }
        match round.failures.first() {
            None => Ok(Ended::Done),
            Some(first) => {
                for failure in &round.failures {
                    tracing::warn!(%failure, "findings could not be fetched");
                }
                let others = round.failures.len() - 1;
                Err(SourceError::new("findings", format!("{first} ({others} more sources failed)")).into())
            }
        }
    }
}
