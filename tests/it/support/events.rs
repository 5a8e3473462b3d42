//! What stands in the log and in the intake, as JSON.

use serde_json::Value;
use stockade::store::entry::{Entry, Half};

/// The half that stays, with the other one as its member `personal`; `null` where a half is erased.
pub(crate) fn said(entry: &Entry) -> Value {
    let parse = |half: Half<'_>| half.body.map_or(Value::Null, |body| serde_json::from_slice(body).expect("JSON"));
    let mut event: Value = parse(entry.rest());
    event["personal"] = parse(entry.personal());
    event
}
