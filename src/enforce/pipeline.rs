//! What every enforcement point does with a request, in this order: the address's bucket, the path, the token, the route,
//! whom the token is for, the decision, the tier's bucket, the event.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use http::{HeaderMap, HeaderValue, Uri};

use super::path;
use super::recorder::{NotRecorded, Recorder};
use super::refused::{Refused, Why};
use super::tokens::Tokens;
use crate::base::{Clock, Rng};
use crate::crypto::verify::TokenError;
use crate::http::bearer::{self, Refusal};
use crate::http::dpop::{self, Proofs, Unproven};
use crate::http::{Coarse, RequestInfo};
use crate::limits::{Buckets, Claim, Limit, Verdict, fields};
use crate::model::{AccessToken, Decision, DenyReason, Event, Outcome, Standing, event};
use crate::policy::{Engine, Facts, Principal, Question, RouteMatch, Snapshot, Tier};
use crate::telemetry::Metrics;
use crate::telemetry::labels::{Bucket, Limited, Point, Verification, Would};

/// What the pipeline is made of.
#[derive(Debug)]
pub(crate) struct Pipeline {
    pub(crate) issuer: Arc<str>,
    /// The `aud` that tokens must have; `None`: what `routes.toml` says of the route's API.
    pub(crate) audience: Option<Arc<str>>,
    /// Where callers reach the API, when that is not where its audience says.
    pub(crate) origin: Option<Arc<str>>,
    pub(crate) tokens: Arc<dyn Tokens>,
    pub(crate) proofs: Arc<Proofs>,
    pub(crate) engine: Arc<Engine>,
    pub(crate) buckets: Arc<Buckets>,
    pub(crate) coarse: Coarse,
    pub(crate) recorder: Arc<dyn Recorder>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) rng: Arc<dyn Rng>,
}

/// One request, as its enforcement point saw it.
#[derive(Clone, Copy)]
pub(crate) struct Ask<'a> {
    pub(crate) point: Point,
    pub(crate) method: &'a str,
    /// Path and query as they were sent.
    pub(crate) uri: &'a Uri,
    pub(crate) headers: &'a HeaderMap,
    pub(crate) info: &'a RequestInfo,
}

/// A request that may proceed. The tower layer puts it into the request's extensions.
#[derive(Clone, Debug)]
pub struct Admitted {
    /// What the token says.
    pub token: Arc<AccessToken>,
    /// Who that is to Cedar.
    pub principal: Principal,
    /// The route that the request took.
    pub route: RouteMatch,
    /// Why it may proceed.
    pub decision: Decision,
    /// Id of the event that records it.
    pub event_id: Arc<str>,
    pub(crate) spent: Spent,
    /// What the answer carries as `DPoP-Nonce`.
    pub(crate) nonce: Option<HeaderValue>,
}

impl Admitted {
    /// What the answer's headers say about the request: how its tier stands, and the nonce for the next one.
    pub(crate) fn answer(&self) -> Answer {
        Answer { spent: self.spent.clone(), nonce: self.nonce.clone() }
    }
}

/// What is added to the answer of a request that passed.
pub(crate) struct Answer {
    spent: Spent,
    nonce: Option<HeaderValue>,
}

impl Answer {
    pub(crate) fn apply(self, headers: &mut HeaderMap) {
        self.spent.apply(headers);
        if let Some(nonce) = self.nonce {
            headers.insert(dpop::NONCE, nonce);
        }
    }
}

/// What was taken from a tier's bucket.
#[derive(Clone, Debug)]
pub(crate) struct Spent {
    pub(crate) tier: Arc<Tier>,
    pub(crate) limit: Limit,
    pub(crate) verdict: Verdict,
}

impl Spent {
    /// Sets `RateLimit`, `RateLimit-Policy` and, of a refusal, `Retry-After`. A dry run is nobody's business.
    pub(crate) fn apply(&self, headers: &mut HeaderMap) {
        let name = (!self.tier.dry_run).then_some((&*self.tier.name, self.limit));
        fields::apply(headers, &[name], &self.verdict);
    }
}

