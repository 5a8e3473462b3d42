//! Time-based one-time passwords (RFC 6238): HMAC-SHA-1, six digits, 30 seconds, because that is what authenticator apps do.
//! A code counts once: whoever checks one keeps the step it belonged to, and passes it to the next check.

use aws_lc_rs::hmac;
use zeroize::Zeroizing;

use super::{base32, compare};
use crate::base::{Rng, Secret, Timestamp, rng};

/// Seconds of one step.
pub const STEP_SECS: i64 = 30;
/// Digits of a code.
pub const DIGITS: usize = 6;
/// How many steps a clock may be off, either way.
const SKEW: i64 = 1;

/// What an authenticator and we share: 160 bits (RFC 4226 4).
#[derive(Clone, Debug)]
pub struct Seed(Secret<Vec<u8>>);

impl Seed {
    /// A fresh one.
    pub fn generate(random: &dyn Rng) -> Self {
        Self(Secret::new(rng::bytes::<20>(random).to_vec()))
    }

    /// One that was kept.
    pub fn from_bytes(bytes: Vec<u8>) -> Self {
        Self(Secret::new(bytes))
    }

    /// The bytes, to be sealed.
    pub fn expose(&self) -> &[u8] {
        self.0.expose()
    }

    /// What a person types into an app: base 32 (RFC 4648 6).
    pub fn text(&self) -> Secret<String> {
        Secret::new(base32::encode(base32::RFC4648, self.expose()))
    }

    /// What an app reads from a link: `otpauth://totp/ISSUER:ACCOUNT?…`.
    pub fn uri(&self, issuer: &str, account: &str) -> Secret<String> {
        let (issuer, account) = (escaped(issuer), escaped(account));
        let secret = self.text();
        Secret::new(format!(
            "otpauth://totp/{issuer}:{account}?secret={}&issuer={issuer}&algorithm=SHA1&digits={DIGITS}&period={STEP_SECS}",
            secret.expose()
        ))
    }
}

/// Percent-encodes everything but RFC 3986's unreserved characters.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

/// The step that `now` lies in.
pub const fn step(now: Timestamp) -> i64 {
    now.as_secs().div_euclid(STEP_SECS)
}

/// The code of one step: [`DIGITS`] digits (RFC 4226 5.3).
pub fn code(seed: &Seed, step: i64) -> Zeroizing<String> {
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, seed.expose());
    let tag = hmac::sign(&key, &step.to_be_bytes());
    let offset = usize::from(tag.as_ref().last().copied().unwrap_or(0) & 15);
    let word = tag.as_ref().get(offset..).and_then(<[u8]>::first_chunk).copied().unwrap_or([0; 4]);
    let number = (u32::from_be_bytes(word) & 0x7fff_ffff) % 1_000_000;
    Zeroizing::new(format!("{number:0DIGITS$}"))
}

/// The step that `typed` is the code of, when it is that of now or of one step beside, and later than `used`, the step of the
/// last code that counted. Spaces within are ignored. Every step is compared, in constant time.
pub fn check(seed: &Seed, typed: &str, now: Timestamp, used: Option<i64>) -> Option<i64> {
    let typed: Zeroizing<String> = Zeroizing::new(typed.chars().filter(|c| !c.is_whitespace()).take(16).collect());
    let here = step(now);
    let mut found = None;
    for step in here - SKEW..=here + SKEW {
        let fits = compare::equal(code(seed, step).as_bytes(), typed.as_bytes());
        if fits && used.is_none_or(|used| step > used) {
            found = Some(step);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::SeededRng;

    fn rfc_seed() -> Seed {
        Seed::from_bytes(b"12345678901234567890".to_vec())
    }

    #[test]
    fn the_codes_of_rfc_6238_appendix_b() {
        // Eight digits there; six here are their last six.
        for (secs, eight) in [
            (59, "94287082"),
            (1_111_111_109, "07081804"),
            (1_111_111_111, "14050471"),
            (1_234_567_890, "89005924"),
            (2_000_000_000, "69279037"),
            (20_000_000_000, "65353130"),
        ] {
            assert_eq!(*code(&rfc_seed(), step(Timestamp::from_secs(secs))), eight.get(2..).unwrap(), "{secs}");
        }
    }

    #[test]
    fn e4_one_step_beside_counts_and_two_do_not() {
        let seed = rfc_seed();
        let now = Timestamp::from_secs(1_700_000_015);
        let here = step(now);
        for (off, counts) in [(-2, false), (-1, true), (0, true), (1, true), (2, false)] {
            let found = check(&seed, &code(&seed, here + off), now, None);
            assert_eq!(found, counts.then_some(here + off), "{off}");
        }
    }

    #[test]
    fn e4_a_code_counts_once_and_none_before_it_counts_after() {
        let seed = rfc_seed();
        let now = Timestamp::from_secs(1_700_000_015);
        let (earlier, current) = (code(&seed, step(now) - 1), code(&seed, step(now)));
        let used = check(&seed, &current, now, None);
        assert_eq!(used, Some(step(now)));
        assert_eq!(check(&seed, &current, now, used), None);
        assert_eq!(check(&seed, &earlier, now, used), None);
        let later = Timestamp::from_secs(1_700_000_045);
        assert_eq!(check(&seed, &code(&seed, step(later)), later, used), Some(step(later)));
    }

    #[test]
    fn a_code_may_be_typed_in_two_groups_and_nothing_else_counts() {
        let seed = rfc_seed();
        let now = Timestamp::from_secs(59);
        assert_eq!(check(&seed, " 287 082\n", now, None), Some(1));
        for bad in ["", "28708", "2870820", "0287082", "94287082", "２８７０８２", "287-082"] {
            assert_eq!(check(&seed, bad, now, None), None, "{bad}");
        }
    }

    #[test]
    fn an_app_reads_the_seed_from_its_link() {
        let uri = rfc_seed().uri("Acme & Co", "ada@example.com");
        assert_eq!(
            uri.expose(),
            "otpauth://totp/Acme%20%26%20Co:ada%40example.com?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ\
             &issuer=Acme%20%26%20Co&algorithm=SHA1&digits=6&period=30"
        );
    }

    #[test]
    fn seeds_are_160_bits_and_do_not_print() {
        let seed = Seed::generate(&SeededRng::new(1));
        assert_eq!((seed.expose().len(), seed.text().expose().len()), (20, 32));
        assert!(format!("{seed:?}").contains("redacted"));
    }
}
