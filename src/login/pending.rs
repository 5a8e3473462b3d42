//! Between the first step and the second: who has given the right password, sealed into a cookie for five minutes.

use std::time::Duration;

use http::HeaderValue;
use serde::{Deserialize, Serialize};

use super::trouble::Trouble;
use super::visit::Visit;
use crate::base::Timestamp;
use crate::crypto::CryptoError;
use crate::crypto::b64url;
use crate::http::session::Proof;

const COOKIE: &str = "l";
const LIFETIME: Duration = Duration::from_secs(300);

/// A first step that was taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Pending {
    /// Whose.
    pub(super) user_id: String,
    /// When.
    pub(super) at: Timestamp,
    /// How (RFC 8176).
    pub(super) amr: Vec<String>,
    /// When it was proven, where that is not the same: at a provider, or in the session that is now strengthened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) proven_at: Option<Timestamp>,
    /// By which provider.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) provider: Option<String>,
}

impl Visit {
    fn place(&self) -> String {
        format!("pending:{}", self.site().issuer())
    }

    /// `Set-Cookie` that remembers the first step.
    pub(super) fn remember(&self, user_id: &str, proof: Proof) -> Result<HeaderValue, Trouble> {
        let Proof { amr, at, provider, .. } = proof;
        let pending = Pending { user_id: user_id.to_owned(), at: self.now(), amr, proven_at: at, provider };
        let plain = serde_json::to_vec(&pending).map_err(|_| CryptoError::Refused)?;
        let sealed = self.ctx().sealer.seal_often(self.place().as_bytes(), &plain, &*self.ctx().rng)?;
        let cookie = self.site().cookies().set(COOKIE, &b64url::encode(&sealed), Some(LIFETIME));
        cookie.ok_or(Trouble::Crypto(CryptoError::Refused))
    }

    /// The first step that was taken in this browser.
    pub(super) fn pending(&self) -> Option<Pending> {
        let sealed = b64url::decode_strict(self.site().cookies().get(&self.headers, COOKIE)?)?;
        let plain = self.ctx().sealer.open(self.place().as_bytes(), &sealed).ok()?;
        let pending: Pending = serde_json::from_slice(plain.expose()).ok()?;
        (self.now() < pending.at.plus(LIFETIME)).then_some(pending)
    }

    /// `Set-Cookie` that forgets it.
    pub(super) fn forget_pending(&self) -> Option<HeaderValue> {
        self.site().cookies().drop(COOKIE)
    }
}