/// A token that was verified, and whom it speaks for.
#[derive(Clone)]
struct Known {
    token: Arc<AccessToken>,
    principal: Principal,
    /// The finding that puts the caller at risk.
    standing: OnceLock<Standing>,
}

impl Known {
    /// The challenge, when the person behind the token could get past `decision` by authenticating (RFC 9470).
    fn step_up(&self, snapshot: &Snapshot, decision: &Decision) -> Option<Refusal> {
        Refusal::step_up(&self.token, snapshot.step_up(decision)?)
    }
}

impl Pipeline {
    /// Lets the request pass or says why not. Either way it has been counted and recorded when this returns.
    pub(crate) async fn admit(&self, ask: &Ask<'_>) -> Result<Admitted, Refused> {
        if let Err(verdict) = self.coarse.check(ask.info) {
            return Err(self.stranger(ask, event::kind::RATE_LIMITED, "rate_limited", Why::Address(verdict)));
        }
        if !path::is_normal(ask.uri.path()) {
            return Err(self.stranger(ask, event::kind::UNAUTHENTICATED, "path_not_normal", Why::Path));
        }
        let presented = bearer::presented(ask.headers, ask.uri).map_err(|refusal| self.no_token(ask, refusal))?;
        let now = self.clock.now();
        let invalid = || self.no_token(ask, Refusal::Token.of_scheme(presented.scheme));
        let (token, principal) = match self.tokens.verify(presented.token, now).await {
            Ok(known) => known,
            Err(error) => {
                self.metrics.token_verifications.add(bearer::verification(error));
                return Err(match error {
                    TokenError::Unavailable => {
                        self.stranger(ask, event::kind::UNAUTHENTICATED, error.as_str(), Why::Unavailable)
                    }
                    _ => invalid(),
                });
            }
        };
        let known = Known { token, principal, standing: OnceLock::new() };
        let Some(snapshot) = self.engine.snapshot() else {
            let decision = Decision::deny(DenyReason::NoSnapshot, Arc::from(""));
            return Err(self.denied(ask, None, &known, None, &decision).await);
        };
        let Some(route) = snapshot.route(ask.method, ask.uri.path()) else {
            let decision = Decision::deny(DenyReason::NoRoute, Arc::clone(snapshot.digest()));
            return Err(self.denied(ask, Some(&snapshot), &known, None, &decision).await);
        };
        if self.audience_of(&snapshot, &route, &known.token).is_none() {
            self.metrics.token_verifications.add(Verification::Invalid);
            return Err(invalid());
        }
        let uri = || self.uri(&snapshot, &route, &known.token, ask.uri.path());
        let proven = self.proofs.check(&presented, &known.token, ask.headers, ask.method, uri, now);
        let nonce = proven.map_err(|why| {
            self.metrics.token_verifications.add(Verification::Invalid);
            match why {
                Unproven::Refused(refusal) => self.no_token(ask, refusal),
                Unproven::Full => self.stranger(ask, event::kind::UNAUTHENTICATED, "proofs_full", Why::Unavailable),
            }
        })?;
        self.metrics.token_verifications.add(Verification::Valid);
        let admitted = self.decide(ask, &snapshot, known, route).await?;
        Ok(Admitted { nonce, ..admitted })
    }

    /// The request's URI as its caller knows it: where the API is said to be, or the token's audience, or, of names that are
    /// no place, the issuer.
    fn uri(&self, snapshot: &Snapshot, route: &RouteMatch, token: &AccessToken, path: &str) -> String {
        let audience = self.audience_of(snapshot, route, token);
        let of_audience = || audience.and_then(dpop::origin).or_else(|| dpop::origin(&self.issuer));
        let origin = self.origin.as_deref().or_else(of_audience).unwrap_or_default();
        [origin, path].concat()
    }

