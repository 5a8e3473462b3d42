//! What a person could still do about a refusal: authenticate more strongly or again (RFC 9470). A `forbid` says so itself,
//! with `@acr("2")` or `@max_age("300")`; a refusal says so when every policy that determined it does.

use cedar_policy::{Effect, Policy};

use super::snapshot::Snapshot;
use crate::model::{Acr, Decision, DenyReason};

/// How a person must authenticate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StepUp {
    /// At least this strongly.
    pub acr: Option<Acr>,
    /// At most this many seconds ago.
    pub max_age: Option<u32>,
}

impl StepUp {
    /// What the annotations of a policy ask for; `None` when they ask for nothing.
    ///
    /// # Errors
    /// What is wrong with them.
    pub(crate) fn of(policy: &Policy) -> Result<Option<Self>, String> {
        let (acr, max_age) = (policy.annotation("acr"), policy.annotation("max_age"));
        if acr.is_none() && max_age.is_none() {
            return Ok(None);
        }
        if policy.effect() == Effect::Permit {
            return Err("`@acr` and `@max_age` say how to get past a `forbid`, and this permits".to_owned());
        }
        let level = |text: &str| Acr::parse(text).ok_or_else(|| format!("`@acr(\"{text}\")` is none of 1, 2, 3"));
        let secs = |text: &str| {
            let secs = text.parse().ok().filter(|_| text.bytes().all(|b| b.is_ascii_digit()));
            secs.ok_or_else(|| format!("`@max_age(\"{text}\")` is no number of seconds"))
        };
        Ok(Some(Self { acr: acr.map(level).transpose()?, max_age: max_age.map(secs).transpose()? }))
    }

    /// Both at once.
    fn and(self, other: Self) -> Self {
        let max_age = [self.max_age, other.max_age].into_iter().flatten().min();
        Self { acr: self.acr.max(other.acr), max_age }
    }
}

impl Snapshot {
    /// What would get a person past `decision`, if authenticating can. It may still be refused then.
    pub fn step_up(&self, decision: &Decision) -> Option<StepUp> {
        if decision.denied != Some(DenyReason::Forbidden) {
            return None;
        }
        let wanted = decision.policies.iter().map(|id| self.policies.get(id)?.step_up);
        wanted.reduce(|all, one| Some(all?.and(one?))).flatten()
    }
}
