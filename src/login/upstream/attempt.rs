//! One attempt to sign in elsewhere: what it was begun with, sealed into a cookie of the browser that began it, good for one
//! answer and ten minutes.

use std::time::Duration;

use http::HeaderValue;
use serde::{Deserialize, Serialize};

use crate::base::{Timestamp, rng};
use crate::crypto::{CryptoError, b64url};
use crate::login::trouble::Trouble;
use crate::login::visit::Visit;
use crate::store::assertions;

const COOKIE: &str = "u";
const LIFETIME: Duration = Duration::from_secs(600);
/// Under which name used states are remembered beside used assertions.
const USED: &str = "login:upstream";

/// What it is for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(in crate::login) enum Purpose {
    /// To sign in, and go on with this query.
    SignIn(String),
    /// To link the account to this person, who is signed in.
    Link(String),
}

/// One attempt.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Attempt {
    /// Which provider it leads to: no other may answer it.
    pub(super) provider: String,
    /// Comes back with the answer.
    pub(super) state: String,
    /// Comes back in the ID token.
    pub(super) nonce: String,
    /// Shows that the code was asked for here (RFC 7636).
    pub(super) verifier: String,
    /// When it began.
    pub(super) at: Timestamp,
    /// The person must have proven themselves there since then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) since: Option<Timestamp>,
    /// What for.
    pub(super) purpose: Purpose,
}

impl std::fmt::Debug for Attempt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Attempt").field("provider", &self.provider).field("at", &self.at).finish_non_exhaustive()
    }
}

impl Attempt {
    /// A new one, now.
    pub(super) fn new(visit: &Visit, provider: &str, since: Option<Timestamp>, purpose: Purpose) -> Self {
        let random = || b64url::encode(&rng::bytes::<32>(&*visit.ctx().rng));
        Self {
            provider: provider.to_owned(),
            state: random(),
            nonce: random(),
            verifier: random(),
            at: visit.now(),
            since,
            purpose,
        }
    }

    /// Uses it up: true for the first answer alone.
    pub(super) async fn use_up(&self, visit: &Visit) -> Result<bool, Trouble> {
        let mut tx = visit.ctx().store.begin().await?;
        let is_first = assertions::claim(&mut tx, USED, &self.state, self.at.plus(LIFETIME)).await?;
        tx.commit().await?;
        Ok(is_first)
    }
}

fn place(visit: &Visit) -> String {
    format!("upstream:{}", visit.site().issuer())
}

impl Visit {
    /// `Set-Cookie` that keeps an attempt. A browser is in the middle of one: the newest.
    pub(super) fn keep(&self, attempt: &Attempt) -> Result<HeaderValue, Trouble> {
        let plain = zeroize::Zeroizing::new(serde_json::to_vec(attempt).map_err(|_| CryptoError::Refused)?);
        let sealed = self.ctx().sealer.seal_often(place(self).as_bytes(), &plain, &*self.ctx().rng)?;
        let cookie = self.site().cookies().set(COOKIE, &b64url::encode(&sealed), Some(LIFETIME));
        cookie.ok_or(Trouble::Crypto(CryptoError::Refused))
    }

    /// The attempt that this browser is in the middle of.
    pub(super) fn attempt(&self) -> Option<Attempt> {
        let sealed = b64url::decode_strict(self.site().cookies().get(&self.headers, COOKIE)?)?;
        let plain = self.ctx().sealer.open(place(self).as_bytes(), &sealed).ok()?;
        let attempt: Attempt = serde_json::from_slice(plain.expose()).ok()?;
        (self.now() < attempt.at.plus(LIFETIME)).then_some(attempt)
    }

    /// `Set-Cookie` that forgets it.
    pub(super) fn forget_attempt(&self) -> Option<HeaderValue> {
        self.site().cookies().drop(COOKIE)
    }
}
