//! Who sits at the browser: the session behind its cookie. Rooms that need to know ask [`Sessions::find`]; room `login`
//! begins, strengthens and ends them.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderValue, header};

use super::browser::Site;
use super::browser::csrf::{BROWSER, SESSION};
use super::info::RequestInfo;
use crate::accounts::{self, Ended, Occasion};
use crate::base::{Clock, Rng, Timestamp, id};
use crate::crypto::secret_text::{self, Kind};
use crate::live::{Live, LiveUser};
use crate::model::{Acr, Session, TokenDigest};
use crate::store::{Store, StoreError, Tx, sessions};

/// How often `last_seen_at` is written.
const SEEN: Duration = Duration::from_secs(60);
/// Characters kept of what a browser calls itself.
const AGENT: usize = 200;

/// How long sessions live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lifetimes {
    /// Whatever is done in it.
    pub whole: Duration,
    /// Without being used.
    pub idle: Duration,
}

/// Sessions of this deployment. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Sessions {
    site: Site,
    store: Store,
    live: Arc<Live>,
    clock: Arc<dyn Clock>,
    rng: Arc<dyn Rng>,
    lifetimes: Lifetimes,
}

/// A person who is signed in.
#[derive(Clone, Debug)]
pub struct SignedIn {
    /// The session.
    pub session: Session,
    /// The person: there, and not disabled.
    pub user: Arc<LiveUser>,
    digest: TokenDigest,
}

/// What a person has just proven.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proof {
    /// How strongly.
    pub acr: Acr,
    /// By which methods (RFC 8176).
    pub amr: Vec<String>,
    /// When; `None`: just now.
    pub at: Option<Timestamp>,
    /// The provider that vouches for it, by its id.
    pub provider: Option<String>,
}

impl Proof {
    /// Proven here and now.
    pub const fn here(acr: Acr, amr: Vec<String>) -> Self {
        Self { acr, amr, at: None, provider: None }
    }
}

/// A session that was just begun or strengthened, and the cookies that say so once its transaction is committed.
#[derive(Debug)]
pub struct Fresh {
    /// Its public id.
    pub session_id: String,
    /// `Set-Cookie`: the new value, and nothing left of what the browser had before.
    pub cookies: Vec<HeaderValue>,
}

impl Sessions {
    /// Over what the process shares.
    pub fn new(
        site: Site,
        store: Store,
        live: Arc<Live>,
        lifetimes: Lifetimes,
        clock: Arc<dyn Clock>,
        rng: Arc<dyn Rng>,
    ) -> Self {
        Self { site, store, live, clock, rng, lifetimes }
    }

    /// Who sent a request with these headers; `None` without a cookie of ours, and when the session is over or its person
    /// gone or disabled.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn find(&self, headers: &HeaderMap) -> Result<Option<SignedIn>, StoreError> {
        let Some(digest) = self.digest(headers) else { return Ok(None) };
        let found = sessions::find(&mut self.store.read().await?, &digest).await?;
        self.admit(digest, found).await
    }

    /// What the session of these headers stands under. Only texts with the right checksum cost a statement.
    pub fn digest(&self, headers: &HeaderMap) -> Option<TokenDigest> {
        let text = self.site.cookies().get(headers, SESSION)?;
        (secret_text::check(text) == Some(Kind::Session)).then(|| secret_text::digest(text))
    }

    /// Who is signed in by what was found under `digest`; as [`Self::find`].
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn admit(&self, digest: TokenDigest, found: Option<Session>) -> Result<Option<SignedIn>, StoreError> {
        let now = self.clock.now();
        let Some(session) = found.filter(|session| self.lives(session, now)) else { return Ok(None) };
        let user = self.live.user(&session.user_id).await?.filter(|user| !user.user.disabled);
        let Some(user) = user else { return Ok(None) };
        if now.since(session.last_seen_at) >= SEEN {
            let mut tx = self.store.begin().await?;
            sessions::touch(&mut tx, &digest, now, now.minus(SEEN)).await?;
            tx.commit().await?;
        }
        Ok(Some(SignedIn { session, user, digest }))
    }

    /// Whether a session still counts at `now`.
    pub fn lives(&self, session: &Session, now: Timestamp) -> bool {
        session.expires_at > now && session.last_seen_at.plus(self.lifetimes.idle) > now
    }

    /// A person has proven who they are. A session of theirs in this browser is strengthened: same id, new cookie. A session of
    /// someone else's ends, on this occasion, with what was granted in it; that is to be announced after the commit.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn start(
        &self,
        tx: &mut Tx,
        (user_id, proof): (&str, &Proof),
        (info, headers): (&RequestInfo, &HeaderMap),
        before: Option<&SignedIn>,
        on: &Occasion<'_>,
    ) -> Result<(Fresh, Ended), StoreError> {
        let mut ended = Ended::default();
        match before {
            Some(before) if before.session.user_id == user_id => {
                if let Some(fresh) = self.renew(tx, before, proof).await? {
                    return Ok((fresh, ended));
                }
            }
            Some(before) => ended = accounts::end_session(tx, &self.live, &before.session, on).await?,
            None => {}
        }
        let now = self.clock.now();
        let value = secret_text::generate(Kind::Session, &*self.rng);
        let session = Session {
            session_id: id::new("ses", now, &*self.rng),
            user_id: user_id.to_owned(),
            acr: proof.acr,
            amr: proof.amr.clone(),
            auth_time: proof.at.unwrap_or(now),
            created_at: now,
            last_seen_at: now,
            expires_at: now.plus(self.lifetimes.whole),
            address: info.address.map(|address| address.to_string()),
            user_agent: agent(headers),
        };
        sessions::insert(tx, &secret_text::digest(value.expose()), &session).await?;
        Ok((Fresh { session_id: session.session_id, cookies: self.cookies(value.expose()) }, ended))
    }

    /// Strengthens a session: same id, new cookie value. `None` when it ended, or someone else strengthened it, meanwhile.
    ///
    /// # Errors
    /// When the database fails.
    async fn renew(&self, tx: &mut Tx, signed: &SignedIn, proof: &Proof) -> Result<Option<Fresh>, StoreError> {
        let value = secret_text::generate(Kind::Session, &*self.rng);
        let new = secret_text::digest(value.expose());
        let now = self.clock.now();
        let proven = (proof.acr, proof.amr.as_slice(), proof.at.unwrap_or(now));
        let renewed = sessions::renew(tx, &signed.digest, &new, &signed.session.user_id, proven, now).await?;
        Ok(renewed.map(|session_id| Fresh { session_id, cookies: self.cookies(value.expose()) }))
    }

    /// `Set-Cookie` that drops the session's cookie.
    pub fn forget(&self) -> Vec<HeaderValue> {
        self.site.cookies().drop(SESSION).into_iter().collect()
    }

    fn cookies(&self, value: &str) -> Vec<HeaderValue> {
        let cookies = self.site.cookies();
        cookies.set(SESSION, value, None).into_iter().chain(cookies.drop(BROWSER)).collect()
    }
}

/// What the browser calls itself, as far as it is worth keeping.
fn agent(headers: &HeaderMap) -> Option<String> {
    let text = headers.get(header::USER_AGENT)?.to_str().ok()?;
    let text: String = text.chars().filter(|c| !c.is_control()).take(AGENT).collect();
    (!text.is_empty()).then_some(text)
}
