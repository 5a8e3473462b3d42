//! One thing that is not as declared, and the calls that make it so.

use http::Method;
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::super::failure::Failure;
use super::super::output;

/// What is done to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Act {
    Create,
    Update,
    Delete,
}

/// A member that changes; `before` is `null` where there was none.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Field {
    pub(super) member: String,
    pub(super) before: Value,
    pub(super) after: Value,
}

/// A call of the management API. `{id}` in its path is what the first call's answer names.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Call {
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) body: Option<Value>,
}

/// A change.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Change {
    pub(super) act: Act,
    /// `client` or `user`.
    pub(super) kind: &'static str,
    /// The client's id, the person's username.
    pub(super) id: String,
    pub(super) fields: Vec<Field>,
    #[serde(skip)]
    pub(super) calls: Vec<Call>,
    /// The state that the plan was made over.
    #[serde(skip)]
    pub(super) etag: Option<String>,
}

impl Change {
    /// What makes it this change and no other.
    pub(super) fn identity(&self) -> Value {
        let calls = self.calls.iter().map(|call| json!([call.method.as_str(), call.path, call.body]));
        json!([self.etag, calls.collect::<Vec<_>>()])
    }

    pub(super) fn print(&self) -> Result<(), Failure> {
        let mark = match self.act {
            Act::Create => '+',
            Act::Update => '~',
            Act::Delete => '-',
        };
        output::line(format!("{mark} {} {}", self.kind, self.id))?;
        for Field { member, before, after } in &self.fields {
            let (before, after) = (output::cell(before), output::cell(after));
            match self.act {
                Act::Create => output::line(format!("    {member}: {after}"))?,
                _ => output::line(format!("    {member}: {before} -> {after}"))?,
            }
        }
        Ok(())
    }
}

/// The members that differ, of `names`.
pub(super) fn differing(before: &Value, after: &Value, names: &[&str]) -> Vec<Field> {
    let of = |value: &Value, name: &str| value.get(name).cloned().unwrap_or_default();
    let fields =
        names.iter().map(|name| Field { member: (*name).to_owned(), before: of(before, name), after: of(after, name) });
    fields.filter(|field| field.before != field.after && !(nothing(&field.before) && nothing(&field.after))).collect()
}

fn nothing(value: &Value) -> bool {
    value.is_null() || value.as_array().is_some_and(Vec::is_empty)
}

/// The members of something new, as they were declared.
pub(super) fn declared(members: &Map<String, Value>, key: &str) -> Vec<Field> {
    let fields = members.iter().filter(|(name, _)| *name != key);
    fields.map(|(name, value)| Field { member: name.clone(), before: Value::Null, after: value.clone() }).collect()
}
