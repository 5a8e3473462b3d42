//! A limit without a key: all callers of one thing together. governor carries it.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use governor::clock::Clock as _;
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};

use super::rate::Limit;
use crate::base::Clock;

/// Our clock, as governor reads one.
#[derive(Clone, Debug)]
struct Ours(Arc<dyn Clock>);

impl governor::clock::Clock for Ours {
    type Instant = Nanos;

    fn now(&self) -> Nanos {
        Nanos::new(self.0.monotonic_ns())
    }
}

/// A limit that all callers share, such as the signing of tokens or calls to another service.
#[derive(Debug)]
pub struct Ceiling {
    limiter: RateLimiter<NotKeyed, InMemoryState, Ours, NoOpMiddleware<Nanos>>,
    clock: Ours,
}

/// A ceiling was reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("too many calls at once: try again in {} s", self.retry_after_secs())]
pub struct Reached {
    /// How long to wait; `None` when the cost is above the burst, so that it never passes.
    pub wait: Option<Duration>,
}

impl Reached {
    /// Whole seconds to wait, rounded up, at least 1.
    pub fn retry_after_secs(&self) -> u64 {
        let wait = self.wait.unwrap_or(Duration::from_secs(1));
        u64::try_from(wait.as_nanos().div_ceil(1_000_000_000)).unwrap_or(u64::MAX).max(1)
    }
}

impl Ceiling {
    /// A full bucket of `limit` on `clock`.
    pub fn new(limit: Limit, clock: Arc<dyn Clock>) -> Self {
        let clock = Ours(clock);
        let burst = NonZeroU32::new(limit.burst()).unwrap_or(NonZeroU32::MIN);
        let quota = Quota::with_period(Duration::from_nanos(limit.interval_ns().max(1)))
            .unwrap_or_else(|| Quota::per_second(NonZeroU32::MIN))
            .allow_burst(burst);
        Self { limiter: RateLimiter::direct_with_clock(quota, clock.clone()), clock }
    }

    /// Takes `cost` units, at least 1.
    ///
    /// # Errors
    /// [`Reached`] when they are not there; nothing is taken then.
    pub fn check(&self, cost: u32) -> Result<(), Reached> {
        let cost = NonZeroU32::new(cost).unwrap_or(NonZeroU32::MIN);
        match self.limiter.check_n(cost) {
            Ok(Ok(())) => Ok(()),
            Ok(Err(not_until)) => Err(Reached { wait: Some(not_until.wait_time_from(self.clock.now())) }),
            Err(_) => Err(Reached { wait: None }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{ManualClock, Timestamp};

    #[test]
    fn a_ceiling_says_how_long_to_wait_and_keeps_its_word() {
        let clock = Arc::new(ManualClock::at(Timestamp::from_secs(1)));
        let ceiling = Ceiling::new(Limit::per_second(2, 3).unwrap(), clock.clone());
        assert_eq!(ceiling.check(3), Ok(()));
        let reached = ceiling.check(1).unwrap_err();
        assert_eq!((reached.wait, reached.retry_after_secs()), (Some(Duration::from_millis(500)), 1));
        clock.advance(Duration::from_millis(499));
        assert!(ceiling.check(1).is_err());
        clock.advance(Duration::from_millis(1));
        assert_eq!(ceiling.check(1), Ok(()));
        assert_eq!(ceiling.check(4), Err(Reached { wait: None }));
    }
}
