//! W3C Trace Context: a request continues the trace it came with, or starts one.

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::base::{Rng, rng};

/// `traceparent`.
pub const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// Where a request stands in a trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trace {
    /// The trace, 16 bytes, never all zero.
    pub trace_id: [u8; 16],
    /// Our span in it, 8 bytes, never all zero.
    pub span_id: [u8; 8],
    /// The caller's span; `None` when the trace starts here.
    pub parent_id: Option<[u8; 8]>,
    /// Whether the trace is being recorded.
    pub sampled: bool,
}

impl Trace {
    /// Continues the trace of `headers` with a new span, or starts a trace when there is none or it does not parse.
    pub fn enter(headers: &HeaderMap, random: &dyn Rng) -> Self {
        let mut lines = headers.get_all(TRACEPARENT).iter();
        let incoming = match (lines.next(), lines.next()) {
            (Some(line), None) => parse(line.as_bytes()),
            _ => None,
        };
        let span_id = nonzero(random);
        match incoming {
            Some((trace_id, parent_id, sampled)) => Self { trace_id, span_id, parent_id: Some(parent_id), sampled },
            None => Self { trace_id: nonzero(random), span_id, parent_id: None, sampled: false },
        }
    }

    /// The trace id as 32 hex digits.
    pub fn trace_hex(&self) -> String {
        hex(&self.trace_id)
    }

    /// The value to send on: our span as parent.
    pub fn header(&self) -> HeaderValue {
        // 00-trace-span-flags, without a string on the way: every answer has one.
        let mut text = *b"00-00000000000000000000000000000000-0000000000000000-00";
        let (trace, span) = (self.trace_id.iter().flat_map(digits), self.span_id.iter().flat_map(digits));
        for (to, from) in text.iter_mut().skip(3).zip(trace) {
            *to = from;
        }
        for (to, from) in text.iter_mut().skip(36).zip(span) {
            *to = from;
        }
        if let Some(last) = text.last_mut() {
            *last = if self.sampled { b'1' } else { b'0' };
        }
        HeaderValue::from_bytes(&text).unwrap_or_else(|_| HeaderValue::from_static(""))
    }
}

fn nonzero<const N: usize>(random: &dyn Rng) -> [u8; N] {
    let mut bytes = rng::bytes::<N>(random);
    if bytes.iter().all(|b| *b == 0)
        && let Some(last) = bytes.last_mut()
    {
        *last = 1;
    }
    bytes
}

/// A byte as two lower-case hex digits.
fn digits(byte: &u8) -> [u8; 2] {
    let digit = |n: u8| if n < 10 { b'0' + n } else { b'a' + (n - 10) };
    [digit(byte >> 4), digit(byte & 15)]
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().flat_map(digits).map(char::from).collect()
}

fn unhex<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    // Upper case is not allowed (Trace Context 3.2).
    let value = |b: u8| match b {
        b'0'..=b'9' => Some(b - b'0'),
        b'a'..=b'f' => Some(b - b'a' + 10),
        _ => None,
    };
    let mut out = [0; N];
    let (pairs, rest) = text.as_chunks::<2>();
    if !rest.is_empty() || pairs.len() != N {
        return None;
    }
    for (to, [high, low]) in out.iter_mut().zip(pairs) {
        *to = value(*high)? << 4 | value(*low)?;
    }
    Some(out)
}

/// Version, trace id, parent id, flags. Later versions may carry more behind a dash; version ff is none.
fn parse(line: &[u8]) -> Option<([u8; 16], [u8; 8], bool)> {
    let (head, more) = line.split_at_checked(55)?;
    let mut parts = head.split(|b| *b == b'-');
    let [version] = unhex::<1>(parts.next()?)?;
    let trace_id = unhex::<16>(parts.next()?)?;
    let parent_id = unhex::<8>(parts.next()?)?;
    let [flags] = unhex::<1>(parts.next()?)?;
    let longer = more.first().is_some_and(|b| *b == b'-') && version > 0;
    let whole = parts.next().is_none() && version != 0xff && (more.is_empty() || longer);
    let named = trace_id != [0; 16] && parent_id != [0; 8];
    (whole && named).then_some((trace_id, parent_id, flags & 1 == 1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::SeededRng;

    const GOOD: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn enter(lines: &[&str]) -> Trace {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(TRACEPARENT, HeaderValue::from_str(line).unwrap());
        }
        Trace::enter(&headers, &SeededRng::new(1))
    }

    #[test]
    fn a_trace_is_continued_with_a_span_of_our_own() {
        let trace = enter(&[GOOD]);
        assert_eq!(trace.trace_hex(), "4bf92f3577b34da6a3ce929d0e0e4736");
        assert_eq!(trace.parent_id.map(|p| hex(&p)).as_deref(), Some("00f067aa0ba902b7"));
        let sent = trace.header();
        let sent = sent.to_str().unwrap();
        assert!(sent.starts_with("00-4bf92f3577b34da6a3ce929d0e0e4736-") && sent.ends_with("-01"), "{sent}");
        assert!(!sent.contains("00f067aa0ba902b7"));
        assert_eq!(parse(sent.as_bytes()).map(|(_, parent, _)| parent), Some(trace.span_id));
    }

    #[test]
    fn a_header_that_is_none_starts_a_new_trace() {
        let upper = GOOD.to_uppercase();
        let longer = format!("{GOOD}-more");
        for lines in [
            &[][..],
            &[GOOD, GOOD],
            &[""],
            &[&upper],
            &[&longer],
            &["ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"],
            &["00-00000000000000000000000000000000-00f067aa0ba902b7-01"],
            &["00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01"],
            &["00-4bf92f3577b34da6a3ce929d0e0e473-00f067aa0ba902b7-001"],
            &["00_4bf92f3577b34da6a3ce929d0e0e4736_00f067aa0ba902b7_01"],
        ] {
            let trace = enter(lines);
            assert_eq!(trace.parent_id, None, "{lines:?}");
            assert_ne!(trace.trace_hex(), "4bf92f3577b34da6a3ce929d0e0e4736", "{lines:?}");
        }
    }

    #[test]
    fn a_later_version_with_more_behind_it_is_understood() {
        let trace = enter(&["01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-what-ever"]);
        assert_eq!(trace.trace_hex(), "4bf92f3577b34da6a3ce929d0e0e4736");
    }
}