    /// Decision, tier, event. One snapshot answers all of it.
    async fn decide(
        &self,
        ask: &Ask<'_>,
        snapshot: &Snapshot,
        known: Known,
        route: RouteMatch,
    ) -> Result<Admitted, Refused> {
        let began = self.clock.monotonic_ns();
        let (risk, caller) = (self.engine.risk(), known.principal.reference());
        let facts = risk.told(caller, Facts::of_token(&known.token, self.clock.now()).address(ask.info.address));
        if let Some(standing) = risk.because(caller, &facts) {
            known.standing.set(standing).ok();
        }
        let decision = snapshot.decide(&Question {
            principal: &known.principal,
            action: &route.route.action,
            resource: &route.route.resource,
            facts: &facts,
        });
        let tier = match decision.denied {
            None => snapshot.tier(&known.principal, &route.route.class, &facts).map(Some),
            Some(_) => Ok(None),
        };
        self.metrics.decision_seconds.record_ns(ask.point, self.clock.monotonic_ns().saturating_sub(began));
        let would =
            facts.in_earnest().and_then(|facts| snapshot.tier(&known.principal, &route.route.class, &facts).ok());
        let tier = match tier {
            Ok(Some(tier)) => tier,
            Ok(None) => return Err(self.denied(ask, Some(snapshot), &known, Some(&route), &decision).await),
            Err(no_tier) => return Err(self.denied(ask, Some(snapshot), &known, Some(&route), &no_tier).await),
        };
        let Some(spent) = self.spend(&known, &route, tier) else {
            let no_tier = Decision { denied: Some(DenyReason::NoTier), ..decision };
            return Err(self.denied(ask, Some(snapshot), &known, Some(&route), &no_tier).await);
        };
        self.metrics.decided(ask.point, &decision);
        let allowed = spent.verdict.is_allowed();
        let (kind, outcome) = match allowed {
            true => (event::kind::DECISION, Outcome::Allowed),
            false => (event::kind::RATE_LIMITED, Outcome::Denied),
        };
        let event = self.event(ask, &known, Some(&route), kind, outcome).decided(&decision);
        let mut event = event.with("tier", &*spent.tier.name);
        if let Some(would) = would.filter(|would| would.name != spent.tier.name) {
            self.metrics.risk_dry_runs.add((ask.point, Would::Tier));
            event = event.with("risk_would_tier", &*would.name);
        }
        let event_id: Arc<str> = event.id.as_str().into();
        if allowed {
            if self.keep(snapshot, &decision, event).await.is_err() {
                return Err(Refused { why: Why::NotRecorded, event_id });
            }
            return Ok(Admitted {
                token: known.token,
                principal: known.principal,
                route,
                decision,
                event_id,
                spent,
                nonce: None,
            });
        }
        event.reason = Some(Arc::from("rate_limited"));
        self.recorder.fold(event);
        Err(Refused { why: Why::Tier(spent), event_id })
    }

    /// Takes one unit from the caller's bucket of this class in this tier. `None` when the tier is no limit that a bucket can count.
    fn spend(&self, known: &Known, route: &RouteMatch, tier: Arc<Tier>) -> Option<Spent> {
        let burst = u32::try_from(tier.burst).ok()?;
        let requests = u32::try_from(tier.requests).ok()?;
        let limit = Limit::new(requests, Duration::from_nanos(tier.period_ns), burst).ok()?;
        let keys = self.buckets.keys();
        let key = match known.token.is_client() {
            true => keys.client_in_tier(&tier.name, &route.route.class, &known.token.client_id),
            false => keys.user_in_tier(&tier.name, &route.route.class, &known.token.sub),
        };
        let claim = Claim::new(key, limit).dry_run(tier.dry_run);
        let verdict = self.buckets.check(&[claim], self.clock.monotonic_ns());
        let result = match (verdict.is_allowed(), verdict.would_violate_any()) {
            (true, false) => Limited::Allowed,
            (true, true) => Limited::WouldRefuse,
            (false, _) => Limited::Refused,
        };
        self.metrics.limit_checks.add((Bucket::Tier, result));
        if verdict.tightest.is_some_and(|standing| standing.overflow) {
            self.metrics.limit_overflows.add(());
        }
        Some(Spent { tier, limit, verdict })
    }

