//! The configured store, opened by someone at the machine: `Operator::"local"`.

use std::path::Path;
use std::sync::{Arc, OnceLock};

use super::api::may_not;
use super::failure::Failure;
use super::output;
use crate::audit_log::checkpoint;
use crate::audit_log::sequencer::Sequencer;
use crate::base::{Clock as _, SystemClock, SystemRng, id};
use crate::config::{self, Config};
use crate::crypto::log_key::LogKey;
use crate::crypto::seal::Sealer;
use crate::live;
use crate::model::{Decision, Event, Outcome};
use crate::policy::{Facts, Principal, Question, Resource, Snapshot};
use crate::store::{Store, StoreError, Tx, events};

/// What a command that works on the store needs.
#[derive(Debug)]
pub(super) struct Local {
    pub(super) config: Config,
    pub(super) store: Store,
    pub(super) clock: SystemClock,
    pub(super) rng: SystemRng,
    snapshot: OnceLock<Arc<Snapshot>>,
    operator: Principal,
}

/// Reads the configuration, with every mistake as its own line: exit 2, for nothing was tried.
pub(super) fn configured(path: Option<&Path>) -> Result<Config, Failure> {
    config::load(path, &config::environment()).map_err(|errors| Failure::from(errors).cannot_tell())
}

/// Loads the policies that the configuration names.
pub(super) fn snapshot(config: &Config) -> Result<Arc<Snapshot>, Failure> {
    let loaded = match &config.policy.dir {
        Some(dir) => Snapshot::load(dir),
        None => Snapshot::embedded(),
    };
    loaded.map_err(|problems| {
        let dir = config.policy.dir.as_deref().unwrap_or(Path::new("policies")).display();
        Failure::Failed(problems.iter().map(|problem| format!("{dir}/{problem}")).collect())
    })
}

/// The configured policies. While they do not load a service goes on with its last good ones, which no other process has:
/// the command line then decides by the shipped set, and says so. Whoever broke the files could have changed them as well.
fn snapshot_or_shipped(config: &Config) -> Result<Arc<Snapshot>, Failure> {
    match snapshot(config) {
        Err(failure) if config.policy.dir.is_some() => {
            output::note(format!("warning: {failure}"));
            output::note("warning: the policies do not load; deciding by those inside this binary until they do");
            snapshot(&Config { policy: config::Policy { dir: None }, ..config.clone() })
        }
        loaded => loaded,
    }
}

impl Local {
    /// Opens the configured store. SQLite is brought to this version's schema; PostgreSQL, which others may be using, is
    /// not: `stockade migrate` does that.
    pub(super) async fn open(path: Option<&Path>) -> Result<Self, Failure> {
        let config = configured(path)?;
        let store = Store::open(config.database.url.expose()).await?;
        if !store.is_shared() {
            store.migrate().await?;
        } else if store.migration_status().await?.iter().any(|migration| !migration.applied) {
            return Err(Failure::failed("the database is behind this version: run `stockade migrate`"));
        }
        let operator = Principal::operator("local");
        Ok(Self { config, store, clock: SystemClock, rng: SystemRng, snapshot: OnceLock::new(), operator })
    }

    /// Who works here.
    pub(super) fn operator(&self) -> Principal {
        self.operator.clone()
    }

    /// The policies in force, loaded when the first decision needs them.
    pub(super) fn policies(&self) -> Result<Arc<Snapshot>, Failure> {
        if let Some(snapshot) = self.snapshot.get() {
            return Ok(Arc::clone(snapshot));
        }
        let loaded = snapshot_or_shipped(&self.config)?;
        Ok(Arc::clone(self.snapshot.get_or_init(|| loaded)))
    }

    /// Whether the operator may: the decision, or its denial recorded and told.
    pub(super) async fn permit(
        &self,
        kind: &'static str,
        action: &str,
        resource: &Resource,
    ) -> Result<Decision, Failure> {
        let facts = Facts::at(self.clock.now());
        let decision =
            self.policies()?.decide(&Question { principal: &self.operator, action, resource, facts: &facts });
        let Some(reason) = decision.denied else { return Ok(decision) };
        let event = self.event(kind, Outcome::Denied, action, &resource.name()).decided(&decision);
        let mut tx = self.store.begin().await?;
        events::intake(&mut tx, &event).await?;
        tx.commit().await?;
        let policies =
            if decision.policies.is_empty() { String::new() } else { format!(" ({})", decision.policies.join(", ")) };
        Err(may_not(&self.operator.reference().to_string(), action, reason.as_str(), &policies))
    }

    /// An event of the operator.
    pub(super) fn event(&self, kind: &'static str, outcome: Outcome, action: &str, resource: &str) -> Event {
        let mut event = Event::new(kind, outcome, self.clock.now(), &self.rng);
        event.principal = Some(self.operator.reference().clone());
        event.action = Some(action.into());
        event.resource = Some(resource.into());
        event
    }

    /// Records what was done in the transaction that did it, and commits.
    pub(super) async fn commit(&self, mut tx: Tx, event: &Event) -> Result<(), Failure> {
        events::intake(&mut tx, event).await?;
        Ok(tx.commit().await?)
    }

    /// Records that something was read.
    pub(super) async fn record(&self, event: &Event) -> Result<(), Failure> {
        self.commit(self.store.begin().await?, event).await
    }

    /// Moves what waits in the intake to the log and signs the head, unless a running service does that.
    pub(super) async fn sequence(&self) -> Result<(), Failure> {
        let holder = id::new("cli", self.clock.now(), &self.rng);
        let key = match self.log_key().await {
            Ok(key) => Arc::new(key),
            Err(failure) => {
                // What has a number can be read without any key.
                output::note(format!("warning: {failure}; what waits for a number is left waiting"));
                return Ok(());
            }
        };
        let mut sequencer = Sequencer::new(self.store.clone(), holder, Arc::clone(&key));
        let moved = self.move_all(&mut sequencer).await;
        if matches!(moved, Ok(1..)) {
            let origin = checkpoint::origin(&self.config.server.issuer);
            // That the heads do not hold is for `audit verify` to answer; whoever asks something else is warned.
            if let Err(error) = checkpoint::sign_now(&self.store, &origin, &key, self.clock.now()).await {
                output::note(format!("warning: the head of the audit log was not signed: {error}"));
            }
        }
        sequencer.release().await;
        match moved {
            // A service took over meanwhile: it goes on.
            Ok(_) | Err(StoreError::Fenced) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// How many it moved.
    async fn move_all(&self, sequencer: &mut Sequencer) -> Result<usize, StoreError> {
        sequencer.keep(&self.clock).await?;
        let mut all = 0;
        while sequencer.is_holder() {
            let moved = sequencer.move_intake().await?;
            if moved == 0 {
                break;
            }
            all += moved;
            sequencer.keep(&self.clock).await?;
        }
        Ok(all)
    }

    /// The key that signs the log's heads.
    pub(super) async fn log_key(&self) -> Result<LogKey, Failure> {
        live::keys::log_key(&self.store, &self.sealer()?, &self.rng).await.map_err(|e| Failure::chain(&e))
    }

    /// The sealer of the configured keys.
    pub(super) fn sealer(&self) -> Result<Sealer, Failure> {
        Ok(Sealer::new(&self.config.crypto.seal_keys)?)
    }
}
