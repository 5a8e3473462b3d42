//! Who calls the management API, and whether they may. The guard of a handler is its argument: [`May<P>`] exists only for a
//! request whose bearer token is good, meant for us, and allowed by Cedar to do `P`.
//!
//! Refusals are recorded here: those without a usable token folded, because anyone can cause them; those of known callers one
//! by one, before the answer. What was allowed is recorded by the handler, which knows what came of it.

use std::marker::PhantomData;
use std::sync::Arc;

use axum::extract::{FromRef, FromRequestParts};
use http::request::Parts;

use super::bearer::{self, Refusal};
use super::coarse::{self, Coarse};
use super::dpop::{self, Proofs, Unproven};
use super::info::Info;
use super::problem::{Kind, Problem};
use super::record::Record;
use crate::base::{Clock, Rng, Timestamp};
use crate::crypto::verify::TokenError;
use crate::live::Live;
use crate::model::{AccessToken, Decision, DenyReason, Event, Outcome, PrincipalRef, event};
use crate::policy::{Engine, Facts, Principal, Question, Resource};
use crate::telemetry::Metrics;
use crate::telemetry::labels::{Point, Verification};

/// Something that a caller may be allowed to do.
pub trait Permission: Send + Sync + 'static {
    /// The Cedar action, such as `audit:search`.
    const ACTION: &'static str;
    /// The scope that policies usually want for it: named when a caller that lacks it is refused.
    const SCOPE: &'static str;
    /// What it is done to; made once, because decisions about it are remembered.
    fn resource() -> &'static Resource;
}

/// Whoever asks: whom a good token speaks for, or the operator of a command that works on the store itself.
#[derive(Clone, Debug)]
pub struct Caller {
    /// What the token says; `None` of an operator, who needs none.
    pub token: Option<Arc<AccessToken>>,
    /// The Cedar entity.
    pub principal: Principal,
}

impl Caller {
    /// The client whose token it is; of an operator the name.
    pub fn client_id(&self) -> &str {
        self.token.as_ref().map_or_else(|| &*self.reference().id, |token| &token.client_id)
    }

    pub(super) fn facts(&self, now: Timestamp) -> Facts<'_> {
        self.token.as_ref().map_or_else(|| Facts::at(now), |token| Facts::of_token(token, now))
    }

    /// The name in events and answers.
    pub fn reference(&self) -> &PrincipalRef {
        self.principal.reference()
    }
}

/// Who can be asking.
#[derive(Debug)]
pub enum Callers {
    /// Whoever comes over the network, by access token.
    Tokens {
        /// The `aud` that tokens must have: the issuer.
        audience: Arc<str>,
        /// Tokens and clients.
        live: Arc<Live>,
        /// Where the API is described, which every challenge says (RFC 9728 5.1).
        metadata: Option<Arc<str>>,
    },
    /// One operator, whatever the request says: for a router that no network reaches.
    Operator(Principal),
}

/// What it takes to tell who may what. One for the management API, in an `Arc`.
#[derive(Debug)]
pub struct Guard {
    /// Who can be asking.
    pub callers: Callers,
    /// Decisions.
    pub engine: Arc<Engine>,
    /// Where refusals go.
    pub audit: Record,
    /// Counted before a token is looked at.
    pub coarse: Coarse,
    /// Proofs of those whose tokens are bound to a key.
    pub proofs: Arc<Proofs>,
    /// Metrics.
    pub metrics: Arc<Metrics>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Ids of events.
    pub rng: Arc<dyn Rng>,
}

impl Guard {
    /// Who sent this request.
    ///
    /// # Errors
    /// The problem to answer: 429 over the address's limit, 400, 401 as RFC 6750 3.1 says, 503 when the token cannot be checked
    /// now.
    pub async fn caller(&self, parts: &Parts, info: &Info) -> Result<Caller, Problem> {
        let (audience, live) = match &self.callers {
            Callers::Tokens { audience, live, .. } => (audience, live),
            Callers::Operator(principal) => return Ok(Caller { token: None, principal: principal.clone() }),
        };
        if let Err(verdict) = self.coarse.check(info) {
            self.audit.fold(self.refused(info, event::kind::RATE_LIMITED, "rate_limited"));
            return Err(coarse::problem(&verdict));
        }
        let presented =
            bearer::presented(&parts.headers, &parts.uri).map_err(|refusal| self.unauthenticated(info, &refusal))?;
        let now = self.clock.now();
        let invalid = || self.unauthenticated(info, &Refusal::Token.of_scheme(presented.scheme));
        let (token, principal) = match live.known(presented.token, now).await {
            Ok(known) => known,
            Err(error) => {
                self.metrics.token_verifications.add(bearer::verification(error));
                if error == TokenError::Unavailable {
                    return Err(Problem::new(Kind::Unavailable).detail("the token cannot be checked now: try again"));
                }
                return Err(invalid());
            }
        };
        if !token.aud.iter().any(|aud| **aud == **audience) {
            self.metrics.token_verifications.add(Verification::Invalid);
            return Err(invalid());
        }
        let uri = || [dpop::origin(audience).unwrap_or_default(), parts.uri.path()].concat();
        if let Err(why) = self.proofs.check(&presented, &token, &parts.headers, parts.method.as_str(), uri, now) {
            self.metrics.token_verifications.add(Verification::Invalid);
            return Err(match why {
                Unproven::Refused(refusal) => self.unauthenticated(info, &refusal),
                Unproven::Full => Problem::new(Kind::Unavailable).detail("the proof cannot be checked now: try again"),
            });
        }
        self.metrics.token_verifications.add(Verification::Valid);
        Ok(Caller { token: Some(token), principal })
    }

