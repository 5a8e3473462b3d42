//! Passwords of people: Argon2id (RFC 9106) with 19 MiB, two passes and one lane, kept as PHC strings. One hash costs about
//! 20 ms of a core, so nothing but [`super::hasher`] may call this on a path that strangers reach.

use argon2::password_hash::phc::{Output, ParamsString, PasswordHash, Salt};
use argon2::{Algorithm, Argon2, Params, Version};
use zeroize::Zeroizing;

use super::{CryptoError, compare};
use crate::base::{Rng, Secret, rng};

/// Memory of one hash in KiB.
pub const MEMORY_KIB: u32 = 19_456;
/// Passes over it.
pub const PASSES: u32 = 2;
/// Longest password in characters: what it costs to read one must not be the caller's choice.
pub const LONGEST: usize = 128;

/// Shortest password in characters that may be chosen.
pub const SHORTEST: usize = 12;

const OUTPUT: usize = 32;
/// The dearest stored hash that is checked, in KiB times passes: an import must not become a way to stop us.
const DEAREST: u64 = 1 << 20;

/// A password as someone typed it, at most [`LONGEST`] characters.
#[derive(Clone, Debug)]
pub struct Password(Secret<String>);

/// A password above [`LONGEST`] characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the password is longer than {LONGEST} characters: choose a shorter one")]
pub struct TooLong;

impl Password {
    /// Takes `text` into keeping.
    ///
    /// # Errors
    /// [`TooLong`].
    pub fn new(text: impl Into<String>) -> Result<Self, TooLong> {
        let secret = Secret::new(text.into());
        if secret.expose().chars().nth(LONGEST).is_some() { Err(TooLong) } else { Ok(Self(secret)) }
    }

    /// How many characters it has.
    pub fn chars(&self) -> usize {
        self.0.expose().chars().count()
    }

    /// Whether a person called `username` may choose it: neither short nor their name. No other rule (NIST SP 800-63B 3.1.1.2).
    pub fn may_be_chosen(&self, username: &str) -> bool {
        self.chars() >= SHORTEST && self.0.expose().to_lowercase() != username
    }

    /// The password itself. Never log, format or store what this returns.
    pub fn expose(&self) -> &str {
        self.0.expose()
    }
}

fn argon2(memory_kib: u32, passes: u32, lanes: u32) -> Option<Argon2<'static>> {
    let params = Params::new(memory_kib, passes, lanes, Some(OUTPUT)).ok()?;
    Some(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
}

fn derive(hash: &Argon2<'_>, password: &Password, salt: &[u8]) -> Option<Zeroizing<[u8; OUTPUT]>> {
    let mut out = Zeroizing::new([0; OUTPUT]);
    hash.hash_password_into(password.expose().as_bytes(), salt, &mut *out).ok()?;
    Some(out)
}

fn phc(hash: &Argon2<'_>, salt: &[u8], output: &[u8]) -> Option<String> {
    let whole = PasswordHash {
        algorithm: Algorithm::Argon2id.ident(),
        version: Some(Version::V0x13.into()),
        params: ParamsString::try_from(hash.params()).ok()?,
        salt: Some(Salt::new(salt).ok()?),
        hash: Some(Output::new(output).ok()?),
    };
    Some(whole.to_string())
}

/// Hashes a password under a fresh salt: a PHC string.
///
/// # Errors
/// When there is no memory for it.
pub fn hash(password: &Password, random: &dyn Rng) -> Result<String, CryptoError> {
    let salt = rng::bytes::<16>(random);
    let hash = argon2(MEMORY_KIB, PASSES, 1).ok_or(CryptoError::Refused)?;
    let output = derive(&hash, password, &salt).ok_or(CryptoError::Refused)?;
    phc(&hash, &salt, &*output).ok_or(CryptoError::Refused)
}

/// What [`verify`] costs as much to check as a real one, and no password fits: for users who are not there or have none.
///
/// # Errors
/// Never in practice: when the library rejects its own parameters.
pub fn decoy(random: &dyn Rng) -> Result<String, CryptoError> {
    let hash = argon2(MEMORY_KIB, PASSES, 1).ok_or(CryptoError::Refused)?;
    let (salt, output) = (rng::bytes::<16>(random), rng::bytes::<OUTPUT>(random));
    phc(&hash, &salt, &output).ok_or(CryptoError::Refused)
}

/// What checking a password found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verified {
    /// It fits.
    Fits,
    /// It fits, and was stored at another cost than [`hash`] has today: hash it again.
    FitsOutdated,
    /// It does not fit, or what is stored is no Argon2id hash that may be checked here.
    No,
}

impl Verified {
    /// Whether it fits.
    pub const fn fits(self) -> bool {
        matches!(self, Self::Fits | Self::FitsOutdated)
    }
}

