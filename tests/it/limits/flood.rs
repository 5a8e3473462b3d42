//! Floods of keys: memory stays bounded, and nobody who is throttled is let go by them.

use proptest::prelude::*;
use stockade::base::SeededRng;
use stockade::limits::{Buckets, Claim, Limit, Settings};

use super::{SECOND, buckets, limit};

const SLOT_BYTES: usize = 24;

/// A minute's flood of distinct keys, scaled down where the code is not optimised.
const FLOOD: u64 = if cfg!(debug_assertions) { 400_000 } else { 10_000_000 };

#[test]
fn a_flood_of_keys_frees_no_throttled_key_and_costs_a_fixed_amount_of_memory() {
    let capacity = 1 << 16;
    let ours = buckets(capacity);
    // One unit a minute: the flood's own buckets stay live too, so it fills the table.
    let slow = limit(1, 60_000, 1);
    let victims: Vec<_> = (0..200).map(|i| Claim::new(ours.keys().client("x", &format!("victim {i}")), slow)).collect();
    for victim in &victims {
        assert!(ours.check(&[*victim], SECOND).is_allowed());
    }
    for i in 0..FLOOD {
        let now = SECOND + i * 59 * SECOND / FLOOD;
        ours.check(&[Claim::new(ours.keys().client("x", &i.to_string()), slow)], now);
        if i % (FLOOD / 50) == 0 {
            assert!(victims.iter().all(|victim| !ours.check(&[*victim], now).is_allowed()), "after {i} keys");
        }
    }
    let stats = ours.stats(SECOND + 59 * SECOND);
    assert!(stats.slots <= capacity, "{stats:?}");
    assert!(stats.slots * SLOT_BYTES <= 2 * 1024 * 1024, "{stats:?}");
    // Almost all of the table is of use before newcomers share a bucket.
    assert!(stats.live > capacity * 9 / 10, "{stats:?}");
    assert!(stats.overflowed > 0, "{stats:?}");
    // Their minute over, the victims are back, each for one unit, while the flood's keys pass away.
    let later = SECOND + 60 * SECOND;
    for victim in &victims {
        assert!(ours.check(&[*victim], later).is_allowed());
        assert!(!ours.check(&[*victim], later).is_allowed());
    }
}

#[test]
fn a_flood_under_a_quick_limit_needs_room_only_for_what_is_not_full_yet() {
    let ours = buckets(1 << 20);
    // 200 a second: a bucket charged once is full again after 5 ms.
    let quick = Limit::per_second(200, 400).unwrap();
    for i in 0..FLOOD {
        let now = SECOND + i * 60 * SECOND / FLOOD;
        assert!(ours.check(&[Claim::new(ours.keys().client("x", &i.to_string()), quick)], now).is_allowed());
    }
    let stats = ours.stats(61 * SECOND);
    assert!(stats.slots <= 1 << 14, "{stats:?}");
    assert_eq!(stats.overflowed, 0);
}

#[test]
fn newcomers_share_one_bucket_a_space_when_there_is_no_room() {
    let overflow = limit(1, 1000, 5);
    let ours = Buckets::new(Settings { capacity: 8, overflow }, &SeededRng::new(1));
    let slow = limit(1, 60_000, 1);
    let client = |i: u32| Claim::new(ours.keys().client("x", &i.to_string()), slow);
    let settled = (0..8).filter(|i| !ours.check(&[client(*i)], SECOND).tightest.unwrap().overflow).count();
    assert_eq!(settled, 8);
    let passed = (100..200).filter(|i| ours.check(&[client(*i)], SECOND).is_allowed()).count();
    assert_eq!(passed, 5, "the shared bucket's burst");
    // Also when the newcomer comes with another claim, and then that one is not charged.
    let known = client(0);
    let verdict = ours.check(&[known.costing(0), client(300)], SECOND);
    assert!(!verdict.is_allowed() && verdict.is_violated(1));
    assert_eq!(verdict.retry_after_secs(), Some(1));
    // Users are not held up by a flood of clients.
    assert!(ours.check(&[Claim::new(ours.keys().user("x", "ada"), slow)], SECOND).is_allowed());
    // Its rate goes on, and those who have a bucket of their own keep it.
    assert!(ours.check(&[client(301)], SECOND + SECOND).is_allowed());
    assert!((0..8).all(|i| !ours.check(&[client(i)], SECOND + SECOND).is_allowed()));
    assert_eq!(ours.stats(SECOND).live, 8);
}

#[test]
fn memory_comes_back_after_a_flood() {
    let ours = buckets(1 << 16);
    let quick = limit(1, 1000, 1);
    for i in 0..40_000 {
        ours.check(&[Claim::new(ours.keys().client("x", &i.to_string()), quick)], SECOND);
    }
    let kept = Claim::new(ours.keys().client("x", "kept"), limit(1, 60_000, 1));
    assert!(ours.check(&[kept], SECOND).is_allowed());
    let before = ours.stats(SECOND).slots;
    ours.shrink(3 * SECOND);
    let after = ours.stats(3 * SECOND);
    assert!(after.slots * 8 < before, "{before} slots, then {after:?}");
    assert_eq!(after.live, 1);
    assert!(!ours.check(&[kept], 3 * SECOND).is_allowed());
}

#[test]
fn a_key_costs_at_most_64_bytes_once_there_are_many() {
    let ours = buckets(1 << 20);
    let slow = limit(1, 3_600_000, 1);
    for i in 0..100_000_u64 {
        ours.check(&[Claim::new(ours.keys().client("x", &i.to_string()), slow)], SECOND);
        if i >= 16_384 && i % 1000 == 0 {
            let stats = ours.stats(SECOND);
            assert_eq!(stats.live as u64, i + 1);
            assert!(stats.slots * SLOT_BYTES <= 64 * stats.live, "{stats:?}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// In a table that is far too small, a key that has a bucket of its own is treated exactly as in one that is not: only
    /// newcomers are, and only by being refused early.
    #[test]
    fn a_small_table_never_forgets(
        calls in proptest::collection::vec((0_u32..60, 0_u64..400_000_000), 1..400)
    ) {
        let (small, large) = (buckets(16), buckets(1 << 16));
        let rate = limit(1, 1000, 2);
        let mut now = SECOND;
        for (who, gap) in calls {
            now += gap;
            let name = who.to_string();
            let here = small.check(&[Claim::new(small.keys().client("x", &name), rate)], now);
            let overflow = here.tightest.unwrap().overflow;
            let there = large.peek(&[Claim::new(large.keys().client("x", &name), rate)], now);
            if !overflow {
                prop_assert_eq!(here.is_allowed(), there.is_allowed());
                large.check(&[Claim::new(large.keys().client("x", &name), rate)], now);
            } else {
                // Without a bucket of its own there is no debt that could have been forgotten.
                prop_assert_eq!(there.tightest.unwrap().full_ns, rate.interval_ns());
            }
        }
    }
}
