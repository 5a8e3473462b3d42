//! Keys of others, fetched when they are needed: remembered for a while, fetched again when a token names a key that is not
//! among them, by one caller for all that wait, and not often, whatever anybody sends.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use serde_json::Value;

use super::fetch::{FetchError, Fetcher};
use crate::base::{Clock, Timestamp};
use crate::crypto::CryptoError;
use crate::crypto::jwk::{self, PublicKey};
use crate::limits::{Ceiling, Limit, LimitError};

/// Keys this old are fetched again before they are used.
const FRESH: Duration = Duration::from_secs(600);
/// Keys this old are not used, whether or not newer ones are to be had: what its owner took back must not count for ever.
const DEAD: Duration = Duration::from_secs(3600);

/// Why there are no keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeysError {
    /// They cannot be fetched, and there are none that still count.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// What was fetched is no usable key set.
    #[error(transparent)]
    Set(#[from] CryptoError),
    /// They were asked for too often.
    #[error("the keys were fetched too often")]
    TooOften,
}

#[derive(Debug)]
struct Held {
    keys: Vec<PublicKey>,
    fetched_at: Timestamp,
}

#[derive(Debug)]
enum Source {
    Fixed(Arc<Held>),
    Fetched { uri: String, fetcher: Fetcher, held: ArcSwapOption<Held>, turn: tokio::sync::Mutex<()>, limit: Ceiling },
}

/// The keys of one issuer.
#[derive(Debug)]
pub struct ForeignKeys {
    source: Source,
    clock: Arc<dyn Clock>,
}

/// Keys, for as long as they are looked at.
#[derive(Clone, Debug)]
pub struct Keys(Arc<Held>);

impl std::ops::Deref for Keys {
    type Target = [PublicKey];

    fn deref(&self) -> &[PublicKey] {
        &self.0.keys
    }
}

impl ForeignKeys {
    /// A key set that never changes.
    ///
    /// # Errors
    /// When the set is not usable.
    pub fn fixed(jwks: &Value, clock: Arc<dyn Clock>) -> Result<Self, CryptoError> {
        let held = Held { keys: jwk::read_set(jwks)?, fetched_at: clock.now() };
        Ok(Self { source: Source::Fixed(Arc::new(held)), clock })
    }

    /// The key set at `uri`, fetched at most three times at once and six times a minute.
    ///
    /// # Errors
    /// Never with these numbers.
    pub fn fetched(uri: String, fetcher: Fetcher, clock: Arc<dyn Clock>) -> Result<Self, LimitError> {
        let limit = Ceiling::new(Limit::new(6, Duration::from_secs(60), 3)?, Arc::clone(&clock));
        let source =
            Source::Fetched { uri, fetcher, held: ArcSwapOption::empty(), turn: tokio::sync::Mutex::default(), limit };
        Ok(Self { source, clock })
    }

    /// The keys, fetched if need be: there are none, they are old, or `kid` is not among them.
    ///
    /// # Errors
    /// When there are none that count.
    pub async fn find(&self, kid: Option<&str>) -> Result<Keys, KeysError> {
        let Source::Fetched { uri, fetcher, held, turn, limit } = &self.source else {
            let Source::Fixed(held) = &self.source else { return Err(KeysError::TooOften) };
            return Ok(Keys(Arc::clone(held)));
        };
        let before = held.load_full();
        if let Some(good) = before.as_ref().filter(|held| self.answers(held, kid)) {
            return Ok(Keys(Arc::clone(good)));
        }
        let _turn = turn.lock().await;
        // Whoever had the turn before may have fetched what is wanted; it is not fetched twice for the same wish.
        let now = held.load_full();
        let is_newer = |held: &&Arc<Held>| before.as_ref().is_none_or(|before| !Arc::ptr_eq(before, held));
        if let Some(newer) = now.as_ref().filter(is_newer).filter(|held| self.age(held) < FRESH) {
            return Ok(Keys(Arc::clone(newer)));
        }
        let fetched = match limit.check(1) {
            Ok(()) => self.fetch(uri, fetcher).await,
            Err(_) => Err(KeysError::TooOften),
        };
        match fetched {
            Ok(fetched) => {
                let fetched = Arc::new(fetched);
                held.store(Some(Arc::clone(&fetched)));
                Ok(Keys(fetched))
            }
            Err(error) => {
                tracing::warn!(uri, %error, "a key set could not be fetched");
                now.filter(|held| self.age(held) < DEAD).map(Keys).ok_or(error)
            }
        }
    }

    async fn fetch(&self, uri: &str, fetcher: &Fetcher) -> Result<Held, KeysError> {
        let body = fetcher.get(uri, "application/jwk-set+json, application/json").await?;
        let set: Value = serde_json::from_slice(&body).map_err(|_| CryptoError::BadJwks("it is no JSON"))?;
        Ok(Held { keys: jwk::read_set(&set)?, fetched_at: self.clock.now() })
    }

    fn answers(&self, held: &Held, kid: Option<&str>) -> bool {
        self.age(held) < FRESH && kid.is_none_or(|kid| held.keys.iter().any(|key| key.kid() == Some(kid)))
    }

    fn age(&self, held: &Held) -> Duration {
        self.clock.now().since(held.fetched_at)
    }
}
