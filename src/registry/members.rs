//! JSON members laid over a noun, each checked by itself, so that every mistake is told at once.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::Mistake;

/// `value` as its JSON members.
pub(super) fn of(value: &impl Serialize) -> Map<String, Value> {
    match serde_json::to_value(value) {
        Ok(Value::Object(members)) => members,
        _ => Map::new(),
    }
}

/// How members are laid over a noun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Null {
    /// `null` is a value like others.
    Stays,
    /// `null` puts the blank's value back (RFC 7396).
    Resets,
}

/// The noun `base` with `sent` laid over it. `known` may be sent; `fixed` may be sent as they are, because they were read
/// together with the rest.
pub(super) fn lay<T: Serialize + DeserializeOwned>(
    base: &T,
    blank: &T,
    sent: &Map<String, Value>,
    known: &[&str],
    fixed: &Map<String, Value>,
    null: Null,
) -> Result<T, Vec<Mistake>> {
    let (mut all, blank) = (of(base), of(blank));
    let mut mistakes = Vec::new();
    for (name, value) in sent {
        if let Some(now) = fixed.get(name) {
            if now != value {
                mistakes.push(Mistake::of(name, "this is not yours to change: leave it out"));
            }
            continue;
        }
        if !known.contains(&name.as_str()) {
            mistakes.push(unknown(name, known));
            continue;
        }
        let before = all.remove(name);
        let value = if null == Null::Resets && value.is_null() { blank.get(name) } else { Some(value) };
        if let Some(value) = value {
            all.insert(name.clone(), value.clone());
        }
        if let Err(error) = serde_json::from_value::<T>(Value::Object(all.clone())) {
            mistakes.push(Mistake::of(name, error.to_string()));
            all.remove(name);
            all.extend(before.map(|before| (name.clone(), before)));
        }
    }
    if !mistakes.is_empty() {
        return Err(mistakes);
    }
    serde_json::from_value(Value::Object(all)).map_err(|error| vec![Mistake::of("", error.to_string())])
}

fn unknown(name: &str, known: &[&str]) -> Mistake {
    if name.contains("secret") {
        return Mistake::of(name, "secrets are made here, and shown once: leave it out");
    }
    Mistake::unknown(name, known)
}
