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

/// The 128 bits of an identifier with this prefix, for those who want a number. `None` when it is none of [`new`]'s.
pub fn number(prefix: &str, id: &str) -> Option<u128> {
    let digits = id.strip_prefix(prefix)?.strip_prefix('_')?;
    let mut value = 0_u128;
    for digit in digits.bytes() {
        let digit = ALPHABET.iter().position(|known| *known == digit)?;
        value = value.checked_mul(32)?.checked_add(u128::try_from(digit).ok()?)?;
    }
    (digits.len() == 26).then_some(value)
}

/// The identifier that [`number`] gives this number of.
pub fn from_number(prefix: &str, value: u128) -> String {
    let mut out = format!("{prefix}_");
    for i in (0..26).rev() {
        push(&mut out, u64::try_from(value >> (5 * i) & 31).unwrap_or(0), 1);
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

    #[test]
    fn an_identifier_is_a_number_and_back() {
        let id = new("usr", Timestamp::from_secs(1_700_000_000), &SeededRng::new(1));
        assert_eq!(from_number("usr", number("usr", &id).unwrap()), id);
        assert_eq!(number("usr", &from_number("usr", u128::MAX)), Some(u128::MAX));
        let (short, long) = (id.replace("usr", "ses"), format!("{id}0"));
        for other in ["", "usr_", "usr_ada", "ses_01J9", &short, &long, &id.to_lowercase()] {
            assert_eq!(number("usr", other), None, "{other}");
        }
        assert_eq!(number("usr", "usr_ZZZZZZZZZZZZZZZZZZZZZZZZZZ"), None, "130 bits");
    }
}
