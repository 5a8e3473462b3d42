//! Events as rows that policies decide about, one by one.

use std::borrow::Cow;

use super::info::Info;
use super::problem::{Kind, Problem};
use super::who_may::{Caller, Guard};
use crate::model::filter::{EventField, Field as _};
use crate::policy::{Rows, Said};
use crate::store::row::EventRow;

/// The Cedar action that each event is decided by.
const READ: &str = "audit:read";

impl Said for EventRow<'_> {
    fn id(&self) -> &str {
        self.said.rest.as_ref().map_or("", |rest| &*rest.id)
    }

    fn attribute(&self, name: &'static str) -> Option<Cow<'_, str>> {
        self.text(&EventField::named(name)?)
    }
}

impl Guard {
    /// Which events of the log `caller` may see, by the policies in force.
    ///
    /// # Errors
    /// 403 when the policies know no such action, or there are none.
    pub fn events<'a>(&self, caller: &'a Caller, info: &Info) -> Result<Rows<'a>, Problem> {
        let old = || {
            let told = "`stockade check` says what they lack";
            let detail = format!("the policies here are older than this version and know no `{READ}`: {told}");
            Problem::new(Kind::Forbidden).detail(detail)
        };
        let facts = caller.facts(self.clock.now()).address(info.address);
        let snapshot = self.engine.snapshot().ok_or_else(old)?;
        Rows::new(snapshot, caller.principal.clone(), READ, facts).map_err(|_| old())
    }
}
