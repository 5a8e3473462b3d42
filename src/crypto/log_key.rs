//! The Ed25519 key that signs checkpoints of the audit log.

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use zeroize::Zeroizing;

use super::{CryptoError, seal::Sealer};
use crate::base::{Rng, rng};

const PLACE: &[u8] = b"audit-log-key";

/// The key, ready to sign.
#[derive(Debug)]
pub struct LogKey(Ed25519KeyPair);

impl LogKey {
    /// Makes a key; what it gives is sealed and to be stored.
    ///
    /// # Errors
    /// When the library refuses.
    pub fn generate(sealer: &Sealer, random: &dyn Rng) -> Result<Vec<u8>, CryptoError> {
        let seed = Zeroizing::new(rng::bytes::<32>(random));
        sealer.seal(PLACE, &*seed, random)
    }

    /// Opens a stored key.
    ///
    /// # Errors
    /// When no key opens it, or it is damaged.
    pub fn open(sealer: &Sealer, sealed: &[u8]) -> Result<Self, CryptoError> {
        let seed = sealer.open(PLACE, sealed)?;
        Ed25519KeyPair::from_seed_unchecked(seed.expose()).map(Self).map_err(|_| CryptoError::DamagedKey)
    }

    /// Signs. Should the library ever refuse, the signature is all zeros, which verifies under no key.
    pub fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.0.try_sign(message).ok().and_then(|s| s.as_ref().try_into().ok()).unwrap_or([0; 64])
    }

    /// The public half.
    pub fn public(&self) -> [u8; 32] {
        self.0.public_key().as_ref().try_into().unwrap_or([0; 32])
    }
}

/// Whether `signature` is that of the key with this public half over `message`.
pub fn verify(public: &[u8; 32], message: &[u8], signature: &[u8]) -> bool {
    UnparsedPublicKey::new(&ED25519, public).verify(message, signature).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{Secret, SeededRng};

    #[test]
    fn a_checkpoint_verifies_under_its_own_key_alone() {
        let sealer = Sealer::new(&[Secret::new("a sealing key of thirty-two chars".to_owned())]).unwrap();
        let sealed = LogKey::generate(&sealer, &SeededRng::new(1)).unwrap();
        let key = LogKey::open(&sealer, &sealed).unwrap();
        let other = LogKey::open(&sealer, &LogKey::generate(&sealer, &SeededRng::new(2)).unwrap()).unwrap();
        let signature = key.sign(b"checkpoint");
        assert!(verify(&key.public(), b"checkpoint", &signature));
        assert!(!verify(&key.public(), b"checkpoinT", &signature));
        assert!(!verify(&other.public(), b"checkpoint", &signature));
        assert!(!verify(&key.public(), b"checkpoint", &[0; 64]), "all zeros verify under no key");
        assert!(!verify(&key.public(), b"checkpoint", &signature[..63]));
        assert_eq!(LogKey::open(&sealer, &sealed).unwrap().public(), key.public());
        assert_eq!(LogKey::open(&sealer, &sealed[1..]).unwrap_err(), CryptoError::CannotOpen);
    }
}
