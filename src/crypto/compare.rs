//! Comparison in constant time.

/// Whether both are equal. The time depends on the lengths alone; different lengths are unequal.
pub fn equal(a: &[u8], b: &[u8]) -> bool {
    aws_lc_rs::constant_time::verify_slices_are_equal(a, b).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{Clock, SystemClock};

    #[test]
    fn equal_means_equal() {
        assert!(equal(b"", b""));
        assert!(equal(b"secret", b"secret"));
        assert!(!equal(b"secret", b"secreT"));
        assert!(!equal(b"secret", b"secre"));
        assert!(!equal(b"Secret", b"secret"));
    }

    /// How much longer the compare takes when the first difference is at the end than when it is at the start: the
    /// best of many interleaved rounds, so that other work on the machine does not count.
    fn late_over_early(compare: impl Fn(&[u8], &[u8]) -> bool) -> f64 {
        const LEN: usize = 1 << 20;
        let base = vec![7_u8; LEN];
        let (mut early, mut late) = (base.clone(), base.clone());
        early[0] ^= 1;
        late[LEN - 1] ^= 1;
        let clock = SystemClock;
        let time = |other: &[u8]| {
            let start = clock.monotonic_ns();
            assert!(!std::hint::black_box(compare(std::hint::black_box(&base), std::hint::black_box(other))));
            clock.monotonic_ns() - start
        };
        let (mut best_early, mut best_late) = (u64::MAX, u64::MAX);
        for _ in 0..40 {
            best_early = best_early.min(time(&early));
            best_late = best_late.min(time(&late));
        }
        best_late as f64 / best_early.max(1) as f64
    }

    #[test]
    fn b4_the_time_says_nothing_about_where_the_difference_is() {
        let leaky = late_over_early(|a, b| a == b);
        assert!(leaky > 4.0, "the measure must see an early exit: {leaky}");
        let ours = late_over_early(equal);
        assert!((0.5..2.0).contains(&ours), "late over early is {ours}");
    }
}
