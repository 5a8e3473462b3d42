//! A limit: how fast a bucket fills and how much it holds, in integer nanoseconds.

use std::time::Duration;

/// Longest time a bucket may take to fill, which keeps every sum below within 63 bits: 100 years.
const LONGEST_NS: u128 = 100 * 366 * 86_400 * 1_000_000_000;

/// A rate and a burst. A full bucket lets `burst` units through at once; then one unit every [`Limit::interval_ns`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Limit {
    /// Nanoseconds to win back one unit, at least 1.
    interval_ns: u64,
    /// Units a full bucket holds, at least 1.
    burst: u32,
}

/// Why a limit cannot be one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LimitError {
    /// Nothing would ever pass.
    #[error("the rate is 0, so nothing would ever pass: give at least 1 unit per period")]
    NoRate,
    /// A period of no length.
    #[error("the period is 0: give a positive time such as `1s`")]
    NoPeriod,
    /// More than one unit a nanosecond.
    #[error("the rate is above one unit a nanosecond: lower it")]
    TooFast,
    /// Nothing would ever pass.
    #[error("the burst is 0, so nothing would ever pass: give at least 1")]
    NoBurst,
    /// An empty bucket would need more than 100 years to fill.
    #[error("an empty bucket would take more than 100 years to fill: raise the rate or lower the burst")]
    TooSlow,
}

impl Limit {
    /// 1,000 a second, at most 2,000 at once: what newcomers share when the table has no room.
    pub(super) const OVERFLOW: Self = Self { interval_ns: 1_000_000, burst: 2000 };

    /// `units` every `per`, at most `burst` at once. The interval between units is rounded up to a whole nanosecond, so
    /// no more passes than stated.
    ///
    /// # Errors
    /// When no unit could ever pass, or the numbers lie outside what a bucket can count.
    pub fn new(units: u32, per: Duration, burst: u32) -> Result<Self, LimitError> {
        if units == 0 {
            return Err(LimitError::NoRate);
        }
        if per.is_zero() {
            return Err(LimitError::NoPeriod);
        }
        if burst == 0 {
            return Err(LimitError::NoBurst);
        }
        let interval = per.as_nanos().div_ceil(u128::from(units));
        if per.as_nanos() < u128::from(units) {
            return Err(LimitError::TooFast);
        }
        if interval.saturating_mul(u128::from(burst)) > LONGEST_NS {
            return Err(LimitError::TooSlow);
        }
        Ok(Self { interval_ns: u64::try_from(interval).map_err(|_| LimitError::TooSlow)?, burst })
    }

    /// `units` a second, at most `burst` at once.
    ///
    /// # Errors
    /// As [`Limit::new`].
    pub fn per_second(units: u32, burst: u32) -> Result<Self, LimitError> {
        Self::new(units, Duration::from_secs(1), burst)
    }

    /// The same limit for `factor` times as many: `factor` times the rate and the burst, as far as numbers go.
    #[must_use]
    pub fn times(self, factor: u32) -> Self {
        let factor = factor.max(1);
        Self { interval_ns: self.interval_ns.div_ceil(u64::from(factor)), burst: self.burst.saturating_mul(factor) }
    }

    /// Nanoseconds to win back one unit.
    pub const fn interval_ns(self) -> u64 {
        self.interval_ns
    }

    /// Units that a full bucket holds: the dearest single call that can ever pass.
    pub const fn burst(self) -> u32 {
        self.burst
    }

    /// Nanoseconds in which an empty bucket fills.
    pub const fn fill_ns(self) -> u64 {
        // Within 63 bits by construction; `times` at most rounds one interval up.
        self.interval_ns.saturating_mul(self.burst as u64)
    }

    /// Nanoseconds that `cost` units are worth.
    pub(super) const fn cost_ns(self, cost: u32) -> u64 {
        self.interval_ns.saturating_mul(cost as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_under_which_nothing_could_pass_is_refused() {
        let second = Duration::from_secs(1);
        assert_eq!(Limit::new(0, second, 1), Err(LimitError::NoRate));
        assert_eq!(Limit::new(1, Duration::ZERO, 1), Err(LimitError::NoPeriod));
        assert_eq!(Limit::new(1, second, 0), Err(LimitError::NoBurst));
        assert_eq!(Limit::new(2, Duration::from_nanos(1), 1), Err(LimitError::TooFast));
        assert_eq!(Limit::new(1, Duration::from_secs(86_400 * 366), 101), Err(LimitError::TooSlow));
    }

    #[test]
    fn an_interval_that_is_no_whole_number_is_rounded_so_that_less_passes() {
        assert_eq!(Limit::per_second(3, 1).unwrap().interval_ns(), 333_333_334);
        assert_eq!(Limit::per_second(5, 40).unwrap().fill_ns(), 8_000_000_000);
    }

    #[test]
    fn sixteen_times_a_limit_holds_and_wins_back_sixteen_times_as_much() {
        let limit = Limit::per_second(10, 20).unwrap().times(16);
        assert_eq!((limit.interval_ns(), limit.burst()), (6_250_000, 320));
    }
}
