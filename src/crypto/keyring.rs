//! The key ring: every stored key parsed once, with its JOSE header already encoded. Immutable; whoever holds one in an
//! `ArcSwap` builds another when the key table changes.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

use super::jwk::PublicKey;
use super::keys::{self, KeyPair};
use super::{CryptoError, b64url, seal::Sealer};
use crate::base::Timestamp;
use crate::model::{Algorithm, KeyState, SigningKey};

/// A private key, ready to sign.
pub struct Signer {
    kid: String,
    pair: KeyPair,
    /// base64url of the header of an access token, with the dot behind it.
    pub(super) access_header: String,
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signer({}, {})", self.alg().as_str(), self.kid)
    }
}

impl Signer {
    fn new(kid: String, pair: KeyPair) -> Self {
        let mut access_header = String::with_capacity(160);
        b64url::encode_onto(header(pair.alg(), &kid, super::jws::ACCESS_TOKEN).as_bytes(), &mut access_header);
        access_header.push('.');
        Self { kid, pair, access_header }
    }

    /// Its name in the JWK Set.
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// What it signs with.
    pub fn alg(&self) -> Algorithm {
        self.pair.alg()
    }

    /// The header of another `typ`, base64url, with the dot behind it.
    pub(super) fn header(&self, typ: &str) -> String {
        let mut text = b64url::encode(header(self.alg(), &self.kid, typ).as_bytes());
        text.push('.');
        text
    }

    pub(super) fn signature(&self, message: &[u8]) -> Result<Vec<u8>, CryptoError> {
        self.pair.sign(message)
    }
}

fn header(alg: Algorithm, kid: &str, typ: &str) -> String {
    serde_json::json!({"alg": alg.as_str(), "kid": kid, "typ": typ}).to_string()
}

#[derive(Debug)]
struct Entry {
    stored: SigningKey,
    signer: Signer,
    public: Arc<PublicKey>,
    jwk: String,
}

/// Every signing key of a deployment.
#[derive(Debug)]
pub struct KeyRing {
    /// Newest activation first.
    entries: Vec<Entry>,
}

impl KeyRing {
    /// Opens and parses every key. What is published comes from the private half, not from the stored JWK.
    ///
    /// # Errors
    /// When a key does not open, is damaged, or is not the one its `kid` names.
    pub fn build(stored: &[SigningKey], sealer: &Sealer) -> Result<Self, CryptoError> {
        let mut entries = Vec::with_capacity(stored.len());
        for key in stored {
            let (pair, parts) = keys::open(key, sealer)?;
            entries.push(Entry {
                public: Arc::new(PublicKey::from_parts(&parts, Some(key.kid.clone()))?),
                jwk: parts.jwk(&key.kid).to_string(),
                signer: Signer::new(key.kid.clone(), pair),
                stored: key.clone(),
            });
        }
        entries.sort_by(|a, b| (b.stored.activates_at, &b.stored.kid).cmp(&(a.stored.activates_at, &a.stored.kid)));
        Ok(Self { entries })
    }

    /// The key that signs with `alg` now: of the active ones the newest. `None` when there is none.
    pub fn signer(&self, alg: Algorithm, now: Timestamp) -> Option<&Signer> {
        self.entries.iter().find(|e| e.stored.alg == alg && e.stored.state(now) == KeyState::Active).map(|e| &e.signer)
    }

    fn published(&self, now: Timestamp) -> impl Iterator<Item = &Entry> {
        self.entries.iter().filter(move |e| e.stored.state(now) != KeyState::Expired)
    }

    /// The JWK Set (RFC 7517) as JSON: published, active and retired keys, public members only.
    pub fn jwks(&self, now: Timestamp) -> Bytes {
        let keys: Vec<&str> = self.published(now).map(|e| e.jwk.as_str()).collect();
        Bytes::from(format!(r#"{{"keys":[{}]}}"#, keys.join(",")))
    }

    /// The same keys, parsed, for [`super::verify::Verifier::set_keys`].
    pub fn public(&self, now: Timestamp) -> Vec<Arc<PublicKey>> {
        self.published(now).map(|e| Arc::clone(&e.public)).collect()
    }

    /// The keys as stored, newest activation first.
    pub fn stored(&self) -> impl Iterator<Item = &SigningKey> {
        self.entries.iter().map(|e| &e.stored)
    }

    /// When [`Self::jwks`] or [`Self::signer`] next change by themselves; `None` when they never do.
    pub fn next_change(&self, now: Timestamp) -> Option<Timestamp> {
        let times = self.entries.iter().flat_map(|e| {
            [Some(e.stored.activates_at), e.stored.retired_at, e.stored.expires_at].into_iter().flatten()
        });
        times.filter(|t| *t > now).min()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::base::{Secret, SeededRng};

    const HOUR: Duration = Duration::from_secs(3600);

    fn sealer() -> Sealer {
        Sealer::new(&[Secret::new("a sealing key of thirty-two chars".to_owned())]).unwrap()
    }

    fn kids(ring: &KeyRing, now: Timestamp) -> Vec<String> {
        let set: serde_json::Value = serde_json::from_slice(&ring.jwks(now)).unwrap();
        set["keys"].as_array().unwrap().iter().map(|k| k["kid"].as_str().unwrap().to_owned()).collect()
    }

    #[test]
    fn a_successor_is_published_before_it_signs_and_the_old_key_stays_until_its_tokens_died() {
        let start = Timestamp::from_secs(1_700_000_000);
        let (seal, random) = (sealer(), SeededRng::new(1));
        let mut old = keys::generate(Algorithm::ES256, &seal, &random, start, start).unwrap();
        let new = keys::generate(Algorithm::ES256, &seal, &random, start, start.plus(HOUR)).unwrap();
        old.retired_at = Some(start.plus(HOUR));
        old.expires_at = Some(start.plus(HOUR * 2));
        let ring = KeyRing::build(&[old.clone(), new.clone()], &seal).unwrap();
        let signs = |at: Timestamp| ring.signer(Algorithm::ES256, at).map(|s| s.kid().to_owned());

        assert_eq!(signs(start).as_ref(), Some(&old.kid));
        assert_eq!(kids(&ring, start), [new.kid.clone(), old.kid.clone()]);
        assert_eq!(ring.next_change(start), Some(start.plus(HOUR)));
        assert_eq!(signs(start.plus(HOUR)).as_ref(), Some(&new.kid));
        assert_eq!(kids(&ring, start.plus(HOUR)).len(), 2);
        assert_eq!(kids(&ring, start.plus(HOUR * 2)), std::slice::from_ref(&new.kid));
        assert_eq!(signs(start.minus(HOUR)), None, "nothing signs before it is active");
        assert_eq!(ring.signer(Algorithm::RS256, start).map(Signer::kid), None);
    }

    #[test]
    fn a_jwk_changed_in_the_store_is_not_published() {
        let (seal, now) = (sealer(), Timestamp::from_secs(1_700_000_000));
        let mut key = keys::generate(Algorithm::EdDSA, &seal, &SeededRng::new(1), now, now).unwrap();
        key.public_jwk =
            r#"{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#.to_owned();
        let ring = KeyRing::build(&[key.clone()], &seal).unwrap();
        assert!(!String::from_utf8_lossy(&ring.jwks(now)).contains("11qYAYKxCrfVS"));
        key.sealed[30] ^= 1;
        assert_eq!(KeyRing::build(&[key], &seal).unwrap_err(), CryptoError::CannotOpen);
    }
}
