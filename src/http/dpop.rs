//! Tokens bound to a key, on the side of the resource (RFC 9449 7): whoever shows one proves, for this request, that it
//! holds the key. A bound token as a bearer token, and a bearer token as a bound one, count for nothing.

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};

use super::bearer::{Presented, Refusal, Scheme};
use crate::base::Timestamp;
use crate::crypto::dpop::{self, Proof, WINDOW, Wanted};
use crate::crypto::nonce::{Nonces, Worth};
use crate::crypto::seen::{First, Seen};
use crate::model::AccessToken;

/// `DPoP`: the proof.
pub const PROOF: HeaderName = HeaderName::from_static("dpop");
/// `DPoP-Nonce`: what the next proof must carry.
pub const NONCE: HeaderName = HeaderName::from_static("dpop-nonce");

/// Proofs remembered at least, to be taken once: 16 MB and more when so many come within two minutes.
const REMEMBERED: usize = 1 << 20;
/// A proof made at the far end of the window counts until the near end of it has passed.
const STAYS: Duration = Duration::from_secs(2 * WINDOW.as_secs() + 1);

/// Checks the proofs of everything that answers in this process.
#[derive(Debug)]
pub struct Proofs {
    nonces: Option<Nonces>,
    seen: Seen,
}

/// Why a request's token does not count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unproven {
    /// What to tell the caller.
    Refused(Refusal),
    /// More proofs came at once than can be remembered: nobody can say whether this one came before.
    Full,
}

impl Proofs {
    /// With `nonces`, proofs must carry one of them (RFC 9449 9).
    pub fn new(nonces: Option<Nonces>) -> Self {
        Self { nonces, seen: Seen::new(REMEMBERED, STAYS) }
    }

    /// The same, remembering fewer.
    #[must_use]
    pub fn remembering(mut self, most: usize) -> Self {
        self.seen = Seen::new(most, STAYS);
        self
    }

    /// Whether the token was shown as it must be, and by whom it must be. `uri` is the request's, absolute, as callers know
    /// it; it is asked for only when there is a proof to compare it with. Gives the nonce to hand out with the answer, when
    /// the one that came is aging.
    ///
    /// # Errors
    /// What to answer instead.
    pub fn check(
        &self,
        presented: &Presented<'_>,
        token: &AccessToken,
        headers: &HeaderMap,
        method: &str,
        uri: impl FnOnce() -> String,
        now: Timestamp,
    ) -> Result<Option<HeaderValue>, Unproven> {
        let jkt = match (presented.scheme, &token.cnf_jkt) {
            (Scheme::Bearer, None) => return Ok(None),
            (Scheme::Bearer, Some(_)) => return Err(Unproven::Refused(Refusal::Token)),
            (Scheme::Dpop, None) => return Err(Unproven::Refused(Refusal::BoundToken)),
            (Scheme::Dpop, Some(jkt)) => jkt,
        };
        let text = only(headers).map_err(|what| Unproven::Refused(Refusal::Proof(what)))?;
        let wanted = Wanted { method, uri: &uri(), token: Some(presented.token) };
        let proof = dpop::verify(text, &wanted, now).map_err(|why| Unproven::Refused(Refusal::Proof(why.as_str())))?;
        // Another key than the token's: a good proof, and of no use.
        if proof.jkt != *jkt {
            return Err(Unproven::Refused(Refusal::BoundToken));
        }
        let next = self.nonce(&proof, now).map_err(Unproven::Refused)?;
        match self.seen.first(&proof.jkt, &proof.jti, now) {
            First::Yes => Ok(next),
            First::Again => {
                Err(Unproven::Refused(Refusal::Proof("the DPoP proof was used before: make one for each request")))
            }
            First::Full => Err(Unproven::Full),
        }
    }

    fn nonce(&self, proof: &Proof, now: Timestamp) -> Result<Option<HeaderValue>, Refusal> {
        let Some(nonces) = &self.nonces else { return Ok(None) };
        match proof.nonce.as_deref().map_or(Worth::Nothing, |nonce| nonces.take(nonce, now)) {
            Worth::Fresh => Ok(None),
            Worth::Aging => Ok(header(nonces.give(now))),
            Worth::Nothing => Err(Refusal::Nonce(nonces.give(now))),
        }
    }
}

fn header(nonce: String) -> Option<HeaderValue> {
    HeaderValue::try_from(nonce).ok()
}

/// The one proof of a request.
///
/// # Errors
/// What is wrong, when there is none, more than one, or one that is no text.
pub fn only(headers: &HeaderMap) -> Result<&str, &'static str> {
    let mut lines = headers.get_all(PROOF).iter();
    match (lines.next().map(HeaderValue::to_str), lines.next()) {
        (None, _) => Err("there is no DPoP proof: send one in the DPoP header"),
        (Some(_), Some(_)) => Err("there is more than one DPoP header: send one"),
        (Some(Err(_)), None) => Err("the DPoP header has characters outside ASCII"),
        (Some(Ok(text)), None) => Ok(text),
    }
}

/// Scheme, host and port of an absolute URI, as they stand there; `None` of anything else.
pub fn origin(uri: &str) -> Option<&str> {
    let start = uri.find("://")? + 3;
    let host = uri.get(start..)?.split(['/', '?', '#']).next().filter(|host| !host.is_empty())?;
    uri.get(..start + host.len())
}

/// The path of an absolute URI without query: `""` or `/…` without a final slash.
pub fn path(uri: &str) -> &str {
    let after = origin(uri).and_then(|origin| uri.get(origin.len()..)).unwrap_or_default();
    after.split(['?', '#']).next().unwrap_or_default().trim_end_matches('/')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_of_an_issuer_is_what_follows_its_host() {
        for (issuer, expected) in [
            ("https://a.example", ""),
            ("http://localhost:8080", ""),
            ("https://a.example/", ""),
            ("https://a.example/auth", "/auth"),
            ("https://a.example/auth/eu", "/auth/eu"),
            ("https://a.example/auth/?x", "/auth"),
        ] {
            assert_eq!(path(issuer), expected, "{issuer}");
        }
    }

    #[test]
    fn an_origin_ends_where_the_path_begins() {
        for (uri, expected) in [
            ("https://api.example/v1/x", Some("https://api.example")),
            ("http://localhost:8080", Some("http://localhost:8080")),
            ("https://api.example?x", Some("https://api.example")),
            ("urn:api:orders", None),
            ("/demo", None),
            ("https:///x", None),
        ] {
            assert_eq!(origin(uri), expected, "{uri}");
        }
    }
}
