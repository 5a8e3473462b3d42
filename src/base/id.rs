//! Identifiers: a kind prefix and 26 characters that sort by time (48 bits of milliseconds, 80 of randomness, in
//! Crockford base 32: the ULID layout). An identifier is public; it never serves as a secret.

use super::{Rng, Timestamp, rng};

const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/// A new identifier, `prefix` and `_` included: `id::new("evt", ..)` gives `evt_01J9…`.
pub fn new(prefix: &str, now: Timestamp, random: &dyn Rng) -> String {
    let millis = u128::try_from(now.as_micros() / 1000).unwrap_or(0) & ((1 << 48) - 1);
    let mut tail = [0; 16];
    for (to, from) in tail.iter_mut().skip(6).zip(rng::bytes::<10>(random)) {
        *to = from;
    }
    let value = (millis << 80) | u128::from_be_bytes(tail);
    let mut out = String::with_capacity(prefix.len() + 27);
    out.push_str(prefix);
    out.push('_');
    for i in (0..26).rev() {
        let digit = usize::try_from((value >> (5 * i)) & 31).unwrap_or(0);
        out.push(char::from(ALPHABET.get(digit).copied().unwrap_or(b'0')));
    }
    out
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
