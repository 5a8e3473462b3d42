//! What every question about events begins with: what is asked for, and which events the caller may see.

use super::Ctx;
use super::filter::PLAIN;
use super::permissions::Search;
use crate::base::Timestamp;
use crate::http::asked::Asked;
use crate::http::query::Query;
use crate::http::{Kind, May, Permission, Problem};
use crate::model::filter::EventField;
use crate::model::{Event, Outcome, event};
use crate::policy::Rows;
use crate::store::StoreError;

/// How many entries one answer reads at most: then it says where to go on.
pub(super) const MOST_READ: u64 = 131_072;
/// What the query asks for, with its mistakes noted in `q`.
pub(super) fn asked(q: &mut Query, now: Timestamp) -> Asked<EventField> {
    Asked::take(q, &PLAIN, now)
}

impl Ctx {
    /// Which events the caller may see.
    pub(super) fn rows<'a>(&self, may: &'a May<Search>) -> Result<Rows<'a>, Problem> {
        self.guard.events(&may.caller, &may.info)
    }

    /// That the log was read: with the names of what was asked for.
    pub(super) fn read_event(&self, may: &May<Search>, names: Vec<String>) -> Event {
        let (kind, resource) = (event::kind::AUDIT_READ, Search::resource());
        let read = self.guard.event(&may.caller, &may.info, kind, Outcome::Allowed, Search::ACTION, resource);
        read.decided(&may.decision).with("filters", names)
    }
}

/// The log cannot be read.
pub(super) fn unavailable<P>(may: &May<P>) -> impl Fn(StoreError) -> Problem {
    let request_id = may.info.request_id.clone();
    move |error| {
        let error = crate::telemetry::chain(&error);
        tracing::warn!(%error, request_id = &*request_id, "the audit log could not be read");
        Problem::new(Kind::Unavailable).detail("the audit log cannot be read now: try again")
    }
}
