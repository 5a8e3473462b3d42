//! How often may be guessed. A guess is paid for before it is looked at, so a hundred at once are no more than one after the
//! other; what turns out right is given back. Passwords and second steps have buckets of their own, and a passkey has none:
//! nobody can lock anybody out of one.

use std::net::{IpAddr, Ipv4Addr};

use super::visit::Visit;
use crate::http::RequestInfo;
use crate::limits::{Claim, address};
use crate::telemetry::labels::{Bucket, Limited};

/// What one guess took.
#[derive(Debug)]
#[must_use = "a right guess is given back"]
pub(super) struct Taken(Vec<Claim>);

impl Visit {
    fn of_address(&self) -> Vec<Claim> {
        let info: &RequestInfo = &self.info;
        let from = info.address.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
        let ctx = self.ctx();
        address::rungs(ctx.limits.keys(), "guess", from, ctx.settings.address_guesses).to_vec()
    }

    /// Pays for a password for `name`, whether or not somebody is called that; seconds to wait when it is too often.
    pub(super) fn guess_password(&self, name: &str) -> Result<Taken, u64> {
        let ctx = self.ctx();
        let mut claims = self.of_address();
        claims.push(Claim::new(ctx.limits.keys().user("password", name), ctx.settings.account_guesses));
        claims.push(Claim::new(ctx.limits.keys().other("password", "all"), ctx.settings.all_guesses));
        self.pay(claims)
    }

    /// Pays for a code of the second step.
    pub(super) fn guess_code(&self, user_id: &str) -> Result<Taken, u64> {
        let ctx = self.ctx();
        let mut claims = self.of_address();
        claims.push(Claim::new(ctx.limits.keys().user("second", user_id), ctx.settings.code_guesses));
        self.pay(claims)
    }

    /// Pays for an answer of a provider, which makes us ask it.
    pub(super) fn guess_upstream(&self) -> Result<Taken, u64> {
        let ctx = self.ctx();
        let mut claims = self.of_address();
        claims.push(Claim::new(ctx.limits.keys().other("upstream", "all"), ctx.settings.all_guesses));
        self.pay(claims)
    }

    /// Pays for the code of a device (RFC 8628 5.1).
    pub(super) fn guess_device(&self, session_id: &str) -> Result<Taken, u64> {
        let ctx = self.ctx();
        let limit = ctx.settings.device_guesses;
        let from = self.info.address.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
        let mut claims = address::rungs(ctx.limits.keys(), "device", from, limit).to_vec();
        claims.push(Claim::new(ctx.limits.keys().other("device", session_id), limit));
        self.pay(claims)
    }

    fn pay(&self, claims: Vec<Claim>) -> Result<Taken, u64> {
        let ctx = self.ctx();
        let verdict = ctx.limits.check(&claims, ctx.clock.monotonic_ns());
        let result = if verdict.is_allowed() { Limited::Allowed } else { Limited::Refused };
        ctx.metrics.limit_checks.add((Bucket::Guess, result));
        if verdict.is_allowed() { Ok(Taken(claims)) } else { Err(verdict.retry_after_secs().unwrap_or(60)) }
    }

    /// It was right, or was not looked at.
    pub(super) fn give_back(&self, taken: &Taken) {
        self.ctx().limits.give_back(&taken.0, self.ctx().clock.monotonic_ns());
    }
}
