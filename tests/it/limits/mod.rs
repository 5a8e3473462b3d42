//! Tests of `limits`.

mod fields;
mod flood;
mod ladder;
mod oracle;
mod together;

use stockade::base::SeededRng;
use stockade::limits::{Buckets, Claim, Limit, Settings};

/// A table of its own.
fn buckets(capacity: usize) -> Buckets {
    Buckets::new(Settings { capacity, ..Settings::default() }, &SeededRng::new(1))
}

fn limit(units: u32, per_ms: u64, burst: u32) -> Limit {
    Limit::new(units, std::time::Duration::from_millis(per_ms), burst).expect("a limit")
}

/// What is left in a claim's bucket.
fn left(buckets: &Buckets, claim: Claim, now: u64) -> u32 {
    buckets.peek(&[claim.costing(0)], now).tightest.expect("one claim").remaining()
}

const SECOND: u64 = 1_000_000_000;
