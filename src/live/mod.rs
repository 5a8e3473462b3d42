//! What every process holds in memory and keeps fresh: clients, the key ring, the denylist, opaque tokens, people seen and
//! who is at risk. The hot paths read it without a lock or a statement; [`Live::follow`] brings the changes of other processes within a second.
//!
//! Called by the rooms, through `Arc<Live>`. It reads the store, and writes to it only what keeps signing keys alive
//! ([`keys`]).

mod denylist;
mod follow;
pub mod keys;
mod risk;
mod users;

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use parking_lot::Mutex;

pub use denylist::Denylist;
pub use risk::Tally as RiskTally;
pub use users::LiveUser;

use crate::base::{Clock, Secret, Timestamp};
use crate::crypto::bounded::Bounded;
use crate::crypto::keyring::KeyRing;
use crate::crypto::seal::Sealer;
use crate::crypto::secret_text::{self, Kind};
use crate::crypto::verify::{TokenError, Verifier};
use crate::crypto::{CryptoError, sha256};
use crate::model::{AccessToken, Client, TokenDigest};
use crate::policy::Principal;
use crate::store::{self, Store, StoreError, Tx};
use crate::telemetry::Metrics;

/// How many opaque tokens are remembered.
const OPAQUE_REMEMBERED: usize = 100_000;

/// A client in memory, with what the hot paths would otherwise compute each time.
#[derive(Debug)]
pub struct LiveClient {
    /// The client.
    pub client: Client,
    /// Its version in the store.
    pub version: i64,
    /// Its Cedar entity.
    pub principal: Principal,
}

/// The keys in memory.
#[derive(Debug)]
struct Keys {
    ring: Arc<KeyRing>,
    jwks: Bytes,
    /// When the set changes by itself: a key starts, stops, expires.
    next_change: Option<Timestamp>,
}

/// Why the state could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LiveError {
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A key does not open.
    #[error("the signing keys cannot be opened; check `[crypto] seal_keys`: {0}")]
    Crypto(#[from] CryptoError),
}

/// The state in memory.
#[derive(Debug)]
pub struct Live {
    store: Store,
    sealer: Arc<Sealer>,
    clock: Arc<dyn Clock>,
    clients: ArcSwap<HashMap<Box<str>, Arc<LiveClient>>>,
    /// Origins that enabled clients registered.
    origins: ArcSwap<HashSet<Box<str>>>,
    keys: ArcSwap<Keys>,
    verifier: Verifier,
    denylist: Denylist,
    opaque: Bounded<TokenDigest, Arc<AccessToken>>,
    users: users::Users,
    metrics: OnceLock<Arc<Metrics>>,
    /// Whom risk is told to; nobody until [`Live::tell_risk`].
    risk: OnceLock<risk::Feed>,
    risk_tally: Mutex<RiskTally>,
    /// When there is room for names that wait.
    risk_due: Mutex<Option<Timestamp>>,
    /// Versions of `changes` that are loaded.
    seen: tokio::sync::Mutex<HashMap<String, i64>>,
}

