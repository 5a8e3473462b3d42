//! Issuing a token is a decision, each scope in it another; and so is the rate tier.

use std::sync::Arc;

use super::decide::Given;
use super::entity::{Principal, Resource};
use super::facts::Facts;
use super::snapshot::Snapshot;
use super::tiers::Tier;
use crate::model::{Decision, DenyReason};

/// What a client is given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issuance {
    /// Whether a token is issued at all. Its policies are those of `token:issue` and of the granted scopes.
    pub decision: Decision,
    /// The granted scopes, in the order asked for; may be fewer than asked for.
    pub scopes: Vec<String>,
    /// The scopes that were asked for and refused, each with its reason.
    pub refused: Vec<(String, DenyReason)>,
}

impl Snapshot {
    /// Decides an issuance: `token:issue` on `api`, then `scope:grant` for each scope asked for. When scopes were asked
    /// for and none is granted, nothing is issued.
    pub fn issuance(
        &self,
        principal: &Principal,
        grant: &str,
        api: &Resource,
        scopes: &[&str],
        facts: &Facts<'_>,
    ) -> Issuance {
        let mut decision =
            self.decide_given(principal, "token:issue", api, Given::Facts(*facts, Some(("grant", grant))));
        let mut granted = Vec::new();
        let mut refused = Vec::new();
        if !decision.is_allowed() {
            return Issuance { decision, scopes: granted, refused };
        }
        let mut first_refusal = None;
        for scope in scopes {
            let one = self.decide_given(principal, "scope:grant", api, Given::Facts(*facts, Some(("scope", scope))));
            decision.errors.extend(one.errors.iter().cloned());
            decision.would = decision.would.or_else(|| one.would.clone());
            match one.denied {
                None => {
                    granted.push((*scope).to_owned());
                    decision.policies.extend(one.policies.iter().cloned());
                }
                Some(reason) => {
                    refused.push(((*scope).to_owned(), reason));
                    first_refusal.get_or_insert(one);
                }
            }
        }
        if granted.is_empty()
            && let Some(refusal) = first_refusal
        {
            decision = refusal;
        }
        decision.policies.sort_unstable();
        decision.policies.dedup();
        decision.errors.sort_unstable();
        decision.errors.dedup();
        Issuance { decision, scopes: granted, refused }
    }

    /// The best tier that Cedar permits (`rate:use`) for a class of routes.
    ///
    /// # Errors
    /// The denial when none is: [`DenyReason::NoTier`], or the fail-closed reason that stopped the search.
    pub fn tier(&self, principal: &Principal, class: &str, facts: &Facts<'_>) -> Result<Arc<Tier>, Decision> {
        match self.choose(principal, class, facts) {
            (Some(tier), _) => Ok(tier),
            (None, denial) => Err(denial),
        }
    }

    /// The tier, if any, and the decision that gave or refused it.
    pub(crate) fn choose(
        &self,
        principal: &Principal,
        class: &str,
        facts: &Facts<'_>,
    ) -> (Option<Arc<Tier>>, Decision) {
        let mut denial = Decision::deny(DenyReason::NoTier, Arc::clone(self.digest()));
        for (tier, resource) in self.tiers.iter().filter(|(tier, _)| tier.covers(class)) {
            let one = self.decide_given(principal, "rate:use", resource, Given::Facts(*facts, Some(("class", class))));
            match one.denied {
                None => return (Some(Arc::clone(tier)), one),
                Some(DenyReason::Forbidden | DenyReason::NoPermit | DenyReason::ForbidErred) => {
                    denial.policies.extend(one.policies);
                    denial.errors.extend(one.errors);
                }
                Some(_) => return (None, one),
            }
        }
        denial.policies.sort_unstable();
        denial.policies.dedup();
        denial.errors.sort_unstable();
        denial.errors.dedup();
        (None, denial)
    }
}
