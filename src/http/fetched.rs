//! Documents of others, fetched when they are needed: remembered for a while, fetched again when what is wanted is not in them,
//! by one caller for all that wait, and not often, whatever anybody sends.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;

use super::fetch::{FetchError, Fetcher};
use crate::base::{Clock, Timestamp};
use crate::limits::{Ceiling, Limit, LimitError};

/// One this old is fetched again before it is used.
const FRESH: Duration = Duration::from_secs(600);
/// One this old is not used, whether or not a newer one is to be had: what its owner took back must not count for ever.
const DEAD: Duration = Duration::from_secs(3600);

/// Why there is no document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FetchedError<E: std::error::Error + 'static> {
    /// It cannot be fetched, and there is none that still counts.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// What was fetched is not usable.
    #[error("what was fetched is not usable: {0}")]
    Unfit(#[source] E),
    /// It was asked for too often.
    #[error("it was fetched too often")]
    TooOften,
}

/// A document, as it was read.
#[derive(Debug)]
pub struct Document<T> {
    content: T,
    fetched_at: Timestamp,
}

impl<T> std::ops::Deref for Document<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.content
    }
}

type Read<T, E> = Box<dyn Fn(&[u8]) -> Result<T, E> + Send + Sync>;

/// One document at one place.
pub struct Fetched<T, E> {
    uri: String,
    accept: &'static str,
    read: Read<T, E>,
    fetcher: Fetcher,
    clock: Arc<dyn Clock>,
    held: ArcSwapOption<Document<T>>,
    turn: tokio::sync::Mutex<()>,
    limit: Ceiling,
}

impl<T, E> std::fmt::Debug for Fetched<T, E> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Fetched").field("uri", &self.uri).finish_non_exhaustive()
    }
}

impl<T, E: std::error::Error + 'static> Fetched<T, E> {
    /// The document at `uri`, asked for as `accept` and understood by `read`, fetched at most three times at once and six times
    /// a minute.
    ///
    /// # Errors
    /// Never with these numbers.
    pub fn new(
        uri: String,
        accept: &'static str,
        fetcher: Fetcher,
        clock: Arc<dyn Clock>,
        read: impl Fn(&[u8]) -> Result<T, E> + Send + Sync + 'static,
    ) -> Result<Self, LimitError> {
        let limit = Ceiling::new(Limit::new(6, Duration::from_secs(60), 3)?, Arc::clone(&clock));
        let (held, turn) = (ArcSwapOption::empty(), tokio::sync::Mutex::default());
        Ok(Self { uri, accept, read: Box::new(read), fetcher, clock, held, turn, limit })
    }

    /// The document, fetched if need be: there is none, it is old, or it does not suit.
    ///
    /// # Errors
    /// When there is none that counts. One that does not suit counts when the newest does not either.
    pub async fn find(&self, suits: impl Fn(&T) -> bool) -> Result<Arc<Document<T>>, FetchedError<E>> {
        let before = self.held.load_full();
        if let Some(good) = before.as_ref().filter(|held| self.age(held) < FRESH && suits(held)) {
            return Ok(Arc::clone(good));
        }
        let _turn = self.turn.lock().await;
        // Whoever had the turn before may have fetched what is wanted; it is not fetched twice for the same wish.
        let now = self.held.load_full();
        let is_newer = |held: &&Arc<Document<T>>| before.as_ref().is_none_or(|before| !Arc::ptr_eq(before, held));
        if let Some(newer) = now.as_ref().filter(is_newer).filter(|held| self.age(held) < FRESH) {
            return Ok(Arc::clone(newer));
        }
        let fetched = match self.limit.check(1) {
            Ok(()) => self.fetch().await,
            Err(_) => Err(FetchedError::TooOften),
        };
        match fetched {
            Ok(content) => {
                let fetched = Arc::new(Document { content, fetched_at: self.clock.now() });
                self.held.store(Some(Arc::clone(&fetched)));
                Ok(fetched)
            }
            Err(error) => {
                tracing::warn!(uri = self.uri, %error, "a document of others could not be fetched");
                now.filter(|held| self.age(held) < DEAD).ok_or(error)
            }
        }
    }

    async fn fetch(&self) -> Result<T, FetchedError<E>> {
        let body = self.fetcher.get(&self.uri, self.accept).await?;
        (self.read)(&body).map_err(FetchedError::Unfit)
    }

    fn age(&self, held: &Document<T>) -> Duration {
        self.clock.now().since(held.fetched_at)
    }
}
