//! Keys of others: a set that never changes, or one that is fetched again when a token names a key that is not among them.

use std::sync::Arc;

use serde_json::Value;

use super::fetch::Fetcher;
use super::fetched::{Document, Fetched, FetchedError};
use crate::base::Clock;
use crate::crypto::CryptoError;
use crate::crypto::jwk::{self, PublicKey};
use crate::limits::LimitError;

/// Why there are no keys.
pub type KeysError = FetchedError<CryptoError>;

#[derive(Debug)]
enum Source {
    Fixed(Arc<[PublicKey]>),
    Fetched(Fetched<Vec<PublicKey>, CryptoError>),
}

/// The keys of one issuer.
#[derive(Debug)]
pub struct ForeignKeys(Source);

/// Keys, for as long as they are looked at.
#[derive(Clone, Debug)]
pub struct Keys(Held);

#[derive(Clone, Debug)]
enum Held {
    Fixed(Arc<[PublicKey]>),
    Fetched(Arc<Document<Vec<PublicKey>>>),
}

impl std::ops::Deref for Keys {
    type Target = [PublicKey];

    fn deref(&self) -> &[PublicKey] {
        match &self.0 {
            Held::Fixed(keys) => keys,
            Held::Fetched(keys) => keys,
        }
    }
}

impl ForeignKeys {
    /// A key set that never changes.
    ///
    /// # Errors
    /// When the set is not usable.
    pub fn fixed(jwks: &Value) -> Result<Self, CryptoError> {
        Ok(Self(Source::Fixed(jwk::read_set(jwks)?.into())))
    }

    /// The key set at `uri`, fetched as [`Fetched`] does.
    ///
    /// # Errors
    /// Never with its numbers.
    pub fn fetched(uri: String, fetcher: Fetcher, clock: Arc<dyn Clock>) -> Result<Self, LimitError> {
        let read = |body: &[u8]| {
            let set: Value = serde_json::from_slice(body).map_err(|_| CryptoError::BadJwks("it is no JSON"))?;
            jwk::read_set(&set)
        };
        let accept = "application/jwk-set+json, application/json";
        Ok(Self(Source::Fetched(Fetched::new(uri, accept, fetcher, clock, read)?)))
    }

    /// The keys, fetched if need be: there are none, they are old, or `kid` is not among them.
    ///
    /// # Errors
    /// When there are none that count.
    pub async fn find(&self, kid: Option<&str>) -> Result<Keys, KeysError> {
        let has = |keys: &Vec<PublicKey>| kid.is_none_or(|kid| keys.iter().any(|key| key.kid() == Some(kid)));
        Ok(Keys(match &self.0 {
            Source::Fixed(keys) => Held::Fixed(Arc::clone(keys)),
            Source::Fetched(fetched) => Held::Fetched(fetched.find(has).await?),
        }))
    }
}
