//! Issuers whose tokens count as assertions (RFC 7523 2.1): clusters, CI systems, other authorization servers.

use std::sync::Arc;

use crate::base::Timestamp;
use crate::crypto::foreign::{self, Expected, ForeignToken};
use crate::crypto::verify::TokenError;
use crate::http::foreign_keys::ForeignKeys;
use crate::model::Algorithm;
use crate::policy::Resource;

/// One of them.
#[derive(Debug)]
pub struct TrustedIssuer {
    /// Its `iss`.
    pub issuer: Arc<str>,
    /// What must be in `aud`.
    pub audience: Arc<str>,
    /// What its tokens may be signed with.
    pub algs: Vec<Algorithm>,
    /// Its keys.
    pub keys: ForeignKeys,
}

impl TrustedIssuer {
    /// What `jwt` says, if it is alive and meant for us.
    ///
    /// # Errors
    /// Why it does not count; [`TokenError::Unavailable`] when the keys are not to be had.
    pub(super) async fn verify(
        &self,
        jwt: &str,
        kid: Option<&str>,
        now: Timestamp,
    ) -> Result<ForeignToken, TokenError> {
        let keys = self.keys.find(kid).await.map_err(|_| TokenError::Unavailable)?;
        let expected = Expected { issuer: &self.issuer, audience: &self.audience, algs: &self.algs };
        foreign::verify(jwt, &keys, &expected, now)
    }

    /// The Cedar entity.
    pub(super) fn entity(&self) -> Resource {
        Resource::trusted_issuer(&self.issuer)
    }
}
