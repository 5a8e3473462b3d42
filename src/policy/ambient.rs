//! What other rooms tell the policy about the world: risk, error budget, how fresh the findings are.
//!
//! Every decision sees these in its context. Risk and freshness come from [`super::Risk`]; the error budget is what an
//! untroubled service would report, so that policies can already be written against it.

/// The world as policies see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ambient {
    /// 0 none, 1 low, 2 medium, 3 high, 4 critical: the worst active finding about the caller.
    pub risk_level: u8,
    /// Age of the findings feed in seconds, in whole minutes; 0 where nothing is fetched.
    pub feed_age_secs: u32,
    /// What is left of the error budget, in hundredths of a percent (0 to 10,000).
    pub budget_left_bp: u16,
    /// Risk and age are only noted: policies see neither, and what they would have said is told beside the decision.
    pub dry_run: bool,
}

impl Default for Ambient {
    fn default() -> Self {
        Self { risk_level: 0, feed_age_secs: 0, budget_left_bp: 10_000, dry_run: false }
    }
}

impl Ambient {
    /// What policies see of it.
    #[must_use]
    pub const fn shown(self) -> Self {
        if self.dry_run { Self { risk_level: 0, feed_age_secs: 0, dry_run: false, ..self } } else { self }
    }

    /// What they would see if it were no dry run.
    pub(crate) const fn in_earnest(self) -> Self {
        Self { dry_run: false, ..self }
    }
}
