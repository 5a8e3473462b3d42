//! An entry as a row that filters and policies ask about.

use std::borrow::Cow;

use serde_json::{Map, Value};

use super::entry::{Entry, Searchable};
use crate::model::filter::{Condition, EventField, Row, Words};

/// An entry, read. What is erased of it is not there.
#[derive(Debug)]
pub struct EventRow<'a> {
    /// Its number.
    pub seq: i64,
    /// What it says.
    pub said: Searchable<'a>,
}

impl<'a> EventRow<'a> {
    /// Reads an entry. One that is no event says nothing.
    pub fn of(seq: i64, entry: &'a Entry) -> Self {
        Self { seq, said: entry.searchable().unwrap_or_default() }
    }

    fn data(&self) -> Option<Map<String, Value>> {
        serde_json::from_str(self.said.rest.as_ref()?.data?.get()).ok()
    }

    /// The client that did it, or through which it was done.
    pub fn client(&self) -> Option<Cow<'_, str>> {
        let own = self.said.principal.as_deref().and_then(|principal| {
            let id = principal.strip_prefix("Client::\"")?.strip_suffix('"')?;
            // An id with escapes is no id that can be registered.
            (!id.contains('\\')).then_some(id)
        });
        match own {
            Some(own) => Some(Cow::Borrowed(own)),
            None => match self.data()?.remove("client_id") {
                Some(Value::String(id)) => Some(Cow::Owned(id)),
                _ => None,
            },
        }
    }

    /// One text of the row, where a field has one.
    pub fn text(&self, field: &EventField) -> Option<Cow<'_, str>> {
        let rest = self.said.rest.as_ref();
        let text = match field {
            EventField::Principal => self.said.principal.as_deref(),
            EventField::Client => return self.client(),
            EventField::Address => return self.said.address.map(|address| address.to_canonical().to_string().into()),
            EventField::Id => Some(&*rest?.id),
            EventField::Kind => Some(&*rest?.kind),
            EventField::Outcome => Some(&*rest?.outcome),
            EventField::Action => rest?.action.as_deref(),
            EventField::Resource => rest?.resource.as_deref(),
            EventField::Reason => rest?.reason.as_deref(),
            EventField::Snapshot => rest?.snapshot.as_deref(),
            EventField::RequestId => rest?.request_id.as_deref(),
            EventField::TraceId => rest?.trace_id.as_deref(),
            EventField::Data(name) => {
                return match self.data()?.remove(&**name)? {
                    Value::String(text) => Some(Cow::Owned(text)),
                    Value::Null | Value::Array(_) | Value::Object(_) => None,
                    other => Some(Cow::Owned(other.to_string())),
                };
            }
            EventField::Time => return Some(rest?.time.to_string().into()),
            EventField::Seq | EventField::Policies | EventField::LatencyUs | EventField::Count => None,
        };
        text.map(Cow::Borrowed)
    }

    /// Goes through every text that full text looks at, until `each` has enough (`true`); whether it had.
    pub(super) fn any_text(&self, mut each: impl FnMut(&str) -> bool) -> bool {
        let address = self.said.address.map(|address| address.to_string());
        if [self.said.principal.as_deref(), address.as_deref()].into_iter().flatten().any(&mut each) {
            return true;
        }
        let Some(rest) = &self.said.rest else { return false };
        let texts = [Some(&*rest.kind), Some(&*rest.outcome), rest.action.as_deref(), rest.resource.as_deref()];
        let more = [rest.reason.as_deref(), rest.request_id.as_deref()];
        texts.into_iter().chain(more).flatten().chain(rest.policies.iter().map(|id| &**id)).any(&mut each)
            || self.data().is_some_and(|data| data.values().any(|value| any_text(value, &mut each)))
    }
}

/// Texts and numbers, however deep.
fn any_text(value: &Value, each: &mut impl FnMut(&str) -> bool) -> bool {
    match value {
        Value::String(text) => each(text),
        Value::Number(number) => each(&number.to_string()),
        Value::Array(items) => items.iter().any(|item| any_text(item, each)),
        Value::Object(members) => members.values().any(|member| any_text(member, each)),
        Value::Null | Value::Bool(_) => false,
    }
}

impl Row<EventField> for EventRow<'_> {
    fn is(&self, asked: &Condition<EventField>) -> bool {
        let rest = self.said.rest.as_ref();
        match &asked.field {
            EventField::Seq => asked.number(Some(self.seq)),
            EventField::Time => asked.time(rest.map(|rest| rest.time)),
            EventField::Address => asked.address(self.said.address),
            EventField::Policies => asked.texts(rest.iter().flat_map(|rest| rest.policies.iter()).map(|id| &**id)),
            EventField::LatencyUs => asked.number(rest.and_then(|rest| rest.latency_us)),
            EventField::Count => asked.number(rest.map(|rest| rest.count.unwrap_or(1))),
            EventField::Data(name) => asked.json(self.data().as_ref().and_then(|data| data.get(&**name))),
            field => asked.text(self.text(field).as_deref()),
        }
    }

    fn says(&self, words: &Words) -> bool {
        self.any_text(|text| words.stand_in(text))
    }
}
