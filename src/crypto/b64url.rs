//! base64url without padding (RFC 4648 5, RFC 7515 2), one spelling per value.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// Encodes.
pub fn encode(data: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(data)
}

/// Encodes onto the end of `out`.
pub fn encode_onto(data: &[u8], out: &mut String) {
    URL_SAFE_NO_PAD.encode_string(data, out);
}

/// How many characters `bytes` bytes take.
pub const fn encoded_len(bytes: usize) -> usize {
    bytes.saturating_mul(4).div_ceil(3)
}

/// Decodes. `None` for padding, line breaks, the other alphabet, and trailing bits that are not zero: of two texts
/// that differ, at most one decodes to a given value, so that a token cannot be respelled.
pub fn decode_strict(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}

/// Decodes exactly `N` bytes, under the same rules.
pub fn decode_array<const N: usize>(text: &str) -> Option<[u8; N]> {
    decode_strict(text)?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_the_one_spelling_decodes() {
        assert_eq!(decode_strict("AQ"), Some(vec![1]));
        for other in ["AQ==", "AR", "AQ\n", " AQ", "A", "+/8", "AQ="] {
            assert_eq!(decode_strict(other), None, "`{other}`");
        }
    }

    proptest! {
        #[test]
        fn what_decodes_encodes_back_to_itself(text in "[A-Za-z0-9_=+/ -]{0,40}") {
            if let Some(bytes) = decode_strict(&text) {
                prop_assert_eq!(encode(&bytes), text);
            }
        }

        #[test]
        fn everything_round_trips_and_the_length_is_known(data in proptest::collection::vec(any::<u8>(), 0..200)) {
            let text = encode(&data);
            prop_assert_eq!(text.len(), encoded_len(data.len()));
            prop_assert_eq!(decode_strict(&text), Some(data));
        }
    }
}
