//! The compare of secrets: its time must not say where the first difference is.

use std::hint::black_box;

use stockade::crypto::compare::equal;

use crate::report::{Bound, Report};
use crate::timing::interleaved;

const LEN: usize = 1 << 20;

/// Adds the line of the constant-time compare.
pub(crate) fn measure(report: &mut Report) {
    let base = vec![7_u8; LEN];
    let (mut early, mut late) = (base.clone(), base.clone());
    early[0] ^= 1;
    late[LEN - 1] ^= 1;
    let differs = |other: &[u8]| assert!(!black_box(equal(black_box(&base), black_box(other))));
    let times = interleaved(60, &mut [&mut || differs(&late), &mut || differs(&early)]);
    let us: Vec<f64> = times.iter().map(|time| time.as_nanos() as f64 / 1000.0).collect();
    let name = "compare of 1 MiB: first difference at the end against at the start";
    report.line(name, "us", us[0], us[1], Bound::AtMost(1.5));
}
