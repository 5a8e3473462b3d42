//! Base 32 without padding: what authenticator apps read (RFC 4648 6), and Crockford's alphabet for what people copy by hand.

/// RFC 4648 6.
pub const RFC4648: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
/// Crockford's: no I, L, O, U.
pub const CROCKFORD: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// `data` in `alphabet`, five bits a character; the last one is filled up with zeros.
pub fn encode(alphabet: &[u8; 32], data: &[u8]) -> String {
    let mut out = String::with_capacity((data.len() * 8).div_ceil(5));
    let (mut held, mut bits) = (0_u32, 0_u32);
    let mut put = |value: u32| {
        let digit = usize::try_from(value & 31).ok().and_then(|at| alphabet.get(at));
        out.push(char::from(digit.copied().unwrap_or(b'0')));
    };
    for byte in data {
        held = held << 8 | u32::from(*byte);
        bits += 8;
        while bits >= 5 {
            bits -= 5;
            put(held >> bits);
        }
    }
    if bits > 0 {
        put(held << (5 - bits));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_examples_of_rfc_4648_10() {
        for (plain, encoded) in [
            ("", ""),
            ("f", "MY"),
            ("fo", "MZXQ"),
            ("foo", "MZXW6"),
            ("foob", "MZXW6YQ"),
            ("fooba", "MZXW6YTB"),
            ("foobar", "MZXW6YTBOI"),
        ] {
            assert_eq!(encode(RFC4648, plain.as_bytes()), encoded);
        }
    }

    #[test]
    fn crockford_has_nothing_that_looks_like_something_else() {
        let all: Vec<u8> = (0..=255).collect();
        assert!(!encode(CROCKFORD, &all).contains(['i', 'l', 'o', 'u']));
    }
}
