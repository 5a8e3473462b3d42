//! What the configuration says to this room.

use std::time::Duration;

use crate::config::{self, Issuance, Registration, ResourceServer};
use crate::limits::{Limit, LimitError};
use crate::model::{Algorithm, Client};

/// Settings of the authorization server.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Lifetime of access tokens, unless the client or the resource has its own.
    pub access_token_ttl: Duration,
    /// How long a refresh token may lie unused.
    pub refresh_token_ttl: Duration,
    /// How long what a person granted can be refreshed at most.
    pub grant_lifetime: Duration,
    /// How long a used refresh token of a public client still counts, when its answer was lost.
    pub refresh_grace: Duration,
    /// What tokens are signed with, the default first.
    pub signing_algs: Vec<Algorithm>,
    /// Signature of access tokens, unless the client or the resource has its own.
    pub default_alg: Algorithm,
    /// `max-age` of JWK Set and metadata.
    pub jwks_max_age: Duration,
    /// APIs beside the issuer.
    pub resources: Vec<ResourceServer>,
    /// When an issuance is recorded.
    pub issuance: Issuance,
    /// Token requests of one address.
    pub token_address: Limit,
    /// Token requests of one client.
    pub token_client: Limit,
    /// Introspections and revocations of one address.
    pub address: Limit,
    /// Registrations that one address may try.
    pub register_address: Limit,
    /// Clients that nobody of this house registered.
    pub registration: Registration,
}

impl Settings {
    /// From the sections that concern this room.
    ///
    /// # Errors
    /// When a limit lies outside what a bucket can count.
    pub fn from_config(
        oauth: &config::Oauth,
        limits: &config::Limits,
        audit_log: &config::AuditLog,
    ) -> Result<Self, LimitError> {
        let limit = |l: &config::RateLimit| Limit::new(l.count.get(), l.per, l.burst.get());
        Ok(Self {
            access_token_ttl: oauth.access_token_ttl,
            refresh_token_ttl: oauth.refresh_token_ttl,
            grant_lifetime: oauth.grant_lifetime,
            refresh_grace: oauth.refresh_grace,
            signing_algs: oauth.signing_algs.clone(),
            default_alg: oauth.default_alg(),
            jwks_max_age: oauth.jwks_max_age,
            resources: oauth.resources.clone(),
            issuance: audit_log.issuance,
            token_address: limit(&limits.token_address)?,
            token_client: limit(&limits.token_client)?,
            address: limit(&limits.address)?,
            register_address: limit(&limits.register_address)?,
            registration: oauth.registration.clone(),
        })
    }

    /// The signature of a client's ID tokens: RS256 unless it registered another, and what there is where that is switched off.
    pub(super) fn id_token_alg(&self, client: &Client) -> Algorithm {
        let wanted = client.id_token_alg();
        if self.signing_algs.contains(&wanted) { wanted } else { self.default_alg }
    }
}