    /// Whether `caller` may do `P`; a refusal is recorded before this returns.
    ///
    /// # Errors
    /// 403 when policy says no, 503 when that could not be recorded.
    pub async fn decide<P: Permission>(&self, caller: &Caller, info: &Info) -> Result<Decision, Problem> {
        let began = self.clock.monotonic_ns();
        let resource = P::resource();
        let facts = caller.facts(self.clock.now()).address(info.address);
        let facts = self.engine.risk().told(caller.reference(), facts);
        let question = Question { principal: &caller.principal, action: P::ACTION, resource, facts: &facts };
        let decision = self.engine.decide(&question);
        self.metrics.decision_seconds.record_ns(Point::Management, self.clock.monotonic_ns().saturating_sub(began));
        self.metrics.decided(Point::Management, &decision);
        if decision.is_allowed() {
            return Ok(decision);
        }
        let event = self.event(caller, info, event::kind::DECISION, Outcome::Denied, P::ACTION, resource);
        let event = event.decided(&decision).at_risk(self.engine.risk().because(caller.reference(), &facts).as_ref());
        if self.audit.record(event).await.is_err() {
            return Err(Problem::new(Kind::NotRecorded).detail("try again later"));
        }
        let lacks_scope = caller.token.as_ref().is_some_and(|token| token.scopes().all(|scope| scope != P::SCOPE));
        if lacks_scope {
            return Err(self.challenge(&Refusal::Scope(P::SCOPE.to_owned())));
        }
        let wanted = self.engine.snapshot().and_then(|snapshot| snapshot.step_up(&decision));
        if let (Some(wanted), Some(token)) = (wanted, &caller.token)
            && let Some(refusal) = Refusal::step_up(token, wanted)
        {
            return Err(self.challenge(&refusal));
        }
        let problem = Problem::new(Kind::Forbidden).detail(match decision.denied {
            Some(DenyReason::UnknownAction) => {
                let action = P::ACTION;
                format!("the policies here are older than this version and know no `{action}`: `stockade check` says what they lack")
            }
            _ => "no policy allows this caller to do this: ask for a policy or a role".to_owned(),
        });
        // Who stands at the machine can read the policies anyway.
        Err(match &self.callers {
            Callers::Tokens { .. } => problem,
            Callers::Operator(_) => problem
                .with("action", P::ACTION)
                .with("principal", caller.reference().to_string())
                .with("reason", decision.denied.map_or("", DenyReason::as_str))
                .with("policies", decision.policies.iter().map(|id| &**id).collect::<Vec<_>>()),
        })
    }

    /// A new event about `caller`.
    pub fn event(
        &self,
        caller: &Caller,
        info: &Info,
        kind: &'static str,
        outcome: Outcome,
        action: &str,
        resource: &Resource,
    ) -> Event {
        let mut event = info.event(kind, outcome, &*self.clock, &*self.rng);
        event.principal = Some(caller.reference().clone());
        event.action = Some(Arc::from(action));
        event.resource = Some(Arc::from(resource.name()));
        match &caller.token {
            Some(token) => event.with("jti", token.jti.as_str()),
            None => event,
        }
    }

    fn unauthenticated(&self, info: &Info, refusal: &Refusal) -> Problem {
        let reason = refusal.code().unwrap_or("no_token");
        self.audit.fold(self.refused(info, event::kind::UNAUTHENTICATED, reason));
        self.challenge(refusal)
    }

    /// The answer to a caller who must come with another token, or with one.
    pub fn challenge(&self, refusal: &Refusal) -> Problem {
        match &self.callers {
            Callers::Tokens { metadata: Some(url), .. } => {
                refusal.problem().headers(|headers| bearer::name_metadata(headers, url))
            }
            _ => refusal.problem(),
        }
    }

    fn refused(&self, info: &Info, kind: &'static str, reason: &str) -> Event {
        let mut event = info.event(kind, Outcome::Denied, &*self.clock, &*self.rng);
        event.reason = Some(Arc::from(reason));
        event
    }
}

/// A caller who may do `P`. The router's state must hold an `Arc<Guard>`.
#[derive(Debug)]
pub struct May<P> {
    /// Who.
    pub caller: Caller,
    /// Why they may.
    pub decision: Decision,
    /// The request.
    pub info: Info,
    permission: PhantomData<fn(P)>,
}

impl<S, P> FromRequestParts<S> for May<P>
where
    S: Send + Sync,
    P: Permission,
    Arc<Guard>: FromRef<S>,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let guard = Arc::<Guard>::from_ref(state);
        let info = Info::from_request_parts(parts, state).await?;
        let caller = guard.caller(parts, &info).await?;
        let decision = guard.decide::<P>(&caller, &info).await?;
        Ok(Self { caller, decision, info, permission: PhantomData })
    }
}
