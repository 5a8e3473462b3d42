//! Comparison in constant time.

/// Whether both are equal. The time depends on the lengths alone (`make bench` measures it); different lengths are unequal.
pub fn equal(a: &[u8], b: &[u8]) -> bool {
    aws_lc_rs::constant_time::verify_slices_are_equal(a, b).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn b4_equal_means_equal_wherever_the_difference_is() {
        let base = [7_u8; 64];
        for at in 0..base.len() {
            let mut other = base;
            other[at] ^= 1;
            assert!(!equal(&base, &other), "a difference at {at}");
        }
        assert!(equal(b"", b""));
        assert!(equal(b"secret", b"secret"));
        assert!(!equal(b"secret", b"secreT"));
        assert!(!equal(b"secret", b"secre"));
        assert!(!equal(b"Secret", b"secret"));
    }
}
