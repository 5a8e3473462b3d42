//! Nonces that the server gives and takes without keeping any (RFC 9449 8, 9): the number of a stretch of time, and a tag
//! over it that only whoever has the key can make. A nonce counts in its own stretch and the next.

use aws_lc_rs::hmac;

use super::{b64url, compare};
use crate::base::{Rng, Secret, Timestamp, rng};

/// Seconds of one stretch: a nonce lives one to two of them.
const STRETCH: i64 = 300;
/// Bytes of the tag that are sent: 128 bits.
const TAG: usize = 16;

/// What a nonce is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Worth {
    /// Made in this stretch.
    Fresh,
    /// Still counts; its bearer should be given the next one.
    Aging,
    /// None of ours, or too old.
    Nothing,
}

/// Gives and takes nonces of one place.
#[derive(Clone)]
pub struct Nonces(hmac::Key);

impl std::fmt::Debug for Nonces {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Nonces([redacted])")
    }
}

impl Nonces {
    /// Nonces that every process with this secret takes: give it one of the configured sealing keys. Those of one `place`
    /// do not count in another.
    pub fn derived(secret: &Secret<String>, place: &str) -> Self {
        let root = hmac::Key::new(hmac::HMAC_SHA256, secret.expose().as_bytes());
        let own = hmac::sign(&root, format!("stockade nonce v1 {place}").as_bytes());
        Self(hmac::Key::new(hmac::HMAC_SHA256, own.as_ref()))
    }

    /// Nonces that die with this process.
    pub fn random(random: &dyn Rng) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, &rng::bytes::<32>(random)))
    }

    /// The nonce of this stretch.
    pub fn give(&self, now: Timestamp) -> String {
        self.of(stretch(now))
    }

    /// What `nonce` is worth now. One of the stretch that is about to begin counts too: clocks of processes differ.
    pub fn take(&self, nonce: &str, now: Timestamp) -> Worth {
        let now = stretch(now);
        let is = |at: i64| compare::equal(nonce.as_bytes(), self.of(at).as_bytes());
        if is(now) || is(now.saturating_add(1)) {
            Worth::Fresh
        } else if is(now.saturating_sub(1)) {
            Worth::Aging
        } else {
            Worth::Nothing
        }
    }

    fn of(&self, stretch: i64) -> String {
        let number = stretch.to_be_bytes();
        let tag = hmac::sign(&self.0, &number);
        let bytes: Vec<u8> = number.into_iter().chain(tag.as_ref().iter().copied().take(TAG)).collect();
        b64url::encode(&bytes)
    }
}

fn stretch(now: Timestamp) -> i64 {
    now.as_secs().div_euclid(STRETCH)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_nonce_counts_for_one_to_two_stretches_at_its_own_place() {
        let secret = Secret::new("a sealing key of thirty-two chars".to_owned());
        let here = Nonces::derived(&secret, "token");
        let start = Timestamp::from_secs(1_800_000_000);
        let nonce = here.give(start);
        let at = |secs| here.take(&nonce, start.plus(Duration::from_secs(secs)));
        assert_eq!(
            [0, 299, 300, 599, 600].map(at),
            [Worth::Fresh, Worth::Fresh, Worth::Aging, Worth::Aging, Worth::Nothing]
        );
        assert_eq!(
            here.take(&nonce, start.minus(Duration::from_secs(1))),
            Worth::Fresh,
            "a clock that is a little behind"
        );
        assert_eq!(Nonces::derived(&secret, "token").take(&nonce, start), Worth::Fresh, "another process");
        assert_eq!(Nonces::derived(&secret, "resource").take(&nonce, start), Worth::Nothing, "another place");
        let mut changed = nonce.clone();
        changed.replace_range(20..21, if nonce.get(20..21) == Some("A") { "B" } else { "A" });
        for none in ["", "x", changed.as_str()] {
            assert_eq!(here.take(none, start), Worth::Nothing, "{none}");
        }
    }
}
