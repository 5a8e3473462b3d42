//! Identifiers: a kind prefix and 26 characters that sort by time (48 bits of milliseconds, 80 of randomness, in
//! Crockford base 32: the ULID layout). An identifier is public; it never serves as a secret.

use super::{Rng, Timestamp, rng};

const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/// A new identifier, `prefix` and `_` included: `id::new("evt", ..)` gives `evt_01J9…`.
pub fn new(prefix: &str, now: Timestamp, random: &dyn Rng) -> String {
    let mut out = String::with_capacity(prefix.len() + 27);
    out.push_str(prefix);
    out.push('_');
    let millis = u64::try_from(now.as_micros() / 1000).unwrap_or(0) & ((1 << 48) - 1);
    push(&mut out, millis, 10);
    for _ in 0..2 {
        let [a, b, c, d, e] = rng::bytes::<5>(random);
        push(&mut out, u64::from_be_bytes([0, 0, 0, a, b, c, d, e]), 8);
    }
    out
}

/// The lowest `digits` digits of `value`.
fn push(out: &mut String, value: u64, digits: u32) {
    for i in (0..digits).rev() {
        let digit = usize::try_from((value >> (5 * i)) & 31).unwrap_or(0);
        out.push(char::from(ALPHABET.get(digit).copied().unwrap_or(b'0')));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::SeededRng;

    #[test]
    fn later_identifiers_sort_later() {
        let random = SeededRng::new(1);
        let a = new("evt", Timestamp::from_secs(1_700_000_000), &random);
        let b = new("evt", Timestamp::from_secs(1_700_000_001), &random);
        assert!(a < b, "{a} < {b}");
        assert_eq!(a.len(), 30);
    }
}
