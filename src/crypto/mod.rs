//! Hashes, JWS, the key ring, sealing, constant-time compare. Everything rests on aws-lc-rs, the hashing of
//! passwords on argon2.
//!
//! ```text
//! secret_text  generated secrets and opaque tokens: prefix, 256 bits, checksum; stored as digests
//! seal         AES-256-GCM for what lies at rest; the first key seals, all of them open
//! keys         signing keys: made, sealed, opened          rotation   what to do about them, as a pure plan
//! keyring      keys parsed once, headers pre-encoded       jwk        public keys in and out (RFC 7517, RFC 7638)
//! jws          compact serialisation, both directions      verify     RFC 9068 access tokens, with a bounded cache
//! assertion    RFC 7523 client assertions                  log_key    the Ed25519 key of log checkpoints
//! id_token     OpenID Connect's
//! password     Argon2id                                    hasher     the few threads that do it, and their queue
//! dpop         RFC 9449 proofs                             seen       what came before, once only
//! nonce        nonces of the server, without keeping any   foreign    JWTs that others issued
//! totp         RFC 6238                                    recovery   the codes for when that is lost
//! ```
//!
//! Two rules hold in all of it: the algorithm comes from the key, never from the message; and nothing in a header
//! but `alg`, `typ`, `kid` and `crit` has any effect, so `jku`, `jwk`, `x5u` and `x5c` cannot bring a key along. A DPoP
//! proof brings its key ([`dpop`]), and is believed about nothing but that.

pub mod assertion;
pub mod b64url;
#[cfg(feature = "server")]
pub mod base32;
pub mod bounded;
mod claims;
pub mod compare;
pub mod dpop;
pub mod foreign;
#[cfg(feature = "server")]
pub mod hasher;
pub mod id_token;
pub mod jwk;
pub mod jws;
pub mod keyring;
pub mod keys;
pub mod log_key;
pub mod logout_token;
pub mod nonce;
#[cfg(feature = "server")]
pub mod password;
#[cfg(feature = "server")]
pub mod recovery;
pub mod rotation;
pub mod seal;
pub mod secret_text;
pub mod seen;
#[cfg(feature = "server")]
pub mod totp;
pub mod verify;

use aws_lc_rs::digest;

/// What can go wrong with keys and sealed data; never what a caller's token did wrong (see [`verify::TokenError`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CryptoError {
    /// A configured sealing key is too short to be one.
    #[error(
        "a sealing key must be 32 bytes in base64, or a text of at least 32 characters; make one with `openssl rand -base64 32`"
    )]
    WeakSealKey,
    /// No sealing key is configured.
    #[error("no sealing key is configured; set `crypto.seal_keys` or its `_FILE` twin")]
    NoSealKey,
    /// None of the configured keys opens it: another key sealed it, or it was changed.
    #[error("no configured sealing key opens this; add the key that sealed it to the end of `crypto.seal_keys`")]
    CannotOpen,
    /// Key material that does not parse, or a key whose id is not its thumbprint.
    #[error("stored key material is damaged; restore the key table from a backup or retire the key")]
    DamagedKey,
    /// The library refused to generate a key, to sign or to seal.
    #[error("the cryptographic library refused the operation; check that the machine has randomness and memory")]
    Refused,
    /// A JWK Set without a usable key, or with one that must not be there.
    #[error("the JWK Set is not usable: {0}")]
    BadJwks(&'static str),
}

/// SHA-256.
pub fn sha256(data: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    for (to, from) in out.iter_mut().zip(digest::digest(&digest::SHA256, data).as_ref()) {
        *to = *from;
    }
    out
}

#[cfg(test)]
mod tests {
    #[test]
    fn sha256_of_abc_is_what_fips_180_says() {
        assert_eq!(
            super::sha256(b"abc")[..8],
            [0xba, 0x78, 0x16, 0xbf, 0x8f, 0x01, 0xcf, 0xea],
            "FIPS 180-4, appendix B.1"
        );
    }
}
