//! What other rooms tell the policy about the world: risk, error budget, how fresh the findings are.
//!
//! Every decision sees these in its context. Until the rooms that measure them exist they are what an untroubled service
//! would report, so that policies can already be written against them.

/// The world as policies see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ambient {
    /// 0 none, 1 low, 2 medium, 3 high, 4 critical: the worst active finding about the caller.
    pub risk_level: u8,
    /// Age of the findings feed in seconds.
    pub feed_age_secs: u32,
    /// What is left of the error budget, in hundredths of a percent (0 to 10,000).
    pub budget_left_bp: u16,
}

impl Default for Ambient {
    fn default() -> Self {
        Self { risk_level: 0, feed_age_secs: 0, budget_left_bp: 10_000 }
    }
}
