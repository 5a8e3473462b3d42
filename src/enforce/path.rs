//! Paths that mean the same to everyone. A guard that decides on `/public/..%2fadmin` and an upstream that serves `/admin`
//! disagree about what was asked, so a path that is not in normal form is refused before anything else looks at it.

/// Whether `path` is in normal form: it begins with `/`, has no empty, `.` or `..` segment, no `\`, no `;` (path
/// parameters, which some upstreams cut off), nothing outside ASCII or below space, and its percent-encodings are upper
/// case and stand for nothing that could be written plainly, nor for `/`, `\`, `%` or a control character.
pub fn is_normal(path: &str) -> bool {
    let Some(rest) = path.strip_prefix('/') else { return false };
    let segments = rest.split('/');
    let last = rest.matches('/').count();
    segments.enumerate().all(|(at, segment)| {
        // A final slash is a path of its own; the route map tells it from the one without.
        (at == last || !segment.is_empty()) && segment != "." && segment != ".." && is_plain(segment)
    })
}

fn is_plain(segment: &str) -> bool {
    let mut bytes = segment.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'%' => match (bytes.next().and_then(hex), bytes.next().and_then(hex)) {
                (Some(high), Some(low)) if may_be_encoded(high << 4 | low) => {}
                _ => return false,
            },
            b'\\' | b';' | b'?' | b'#' => return false,
            b'!'..=b'~' => {}
            _ => return false,
        }
    }
    true
}

fn may_be_encoded(byte: u8) -> bool {
    let plain = byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~');
    !plain && !matches!(byte, b'/' | b'\\' | b'%' | 0..=0x1f | 0x7f)
}

fn hex(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_two_programs_could_read_differently_is_not_normal() {
        for path in ["/", "/a", "/a/", "/a/b-c_d~e.f", "/a/%20b", "/a/%C3%A9", "/a/b:c@d", "/a/...", "/a/b=c&d,e"] {
            assert!(is_normal(path), "{path}");
        }
        for path in [
            "",
            "a",
            "*",
            "//admin",
            "/a//b",
            "/a/.",
            "/a/..",
            "/a/../admin",
            "/a/./b",
            "/a/%2e%2e/admin",
            "/a/%2E/admin",
            "/a/..%2fadmin",
            "/a%2Fadmin",
            "/a%5Cadmin",
            "/a\\admin",
            "/a;x/../admin",
            "/a;x=1/b",
            "/a/%252e%252e/admin",
            "/a%00",
            "/a%0A",
            "/a%7F",
            "/%61dmin",
            "/%c3%a9",
            "/a%",
            "/a%2",
            "/a%zz",
            "/a b",
            "/a\u{e9}",
            "/a\u{7f}",
            "/a#b",
            "/a?b",
            "http://elsewhere/a",
        ] {
            assert!(!is_normal(path), "{path}");
        }
    }
}