impl Live {
    /// Reads everything once.
    ///
    /// # Errors
    /// When the database or a key cannot be read.
    pub async fn load(
        store: Store,
        sealer: Arc<Sealer>,
        issuer: &str,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, LiveError> {
        let empty = Keys { ring: Arc::new(KeyRing::build(&[], &sealer)?), jwks: Bytes::new(), next_change: None };
        let live = Self {
            store,
            sealer,
            clock,
            clients: ArcSwap::default(),
            origins: ArcSwap::default(),
            keys: ArcSwap::from_pointee(empty),
            verifier: Verifier::new(issuer, Vec::new()),
            denylist: Denylist::default(),
            opaque: Bounded::new(OPAQUE_REMEMBERED),
            users: users::Users::new(),
            metrics: OnceLock::new(),
            risk: OnceLock::new(),
            risk_tally: Mutex::default(),
            risk_due: Mutex::default(),
            seen: tokio::sync::Mutex::default(),
        };
        live.refresh().await?;
        Ok(live)
    }

    /// Counts changes of the signing keys in `metrics` from now on.
    pub fn count_in(&self, metrics: Arc<Metrics>) {
        // The first stays: there is one catalogue a process.
        self.metrics.set(metrics).ok();
    }

    /// The client with this id, disabled or not.
    pub fn client(&self, client_id: &str) -> Option<Arc<LiveClient>> {
        self.clients.load().get(client_id).map(Arc::clone)
    }

    /// Whether any enabled client registered this origin for its pages.
    pub fn is_origin(&self, origin: &str) -> bool {
        self.origins.load().contains(origin)
    }

    /// How many clients there are.
    pub fn client_count(&self) -> usize {
        self.clients.load().len()
    }

    /// The keys that sign and verify.
    pub fn key_ring(&self) -> Arc<KeyRing> {
        Arc::clone(&self.keys.load().ring)
    }

    /// The published JWK Set, rendered.
    pub fn jwks(&self) -> Bytes {
        self.keys.load().jwks.clone()
    }

    /// The person with this id, disabled or not.
    ///
    /// # Errors
    /// When the database does not answer and the person is not in memory.
    pub async fn user(&self, user_id: &str) -> Result<Option<Arc<LiveUser>>, StoreError> {
        self.users.get(&self.store, user_id).await
    }

    /// The same where a transaction is open: what is not in memory is read with it, and not remembered, for it may see what
    /// is not committed.
    ///
    /// # Errors
    /// When the database does not answer and the person is not in memory.
    pub async fn user_in(&self, tx: &mut Tx, user_id: &str) -> Result<Option<Arc<LiveUser>>, StoreError> {
        self.users.get_in(tx, user_id).await
    }

    /// Forgets what is known of people: for whoever just changed one. Other processes see the change by themselves.
    pub fn forget_users(&self) {
        self.users.forget();
    }

    /// Whether this token, family or person is on the denylist.
    pub fn is_revoked(&self, id: &str) -> bool {
        self.denylist.contains(id)
    }

    /// Puts a revocation of a token (`jti`), a family (`gid`) or a person (`sub`) in force here at once; the row that the others
    /// follow is the caller's to write.
    pub fn revoke(&self, id: &str, exp: Timestamp) {
        self.denylist.insert(id, exp);
    }

    /// Remembers an opaque token that was just issued.
    pub fn remember_opaque(&self, digest: TokenDigest, token: Arc<AccessToken>) {
        self.opaque.insert(digest, token);
    }

    /// What `token` says, whatever form it has, if it is alive now: signature or row, time, denylist, client, person (all of
    /// them).
    ///
    /// # Errors
    /// Why it does not count; [`TokenError::Unavailable`] when the database that would know does not answer.
    pub async fn verify(&self, token: &str, now: Timestamp) -> Result<Arc<AccessToken>, TokenError> {
        self.known(token, now).await.map(|(token, _)| token)
    }

    /// The same, and the Cedar entity that it speaks for.
    ///
    /// # Errors
    /// As [`Self::verify`].
    pub async fn known(&self, token: &str, now: Timestamp) -> Result<(Arc<AccessToken>, Principal), TokenError> {
        let token =
            if token.contains('.') { self.verifier.verify(token, now)? } else { self.look_up(token, now).await? };
        if self.denylist.contains(&token.jti) {
            return Err(TokenError::Revoked);
        }
        let client = self.clients.load().get(&*token.client_id).map(Arc::clone).ok_or(TokenError::Revoked)?;
        // A client made again under an old id is another client: what the old one held stays dead.
        if client.client.disabled || token.iat.as_secs() < client.client.created_at.as_secs() {
            return Err(TokenError::Revoked);
        }
        if token.is_client() {
            return Ok((token, client.principal.clone()));
        }
        if token.speaks_for_client() {
            // Exchanged by another client: its subject must live as well.
            let subject = self.clients.load().get(&*token.sub).map(Arc::clone).ok_or(TokenError::Revoked)?;
            if subject.client.disabled || token.iat.as_secs() < subject.client.created_at.as_secs() {
                return Err(TokenError::Revoked);
            }
            return Ok((token, subject.principal.clone()));
        }
        if token.gid.as_ref().is_some_and(|gid| self.denylist.contains(gid)) || self.denylist.contains(&token.sub) {
            return Err(TokenError::Revoked);
        }
        match self.user(&token.sub).await {
            Ok(Some(user)) if !user.user.disabled => Ok((token, user.principal.clone())),
            Ok(_) => Err(TokenError::Revoked),
            Err(error) => {
                tracing::warn!(error = %crate::telemetry::chain(&error), "a person could not be looked up");
                Err(TokenError::Unavailable)
            }
        }
    }

    /// The row of an opaque token, remembered while it lives. Only texts with the right checksum cost a statement.
    async fn look_up(&self, token: &str, now: Timestamp) -> Result<Arc<AccessToken>, TokenError> {
        if secret_text::check(token) != Some(Kind::AccessToken) {
            return Err(TokenError::Malformed);
        }
        let digest = sha256(token.as_bytes());
        let found = match self.opaque.get(&digest) {
            Some(found) => found,
            None => {
                let unavailable = |error: StoreError| {
                    tracing::warn!(error = %crate::telemetry::chain(&error), "an opaque token could not be looked up");
                    TokenError::Unavailable
                };
                let mut reader = self.store.read().await.map_err(unavailable)?;
                let row = store::tokens::find(&mut reader, &digest).await.map_err(unavailable)?;
                let found = Arc::new(row.ok_or(TokenError::Unknown)?);
                self.opaque.insert(digest, Arc::clone(&found));
                found
            }
        };
        if found.exp <= now {
            self.opaque.remove(&digest);
            return Err(TokenError::Expired);
        }
        Ok(found)
    }

    /// Whether there is a key to sign with: part of readiness.
    pub fn can_sign(&self) -> bool {
        let now = self.clock.now();
        let keys = self.keys.load();
        crate::model::Algorithm::ALL.into_iter().any(|alg| keys.ring.signer(alg, now).is_some())
    }
}

/// How long may pass until another process's change is seen where nothing announces it.
const POLL: Duration = Duration::from_millis(250);

/// The seal key list of a configuration as a [`Sealer`].
///
/// # Errors
/// When a key is too short or there is none.
pub fn sealer(keys: &[Secret<String>]) -> Result<Arc<Sealer>, CryptoError> {
    Sealer::new(keys).map(Arc::new)
}
