//! A request that goes no further, and what its sender is told.

use std::sync::Arc;

#[cfg(feature = "server")]
use http::StatusCode;

use super::pipeline::Spent;
use crate::http::bearer::Refusal;
use crate::http::coarse;
use crate::http::{Kind, Problem};
use crate::limits::{Verdict, fields};
use crate::model::DenyReason;

/// A request that goes no further.
#[derive(Debug)]
pub(crate) struct Refused {
    pub(crate) why: Why,
    /// Id of the event that records it.
    pub(crate) event_id: Arc<str>,
}

/// Why.
#[derive(Debug)]
pub(crate) enum Why {
    /// The address asks too often.
    Address(Verdict),
    /// The path is not in normal form.
    Path,
    /// No token, a bad one, or one without the scope.
    Bearer(Refusal),
    /// The token cannot be checked now.
    Unavailable,
    /// It could not be recorded, and a policy wants that first.
    NotRecorded,
    /// Policy says no.
    Policy(DenyReason),
    /// The tier is used up.
    Tier(Spent),
}

impl Refused {
    /// The status.
    #[cfg(feature = "server")]
    pub(crate) fn status(&self) -> StatusCode {
        match &self.why {
            Why::Address(_) | Why::Tier(_) => StatusCode::TOO_MANY_REQUESTS,
            Why::Path => StatusCode::BAD_REQUEST,
            Why::Bearer(refusal) => refusal.status(),
            Why::Unavailable | Why::NotRecorded => StatusCode::SERVICE_UNAVAILABLE,
            Why::Policy(_) => StatusCode::FORBIDDEN,
        }
    }

    /// The whole answer (RFC 6750 3, RFC 9457), with the id of its event.
    pub(crate) fn problem(&self) -> Problem {
        let problem = match &self.why {
            Why::Address(verdict) => coarse::problem(verdict),
            Why::Path => Problem::new(Kind::BadRequest)
                .detail("the path is not in normal form: resolve `.` and `..`, and encode only what must be encoded"),
            Why::Bearer(refusal) => refusal.problem(),
            Why::Unavailable => Problem::new(Kind::Unavailable).detail("the token cannot be checked now: try again"),
            Why::NotRecorded => Problem::new(Kind::NotRecorded).detail("try again later"),
            Why::Policy(reason) => Problem::new(Kind::Forbidden)
                .detail("no policy allows this caller to do this: ask for a policy or a role")
                .with("reason", reason.as_str()),
            Why::Tier(spent) => {
                let names = [Some((&*spent.tier.name, spent.limit))];
                Problem::new(Kind::QuotaExceeded)
                    .detail("too many requests in this tier: wait as long as `Retry-After` says")
                    .with(fields::VIOLATED_POLICIES, fields::violated(&names, &spent.verdict))
                    .headers(|headers| spent.apply(headers))
            }
        };
        problem.with("decision_id", &*self.event_id)
    }

    /// Seconds after which it would pass, of a limit.
    #[cfg(feature = "server")]
    pub(crate) fn retry_after_secs(&self) -> Option<u64> {
        match &self.why {
            Why::Address(verdict) => verdict.retry_after_secs(),
            Why::Tier(spent) => spent.verdict.retry_after_secs(),
            Why::Path | Why::Bearer(_) | Why::Unavailable | Why::NotRecorded | Why::Policy(_) => None,
        }
    }
}
