//! governor is the oracle: whatever the limit and the sequence of calls, both say the same, and the waits are exact.

use std::num::NonZeroU32;
use std::time::Duration;

use governor::clock::{Clock as _, FakeRelativeClock};
use governor::{Quota, RateLimiter};
use proptest::prelude::*;
use stockade::limits::{Claim, Limit};

use super::{SECOND, buckets};

/// Time that passes and a call that is then made.
type Step = (u64, u32);

fn steps() -> impl Strategy<Value = Vec<Step>> {
    // Gaps around the interval matter most, and none at all.
    let gap = prop_oneof![Just(0), 0_u64..5_000_000_000, 0_u64..50_000_000];
    proptest::collection::vec((gap, 1_u32..8), 1..120)
}

fn limits() -> impl Strategy<Value = Limit> {
    let per = prop_oneof![1_u64..2_000_000, 1_000_000_u64..60_000_000_000];
    (1_u32..1000, per, 1_u32..50).prop_filter_map("a limit", |(units, per_ns, burst)| {
        Limit::new(units, Duration::from_nanos(per_ns), burst).ok()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn both_say_the_same_and_the_same_wait(limit in limits(), steps in steps(), start in 0_u64..1 << 40) {
        let clock = FakeRelativeClock::default();
        let burst = NonZeroU32::new(limit.burst()).unwrap();
        let quota = Quota::with_period(Duration::from_nanos(limit.interval_ns())).unwrap().allow_burst(burst);
        let oracle = RateLimiter::direct_with_clock(quota, clock.clone());
        let ours = buckets(64);
        let key = ours.keys().client("x", "a");
        let mut now = start;
        for (gap, cost) in steps {
            now += gap;
            clock.advance(Duration::from_nanos(gap));
            let verdict = ours.check(&[Claim::new(key, limit).costing(cost)], now);
            let wait = verdict.tightest.unwrap().wait_ns;
            match oracle.check_n(NonZeroU32::new(cost).unwrap()) {
                Ok(Ok(())) => {
                    prop_assert!(verdict.is_allowed());
                    prop_assert_eq!(wait, Some(0));
                }
                Ok(Err(not_until)) => {
                    prop_assert!(!verdict.is_allowed());
                    let expected = u64::try_from(not_until.wait_time_from(clock.now()).as_nanos()).unwrap();
                    prop_assert_eq!(wait, Some(expected));
                }
                Err(_) => {
                    prop_assert!(!verdict.is_allowed());
                    prop_assert_eq!(wait, None);
                    prop_assert_eq!(verdict.retry_after_secs(), None);
                }
            }
        }
    }

    /// Whoever waits as long as `Retry-After` says, and is alone, is never refused again.
    #[test]
    fn a_client_that_obeys_is_never_refused_twice(limit in limits(), steps in steps()) {
        let ours = buckets(64);
        let key = ours.keys().client("x", "a");
        let mut now = SECOND;
        for (gap, cost) in steps {
            now += gap;
            let claim = [Claim::new(key, limit).costing(cost.min(limit.burst()))];
            let refused = ours.check(&claim, now);
            if let Some(secs) = refused.retry_after_secs() {
                prop_assert!(secs >= 1);
                // A second less would have been too early, unless it is the least that can be said.
                prop_assert!(secs == 1 || !ours.peek(&claim, now + (secs - 1) * SECOND).is_allowed());
                now += secs * SECOND;
                prop_assert!(ours.check(&claim, now).is_allowed());
            } else {
                prop_assert!(refused.is_allowed());
            }
        }
    }

    /// `remaining` is what can be taken at once, not one more; `full_ns` is when all of it is back.
    #[test]
    fn what_is_said_to_remain_is_there_and_no_more(limit in limits(), steps in steps()) {
        let ours = buckets(64);
        let key = ours.keys().client("x", "a");
        let mut now = SECOND;
        for (gap, cost) in steps {
            now += gap;
            let claim = Claim::new(key, limit);
            let standing = ours.check(&[claim.costing(cost)], now).tightest.unwrap();
            let at = |cost, now| ours.peek(&[claim.costing(cost)], now).is_allowed();
            prop_assert!(at(standing.remaining(), now));
            prop_assert!(!at(standing.remaining() + 1, now));
            prop_assert!(at(limit.burst(), now + standing.full_ns));
            prop_assert!(standing.full_ns == 0 || !at(limit.burst(), now + standing.full_ns - 1));
            if standing.next_ns() > 0 && standing.remaining() < limit.burst() {
                prop_assert!(at(standing.remaining() + 1, now + standing.next_ns()));
                prop_assert!(!at(standing.remaining() + 1, now + standing.next_ns() - 1));
            }
        }
    }

    /// Over any stretch of time no more passes than the burst and what the rate gives.
    #[test]
    fn no_more_passes_than_burst_and_rate_give(limit in limits(), steps in steps()) {
        let ours = buckets(64);
        let key = ours.keys().client("x", "a");
        let (mut elapsed, mut passed) = (0_u64, 0_u64);
        for (gap, cost) in steps {
            elapsed += gap;
            if ours.check(&[Claim::new(key, limit).costing(cost)], SECOND + elapsed).is_allowed() {
                passed += u64::from(cost);
            }
            prop_assert!(passed <= u64::from(limit.burst()) + elapsed / limit.interval_ns());
        }
    }

    /// A changed rate keeps the debt, and never makes anyone wait longer than an empty bucket of the new rate would.
    #[test]
    fn a_changed_rate_keeps_the_state(before in limits(), after in limits(), taken in 1_u32..50) {
        let ours = buckets(64);
        let key = ours.keys().client("x", "a");
        let taken = taken.min(before.burst());
        prop_assert!(ours.check(&[Claim::new(key, before).costing(taken)], SECOND).is_allowed());
        let verdict = ours.peek(&[Claim::new(key, after)], SECOND);
        let debt = u64::from(taken) * before.interval_ns();
        let left = after.fill_ns().saturating_sub(debt) / after.interval_ns();
        prop_assert_eq!(verdict.is_allowed(), left > 0);
        // The wait that is said is at most one unit's (and the second that a held-up caller is given), and it is kept.
        let known = ours.check(&[Claim::new(key, after)], SECOND).tightest.unwrap().wait_ns.unwrap();
        prop_assert!(known <= after.interval_ns() + SECOND);
        prop_assert!(ours.check(&[Claim::new(key, after)], SECOND + known.max(after.interval_ns())).is_allowed());
    }

    /// The same when another limit refuses at that moment.
    #[test]
    fn a_changed_rate_is_followed_also_when_another_limit_refuses(before in limits(), after in limits()) {
        let ours = buckets(64);
        let (key, other) = (ours.keys().client("x", "a"), ours.keys().client("other", "a"));
        prop_assert!(ours.check(&[Claim::new(key, before).costing(before.burst())], SECOND).is_allowed());
        let never = Claim::new(other, after).costing(after.burst() + 1);
        prop_assert!(!ours.check(&[Claim::new(key, after), never], SECOND).is_allowed());
        prop_assert!(ours.check(&[Claim::new(key, after)], 2 * SECOND + after.interval_ns()).is_allowed());
    }
}

#[test]
fn a_clock_that_jumps_back_costs_nobody_more_than_an_empty_bucket() {
    let ours = buckets(64);
    let key = ours.keys().client("x", "a");
    let limit = Limit::per_second(10, 10).unwrap();
    let hour = 3600 * SECOND;
    for _ in 0..10 {
        assert!(ours.check(&[Claim::new(key, limit)], 2 * hour).is_allowed());
    }
    let refused = ours.check(&[Claim::new(key, limit)], hour);
    assert_eq!(refused.tightest.unwrap().wait_ns, Some(SECOND / 10));
    assert!(ours.check(&[Claim::new(key, limit)], hour + SECOND / 10).is_allowed());
}
