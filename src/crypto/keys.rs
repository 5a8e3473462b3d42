//! Signing keys: made, sealed, opened. The private half exists in clear only inside a [`KeyPair`].

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{self, KeySize};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256,
};
use zeroize::Zeroizing;

use super::jwk::{Parts, PublicKey};
use super::{CryptoError, seal::Sealer};
use crate::base::{Rng, Secret, Timestamp};
use crate::model::{Algorithm, SigningKey};

/// A parsed private key.
#[derive(Debug)]
pub(super) enum KeyPair {
    Es256(EcdsaKeyPair),
    EdDsa(Ed25519KeyPair),
    Rs256(rsa::KeyPair),
}

impl KeyPair {
    fn generate(alg: Algorithm) -> Result<(Self, Zeroizing<Vec<u8>>), CryptoError> {
        let refused = |_| CryptoError::Refused;
        Ok(match alg {
            Algorithm::ES256 => {
                let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).map_err(refused)?;
                let der = Zeroizing::new(key.to_pkcs8v1().map_err(refused)?.as_ref().to_vec());
                (Self::Es256(key), der)
            }
            Algorithm::EdDSA => {
                let key = Ed25519KeyPair::generate().map_err(refused)?;
                let der = Zeroizing::new(key.to_pkcs8().map_err(refused)?.as_ref().to_vec());
                (Self::EdDsa(key), der)
            }
            Algorithm::RS256 => {
                let key = rsa::KeyPair::generate(KeySize::Rsa2048).map_err(refused)?;
                let der = Zeroizing::new(key.as_der().map_err(refused)?.as_ref().to_vec());
                (Self::Rs256(key), der)
            }
        })
    }

    /// From PKCS#8.
    fn parse(alg: Algorithm, der: &Secret<Vec<u8>>) -> Result<Self, CryptoError> {
        let damaged = |_| CryptoError::DamagedKey;
        let der = der.expose();
        Ok(match alg {
            Algorithm::ES256 => {
                Self::Es256(EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der).map_err(damaged)?)
            }
            Algorithm::EdDSA => Self::EdDsa(Ed25519KeyPair::from_pkcs8(der).map_err(damaged)?),
            Algorithm::RS256 => Self::Rs256(rsa::KeyPair::from_pkcs8(der).map_err(damaged)?),
        })
    }

    pub(super) fn alg(&self) -> Algorithm {
        match self {
            Self::Es256(_) => Algorithm::ES256,
            Self::EdDsa(_) => Algorithm::EdDSA,
            Self::Rs256(_) => Algorithm::RS256,
        }
    }

    /// The public half.
    pub(super) fn public(&self) -> Result<Parts, CryptoError> {
        match self {
            Self::Es256(key) => {
                let point = key.public_key().as_ref();
                let (form, xy) = point.split_first().ok_or(CryptoError::DamagedKey)?;
                let (x, y) = xy.split_first_chunk::<32>().ok_or(CryptoError::DamagedKey)?;
                let y = <[u8; 32]>::try_from(y).map_err(|_| CryptoError::DamagedKey)?;
                if *form == 4 { Ok(Parts::P256 { x: *x, y }) } else { Err(CryptoError::DamagedKey) }
            }
            Self::EdDsa(key) => {
                let x = <[u8; 32]>::try_from(key.public_key().as_ref()).map_err(|_| CryptoError::DamagedKey)?;
                Ok(Parts::Ed25519 { x })
            }
            Self::Rs256(key) => rsa_parts(key.public_key().as_ref()).ok_or(CryptoError::DamagedKey),
        }
    }

    /// Signs, appending nothing: the raw signature as RFC 7518 and RFC 8037 want it.
    pub(super) fn sign(&self, message: &[u8]) -> Result<Vec<u8>, CryptoError> {
        let refused = |_| CryptoError::Refused;
        Ok(match self {
            Self::Es256(key) => key.sign(&SystemRandom::new(), message).map_err(refused)?.as_ref().to_vec(),
            Self::EdDsa(key) => key.try_sign(message).map_err(refused)?.as_ref().to_vec(),
            Self::Rs256(key) => {
                let mut out = vec![0; key.public_modulus_len()];
                key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message, &mut out).map_err(refused)?;
                out
            }
        })
    }
}

/// Modulus and exponent of a DER `RSAPublicKey` (RFC 8017 A.1.1): a sequence of two positive integers.
fn rsa_parts(der: &[u8]) -> Option<Parts> {
    fn element(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
        let (found, rest) = der.split_first()?;
        let (first, rest) = rest.split_first()?;
        let (len, rest) = if *first < 0x80 {
            (usize::from(*first), rest)
        } else {
            let (digits, rest) = rest.split_at_checked(usize::from(*first & 0x7f))?;
            (digits.iter().try_fold(0_usize, |n, d| n.checked_mul(256)?.checked_add(usize::from(*d)))?, rest)
        };
        if *found == tag { rest.split_at_checked(len) } else { None }
    }
    let (sequence, _) = element(der, 0x30)?;
    let (n, rest) = element(sequence, 0x02)?;
    let (e, _) = element(rest, 0x02)?;
    let positive = |bytes: &[u8]| bytes.strip_prefix(&[0]).unwrap_or(bytes).to_vec();
    Some(Parts::Rsa { n: positive(n), e: positive(e) })
}

