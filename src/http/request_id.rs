//! `X-Request-ID`: the caller's when it is sane, one of ours otherwise. Every answer, log line and event of a request has it.

use std::sync::Arc;

use http::{HeaderMap, HeaderName};

use crate::base::{Rng, Timestamp, id};

/// `X-Request-ID`.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Longest id that is taken over, in bytes.
const LONGEST: usize = 128;

/// The id of a request: the one it came with if that is one line of 1 to 128 characters of `A-Z a-z 0-9 - _ . : / + =`,
/// otherwise a new one.
pub fn of(headers: &HeaderMap, now: Timestamp, random: &dyn Rng) -> Arc<str> {
    let mut lines = headers.get_all(REQUEST_ID).iter();
    match (lines.next().map(|l| l.as_bytes()), lines.next()) {
        (Some(line), None) if is_sane(line) => match std::str::from_utf8(line) {
            Ok(text) => Arc::from(text),
            Err(_) => fresh(now, random),
        },
        _ => fresh(now, random),
    }
}

fn fresh(now: Timestamp, random: &dyn Rng) -> Arc<str> {
    Arc::from(id::new("req", now, random))
}

fn is_sane(line: &[u8]) -> bool {
    let allowed = |b: &u8| b.is_ascii_alphanumeric() || b"-_.:/+=".contains(b);
    (1..=LONGEST).contains(&line.len()) && line.iter().all(allowed)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;
    use crate::base::SeededRng;

    fn id(lines: &[&[u8]]) -> Arc<str> {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(REQUEST_ID, HeaderValue::from_bytes(line).unwrap());
        }
        of(&headers, Timestamp::from_secs(1), &SeededRng::new(1))
    }

    #[test]
    fn a_sane_id_is_kept_and_any_other_replaced() {
        let longest = [b'a'; LONGEST];
        for line in [&b"a"[..], b"0b4ec6f2-6d11-4b9e-9c3c-6c1f6f4a2d10", b"1-67a:b/c+d=_.", &longest] {
            assert_eq!(id(&[line]).as_bytes(), line);
        }
        let too_long = "a".repeat(LONGEST + 1);
        for line in ["", &too_long, "a b", "a\"b", "{}", "a,b", "a;b", "\u{fc}"] {
            let made = id(&[line.as_bytes()]);
            assert!(made.starts_with("req_") && made.len() == 30, "{line} gave {made}");
        }
        for lines in [&[][..], &[&b"a"[..], b"a"]] {
            let made = id(lines);
            assert!(made.starts_with("req_") && made.len() == 30, "{lines:?} gave {made}");
        }
    }
}
