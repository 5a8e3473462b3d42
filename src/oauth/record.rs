//! Events of this room: who asked, from where, what came of it.

use std::sync::{Arc, OnceLock};

use http::HeaderValue;
use parking_lot::Mutex;
use serde_json::{Map, Value};

use super::error::Error;
use super::form::Form;
use super::{Server, scope};
use crate::base::Timestamp;
use crate::crypto::secret_text;
use crate::http::Info;
use crate::live::LiveClient;
use crate::model::event::kind;
use crate::model::{Decision, DenyReason, Event, GrantType, Outcome, Standing};
use crate::policy::{Facts, Principal, Resource, WireContext};
use crate::telemetry::labels::Point;

/// Longest text of a request that is kept in an event, in bytes.
const LONGEST: usize = 256;

/// What an issuance turned on, as far as it is known by now: told in its event, whatever comes of it.
#[derive(Debug, Default)]
struct Told {
    grant: Option<GrantType>,
    scope: Option<String>,
    resource: Option<String>,
    person: Option<String>,
    acr: u8,
    auth_age_secs: u32,
    standing: Option<Standing>,
}

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
    told: Mutex<Told>,
}

impl<'a> Asked<'a> {
    pub(super) fn new(server: &'a Server, info: Info, action: &'static str) -> Self {
        let now = server.ctx.clock.now();
        let (client, key, nonce) = (OnceLock::new(), OnceLock::new(), OnceLock::new());
        Self { server, info, now, action, client, key, nonce, told: Mutex::default() }
    }

    /// What the request of a known client asks for. Words that no client should send are left out: they may be secrets.
    pub(super) fn asks(&self, client: &LiveClient, grant: GrantType, form: &Form<'_>) {
        let mut told = self.told.lock();
        told.grant = Some(grant);
        if let Some(text) = form.get("scope") {
            let registered = |word: &str| client.client.scopes.iter().any(|known| known == word);
            let words = text.split(' ').map(|word| if registered(word) || is_telling(word) { word } else { "?" });
            told.scope = Some(bounded(words.collect::<Vec<_>>().join(" ")));
        }
        let resource = form.all("resource").next();
        told.resource = resource.filter(|uri| is_telling(uri) && !uri.contains(['?', '@'])).map(str::to_owned);
    }

    /// Whom the grant speaks for.
    pub(super) fn speaks_for(&self, user_id: &str) {
        self.told.lock().person = Some(user_id.to_owned());
    }

    /// What the policies are shown of `principal`: with its risk, and kept for the event.
    pub(super) fn told<'f>(&self, principal: &Principal, facts: Facts<'f>) -> Facts<'f> {
        let risk = self.server.ctx.engine.risk();
        let facts = risk.told(principal.reference(), facts);
        let standing = risk.because(principal.reference(), &facts);
        let mut told = self.told.lock();
        told.acr = facts.acr;
        told.auth_age_secs = facts.auth_age_secs;
        if standing.as_ref().map(|now| now.level) > told.standing.as_ref().map(|before| before.level) {
            told.standing = standing;
        }
        facts
    }

    /// The event with what is known of the issuance.
    pub(super) fn explained(&self, mut event: Event) -> Event {
        let told = self.told.lock();
        let texts = [
            ("grant", told.grant.map(GrantType::as_str)),
            ("requested_scope", told.scope.as_deref()),
            ("requested_resource", told.resource.as_deref()),
            ("sub", told.person.as_deref()),
        ];
        for (name, text) in texts {
            if let Some(text) = text {
                event = event.with(name, text);
            }
        }
        if told.acr > 0 {
            event = event.with("acr", told.acr).with("auth_age_secs", told.auth_age_secs);
        }
        event.at_risk(told.standing.as_ref())
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
        let facts = &self.told(principal, *facts);
        let decision = match ctx.engine.snapshot() {
            None => Decision::deny(DenyReason::NoSnapshot, Arc::from("")),
            Some(snapshot) => {
                let context = snapshot.prepare(action, None, &WireContext::new(facts, Some(said)));
                snapshot.decide_prepared(principal, action, resource, &context)
            }
        };
        ctx.metrics.decided(Point::Issuance, &decision);
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

/// Whether a word of a request says something about it and is nothing that was given to somebody: no token, no code, no key.
fn is_telling(word: &str) -> bool {
    let shaped = !word.is_empty() && word.bytes().all(scope::is_scope_char);
    shaped
        && word.len() <= 96
        && word.split('.').count() < 6
        && !word.starts_with("eyJ")
        && secret_text::check(word).is_none()
}

fn bounded(mut text: String) -> String {
    text.truncate(text.floor_char_boundary(LONGEST));
    text
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
        if self.proven && refused == kind::TOKEN_REFUSED {
            event = asked.explained(event).with("error", self.error.code()).with("detail", self.error.description());
            if let Some(client) = &self.client {
                event = event.with("client_id", client.client.client_id.as_str());
            }
            if event.snapshot.is_none() {
                event.snapshot = asked.server.ctx.engine.snapshot().map(|snapshot| Arc::clone(snapshot.digest()));
            }
        }
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
