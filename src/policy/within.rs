//! What policies say of rows before any row is read: a filter that holds of every row they may permit. What it cannot say it
//! leaves out, so it is never too narrow; each row is decided all the same.

use cedar_policy::{Effect, Policy};
use serde_json::Value;

use crate::model::filter::{Condition, EventField, Field as _, Filter, Op, Value as Said};

type Rows = Filter<EventField>;

/// Of policies that are all there are about some rows; `None` when it says nothing.
pub(super) fn of<'a>(policies: impl Iterator<Item = &'a Policy>) -> Option<Rows> {
    let permits = policies.filter(|policy| policy.effect() == Effect::Permit);
    let each: Option<Vec<Rows>> = permits.map(|permit| permitted(&permit.to_json().ok()?)).collect();
    each.map(Filter::Any)
}

/// `None`: any row.
fn permitted(policy: &Value) -> Option<Rows> {
    let conditions = policy.get("conditions")?.as_array()?;
    let when = conditions.iter().filter(|condition| condition.get("kind").is_some_and(|kind| kind == "when"));
    both(when.map(|condition| holds(condition.get("body")?)))
}

fn both(each: impl Iterator<Item = Option<Rows>>) -> Option<Rows> {
    each.flatten().reduce(Filter::and)
}

/// What holds of a row of which an expression is true.
fn holds(body: &Value) -> Option<Rows> {
    let (name, of) = body.as_object()?.iter().next()?;
    let (left, right) = (of.get("left"), of.get("right"));
    match name.as_str() {
        "&&" => both([left, right].into_iter().map(|side| holds(side?))),
        "||" => Some(Filter::Any(vec![holds(left?)?, holds(right?)?])),
        "==" => same(left?, right?).or_else(|| same(right?, left?)),
        "has" => {
            let attr = of.get("attr")?;
            let field = field(left?, attr.as_str().or_else(|| attr.get(0)?.as_str())?)?;
            // `kind` and `outcome` are there always, erased ones as "".
            let may_lack = !matches!(field, EventField::Kind | EventField::Outcome);
            may_lack.then(|| Filter::of(field, Op::Has, Said::Anything))
        }
        "contains" => {
            let items = left?.get("Set")?.as_array()?;
            let each: Option<Vec<Rows>> = items.iter().map(|item| same(right?, item)).collect();
            each.map(Filter::Any)
        }
        _ => None,
    }
}

/// `resource.attr == "text"`.
fn same(attribute: &Value, literal: &Value) -> Option<Rows> {
    let access = attribute.get(".")?;
    let field = field(access.get("left")?, access.get("attr")?.as_str()?)?;
    let text = literal.get("Value")?.as_str().filter(|text| !text.is_empty())?;
    Some(Filter::Is(Condition { field, op: Op::Eq, value: Said::Text(text.to_owned()) }))
}

fn field(of: &Value, attribute: &str) -> Option<EventField> {
    let is_row = of.get("Var").is_some_and(|name| name == "resource");
    // The others are no texts there.
    let is_text = ["kind", "outcome", "principal", "client", "action", "resource", "reason"].contains(&attribute);
    EventField::named(attribute).filter(|_| is_row && is_text)
}
