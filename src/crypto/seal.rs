//! Sealing at rest: AES-256-GCM under keys from the configuration. The first key seals, all of them open, so a key is
//! replaced by putting the new one in front.
//!
//! Layout: `1` (version), 4 bytes that name the key, 12 of nonce, ciphertext, 16 of tag. The additional data binds the
//! ciphertext to its place: what was sealed as one thing does not open as another.
//!
//! 12 random bytes stay unique for some 2^32 messages (NIST SP 800-38D 8.3), which strangers could have sealed in cookies. What
//! they cause is sealed with [`Sealer::seal_often`]: `2`, the key's name, 32 bytes of salt, ciphertext, tag; key and nonce are
//! derived from the salt, so each message has its own.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::hkdf;
use base64::Engine as _;
use zeroize::Zeroizing;

use super::CryptoError;
use crate::base::{Rng, Secret, rng};

const VERSION: u8 = 1;
const OFTEN: u8 = 2;
const NAME: usize = 4;
const NONCE: usize = 12;
const SALT: usize = 32;

struct Key {
    name: [u8; NAME],
    key: LessSafeKey,
    root: hkdf::Prk,
}

impl Key {
    /// The key and the nonce of the one message with this salt.
    fn once(&self, salt: &[u8; SALT]) -> Result<(LessSafeKey, Nonce), CryptoError> {
        let mut material = Zeroizing::new([0; 32 + NONCE]);
        self.root
            .expand(&[b"stockade message key v1", salt], Length(32 + NONCE))
            .and_then(|okm| okm.fill(&mut *material))
            .map_err(|_| CryptoError::Refused)?;
        let (key, nonce) = material.split_first_chunk::<32>().ok_or(CryptoError::Refused)?;
        let key = UnboundKey::new(&AES_256_GCM, key).map_err(|_| CryptoError::Refused)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| CryptoError::Refused)?;
        Ok((LessSafeKey::new(key), nonce))
    }
}

struct Length(usize);

impl hkdf::KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

/// Seals and opens.
pub struct Sealer {
    keys: Vec<Key>,
}

impl std::fmt::Debug for Sealer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sealer").field("keys", &self.keys.len()).finish_non_exhaustive()
    }
}

/// The 32 bytes of a configured key: themselves in base64 (either alphabet), or any text of at least 32 characters
/// through HKDF-SHA-256 (RFC 5869).
fn material(configured: &str) -> Result<Zeroizing<[u8; 32]>, CryptoError> {
    let text = configured.trim();
    let unpadded = text.trim_end_matches('=');
    let decoded = base64::engine::general_purpose::STANDARD_NO_PAD
        .decode(unpadded)
        .or_else(|_| base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(unpadded))
        .map(Zeroizing::new);
    if let Ok(bytes) = decoded
        && let Ok(exact) = <[u8; 32]>::try_from(bytes.as_slice())
    {
        return Ok(Zeroizing::new(exact));
    }
    if text.chars().count() < 32 {
        return Err(CryptoError::WeakSealKey);
    }
    derive(text.as_bytes(), b"stockade seal key v1")
}

fn derive(secret: &[u8], info: &[u8]) -> Result<Zeroizing<[u8; 32]>, CryptoError> {
    let mut out = Zeroizing::new([0; 32]);
    hkdf::Salt::new(hkdf::HKDF_SHA256, b"stockade")
        .extract(secret)
        .expand(&[info], hkdf::HKDF_SHA256)
        .and_then(|okm| okm.fill(&mut *out))
        .map_err(|_| CryptoError::Refused)?;
    Ok(out)
}

impl Sealer {
    /// From the configured keys, the sealing one first.
    ///
    /// # Errors
    /// When there is none, or one is neither 32 bytes of base64 nor 32 characters long.
    pub fn new(configured: &[Secret<String>]) -> Result<Self, CryptoError> {
        let mut keys = Vec::with_capacity(configured.len());
        for text in configured {
            let bytes = material(text.expose())?;
            let named = derive(&*bytes, b"stockade seal key name v1")?;
            let name = named.first_chunk().copied().ok_or(CryptoError::Refused)?;
            let key = UnboundKey::new(&AES_256_GCM, &*bytes).map_err(|_| CryptoError::Refused)?;
            let root = hkdf::Salt::new(hkdf::HKDF_SHA256, b"stockade").extract(&*bytes);
            keys.push(Key { name, key: LessSafeKey::new(key), root });
        }
        if keys.is_empty() { Err(CryptoError::NoSealKey) } else { Ok(Self { keys }) }
    }

