//! The coarse buckets: of an address before anything is parsed or computed, of a client once it is known.

use std::net::{IpAddr, Ipv4Addr};

use super::Server;
use crate::http::Info;
use crate::limits::{Claim, Limit, Verdict, address};
use crate::telemetry::labels::{Bucket, Limited};

/// Requests to one kind of endpoint, of one address. Says in how many seconds to come back when there were too many.
pub(super) fn address(server: &Server, class: &str, limit: Limit, info: &Info) -> Result<(), u64> {
    // Without an address (nothing listens: a test, a pipe) everyone shares one bucket.
    let address = info.address.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
    let buckets = &server.ctx.limits;
    let rungs = address::rungs(buckets.keys(), class, address, limit);
    verdict(server, Bucket::Address, &buckets.check(&rungs, server.ctx.clock.monotonic_ns()))
}

/// Token requests of one client.
pub(super) fn client(server: &Server, client_id: &str) -> Result<(), u64> {
    let buckets = &server.ctx.limits;
    let key = buckets.keys().client("token", client_id);
    let claim = Claim::new(key, server.ctx.settings.token_client);
    verdict(server, Bucket::Client, &buckets.check(&[claim], server.ctx.clock.monotonic_ns()))
}

fn verdict(server: &Server, bucket: Bucket, verdict: &Verdict) -> Result<(), u64> {
    let (answer, result) = if verdict.is_allowed() {
        (Limited::Allowed, Ok(()))
    } else {
        (Limited::Refused, Err(verdict.retry_after_secs().unwrap_or(60)))
    };
    server.ctx.metrics.limit_checks.add((bucket, answer));
    result
}
