//! What is known about a request before anyone looks into it: its id, its trace, where it comes from, when it began.

use std::net::IpAddr;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderMap;

use super::client_address::TrustedProxies;
use super::request_id;
use super::trace::Trace;
use crate::base::{Clock, Rng, Timestamp};
use crate::model::{Event, Outcome};

/// What is known about a request from the start.
#[derive(Clone, Debug)]
pub struct RequestInfo {
    /// `X-Request-ID`.
    pub request_id: Arc<str>,
    /// Where it stands in its trace.
    pub trace: Trace,
    /// The other end of the connection; `None` only where there is no connection, as in tests.
    pub peer: Option<IpAddr>,
    /// The client's address: the peer, or what trusted proxies say about it.
    pub address: Option<IpAddr>,
    /// When it came.
    pub at: Timestamp,
    /// When it began (`Clock::monotonic_ns`).
    pub started_ns: u64,
}

impl RequestInfo {
    /// Reads `headers` of a request from `peer`.
    pub fn read(
        headers: &HeaderMap,
        peer: Option<IpAddr>,
        trusted: &TrustedProxies,
        clock: &dyn Clock,
        random: &dyn Rng,
    ) -> Self {
        let at = clock.now();
        Self {
            request_id: request_id::of(headers, at, random),
            at,
            trace: Trace::enter(headers, random),
            peer,
            address: peer.map(|peer| trusted.client(peer, headers)),
            started_ns: clock.monotonic_ns(),
        }
    }

    /// A new event of this request: its id, trace, address and latency so far.
    pub fn event(&self, kind: &'static str, outcome: Outcome, clock: &dyn Clock, random: &dyn Rng) -> Event {
        let elapsed = Duration::from_nanos(self.elapsed_ns(clock));
        let mut event = Event::new(kind, outcome, self.at.plus(elapsed), random);
        event.request_id = Some(Arc::clone(&self.request_id));
        event.trace_id = Some(Arc::from(self.trace.trace_hex()));
        event.address = self.address;
        event.latency_us = u64::try_from(elapsed.as_micros()).ok();
        event
    }

    /// Nanoseconds since it began.
    pub fn elapsed_ns(&self, clock: &dyn Clock) -> u64 {
        clock.monotonic_ns().saturating_sub(self.started_ns)
    }
}

/// The request's [`RequestInfo`], shared: an extractor, put there by [`super::edge`], and what the tower layer puts there
/// itself in an application of others.
#[derive(Clone, Debug)]
pub struct Info(pub Arc<RequestInfo>);

impl Deref for Info {
    type Target = RequestInfo;

    fn deref(&self) -> &RequestInfo {
        &self.0
    }
}

#[cfg(feature = "server")]
impl<S: Send + Sync> axum::extract::FromRequestParts<S> for Info {
    type Rejection = super::problem::Problem;

    async fn from_request_parts(parts: &mut http::request::Parts, _: &S) -> Result<Self, Self::Rejection> {
        parts.extensions.get::<Self>().cloned().ok_or_else(|| {
            tracing::error!("a router is served without its edge, so requests have no id");
            super::problem::Problem::new(super::problem::Kind::Internal)
        })
    }
}
