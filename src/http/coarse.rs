//! The coarse bucket: how often one address may ask at all, counted before any cryptography, so that a flood of bad tokens
//! costs its sender more than us and a 429 says nothing about the token beside it.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use super::info::RequestInfo;
use super::problem::{Kind, Problem};
use crate::base::Clock;
use crate::limits::{Buckets, Claim, Limit, Verdict, address, fields};
use crate::telemetry::Metrics;
use crate::telemetry::labels::{Bucket, Limited};

/// The bucket of each address, shared by everything that answers on the public listener.
#[derive(Clone, Debug)]
pub struct Coarse {
    buckets: Arc<Buckets>,
    limit: Limit,
    metrics: Arc<Metrics>,
    clock: Arc<dyn Clock>,
}

impl Coarse {
    /// Allows each IPv4 address and each IPv6 /64 `limit`, wider prefixes a multiple ([`address::LADDER`]).
    pub fn new(buckets: Arc<Buckets>, limit: Limit, metrics: Arc<Metrics>, clock: Arc<dyn Clock>) -> Self {
        Self { buckets, limit, metrics, clock }
    }

    /// Counts one request.
    ///
    /// # Errors
    /// The verdict, when the address is over its limit.
    pub fn check(&self, info: &RequestInfo) -> Result<(), Verdict> {
        // Where there is no connection there is one bucket for all of it.
        let from = info.address.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
        let claims = address::rungs(self.buckets.keys(), "coarse", from, self.limit);
        let verdict = self.buckets.check(&claims, self.clock.monotonic_ns());
        self.told(Bucket::Address, verdict)
    }

    /// Counts `cost` units of a known client in `class`, whose limit is `limit`.
    ///
    /// # Errors
    /// The verdict, when the client is over its limit.
    pub fn client(&self, class: &str, client_id: &str, limit: Limit, cost: u32) -> Result<(), Verdict> {
        // What is dearer than a full bucket empties it: it would never pass otherwise.
        let claim = Claim::new(self.buckets.keys().client(class, client_id), limit).costing(cost.min(limit.burst()));
        self.told(Bucket::Client, self.buckets.check(&[claim], self.clock.monotonic_ns()))
    }

    fn told(&self, bucket: Bucket, verdict: Verdict) -> Result<(), Verdict> {
        let result = if verdict.is_allowed() { Limited::Allowed } else { Limited::Refused };
        self.metrics.limit_checks.add((bucket, result));
        if verdict.tightest.is_some_and(|t| t.overflow) {
            self.metrics.limit_overflows.add(());
        }
        if verdict.is_allowed() { Ok(()) } else { Err(verdict) }
    }
}

/// The 429 of a coarse bucket: when to come back, and nothing about how it is configured.
pub fn problem(verdict: &Verdict) -> Problem {
    Problem::new(Kind::QuotaExceeded)
        .detail("too many requests from this address: wait as long as `Retry-After` says")
        .headers(|headers| fields::apply(headers, &[], verdict))
}

/// The 429 of a client's bucket, in the same words.
pub fn client_problem(verdict: &Verdict) -> Problem {
    problem(verdict).detail("too many requests of this client: wait as long as `Retry-After` says")
}
