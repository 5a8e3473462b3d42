//! Clocks of the benchmark.

use std::time::{Duration, Instant};

/// Runs each of `cases` in turn, `rounds` times over, and gives the least time of each: A B A B, so that what disturbs
/// one disturbs the other.
pub(crate) fn interleaved(rounds: usize, cases: &mut [&mut dyn FnMut()]) -> Vec<Duration> {
    let mut least = vec![Duration::MAX; cases.len()];
    for _ in 0..rounds {
        for (case, least) in cases.iter_mut().zip(&mut least) {
            let begun = Instant::now();
            case();
            *least = begun.elapsed().min(*least);
        }
    }
    least
}

/// The median time of single calls, in microseconds.
pub(crate) fn p50_us(calls: usize, mut call: impl FnMut()) -> f64 {
    let mut times: Vec<Duration> = (0..calls)
        .map(|_| {
            let begun = Instant::now();
            call();
            begun.elapsed()
        })
        .collect();
    times.sort_unstable();
    times[calls / 2].as_nanos() as f64 / 1000.0
}

/// Resident memory of this process in MiB.
pub(crate) fn resident_mib() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("its status");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("VmRSS");
    let kib: f64 = line.split_whitespace().nth(1).and_then(|n| n.parse().ok()).expect("a number");
    kib / 1024.0
}