    /// Seals `plain` for the place that `aad` names.
    ///
    /// # Errors
    /// When the library refuses (beyond 64 GiB).
    pub fn seal(&self, aad: &[u8], plain: &[u8], random: &dyn Rng) -> Result<Vec<u8>, CryptoError> {
        let first = self.keys.first().ok_or(CryptoError::NoSealKey)?;
        let nonce: [u8; NONCE] = rng::bytes(random);
        let mut body = Zeroizing::new(plain.to_vec());
        let tag = first
            .key
            .seal_in_place_separate_tag(Nonce::assume_unique_for_key(nonce), Aad::from(aad), &mut body)
            .map_err(|_| CryptoError::Refused)?;
        let mut out = Vec::with_capacity(1 + NAME + NONCE + body.len() + 16);
        out.push(VERSION);
        out.extend_from_slice(&first.name);
        out.extend_from_slice(&nonce);
        out.extend_from_slice(&body);
        out.extend_from_slice(tag.as_ref());
        Ok(out)
    }

    /// Seals as [`Sealer::seal`] does, under a key of this message alone: for what strangers can have sealed as often as they
    /// like.
    ///
    /// # Errors
    /// When the library refuses (beyond 64 GiB).
    pub fn seal_often(&self, aad: &[u8], plain: &[u8], random: &dyn Rng) -> Result<Vec<u8>, CryptoError> {
        let first = self.keys.first().ok_or(CryptoError::NoSealKey)?;
        let salt: [u8; SALT] = rng::bytes(random);
        let (key, nonce) = first.once(&salt)?;
        let mut body = Zeroizing::new(plain.to_vec());
        let tag = key.seal_in_place_separate_tag(nonce, Aad::from(aad), &mut body).map_err(|_| CryptoError::Refused)?;
        Ok([&[OFTEN], first.name.as_slice(), &salt, body.as_slice(), tag.as_ref()].concat())
    }

    fn open_often(&self, aad: &[u8], rest: &[u8]) -> Result<Secret<Vec<u8>>, CryptoError> {
        let parts = rest.split_first_chunk::<NAME>().and_then(|(name, rest)| Some((name, rest.split_first_chunk()?)));
        let (name, (salt, body)) = parts.ok_or(CryptoError::CannotOpen)?;
        for sealing in self.keys.iter().filter(|k| k.name == *name) {
            let (key, nonce) = sealing.once(salt)?;
            let mut buffer = Zeroizing::new(body.to_vec());
            if let Ok(plain) = key.open_in_place(nonce, Aad::from(aad), &mut buffer) {
                return Ok(Secret::new(plain.to_vec()));
            }
        }
        Err(CryptoError::CannotOpen)
    }

    /// Opens what was sealed for the place that `aad` names, whichever way.
    ///
    /// # Errors
    /// [`CryptoError::CannotOpen`] when no key opens it: another key, another place, or changed bytes.
    pub fn open(&self, aad: &[u8], sealed: &[u8]) -> Result<Secret<Vec<u8>>, CryptoError> {
        if let Some((&OFTEN, rest)) = sealed.split_first() {
            return self.open_often(aad, rest);
        }
        let parts = sealed.split_first().filter(|(version, _)| **version == VERSION).and_then(|(_, rest)| {
            let (name, rest) = rest.split_first_chunk::<NAME>()?;
            let (nonce, body) = rest.split_first_chunk::<NONCE>()?;
            Some((name, nonce, body))
        });
        let (name, nonce, body) = parts.ok_or(CryptoError::CannotOpen)?;
        for key in self.keys.iter().filter(|k| k.name == *name) {
            let mut buffer = Zeroizing::new(body.to_vec());
            let opened = key
                .key
                .open_in_place(Nonce::assume_unique_for_key(*nonce), Aad::from(aad), &mut buffer)
                .map(|plain| plain.to_vec());
            if let Ok(plain) = opened {
                return Ok(Secret::new(plain));
            }
        }
        Err(CryptoError::CannotOpen)
    }

