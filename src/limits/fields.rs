//! What a caller reads about its limits: `RateLimit` and `RateLimit-Policy` (draft-ietf-httpapi-ratelimit-headers-11), both
//! structured-field lists of strings (RFC 9651), `Retry-After` (RFC 9110 10.2.3), and the problem types of that draft.

use std::fmt::Write as _;

use http::{HeaderMap, HeaderName, HeaderValue, header};

use super::buckets::{Standing, Verdict};
use super::rate::Limit;

/// `RateLimit`.
pub const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
/// `RateLimit-Policy`.
pub const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
/// Problem type of a 429: a quota was used up.
pub const QUOTA_EXCEEDED: &str = "https://iana.org/assignments/http-problem-types#quota-exceeded";
/// Problem type of a 503: the service takes less than usual for now.
pub const TEMPORARY_REDUCED_CAPACITY: &str =
    "https://iana.org/assignments/http-problem-types#temporary-reduced-capacity";
/// Problem type of a 429: the pattern of calls looks wrong.
pub const ABNORMAL_USAGE_DETECTED: &str = "https://iana.org/assignments/http-problem-types#abnormal-usage-detected";
/// Member of those problems that names the policies concerned.
pub const VIOLATED_POLICIES: &str = "violated-policies";

/// Largest integer of a structured field (RFC 9651 3.3.1).
const LARGEST: u64 = 999_999_999_999_999;

/// One item of `RateLimit-Policy`: the burst is the quota, the time an empty bucket takes to fill is the window.
pub fn policy(name: &str, limit: Limit) -> String {
    let window = limit.fill_ns().div_ceil(1_000_000_000).clamp(1, LARGEST);
    format!("{};q={};w={window}", quoted(name), limit.burst())
}

/// One item of `RateLimit`: units left, and the seconds within which no more than those should be used: until the bucket is
/// full, or, when nothing is left, until one more unit is there.
pub fn item(name: &str, standing: &Standing) -> String {
    let ns =
        if standing.remaining() > 0 { standing.full_ns } else { standing.wait_ns.unwrap_or(0).max(standing.next_ns()) };
    let t = ns.div_ceil(1_000_000_000).clamp(1, LARGEST);
    format!("{};r={};t={t}", quoted(name), standing.remaining())
}

/// Sets the fields of one check: the policies that apply (on a refusal only those violated), how the tightest stands, and on
/// a refusal when to come back. `names` are the claims' policies in order, `None` for one that is nobody's business (the
/// coarse bucket, a dry run).
pub fn apply(headers: &mut HeaderMap, names: &[Option<(&str, Limit)>], verdict: &Verdict) {
    let mut list = String::new();
    for (index, (name, limit)) in names.iter().enumerate().filter_map(|(i, n)| n.map(|n| (i, n))) {
        if verdict.is_allowed() || verdict.is_violated(index) {
            let separator = if list.is_empty() { "" } else { ", " };
            // Writing to a string cannot fail.
            let _ = write!(list, "{separator}{}", policy(name, limit));
        }
    }
    if !list.is_empty() {
        set(headers, RATE_LIMIT_POLICY, &list);
    }
    if let Some(standing) = &verdict.tightest
        && let Some((name, _)) = names.get(standing.index).copied().flatten()
    {
        set(headers, RATE_LIMIT, &item(name, standing));
    }
    if let Some(secs) = verdict.retry_after_secs() {
        set(headers, header::RETRY_AFTER, &secs.to_string());
    }
}

/// Names of the policies that refused, for [`VIOLATED_POLICIES`].
pub fn violated<'a>(names: &[Option<(&'a str, Limit)>], verdict: &Verdict) -> Vec<&'a str> {
    names.iter().enumerate().filter(|(i, _)| verdict.is_violated(*i)).filter_map(|(_, n)| n.map(|(n, _)| n)).collect()
}

/// A structured-field String (RFC 9651 3.3.3). What it cannot hold is left out.
fn quoted(name: &str) -> String {
    let mut out = String::with_capacity(name.len() + 2);
    out.push('"');
    for c in name.chars().filter(|c| (' '..='~').contains(c)) {
        if matches!(c, '"' | '\\') {
            out.push('\\');
        }
        out.push(c);
    }
    out.push('"');
    out
}

fn set(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}