/// The public half of a key whose private half is thrown away.
pub(super) fn decoy() -> Result<PublicKey, CryptoError> {
    let (pair, _) = KeyPair::generate(Algorithm::ES256)?;
    PublicKey::from_parts(&pair.public()?, None)
}

/// Where the private half of `kid` is sealed.
fn place(kid: &str) -> Vec<u8> {
    [b"signing-key:", kid.as_bytes()].concat()
}

/// Makes a key that signs from `activates_at` on, private half sealed. RSA takes about a tenth of a second.
///
/// # Errors
/// When the library refuses.
pub fn generate(
    alg: Algorithm,
    sealer: &Sealer,
    random: &dyn Rng,
    now: Timestamp,
    activates_at: Timestamp,
) -> Result<SigningKey, CryptoError> {
    let (pair, der) = KeyPair::generate(alg)?;
    let parts = pair.public()?;
    let kid = parts.thumbprint();
    Ok(SigningKey {
        public_jwk: parts.jwk(&kid).to_string(),
        sealed: sealer.seal(&place(&kid), &der, random)?,
        kid,
        alg,
        created_at: now,
        activates_at,
        retired_at: None,
        expires_at: None,
    })
}

/// Opens the private half of a stored key, and proves that it belongs to its name.
pub(super) fn open(stored: &SigningKey, sealer: &Sealer) -> Result<(KeyPair, Parts), CryptoError> {
    let pair = KeyPair::parse(stored.alg, &sealer.open(&place(&stored.kid), &stored.sealed)?)?;
    let parts = pair.public()?;
    if parts.thumbprint() == stored.kid { Ok((pair, parts)) } else { Err(CryptoError::DamagedKey) }
}

/// The same key with its private half sealed by the first sealing key; `None` when it already is.
///
/// # Errors
/// When no key opens it, or the library refuses.
pub fn reseal(stored: &SigningKey, sealer: &Sealer, random: &dyn Rng) -> Result<Option<SigningKey>, CryptoError> {
    if sealer.is_current(&stored.sealed) {
        return Ok(None);
    }
    let place = place(&stored.kid);
    let plain = sealer.open(&place, &stored.sealed)?;
    Ok(Some(SigningKey { sealed: sealer.seal(&place, plain.expose(), random)?, ..stored.clone() }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::SeededRng;

    fn sealer(text: &str) -> Sealer {
        Sealer::new(&[Secret::new(text.to_owned())]).unwrap()
    }

    #[test]
    fn a_key_opens_under_its_name_alone_and_shows_no_private_member() {
        let seal = sealer("a sealing key of thirty-two chars");
        let now = Timestamp::from_secs(1_700_000_000);
        for alg in Algorithm::ALL {
            let key = generate(alg, &seal, &SeededRng::new(1), now, now).unwrap();
            open(&key, &seal).unwrap();
            let other = SigningKey { kid: "another".to_owned(), ..key.clone() };
            assert_eq!(open(&other, &seal).unwrap_err(), CryptoError::CannotOpen);
            let jwk: serde_json::Value = serde_json::from_str(&key.public_jwk).unwrap();
            assert_eq!((jwk["kid"].as_str(), jwk["alg"].as_str()), (Some(key.kid.as_str()), Some(alg.as_str())));
            for private in ["d", "p", "q", "dp", "dq", "qi", "k"] {
                assert!(jwk.get(private).is_none(), "{private} in {jwk}");
            }
        }
    }

    #[test]
    fn resealing_moves_a_key_to_the_first_sealing_key() {
        let (old, new) = ("the old sealing key, 32 characters", "the new sealing key, 32 characters");
        let now = Timestamp::from_secs(1_700_000_000);
        let key = generate(Algorithm::EdDSA, &sealer(old), &SeededRng::new(1), now, now).unwrap();
        let both = Sealer::new(&[Secret::new(new.to_owned()), Secret::new(old.to_owned())]).unwrap();
        let moved = reseal(&key, &both, &SeededRng::new(2)).unwrap().unwrap();
        open(&moved, &sealer(new)).unwrap();
        assert_eq!(reseal(&moved, &both, &SeededRng::new(3)).unwrap(), None);
    }

    #[test]
    fn damaged_der_is_none_and_never_a_panic() {
        let seal = sealer("a sealing key of thirty-two chars");
        let now = Timestamp::from_secs(0);
        let key = generate(Algorithm::RS256, &seal, &SeededRng::new(1), now, now).unwrap();
        let (pair, _) = open(&key, &seal).unwrap();
        let KeyPair::Rs256(rsa) = pair else { panic!("an RSA key") };
        let der = rsa.public_key().as_ref().to_vec();
        for len in 0..der.len() {
            assert_eq!(rsa_parts(&der[..len]), None, "cut at {len}");
        }
        assert!(rsa_parts(&der).is_some());
    }
}