    /// The first audience of the token that is the route's API.
    fn audience_of<'a>(&self, snapshot: &Snapshot, route: &RouteMatch, token: &'a AccessToken) -> Option<&'a str> {
        let ours = |aud: &&String| match &self.audience {
            Some(audience) => ***aud == **audience,
            None => snapshot.is_audience(&route.route.api, &self.issuer, aud),
        };
        token.aud.iter().find(ours).map(String::as_str)
    }

    /// The API that an admitted request goes to: the one audience of its token that let it through.
    #[cfg(feature = "server")]
    pub(crate) fn meant_for<'a>(&self, admitted: &'a Admitted) -> Option<&'a str> {
        if let [only] = admitted.token.aud.as_slice() {
            return Some(only);
        }
        self.audience_of(&*self.engine.snapshot()?, &admitted.route, &admitted.token)
    }

    /// Refuses somebody who is not known: folded, because anyone can cause it.
    fn stranger(&self, ask: &Ask<'_>, kind: &'static str, reason: &str, why: Why) -> Refused {
        let mut event = ask.info.event(kind, Outcome::Denied, &*self.clock, &*self.rng);
        event.reason = Some(Arc::from(reason));
        let event_id = event.id.as_str().into();
        self.recorder.fold(event);
        Refused { why, event_id }
    }

    fn no_token(&self, ask: &Ask<'_>, refusal: Refusal) -> Refused {
        let reason = refusal.code().unwrap_or("no_token");
        self.stranger(ask, event::kind::UNAUTHENTICATED, reason, Why::Bearer(refusal))
    }

    /// Records a decision, first or in its turn, as the policies that determined it want.
    async fn keep(&self, snapshot: &Snapshot, decision: &Decision, event: Event) -> Result<(), NotRecorded> {
        match snapshot.records_before(decision) {
            true => self.recorder.before(event).await,
            false => {
                self.recorder.record(event);
                Ok(())
            }
        }
    }

    /// Refuses a known caller: recorded one by one.
    async fn denied(
        &self,
        ask: &Ask<'_>,
        snapshot: Option<&Snapshot>,
        known: &Known,
        route: Option<&RouteMatch>,
        decision: &Decision,
    ) -> Refused {
        self.metrics.decided(ask.point, decision);
        let event = self.event(ask, known, route, event::kind::DECISION, Outcome::Denied).decided(decision);
        let event_id = event.id.as_str().into();
        match snapshot {
            None => self.recorder.record(event),
            Some(snapshot) => {
                if self.keep(snapshot, decision, event).await.is_err() {
                    return Refused { why: Why::NotRecorded, event_id };
                }
            }
        }
        let reason = decision.denied.unwrap_or(DenyReason::NoPermit);
        let scope = route.and_then(|route| route.route.scope.as_ref());
        let lacks = scope.filter(|wanted| !known.token.scopes().any(|scope| *scope == ***wanted));
        let why = match lacks {
            Some(scope) if reason == DenyReason::NoPermit => Why::Bearer(Refusal::Scope(scope.to_string())),
            _ => match snapshot.and_then(|snapshot| known.step_up(snapshot, decision)) {
                Some(refusal) => Why::Bearer(refusal),
                None => Why::Policy(reason),
            },
        };
        Refused { why, event_id }
    }

    fn event(
        &self,
        ask: &Ask<'_>,
        known: &Known,
        route: Option<&RouteMatch>,
        kind: &'static str,
        outcome: Outcome,
    ) -> Event {
        let mut event = ask.info.event(kind, outcome, &*self.clock, &*self.rng);
        event.principal = Some(known.principal.reference().clone());
        if let Some(route) = route {
            event.action = Some(Arc::clone(&route.route.action));
            event.resource = Some(Arc::clone(&route.route.name));
        }
        event.with("jti", known.token.jti.as_str()).at_risk(known.standing.get())
    }
}
