//! The snapshot in force, swapped atomically.

use std::path::Path;
use std::sync::Arc;

use arc_swap::ArcSwapOption;

use super::decide::Question;
use super::entity::{Principal, Resource};
use super::facts::Facts;
use super::issuance::Issuance;
use super::problem::Problem;
use super::risk::Risk;
use super::snapshot::Snapshot;
use super::tiers::Tier;
use crate::model::{Decision, DenyReason};

/// Answers under the snapshot in force; denies while there is none.
#[derive(Debug, Default)]
pub struct Engine {
    current: ArcSwapOption<Snapshot>,
    risk: Risk,
}

impl Engine {
    /// An engine without a snapshot: everything is denied.
    pub fn new() -> Self {
        Self::default()
    }

    /// Loads a policy tree and puts it in force.
    ///
    /// # Errors
    /// Every problem. The snapshot in force stays.
    pub fn load(&self, dir: &Path) -> Result<Arc<Snapshot>, Vec<Problem>> {
        let snapshot = Snapshot::load(dir)?;
        self.install(Arc::clone(&snapshot));
        Ok(snapshot)
    }

    /// Puts a snapshot in force, for every decision that begins after this.
    pub fn install(&self, snapshot: Arc<Snapshot>) {
        self.current.store(Some(snapshot));
    }

    /// The snapshot in force. Take it once for things that belong together: a batch, an issuance, a page.
    pub fn snapshot(&self) -> Option<Arc<Snapshot>> {
        self.current.load_full()
    }

    /// Who is at risk: asked for the facts of every decision, told by whoever reads findings.
    pub const fn risk(&self) -> &Risk {
        &self.risk
    }

    /// Decides under the snapshot in force.
    pub fn decide(&self, question: &Question<'_>) -> Decision {
        match &*self.current.load() {
            Some(snapshot) => snapshot.decide(question),
            None => none(),
        }
    }

    /// [`Snapshot::issuance`] under the snapshot in force.
    pub fn issuance(
        &self,
        principal: &Principal,
        grant: &str,
        api: &Resource,
        scopes: &[&str],
        facts: &Facts<'_>,
    ) -> Issuance {
        match &*self.current.load() {
            Some(snapshot) => snapshot.issuance(principal, grant, api, scopes, facts),
            None => Issuance { decision: none(), scopes: Vec::new(), refused: Vec::new() },
        }
    }

    /// [`Snapshot::tier`] under the snapshot in force.
    ///
    /// # Errors
    /// The denial when no tier is permitted, or no snapshot is loaded.
    pub fn tier(&self, principal: &Principal, class: &str, facts: &Facts<'_>) -> Result<Arc<Tier>, Decision> {
        match &*self.current.load() {
            Some(snapshot) => snapshot.tier(principal, class, facts),
            None => Err(none()),
        }
    }
}

fn none() -> Decision {
    Decision::deny(DenyReason::NoSnapshot, Arc::from(""))
}
