//! The policy tree on disk: loaded at the start, followed from then on, told to the log. A tree with a mistake changes
//! nothing; the last good snapshot stays.

use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::Notify;

use crate::base::{Clock, Rng};
use crate::model::event::kind;
use crate::model::{Event, Outcome, PrincipalRef};
use crate::policy::{Engine, Files, Problem, Snapshot};
use crate::store::{Store, StoreError, events};
use crate::telemetry::Metrics;
use crate::telemetry::labels::Load;

/// Follows one tree, or the set inside the binary, which never changes.
pub(super) struct PolicyTree {
    pub(super) dir: Option<PathBuf>,
    pub(super) engine: Arc<Engine>,
    pub(super) store: Store,
    pub(super) metrics: Arc<Metrics>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) rng: Arc<dyn Rng>,
    /// The files of the last attempt, good or bad, so that a mistake is reported once.
    seen: Option<Files>,
    /// Why the tree could not even be read, and how many looks have found it so; empty while it can.
    unreadable: Vec<Problem>,
    looks: u64,
}

impl PolicyTree {
    pub(super) fn new(
        dir: Option<PathBuf>,
        engine: Arc<Engine>,
        store: Store,
        metrics: Arc<Metrics>,
        clock: Arc<dyn Clock>,
        rng: Arc<dyn Rng>,
    ) -> Self {
        Self { dir, engine, store, metrics, clock, rng, seen: None, unreadable: Vec::new(), looks: 0 }
    }

    /// Looks whether the tree changed since the last look (`again`: loads it in any case) and puts it in force.
    ///
    /// # Errors
    /// When the change could not be recorded; it is then not in force, and the next look tries again.
    pub(super) async fn look(&mut self, again: bool) -> Result<Result<(), Vec<Problem>>, StoreError> {
        let files = match &self.dir {
            None if self.seen.is_some() => return Ok(Ok(())),
            None => Ok(Files::new(crate::policy::embedded().iter().copied())),
            Some(dir) => Files::read(dir),
        };
        let loaded = match files {
            Ok(files) => {
                if !std::mem::take(&mut self.unreadable).is_empty() {
                    tracing::info!(looks = std::mem::take(&mut self.looks), "the policies can be read again");
                }
                if !again && self.seen.as_ref() == Some(&files) {
                    return Ok(Ok(()));
                }
                let loaded = Snapshot::from_files(&files);
                self.record(&loaded).await?;
                self.seen = Some(files);
                loaded
            }
            // Half-written or unreadable: say so once, count the rest, and look again.
            Err(problems) => {
                self.looks += 1;
                if !again && self.unreadable == problems {
                    self.metrics.policy_loads.add(Load::Rejected);
                    return Ok(Err(problems));
                }
                let loaded = Err(problems.clone());
                if again || self.seen.take().is_some() {
                    self.record(&loaded).await?;
                }
                self.unreadable = problems;
                loaded
            }
        };
        match loaded {
            Ok(snapshot) => {
                tracing::info!(snapshot = %snapshot.digest(), policies = snapshot.policy_ids().len(), "policies are in force");
                for warning in snapshot.warnings() {
                    tracing::warn!(%warning, "the policies are in force, but something is odd about them");
                }
                self.metrics.policy_loads.add(Load::Activated);
                self.metrics.policies.set((), u64::try_from(snapshot.policy_ids().len()).unwrap_or(0));
                self.metrics.policy_activated.set((), u64::try_from(self.clock.now().as_secs()).unwrap_or(0));
                self.engine.install(snapshot);
                Ok(Ok(()))
            }
            Err(problems) => {
                self.metrics.policy_loads.add(Load::Rejected);
                for problem in &problems {
                    tracing::error!(%problem, "the policies were not loaded; the last good ones stay");
                }
                Ok(Err(problems))
            }
        }
    }

    /// Class A: a change of policy is recorded before it counts. A snapshot that is in force already is none.
    async fn record(&self, loaded: &Result<Arc<Snapshot>, Vec<Problem>>) -> Result<(), StoreError> {
        let mut event = match loaded {
            Ok(snapshot) if self.engine.snapshot().is_some_and(|now| now.digest() == snapshot.digest()) => {
                return Ok(());
            }
            Ok(snapshot) => {
                let mut event = Event::new(kind::POLICY_ACTIVATED, Outcome::Allowed, self.clock.now(), &*self.rng);
                event.snapshot = Some(Arc::clone(snapshot.digest()));
                event.with("policies", snapshot.policy_ids().len())
            }
            Err(problems) => {
                let event = Event::new(kind::POLICY_REJECTED, Outcome::Failed, self.clock.now(), &*self.rng);
                let told: Vec<_> = problems.iter().take(20).map(ToString::to_string).collect();
                event.with("problems", told)
            }
        };
        event.principal = Some(PrincipalRef::new("Operator", "files"));
        event.action = Some("policy:activate".into());
        event.resource = Some("PolicyStore::\"main\"".into());
        let mut tx = self.store.begin().await?;
        events::intake(&mut tx, &event).await?;
        tx.commit().await
    }
}

/// Wakes when SIGHUP asks for a reload; where there is no such signal, never.
pub(super) async fn on_hangup(reload: Arc<Notify>) {
    #[cfg(unix)]
    if let Ok(mut signal) = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::hangup()) {
        while signal.recv().await.is_some() {
            reload.notify_one();
        }
    }
    std::future::pending::<()>().await;
    drop(reload);
}