/// Whether `password` is the one that `stored` was made of, compared in constant time.
pub fn verify(password: &Password, stored: &str) -> Verified {
    let Some((hash, salt, expected)) = parse(stored) else { return Verified::No };
    let fits = derive(&hash, password, &salt).is_some_and(|output| compare::equal(&*output, &expected));
    let current = hash.params().m_cost() == MEMORY_KIB && hash.params().t_cost() == PASSES;
    match (fits, current) {
        (false, _) => Verified::No,
        (true, true) => Verified::Fits,
        (true, false) => Verified::FitsOutdated,
    }
}

fn parse(stored: &str) -> Option<(Argon2<'static>, Salt, Zeroizing<Vec<u8>>)> {
    let parsed = PasswordHash::new(stored).ok()?;
    if parsed.algorithm != Algorithm::Argon2id.ident() || parsed.version != Some(Version::V0x13.into()) {
        return None;
    }
    let params = Params::try_from(&parsed).ok()?;
    let cost = u64::from(params.m_cost()) * u64::from(params.t_cost());
    if cost > DEAREST || params.p_cost() > 8 || parsed.hash?.len() != OUTPUT {
        return None;
    }
    let hash = argon2(params.m_cost(), params.t_cost(), params.p_cost())?;
    Some((hash, parsed.salt?, Zeroizing::new(parsed.hash?.as_bytes().to_vec())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::SeededRng;

    fn password(text: &str) -> Password {
        Password::new(text).unwrap()
    }

    #[test]
    fn e6_a_hash_states_the_cost_it_was_made_at() {
        let stored = hash(&password("correct horse"), &SeededRng::new(1)).unwrap();
        assert!(stored.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{stored}");
        assert_eq!(verify(&password("correct horse"), &stored), Verified::Fits);
        assert_eq!(verify(&password("correct horsf"), &stored), Verified::No);
        assert_eq!(verify(&password(""), &stored), Verified::No);
        let other = hash(&password("correct horse"), &SeededRng::new(2)).unwrap();
        assert_ne!(stored, other, "two salts");
    }

    #[test]
    fn a_hash_of_the_reference_implementation_verifies() {
        // argon2-cffi 25.1: PasswordHasher(time_cost=3, memory_cost=64, parallelism=2).hash("password", salt=b"somesalt")
        let stored = "$argon2id$v=19$m=64,t=3,p=2$c29tZXNhbHQ$x5BLYwHQNnasvU3WV0hsQlCczG0BE/zmSV70tpM5L78";
        assert_eq!(verify(&password("password"), stored), Verified::FitsOutdated);
        assert_eq!(verify(&password("passwore"), stored), Verified::No);
    }

    #[test]
    fn e6_a_password_ends_at_128_characters_not_bytes() {
        assert_eq!(password(&"ü".repeat(LONGEST)).chars(), LONGEST);
        assert_eq!(Password::new("a".repeat(LONGEST + 1)).unwrap_err(), TooLong);
    }

    #[test]
    fn e3_a_decoy_costs_what_a_hash_costs_and_nothing_fits_it() {
        let decoy = decoy(&SeededRng::new(1)).unwrap();
        let real = hash(&password("x"), &SeededRng::new(1)).unwrap();
        let cost = |phc: &str| phc.split('$').take(4).collect::<Vec<_>>().join("$");
        assert_eq!((cost(&decoy), decoy.len()), (cost(&real), real.len()));
        assert!(!verify(&password(""), &decoy).fits());
    }

    #[test]
    fn what_is_no_argon2id_hash_of_bearable_cost_never_fits() {
        let good = hash(&password("x"), &SeededRng::new(1)).unwrap();
        for bad in [
            String::new(),
            "x".to_owned(),
            good.replace("argon2id", "argon2i"),
            good.replace("v=19", "v=16"),
            good.replace("$v=19", ""),
            good.replace("m=19456", "m=4294967295"),
            good.replace("t=2", "t=4294967295"),
            good.replace("p=1", "p=255"),
            good.rsplit_once('$').unwrap().0.to_owned(),
            format!("{good}AAAA"),
            format!("{good}$AAAA"),
        ] {
            assert_eq!(verify(&password("x"), &bad), Verified::No, "{bad}");
        }
    }

    #[test]
    fn a_password_may_be_chosen_when_it_is_long_and_no_name() {
        assert!(password("eleven char1").may_be_chosen("ada"));
        assert!(!password("eleven char").may_be_chosen("ada"));
        assert!(!password("Ada@Example.com").may_be_chosen("ada@example.com"));
    }

    #[test]
    fn a_password_does_not_print() {
        assert!(!format!("{:?}", password("hunter2 hunter2")).contains("hunter2"));
    }
}
