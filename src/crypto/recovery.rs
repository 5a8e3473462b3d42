//! Recovery codes: what a person who lost the second factor types instead. 128 random bits each, shown once, stored as
//! SHA-256 (which is enough for 128 random bits), deleted when used.

use super::{base32, sha256};
use crate::base::{Rng, Secret, rng};

/// How many a person gets at once.
pub const COUNT: usize = 10;

/// Characters of 128 bits.
const LENGTH: usize = 26;

/// A new code, in groups for the eye: `xxxxx-xxxxx-xxxxx-xxxxx-xxxxxx`.
pub fn generate(random: &dyn Rng) -> Secret<String> {
    let text = Secret::new(base32::encode(base32::CROCKFORD, &rng::bytes::<16>(random)));
    let mut grouped = String::with_capacity(LENGTH + 4);
    for (at, c) in text.expose().chars().enumerate() {
        if at > 0 && at % 5 == 0 && at < LENGTH - 1 {
            grouped.push('-');
        }
        grouped.push(c);
    }
    Secret::new(grouped)
}

/// What is stored of a code, as it may be typed: case, spaces and dashes do not matter, and O is 0, I and L are 1. `None` when
/// it has not the length of one.
pub fn digest(typed: &str) -> Option<[u8; 32]> {
    let plain = typed.chars().filter(|c| !c.is_whitespace() && *c != '-').take(LENGTH + 1);
    let plain: String = plain
        .map(|c| match c.to_ascii_lowercase() {
            'o' => '0',
            'i' | 'l' => '1',
            other => other,
        })
        .collect();
    let plain = Secret::new(plain);
    (plain.expose().len() == LENGTH).then(|| sha256(plain.expose().as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::SeededRng;

    #[test]
    fn e4_a_code_holds_128_bits_and_is_stored_as_a_digest() {
        let random = SeededRng::new(1);
        let (one, other) = (generate(&random), generate(&random));
        let groups: Vec<_> = one.expose().split('-').map(str::len).collect();
        assert_eq!(groups, [5, 5, 5, 5, 6]);
        assert_ne!(digest(one.expose()), digest(other.expose()));
        assert!(digest(one.expose()).is_some());
    }

    #[test]
    fn a_code_may_be_typed_the_way_it_was_read() {
        let code = generate(&SeededRng::new(3));
        let code = code.expose();
        let wanted = digest(code);
        let loose = format!(" {} ", code.to_uppercase().replace('-', " ").replace('0', "O").replace('1', "l"));
        assert_eq!(digest(&loose), wanted);
        let mut changed = code.clone();
        let last = if changed.pop() == Some('z') { 'y' } else { 'z' };
        changed.push(last);
        assert_ne!(digest(&changed), wanted);
        for bad in ["", "-----", code.get(1..).unwrap(), &format!("{code}0"), "ü"] {
            assert_eq!(digest(bad), None, "{bad}");
        }
    }
}
