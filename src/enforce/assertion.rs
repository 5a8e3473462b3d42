//! What an upstream may believe without believing the network between: a short-lived JWS of this deployment about one
//! request that was let through. Its keys are those of the JWK Set; its `typ` is its own, so that it is no access token and
//! no access token is it.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use crate::base::Timestamp;
use crate::crypto::jws;
use crate::crypto::keyring::KeyRing;
use crate::model::{AccessToken, Algorithm};

/// The `typ` of its header.
pub const TYPE: &str = "stockade-assertion+jwt";

/// How long it counts: the time from here to the upstream.
const LIFE: Duration = Duration::from_secs(60);

/// The claims, as an upstream reads them.
#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    /// The API that the request goes to.
    aud: &'a str,
    sub: &'a str,
    client_id: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    scope: &'a str,
    /// How strongly and when a person authenticated.
    #[serde(skip_serializing_if = "Option::is_none")]
    acr: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    auth_time: Option<i64>,
    iat: i64,
    exp: i64,
    /// The decision's id, which is the event's.
    jti: &'a str,
}

/// Signs assertions with the deployment's key.
#[derive(Clone)]
pub struct Assertions {
    alg: Algorithm,
    ring: Arc<dyn Fn() -> Arc<KeyRing> + Send + Sync>,
}

impl std::fmt::Debug for Assertions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Assertions({})", self.alg.as_str())
    }
}

impl Assertions {
    /// Signs with the active key of `alg` in what `ring` gives at that moment.
    pub fn new(alg: Algorithm, ring: impl Fn() -> Arc<KeyRing> + Send + Sync + 'static) -> Self {
        Self { alg, ring: Arc::new(ring) }
    }

    /// The assertion that `token` was let through to `audience` by `decision`. `None` when there is no key to sign with.
    pub(super) fn sign(
        &self,
        issuer: &str,
        audience: &str,
        token: &AccessToken,
        decision: &str,
        now: Timestamp,
    ) -> Option<String> {
        let claims = Claims {
            iss: issuer,
            aud: audience,
            sub: &token.sub,
            client_id: &token.client_id,
            scope: &token.scope,
            acr: token.acr.map(|level| level.to_string()),
            auth_time: token.auth_time.map(Timestamp::as_secs),
            iat: now.as_secs(),
            exp: now.plus(LIFE).as_secs(),
            jti: decision,
        };
        let ring = (self.ring)();
        let signed = ring.signer(self.alg, now).map(|signer| jws::sign(signer, TYPE, &claims));
        match signed {
            Some(Ok(text)) => Some(text),
            Some(Err(error)) => {
                tracing::error!(error = %crate::telemetry::chain(&error), "an assertion could not be signed");
                None
            }
            None => {
                tracing::error!(alg = self.alg.as_str(), "there is no active key to sign assertions with");
                None
            }
        }
    }
}
