//! A change: one transaction that holds the change, its event, and the answer under its idempotency key.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use http::{HeaderName, HeaderValue, StatusCode, header};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::sent::Sent;
use super::{Guard, Kind, May, Permission, Problem};
use crate::crypto::seal::Sealer;
use crate::live::Live;
use crate::model::{Event, Outcome};
use crate::store::idempotency::{self, Claim};
use crate::store::{Store, StoreError, Tx, events};

/// How long an answer is kept for whoever asks the same again.
const KEPT: Duration = Duration::from_secs(86_400);
const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");

/// What changes need of a room.
pub trait Changes: Sync {
    /// Who may.
    fn guard(&self) -> &Guard;
    /// Where everything is.
    fn store(&self) -> &Store;
    /// Seals answers that are kept.
    fn sealer(&self) -> &Sealer;
    /// What this process holds in memory, when it is loaded.
    fn live(&self) -> Option<&Live>;
}

impl<T: Changes + Send> Changes for Arc<T> {
    fn guard(&self) -> &Guard {
        T::guard(self)
    }

    fn store(&self) -> &Store {
        T::store(self)
    }

    fn sealer(&self) -> &Sealer {
        T::sealer(self)
    }

    fn live(&self) -> Option<&Live> {
        T::live(self)
    }
}

/// What is answered, and kept sealed under the idempotency key: it may hold a secret.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Answer {
    #[serde(skip)]
    status: u16,
    etag: Option<String>,
    location: Option<String>,
    body: Option<Value>,
}

impl Answer {
    /// 200.
    pub fn ok(body: Value) -> Self {
        Self { status: 200, body: Some(body), ..Self::default() }
    }

    /// 201, and where it is now.
    pub fn created(location: String, body: Value) -> Self {
        Self { status: 201, location: Some(location), body: Some(body), ..Self::default() }
    }

    /// With the state's tag.
    pub fn tagged(self, etag: String) -> Self {
        Self { etag: Some(etag), ..self }
    }

    /// As it leaves.
    pub fn response(self) -> Response {
        let mut response = match self.body {
            Some(body) => {
                let mut response = Response::new(Body::from(body.to_string()));
                response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
                response
            }
            None => Response::new(Body::empty()),
        };
        *response.status_mut() = StatusCode::from_u16(self.status).unwrap_or(StatusCode::OK);
        let headers = [(header::ETAG, self.etag), (header::LOCATION, self.location)];
        for (name, value) in headers {
            if let Some(value) = value.and_then(|value| HeaderValue::from_str(&value).ok()) {
                response.headers_mut().insert(name, value);
            }
        }
        response
    }
}

/// A change under way. Dropped, it leaves no trace.
pub struct Change<'a> {
    ctx: &'a dyn Changes,
    /// What it writes in.
    pub tx: Tx,
    /// Principal and key.
    claimed: Option<(String, String)>,
    dry_run: bool,
}

/// What a change begins with.
pub enum Begun<'a> {
    /// The work is to be done.
    Work(Change<'a>),
    /// It was done before: this was the answer.
    Done(Response),
}

impl<'a> Change<'a> {
    /// Opens the transaction and claims the idempotency key.
    pub async fn begin<P: Permission>(ctx: &'a impl Changes, may: &May<P>, sent: &Sent) -> Result<Begun<'a>, Problem> {
        let mut tx = ctx.store().begin().await.map_err(broken)?;
        let mut claimed = None;
        if let Some(key) = &sent.key {
            let principal = may.caller.reference().to_string();
            let until = ctx.guard().clock.now().plus(KEPT);
            match idempotency::claim(&mut tx, &principal, key, &sent.digest, until).await.map_err(broken)? {
                Claim::New => claimed = Some((principal, key.clone())),
                Claim::Answered { status, body } => {
                    return replay(ctx, &principal, key, status, &body).map(Begun::Done);
                }
                Claim::Other => {
                    let detail = "this key was sent with another call in the last day: make a new one for each call";
                    return Err(Problem::new(Kind::IdempotencyKeyReused).detail(detail));
                }
            }
        }
        Ok(Begun::Work(Self { ctx, tx, claimed, dry_run: sent.dry_run }))
    }

    /// Records and commits: only then does the answer leave. A dry run is answered and undone.
    pub async fn commit(mut self, all: &[Event], answer: Answer) -> Result<Response, Problem> {
        if self.dry_run {
            return Ok(answer.response());
        }
        for event in all {
            events::intake(&mut self.tx, event).await.map_err(unrecorded)?;
        }
        if let Some((principal, key)) = &self.claimed {
            let text = seal(self.ctx, principal, key, &answer)?;
            idempotency::finish(&mut self.tx, principal, key, answer.status, &text).await.map_err(broken)?;
        }
        self.tx.commit().await.map_err(unrecorded)?;
        // Here at once; the others follow within a second.
        if let Some(live) = self.ctx.live()
            && let Err(error) = live.refresh().await
        {
            tracing::debug!(error = %crate::telemetry::chain(&error), "a change is seen here with the next look");
        }
        Ok(answer.response())
    }
}

/// An event of this call.
pub fn event<P: Permission>(ctx: &impl Changes, may: &May<P>, kind: &'static str, about: &str) -> Event {
    let guard = ctx.guard();
    let mut event = guard.event(&may.caller, &may.info, kind, Outcome::Allowed, P::ACTION, P::resource());
    event.resource = Some(Arc::from(about));
    event.decided(&may.decision)
}

/// That something was read, recorded after the answer.
pub fn read<P: Permission>(ctx: &impl Changes, may: &May<P>, about: &str, items: usize) {
    let event = event(ctx, may, crate::model::event::kind::DECISION, about);
    ctx.guard().audit.queue(event.with("items", items));
}

fn place(principal: &str, key: &str) -> String {
    format!("idempotency\n{principal}\n{key}")
}

fn seal(ctx: &dyn Changes, principal: &str, key: &str, answer: &Answer) -> Result<String, Problem> {
    let plain = serde_json::to_vec(answer).unwrap_or_default();
    let sealed = ctx.sealer().seal(place(principal, key).as_bytes(), &plain, &*ctx.guard().rng);
    let sealed = sealed.map_err(|error| {
        tracing::error!(%error, "an answer could not be sealed");
        Problem::new(Kind::Internal)
    })?;
    Ok(STANDARD_NO_PAD.encode(sealed))
}

fn replay(ctx: &dyn Changes, principal: &str, key: &str, status: u16, text: &str) -> Result<Response, Problem> {
    let opened = STANDARD_NO_PAD.decode(text).ok();
    let opened = opened.and_then(|sealed| ctx.sealer().open(place(principal, key).as_bytes(), &sealed).ok());
    let answer: Option<Answer> = opened.and_then(|plain| serde_json::from_slice(plain.expose()).ok());
    let Some(answer) = answer else {
        let detail = "this was done, but its answer can no longer be read: look at what is there now";
        return Err(Problem::new(Kind::Conflict).detail(detail));
    };
    let mut response = Answer { status, ..answer }.response();
    response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
    Ok(response)
}

/// 503: the database.
pub fn broken(error: StoreError) -> Problem {
    tracing::warn!(error = %crate::telemetry::chain(&error), "the management API could not reach the database");
    Problem::new(Kind::Unavailable).detail("the database does not answer now: try again")
}

fn unrecorded(error: StoreError) -> Problem {
    tracing::error!(error = %crate::telemetry::chain(&error), "a change could not be recorded; it was not made");
    Problem::new(Kind::NotRecorded).detail("try again later")
}
