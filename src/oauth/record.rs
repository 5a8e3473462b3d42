//! Events of this room: who asked, from where, what came of it.

use std::sync::{Arc, OnceLock};

use http::HeaderValue;
use serde_json::{Map, Value};

use super::Server;
use super::error::Error;
use crate::base::Timestamp;
use crate::http::Info;
use crate::live::LiveClient;
use crate::model::event::kind;
use crate::model::{Decision, DenyReason, Event, Outcome};
use crate::policy::{Facts, Principal, Resource, WireContext};
use crate::telemetry::labels::Point;

/// One request, as far as events are concerned.
#[derive(Debug)]
pub(super) struct Asked<'a> {
    pub(super) server: &'a Server,
    pub(super) info: Info,
    pub(super) now: Timestamp,
    /// What was asked for, as events spell it.
    pub(super) action: &'static str,
    /// Who asked, as soon as that is known.
    pub(super) client: OnceLock<Arc<LiveClient>>,
    /// The key that was proven (RFC 9449).
    pub(super) key: OnceLock<String>,
    /// What the answer gives for the next proof.
    pub(super) nonce: OnceLock<HeaderValue>,
}

impl<'a> Asked<'a> {
    pub(super) fn new(server: &'a Server, info: Info, action: &'static str) -> Self {
        let now = server.ctx.clock.now();
        Self { server, info, now, action, client: OnceLock::new(), key: OnceLock::new(), nonce: OnceLock::new() }
    }

    /// Thumbprint of the key that was proven: what tokens are bound to, and what a bound grant must equal.
    pub(super) fn jkt(&self) -> Option<&str> {
        self.key.get().map(String::as_str)
    }

    /// A decision that is told more than the facts; without policies there is none.
    pub(super) fn decide(
        &self,
        principal: &Principal,
        action: &str,
        resource: &Resource,
        facts: &Facts<'_>,
        said: &Map<String, Value>,
    ) -> Decision {
        let ctx = &self.server.ctx;
        let decision = match ctx.engine.snapshot() {
            None => Decision::deny(DenyReason::NoSnapshot, Arc::from("")),
            Some(snapshot) => {
                let context = snapshot.prepare(action, None, &WireContext::new(facts, Some(said)));
                snapshot.decide_prepared(principal, action, resource, &context)
            }
        };
        ctx.metrics.decisions.add((Point::Issuance, decision.denied));
        decision
    }

    /// An event of this request.
    pub(super) fn event(&self, kind: &'static str, outcome: Outcome, client: Option<&LiveClient>) -> Event {
        let ctx = &self.server.ctx;
        let mut event = self.info.event(kind, outcome, &*ctx.clock, &*ctx.rng);
        event.principal = client.map(|c| c.principal.reference().clone());
        event.action = Some(Arc::from(self.action));
        event
    }
}

/// A request that is refused, with what is known about it by then.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) error: Error,
    /// The client: proven, or, when `proven` is false, only claimed.
    pub(super) client: Option<Arc<LiveClient>>,
    pub(super) proven: bool,
    pub(super) decision: Option<Decision>,
    pub(super) resource: Option<Arc<str>>,
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self { error, client: None, proven: false, decision: None, resource: None }
    }
}

impl Error {
    /// The refusal of a client that proved who it is.
    pub(super) fn to(self, client: &Arc<LiveClient>) -> Refusal {
        Refusal { client: Some(Arc::clone(client)), proven: true, ..self.into() }
    }
}

impl Refusal {
    /// Records the refusal: of a proven client before the answer, of strangers and over a limit folded. Gives the error to
    /// answer with, which is another when the log did not take the event.
    pub(super) async fn record(self, asked: &Asked<'_>, refused: &'static str) -> Error {
        let limited = matches!(self.error, Error::RateLimited(_) | Error::Overloaded(_));
        let (kind, outcome) = match self.error {
            _ if limited => (kind::RATE_LIMITED, Outcome::Denied),
            Error::Unavailable | Error::Server => (refused, Outcome::Failed),
            _ if self.proven => (refused, Outcome::Denied),
            _ => (kind::UNAUTHENTICATED, Outcome::Denied),
        };
        let mut event = asked.event(kind, outcome, self.client.as_deref());
        if let Some(decision) = &self.decision {
            event = event.decided(decision).with("error", self.error.code());
        }
        if event.reason.is_none() {
            event.reason = Some(Arc::from(if limited { "rate_limited" } else { self.error.code() }));
        }
        event.resource = self.resource;
        let audit = &asked.server.ctx.audit;
        // Asking for a nonce and waiting for a person are steps of the protocol, and come as often as clients like.
        let step = matches!(self.error, Error::UseDpopNonce | Error::AuthorizationPending | Error::SlowDown);
        if self.proven && !limited && !step {
            match audit.record(event).await {
                Ok(()) => self.error,
                Err(_) => Error::Unavailable,
            }
        } else {
            audit.fold(event);
            self.error
        }
    }
}
