//! Reading JSON that may be anything: what is not there, or is something else, is `None`.

use std::net::IpAddr;

use serde_json::Value;

use crate::base::Timestamp;
use crate::model::{Entity, EntityKind};

/// Longest text that is kept, in characters; descriptions may be longer.
const LONGEST: usize = 512;
const LONGEST_DESCRIPTION: usize = 8192;
/// Entities of one finding.
const MOST: usize = 256;

/// A place in a document.
#[derive(Clone, Copy)]
pub(super) struct Node<'a>(Option<&'a Value>);

impl<'a> Node<'a> {
    pub(super) fn new(value: &'a Value) -> Self {
        Self(Some(value))
    }

    /// The member at a path of names with dots between. GuardDuty's own names begin with a small letter, those of AWS's
    /// clients with a capital one: either is found.
    pub(super) fn at(self, path: &str) -> Self {
        Self(path.split('.').try_fold(self.0, |here, name| Some(member(here?, name))).flatten())
    }

    /// The items of a list; of anything else that is there, itself.
    pub(super) fn items(self) -> impl Iterator<Item = Self> {
        let many = match self.0 {
            Some(Value::Array(items)) => Some(items.as_slice()),
            Some(Value::Null) | None => None,
            Some(one) => Some(std::slice::from_ref(one)),
        };
        many.into_iter().flatten().map(|item| Self(Some(item)))
    }

    /// The members of an object.
    pub(super) fn members(self) -> impl Iterator<Item = (&'a str, Self)> {
        let object = self.0.and_then(Value::as_object);
        object.into_iter().flatten().map(|(name, value)| (name.as_str(), Self(Some(value))))
    }

    /// Text or a number, without control characters and not too long; `None` when nothing is left.
    pub(super) fn text(self) -> Option<String> {
        self.long(LONGEST)
    }

    /// The same, and long: two ids that differ must not become one.
    pub(super) fn id(self) -> Option<String> {
        self.long(LONGEST_DESCRIPTION).filter(|text| !is_placeholder(text))
    }

    pub(super) fn description(self) -> Option<String> {
        self.long(LONGEST_DESCRIPTION)
    }

    fn long(self, most: usize) -> Option<String> {
        let text = match self.0? {
            Value::String(text) => clean(text, most),
            Value::Number(number) => number.to_string(),
            _ => return None,
        };
        (!text.is_empty()).then_some(text)
    }

    /// The text as it stands, whatever it holds: to be read further, not kept.
    pub(super) fn inner(self) -> Option<&'a str> {
        self.0?.as_str()
    }

    pub(super) fn number(self) -> Option<f64> {
        let number = match self.0? {
            Value::Number(number) => number.as_f64()?,
            Value::String(text) => text.trim().parse().ok()?,
            _ => return None,
        };
        number.is_finite().then_some(number)
    }

    pub(super) fn integer(self) -> Option<i64> {
        match self.0? {
            Value::Number(number) => number.as_i64(),
            Value::String(text) => text.trim().parse().ok(),
            _ => None,
        }
    }

    pub(super) fn flag(self) -> Option<bool> {
        match self.0? {
            Value::Bool(flag) => Some(*flag),
            Value::String(text) => text.trim().parse().ok(),
            _ => None,
        }
    }

    /// RFC 3339, the same without an offset (then UTC) or with a blank in it, or a number since the epoch: seconds, or
    /// milliseconds when it is too large for those.
    pub(super) fn time(self) -> Option<Timestamp> {
        match self.0? {
            Value::Number(number) => epoch(number.as_f64()?),
            Value::String(text) => {
                let text = text.trim().replacen(' ', "T", 1);
                Timestamp::parse(&text).or_else(|| Timestamp::parse(&format!("{text}Z")))
            }
            _ => None,
        }
    }
}

/// A number beyond this is milliseconds: as seconds it would be the year 5138.
const MILLIS_FROM: f64 = 1e11;

fn epoch(number: f64) -> Option<Timestamp> {
    let micros = if number.abs() >= MILLIS_FROM { number * 1e3 } else { number * 1e6 };
    #[expect(clippy::cast_possible_truncation, reason = "held against the range that it is cast to")]
    (micros.abs() < 9e17).then(|| Timestamp::from_micros(micros.round() as i64))
}

fn member<'a>(value: &'a Value, name: &str) -> Option<&'a Value> {
    let object = value.as_object()?;
    object.get(name).or_else(|| {
        let mut letters = name.chars();
        let first = letters.next()?;
        let other: String =
            if first.is_lowercase() { first.to_uppercase().collect() } else { first.to_lowercase().collect() };
        object.get(&format!("{other}{}", letters.as_str()))
    })
}

/// Line breaks are blanks; other control characters, which a database or a terminal may choke on, are gone.
fn clean(text: &str, most: usize) -> String {
    let all = text.chars().map(|c| if c == '\n' || c == '\t' { ' ' } else { c });
    let kept: String = all.filter(|c| !c.is_control()).take(most).collect();
    kept.trim().to_owned()
}

