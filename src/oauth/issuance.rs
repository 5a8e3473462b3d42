//! What a client is given: a decision by Cedar for the token and for each scope.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::error::Error;
use super::record::Asked;
use super::{Server, Settings};
use crate::config::TokenFormat;
use crate::live::{LiveClient, LiveUser};
use crate::model::{Algorithm, Decision, DenyReason, GrantType};
use crate::policy::{Facts, Resource};
use crate::telemetry::labels::Point;

/// A token may not outlive this, whatever a client registered: retired keys are kept as long.
const LONGEST: Duration = Duration::from_secs(86_400);

/// What tokens are asked for.
#[derive(Debug)]
pub(super) struct Target {
    /// Their `aud`.
    pub(super) uri: Arc<str>,
    pub(super) tokens: TokenFormat,
    alg: Option<Algorithm>,
    ttl: Option<Duration>,
    pub(super) entity: Resource,
}

impl Target {
    /// An API that is not configured but that a client is registered for: JWTs with the defaults.
    fn plain(uri: &str) -> Self {
        Self { uri: Arc::from(uri), tokens: TokenFormat::Jwt, alg: None, ttl: None, entity: Resource::api(uri) }
    }

    /// The Cedar entity.
    pub(super) fn entity(&self) -> &Resource {
        &self.entity
    }

    /// The signature of a client's tokens.
    pub(super) fn alg(&self, client: &LiveClient, settings: &Settings) -> Algorithm {
        client.client.access_token_alg.or(self.alg).unwrap_or(settings.default_alg)
    }

    /// The lifetime of a client's tokens in whole seconds, at least one.
    pub(super) fn ttl_secs(&self, client: &LiveClient, settings: &Settings) -> i64 {
        let ttl = client.client.access_token_ttl(self.ttl.unwrap_or(settings.access_token_ttl));
        i64::try_from(ttl.min(LONGEST).as_secs()).unwrap_or(1).max(1)
    }
}

/// The issuer itself and the configured resources.
pub(super) fn targets(issuer: &str, settings: &Settings) -> HashMap<Box<str>, Arc<Target>> {
    let own = Target::plain(issuer);
    let configured = settings.resources.iter().map(|r| Target {
        uri: Arc::from(r.id.as_str()),
        tokens: r.tokens,
        alg: r.alg,
        ttl: r.ttl,
        entity: Resource::api(&r.id),
    });
    [own].into_iter().chain(configured).map(|t| (Box::from(&*t.uri), Arc::new(t))).collect()
}

/// The target of a resource that the client may ask for.
pub(super) fn target(server: &Server, uri: &str) -> Arc<Target> {
    server.apis.get(uri).map_or_else(|| Arc::new(Target::plain(uri)), Arc::clone)
}

/// What came out.
#[derive(Debug)]
pub(super) struct Granted {
    pub(super) decision: Decision,
    /// The granted scopes, space-separated.
    pub(super) scope: Box<str>,
    /// Whether it was a scope that was refused, not the token.
    pub(super) by_scope: bool,
}

impl Granted {
    /// What to answer when it was refused.
    pub(super) fn error(&self) -> Option<Error> {
        Some(match self.decision.denied? {
            DenyReason::NoSnapshot => Error::Unavailable,
            _ if self.by_scope => Error::InvalidScope("policy grants none of these scopes for this resource"),
            _ => Error::AccessDenied,
        })
    }
}

/// Decides. The snapshot remembers what it decided.
pub(super) fn decide(
    asked: &Asked<'_>,
    client: &LiveClient,
    grant: GrantType,
    target: &Target,
    scopes: &[&str],
) -> Granted {
    let ctx = &asked.server.ctx;
    let Some(snapshot) = ctx.engine.snapshot() else {
        let decision = Decision::deny(DenyReason::NoSnapshot, Arc::from(""));
        ctx.metrics.decided(Point::Issuance, &decision);
        return Granted { decision, scope: Box::from(""), by_scope: false };
    };
    let wanted = scopes.join(" ");
    let facts = Facts::at(asked.now).scopes(&wanted).client(&client.client.client_id).address(asked.info.address);
    let facts = asked.told(&client.principal, facts);
    let start = ctx.clock.monotonic_ns();
    let said = snapshot.issuance(&client.principal, grant.as_str(), &target.entity, scopes, &facts);
    ctx.metrics.decision_seconds.record_ns(Point::Issuance, ctx.clock.monotonic_ns().saturating_sub(start));
    let scope = if said.refused.is_empty() { wanted } else { said.scopes.join(" ") };
    let granted = Granted { by_scope: !said.refused.is_empty(), scope: scope.into(), decision: said.decision };
    ctx.metrics.decided(Point::Issuance, &granted.decision);
    granted
}

/// A person who lets a client act for them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Person<'a> {
    pub(super) user: &'a LiveUser,
    /// How strongly they authenticated.
    pub(super) acr: u8,
    /// How long ago.
    pub(super) auth_age_secs: u32,
}

/// Decides for a client that acts for a person: the client may have no more than it registered, the person give no more than
/// is theirs. Both are asked, in this order, and the policies that say so are those of both.
pub(super) fn decide_for(
    asked: &Asked<'_>,
    client: &LiveClient,
    person: &Person<'_>,
    grant: GrantType,
    target: &Target,
    scopes: &[&str],
) -> Granted {
    let ctx = &asked.server.ctx;
    let of_client = decide(asked, client, grant, target, scopes);
    let Some(snapshot) = ctx.engine.snapshot().filter(|_| of_client.decision.is_allowed()) else { return of_client };
    let scopes: Vec<&str> = of_client.scope.split(' ').filter(|scope| !scope.is_empty()).collect();
    let facts = Facts {
        acr: person.acr,
        auth_age_secs: person.auth_age_secs,
        client: &client.client.client_id,
        ..Facts::at(asked.now).scopes(&of_client.scope).address(asked.info.address)
    };
    let facts = asked.told(&person.user.principal, facts);
    let start = ctx.clock.monotonic_ns();
    let said = snapshot.issuance(&person.user.principal, grant.as_str(), &target.entity, &scopes, &facts);
    ctx.metrics.decision_seconds.record_ns(Point::Issuance, ctx.clock.monotonic_ns().saturating_sub(start));
    ctx.metrics.decided(Point::Issuance, &said.decision);
    let mut decision = said.decision;
    if decision.is_allowed() {
        decision.policies.extend(of_client.decision.policies);
        decision.policies.sort_unstable();
        decision.policies.dedup();
    }
    let by_scope = of_client.by_scope || !said.refused.is_empty();
    Granted { decision, scope: said.scopes.join(" ").into(), by_scope }
}
