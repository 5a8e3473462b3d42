//! Several claims of one check: all or none, in whatever order, from however many threads.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use proptest::prelude::*;
use stockade::limits::{Claim, Key, Limit, MAX_CLAIMS};

use super::{SECOND, buckets, left, limit};

#[test]
fn a_refusal_by_one_limit_charges_none_of_the_others() {
    let ours = buckets(1024);
    let wide = Claim::new(ours.keys().client("wide", "a"), limit(100, 1000, 100));
    let narrow = Claim::new(ours.keys().client("narrow", "a"), limit(1, 1000, 1));
    assert!(ours.check(&[wide, narrow], SECOND).is_allowed());
    for _ in 0..50 {
        let verdict = ours.check(&[wide, narrow], SECOND);
        assert!(!verdict.is_allowed() && verdict.is_violated(1) && !verdict.is_violated(0));
        assert_eq!(verdict.tightest.unwrap().index, 1);
        assert_eq!(verdict.retry_after_secs(), Some(1));
    }
    assert_eq!(left(&ours, wide, SECOND), 99);
}

#[test]
fn the_wait_of_a_refusal_is_the_longest_of_all_that_refused() {
    let ours = buckets(1024);
    let minute = Claim::new(ours.keys().client("minute", "a"), limit(1, 60_000, 1));
    let second = Claim::new(ours.keys().client("second", "a"), limit(1, 1000, 1));
    assert!(ours.check(&[second, minute], SECOND).is_allowed());
    let verdict = ours.check(&[second, minute], SECOND + 1);
    assert!(verdict.is_violated(0) && verdict.is_violated(1));
    assert_eq!(verdict.retry_after_secs(), Some(60));
    assert_eq!(ours.check(&[second, minute], SECOND + 1_000_000_000).retry_after_secs(), Some(59));
}

#[test]
fn a_dry_run_reports_and_never_refuses() {
    let ours = buckets(1024);
    let real = Claim::new(ours.keys().client("real", "a"), limit(1, 1000, 10));
    let trial = Claim::new(ours.keys().client("trial", "a"), limit(1, 1000, 2)).dry_run(true);
    for i in 0..10 {
        let verdict = ours.check(&[trial, real], SECOND);
        assert!(verdict.is_allowed());
        assert_eq!((verdict.would_violate(0), verdict.would_violate_any()), (i >= 2, i >= 2));
        assert_eq!(
            verdict.tightest.unwrap().index,
            usize::from(i >= 2),
            "a dry run that is over says nothing to callers"
        );
    }
    let refused = ours.check(&[trial, real], SECOND);
    assert!(!refused.is_allowed() && refused.is_violated(1) && !refused.is_violated(0));
    // The refusal charged the dry run nothing: two units in two seconds are back.
    assert!(!ours.check(&[trial], SECOND + 2_000_000_000).would_violate_any());
    assert!(ours.check(&[trial], SECOND).is_allowed());
}

#[test]
fn one_bucket_claimed_twice_is_charged_twice() {
    let ours = buckets(1024);
    let claim = Claim::new(ours.keys().client("x", "a"), limit(1, 1000, 5));
    assert!(ours.check(&[claim, claim.costing(2)], SECOND).is_allowed());
    assert_eq!(left(&ours, claim, SECOND), 2);
    let verdict = ours.check(&[claim.costing(2), claim], SECOND);
    assert!(verdict.is_violated(1) && !verdict.is_violated(0));
    assert_eq!(left(&ours, claim, SECOND), 2);
}

#[test]
fn no_claim_is_allowed_and_more_than_can_be_checked_are_refused() {
    let ours = buckets(1024);
    assert!(ours.check(&[], SECOND).is_allowed());
    let claims: Vec<_> =
        (0..=MAX_CLAIMS).map(|i| Claim::new(ours.keys().other("x", &i.to_string()), limit(1, 1, 9))).collect();
    assert!(ours.check(&claims[..MAX_CLAIMS], SECOND).is_allowed());
    assert!(!ours.check(&claims, SECOND).is_allowed());
    assert_eq!(left(&ours, claims[0], SECOND), 8);
}

#[test]
fn looking_costs_nothing() {
    let ours = buckets(1024);
    let claim = Claim::new(ours.keys().client("x", "a"), limit(1, 1000, 1));
    for _ in 0..3 {
        assert!(ours.peek(&[claim], SECOND).is_allowed());
        assert!(ours.check(&[claim.costing(0)], SECOND).is_allowed());
        assert!(ours.peek(&[claim, claim.costing(0)], SECOND).is_allowed());
    }
    assert!(ours.check(&[claim], SECOND).is_allowed());
    assert!(!ours.check(&[claim], SECOND).is_allowed());
}

