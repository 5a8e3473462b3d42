//! One bucket's check against governor's, and a flood of keys.

use std::hint::black_box;
use std::num::NonZeroU32;
use std::process::Command;
use std::time::Duration;

use governor::{Quota, RateLimiter};
use stockade::base::{Clock as _, SystemClock, SystemRng};
use stockade::limits::{Buckets, Claim, Limit, Settings};

use crate::report::{Bound, Report};
use crate::timing::{interleaved, resident_mib};

const KEYS: usize = 10_000;
const CHECKS: usize = 1_000_000;

/// Adds the lines of the buckets.
pub(crate) fn measure(report: &mut Report) {
    let rate = NonZeroU32::new(1_000_000).expect("not zero");
    let governor = RateLimiter::keyed(Quota::per_second(rate));
    let governor_named = RateLimiter::keyed(Quota::per_second(rate));
    let buckets = Buckets::new(Settings::default(), &SystemRng);
    let limit = Limit::per_second(1_000_000, 1_000_000).expect("a limit");
    let names: Vec<String> = (0..KEYS).map(|n| format!("client-{n:06}")).collect();
    let keys: Vec<_> = names.iter().map(|name| buckets.keys().client("tier", name)).collect();
    // A fixed order that visits every key and follows no pattern the processor could learn.
    let order: Vec<usize> = (0..KEYS).map(|n| (n * 7919) % KEYS).collect();
    let turns = || order.iter().cycle().take(CHECKS);

    let timed = interleaved(
        7,
        &mut [
            &mut || turns().for_each(|n| drop(black_box(governor.check_key(&(*n as u64))))),
            &mut || turns().for_each(|n| drop(black_box(governor_named.check_key(&names[*n])))),
            &mut || {
                turns().for_each(|n| {
                    black_box(buckets.check(&[Claim::new(keys[*n], limit)], SystemClock.monotonic_ns()));
                });
            },
            &mut || {
                turns().for_each(|n| {
                    let key = buckets.keys().client("tier", &names[*n]);
                    black_box(buckets.check(&[Claim::new(key, limit)], SystemClock.monotonic_ns()));
                });
            },
        ],
    );
    let ns: Vec<f64> = timed.iter().map(|time| time.as_nanos() as f64 / CHECKS as f64).collect();
    let name = "one bucket, 10,000 keys: check against governor keyed";
    report.line(name, "ns", ns[2], ns[0], Bound::AtMost(1.5));
    report.line("the same, the key made from a client's id", "ns", ns[3], ns[1], Bound::Free);

    let [bytes_a_key] = alone("keys");
    report.line("1,000,000 live keys", "bytes a key", bytes_a_key, 64.0, Bound::AtMost(1.0));
    let [mib, freed] = alone("flood");
    report.line("10,000,000 distinct keys in 60 s", "MB", mib * 1.048_576, 150.0, Bound::AtMost(1.0));
    report.line("throttled keys freed meanwhile, plus one", "keys", freed + 1.0, 1.0, Bound::AtMost(1.0));
}

/// What this program says when it is run as `act`: in a process of its own, whose memory is that alone.
fn alone<const N: usize>(act: &str) -> [f64; N] {
    let own = std::env::current_exe().expect("this program");
    // What growth freed goes back at once instead of within the allocator's delay: the question is what the keys hold.
    let output = Command::new(own).arg(act).env("MIMALLOC_PURGE_DELAY", "0").output().expect("it runs again");
    let text = String::from_utf8(output.stdout).expect("text");
    let said: Vec<f64> = text.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    said.try_into().unwrap_or_else(|_| panic!("`{act}` printed `{text}`"))
}

/// A million buckets that are not full: bytes of memory for each.
pub(crate) fn keys() -> String {
    let before = resident_mib();
    let buckets = Buckets::new(Settings { capacity: 1 << 21, ..Settings::default() }, &SystemRng);
    let slow = Limit::new(1, Duration::from_secs(3600), 1).expect("a limit");
    for n in 0..1_000_000_u32 {
        buckets.check(&[Claim::new(buckets.keys().v4("flood", n.into()), slow)], 1_000_000_000);
    }
    let live = buckets.stats(1_000_000_000).live;
    assert!(live >= 999_000, "only {live} of 1,000,000 keys are held");
    format!("{:.1}", (resident_mib() - before) * 1_048_576.0 / live as f64)
}

/// The flood: MiB at its end, and how many throttled keys were let through again.
pub(crate) fn flood() -> String {
    let before = resident_mib();
    let minute = Duration::from_secs(60);
    let buckets = Buckets::new(Settings::default(), &SystemRng);
    let slow = Limit::new(1, minute * 60, 1).expect("a limit");
    let quick = Limit::per_second(20, 40).expect("a limit");
    let throttled: Vec<_> = (0..1000).map(|n| buckets.keys().client("throttled", &n.to_string())).collect();
    let at = |n: u64| 1_000_000_000 + n * 6_000;
    for key in &throttled {
        assert!(buckets.check(&[Claim::new(*key, slow)], at(0)).is_allowed());
        assert!(!buckets.check(&[Claim::new(*key, slow)], at(0)).is_allowed());
    }
    for n in 0..10_000_000_u64 {
        let address = u32::try_from(n).expect("an address").into();
        buckets.check(&[Claim::new(buckets.keys().v4("flood", address), quick)], at(n));
    }
    let end = at(10_000_000);
    let freed = throttled.iter().filter(|key| buckets.check(&[Claim::new(**key, slow)], end).is_allowed()).count();
    format!("{:.1} {freed}", resident_mib() - before)
}