/// A text that stands for an id in an example, such as `<finding_uid>`: many things have it.
pub(super) fn is_placeholder(text: &str) -> bool {
    text.starts_with('<') && text.ends_with('>')
}

/// The region and account of an ARN.
pub(super) fn of_arn(arn: &str) -> (Option<String>, Option<String>) {
    let mut parts = arn.split(':').skip(3);
    let mut part = || parts.next().filter(|part| !part.is_empty()).map(str::to_owned);
    if arn.starts_with("arn:") { (part(), part()) } else { (None, None) }
}

/// What a finding is about, each once, in the order it was met.
#[derive(Default)]
pub(super) struct Entities(Vec<Entity>);

impl Entities {
    /// Adds what `node` names. Texts that name nothing are left out.
    pub(super) fn add(&mut self, kind: EntityKind, node: Node<'_>) {
        if let Some(text) = node.text() {
            self.add_text(kind, &text);
        }
    }

    pub(super) fn add_text(&mut self, kind: EntityKind, text: &str) {
        let value = match kind {
            // One spelling, so that it is found by it; what is none is none.
            EntityKind::Address => match text.parse::<IpAddr>() {
                Ok(address) => address.to_canonical().to_string(),
                Err(_) => return,
            },
            EntityKind::Domain => text.trim_end_matches('.').to_ascii_lowercase(),
            _ => text.to_owned(),
        };
        let nothing = value.is_empty() || is_placeholder(&value) || value.eq_ignore_ascii_case("null");
        let entity = Entity { kind, value };
        if !nothing && self.0.len() < MOST && !self.0.contains(&entity) {
            self.0.push(entity);
        }
    }

    /// `AROA…:session`, or the id alone.
    pub(super) fn add_principal(&mut self, node: Node<'_>) {
        let Some(text) = node.text() else { return };
        match text.split_once(':') {
            Some((id, session)) if !id.is_empty() && !text.starts_with("arn:") => {
                self.add_text(EntityKind::Principal, id);
                self.add_text(EntityKind::Session, session);
            }
            _ => self.add_text(EntityKind::Principal, &text),
        }
    }

    pub(super) fn done(self) -> Vec<Entity> {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn times_are_read_in_every_spelling_there_is() {
        let expected = Timestamp::parse("2025-02-25T20:40:06Z");
        for text in ["2025-02-25T20:40:06Z", "2025-02-25 20:40:06.000000000", "2025-02-25T21:40:06.000+01:00"] {
            assert_eq!(Node::new(&json!(text)).time(), expected, "{text}");
        }
        for number in [json!(1_740_516_006), json!(1_740_516_006_000_i64), json!(1_740_516_006.0)] {
            assert_eq!(Node::new(&number).time(), expected, "{number}");
        }
        for other in [json!("<time>"), json!(""), json!(null), json!([]), json!(1e300)] {
            assert_eq!(Node::new(&other).time(), None, "{other}");
        }
    }

    #[test]
    fn names_are_found_in_either_spelling() {
        let (own, api) = (json!({ "a": { "bC": "x" } }), json!({ "A": { "BC": "x" } }));
        for value in [&own, &api] {
            assert_eq!(Node::new(value).at("a.bC").text().as_deref(), Some("x"));
        }
        assert_eq!(Node::new(&own).at("a.b").text(), None);
    }

    #[test]
    fn texts_hold_nothing_that_a_database_or_a_terminal_chokes_on() {
        let text = Node::new(&json!("a\u{0}b\u{1b}[31m\nc")).text();
        assert_eq!(text.as_deref(), Some("ab[31m c"));
        assert_eq!(Node::new(&json!("\u{0}")).text(), None);
        assert_eq!(Node::new(&json!("x".repeat(10_000))).text().map(|t| t.len()), Some(LONGEST));
    }

    #[test]
    fn entities_have_one_spelling_and_stand_once() {
        let mut entities = Entities::default();
        for text in ["2001:DB8::1", "2001:db8:0::1", "no address", "::ffff:192.0.2.1"] {
            entities.add_text(EntityKind::Address, text);
        }
        entities.add_text(EntityKind::Domain, "Evil.Example.");
        entities.add_text(EntityKind::Resource, "<resource_uid>");
        entities.add_principal(Node::new(&json!("AROAX:ada")));
        let values: Vec<_> = entities.done().into_iter().map(|e| (e.kind.as_str(), e.value)).collect();
        let expected = [
            ("address", "2001:db8::1"),
            ("address", "192.0.2.1"),
            ("domain", "evil.example"),
            ("principal", "AROAX"),
            ("session", "ada"),
        ];
        assert_eq!(values, expected.map(|(kind, value)| (kind, value.to_owned())));
    }
}