proptest! {
    /// However claims are grouped, each bucket is charged exactly for the checks that passed.
    #[test]
    fn each_bucket_is_charged_for_what_passed_and_nothing_else(
        checks in proptest::collection::vec(proptest::collection::vec((0_usize..5, 1_u32..4), 1..6), 1..60)
    ) {
        let ours = buckets(1024);
        let bursts = [3, 7, 20, 50, 100];
        let claims: Vec<Claim> = bursts.iter().enumerate()
            .map(|(i, burst)| Claim::new(ours.keys().other("x", &i.to_string()), limit(1, 1000, *burst)))
            .collect();
        let mut charged = [0_u32; 5];
        for check in checks {
            let asked: Vec<Claim> = check.iter().map(|(which, cost)| claims[*which].costing(*cost)).collect();
            let mut wanted = charged;
            for (which, cost) in &check {
                wanted[*which] += cost;
            }
            let fits = wanted.iter().zip(&bursts).all(|(w, b)| w <= b);
            prop_assert_eq!(ours.check(&asked, SECOND).is_allowed(), fits);
            if fits {
                charged = wanted;
            }
            for ((claim, charged), burst) in claims.iter().zip(&charged).zip(&bursts) {
                prop_assert_eq!(left(&ours, *claim, SECOND), burst - charged);
            }
        }
    }
}

/// Threads that claim overlapping sets in different orders neither deadlock nor let more through than there is.
#[test]
fn threads_together_get_exactly_what_the_buckets_hold() {
    const BURST: u32 = 500;
    let ours = Arc::new(buckets(4096));
    let keys: Vec<Key> = (0..6).map(|i| ours.keys().other("x", &i.to_string())).collect();
    let rate = limit(1, 3_600_000, BURST);
    let passed: Arc<Vec<AtomicU32>> = Arc::new((0..6).map(|_| AtomicU32::new(0)).collect());
    std::thread::scope(|scope| {
        for thread in 0..4_usize {
            let (ours, keys, passed) = (Arc::clone(&ours), keys.clone(), Arc::clone(&passed));
            scope.spawn(move || {
                for i in 0..3000_usize {
                    let which = [(thread + i) % 6, (thread + 2 * i + 1) % 6, (i * i) % 6];
                    let claims: Vec<_> = which.iter().map(|w| Claim::new(keys[*w], rate)).collect();
                    if ours.check(&claims, SECOND).is_allowed() {
                        for w in which {
                            passed[w].fetch_add(1, Ordering::Relaxed);
                        }
                    }
                }
            });
        }
    });
    for (key, passed) in keys.iter().zip(passed.iter()) {
        assert_eq!(passed.load(Ordering::Relaxed) + left(&ours, Claim::new(*key, rate), SECOND), BURST);
    }
}

#[test]
fn a_caller_that_was_held_up_after_reading_the_clock_is_forgiven_nothing() {
    let ours = buckets(64);
    let claim = Claim::new(ours.keys().client("x", "a"), Limit::per_second(1000, 10).unwrap());
    let now = 5 * SECOND;
    assert!((0..10).all(|_| ours.check(&[claim], now).is_allowed()));
    for late in [1, 500_000, 50_000_000, 900_000_000] {
        assert!(!ours.check(&[claim], now - late).is_allowed());
        assert!(!ours.check(&[claim, claim], now - late).is_allowed());
        assert_eq!(left(&ours, claim, now), 0, "{late} ns late");
    }
    assert_eq!(ours.check(&[claim], now).tightest.unwrap().wait_ns, Some(1_000_000));
}

/// One key, many threads, a clock that moves: burst and rate hold as they do alone.
#[test]
fn a_contended_key_passes_what_its_rate_allows() {
    let ours = Arc::new(buckets(64));
    let rate = Limit::per_second(1000, 10).unwrap();
    let claim = Claim::new(ours.keys().client("x", "hot"), rate);
    let (now, passed) = (AtomicU64::new(SECOND), AtomicU32::new(0));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..5000 {
                    let at = now.fetch_add(10_000, Ordering::Relaxed);
                    if ours.check(&[claim], at).is_allowed() {
                        passed.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    // 20,000 steps of 10 us are 200 ms: 200 units and the burst.
    let passed = passed.load(Ordering::Relaxed);
    assert!((200..=210).contains(&passed), "{passed}");
}