    /// Whether the sealing key (the first) sealed this; otherwise it is due to be sealed again.
    pub fn is_current(&self, sealed: &[u8]) -> bool {
        let name = sealed.get(1..).and_then(|rest| rest.first_chunk::<NAME>());
        sealed.first() == Some(&VERSION) && name == self.keys.first().map(|k| &k.name)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::base::SeededRng;

    fn sealer(keys: &[&str]) -> Sealer {
        Sealer::new(&keys.iter().map(|k| Secret::new((*k).to_owned())).collect::<Vec<_>>()).unwrap()
    }

    const OLD: &str = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";
    const NEW: &str = "correct horse battery staple, and then some";

    #[test]
    fn a_new_first_key_seals_and_the_old_one_still_opens() {
        let random = SeededRng::new(1);
        let old = sealer(&[OLD]).seal(b"key:1", b"plain", &random).unwrap();
        let both = sealer(&[NEW, OLD]);
        assert_eq!(both.open(b"key:1", &old).unwrap().expose(), b"plain");
        assert!(!both.is_current(&old));
        let new = both.seal(b"key:1", b"plain", &random).unwrap();
        assert!(both.is_current(&new));
        assert_eq!(sealer(&[NEW]).open(b"key:1", &new).unwrap().expose(), b"plain");
        assert_eq!(sealer(&[OLD]).open(b"key:1", &new).unwrap_err(), CryptoError::CannotOpen);
    }

    #[test]
    fn what_was_sealed_for_one_place_does_not_open_in_another() {
        let sealer = sealer(&[OLD]);
        let sealed = sealer.seal(b"key:1", b"plain", &SeededRng::new(1)).unwrap();
        assert_eq!(sealer.open(b"key:2", &sealed).unwrap_err(), CryptoError::CannotOpen);
    }

    #[test]
    fn what_is_sealed_often_has_a_key_of_its_own_each_time() {
        let random = SeededRng::new(1);
        let old = sealer(&[OLD]);
        let (one, other) =
            (old.seal_often(b"f:1", b"plain", &random).unwrap(), old.seal_often(b"f:1", b"plain", &random).unwrap());
        // Under one key, equal plain texts differ by no more than the key streams of two nonces; under two keys the texts
        // still open, and nothing of one fits the other.
        assert_ne!(one[5..], other[5..]);
        let mixed = [&one[..37], &other[37..]].concat();
        assert_eq!(old.open(b"f:1", &mixed).unwrap_err(), CryptoError::CannotOpen);
        assert_eq!(old.open(b"f:2", &one).unwrap_err(), CryptoError::CannotOpen);
        assert_eq!(sealer(&[NEW, OLD]).open(b"f:1", &one).unwrap().expose(), b"plain");
        assert_eq!(sealer(&[NEW]).open(b"f:1", &one).unwrap_err(), CryptoError::CannotOpen);
        let often_as_once = [&[VERSION], &one[1..]].concat();
        assert_eq!(old.open(b"f:1", &often_as_once).unwrap_err(), CryptoError::CannotOpen);
    }

    #[test]
    fn short_keys_and_no_keys_are_refused() {
        assert_eq!(Sealer::new(&[]).unwrap_err(), CryptoError::NoSealKey);
        let short = Secret::new("thirty-one characters, not more".to_owned());
        assert_eq!(Sealer::new(&[short]).unwrap_err(), CryptoError::WeakSealKey);
    }

    #[test]
    fn padding_and_alphabet_of_a_base64_key_do_not_matter() {
        let key = [0xfb_u8; 32];
        let standard = base64::engine::general_purpose::STANDARD.encode(key);
        let url = super::super::b64url::encode(&key);
        assert_ne!(standard.trim_end_matches('='), url);
        let sealed = sealer(&[&standard]).seal(b"", b"x", &SeededRng::new(1)).unwrap();
        assert_eq!(sealer(&[&url]).open(b"", &sealed).unwrap().expose(), b"x");
    }

    proptest! {
        #[test]
        fn sealed_data_opens_and_any_changed_byte_is_noticed(
            plain in proptest::collection::vec(any::<u8>(), 0..100), at in any::<prop::sample::Index>(), bit in 0..8_u8,
        ) {
            let sealer = sealer(&[OLD, NEW]);
            let random = SeededRng::new(3);
            for mut sealed in [sealer.seal(b"a", &plain, &random), sealer.seal_often(b"a", &plain, &random)].map(Result::unwrap) {
                let opened = sealer.open(b"a", &sealed).unwrap();
                prop_assert_eq!(opened.expose(), &plain);
                let at = at.index(sealed.len());
                sealed[at] ^= 1 << bit;
                prop_assert!(sealer.open(b"a", &sealed).is_err());
            }
        }

        #[test]
        fn arbitrary_bytes_never_open(data in proptest::collection::vec(any::<u8>(), 0..100)) {
            prop_assert!(sealer(&[OLD]).open(b"a", &data).is_err());
        }
    }
}
