//! One condition: a field, how to compare, and a value of the field's kind.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use ipnet::IpNet;
use serde_json::Value as Json;

use super::{Field, Kind, nearest};
use crate::base::Timestamp;
use crate::model::PrincipalRef;

/// Longest text that is compared, in bytes: longer ones are in no row.
const LONGEST: usize = 2048;

/// How to compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// Equal.
    Eq,
    /// Less, earlier.
    Lt,
    /// Not more.
    Le,
    /// More, later.
    Gt,
    /// Not less.
    Ge,
    /// A text has this in it, in whichever case; one of several texts is this; an address is in this network.
    Has,
}

impl Op {
    /// As it is written.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Eq => "=",
            Self::Lt => "<",
            Self::Le => "<=",
            Self::Gt => ">",
            Self::Ge => ">=",
            Self::Has => ":",
        }
    }

    fn holds<T: PartialOrd>(self, said: &T, asked: &T) -> bool {
        match self {
            Self::Eq | Self::Has => said == asked,
            Self::Lt => said < asked,
            Self::Le => said <= asked,
            Self::Gt => said > asked,
            Self::Ge => said >= asked,
        }
    }
}

/// What a field is compared with.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A text, or the name of a choice.
    Text(String),
    /// A time.
    Time(Timestamp),
    /// A number.
    Number(i64),
    /// Yes or no.
    Bool(bool),
    /// An address.
    Address(IpAddr),
    /// A network.
    Network(IpNet),
    /// Whatever is there: `field:*`.
    Anything,
}

/// One condition.
#[derive(Clone, Debug, PartialEq)]
pub struct Condition<F> {
    /// Of what.
    pub field: F,
    /// How to compare.
    pub op: Op,
    /// With what.
    pub value: Value,
}

impl<F: Field> Condition<F> {
    /// Reads a value as the field has it. `is_quoted`: it stood in quotes, so it is a text. Times may be ages (`-24h`),
    /// counted back from `now`.
    ///
    /// # Errors
    /// What to write instead.
    pub fn read(field: F, op: Op, given: &str, is_quoted: bool, now: Timestamp) -> Result<Self, String> {
        let value = if op == Op::Has && given == "*" && !is_quoted {
            Value::Anything
        } else {
            value(&field, op, given, is_quoted, now)?
        };
        Ok(Self { field, op, value })
    }

    /// Whether it holds of a text.
    pub fn text(&self, said: Option<&str>) -> bool {
        match (said, &self.value) {
            (None, _) => false,
            (Some(_), Value::Anything) => true,
            (Some(said), Value::Text(asked)) if self.op == Op::Has => has(said, asked),
            (Some(said), Value::Text(asked)) => match self.field.kind() {
                Kind::Ordered(names) => {
                    let rank = |text: &str| names.iter().position(|name| *name == text);
                    rank(said).zip(rank(asked)).is_some_and(|(said, asked)| self.op.holds(&said, &asked))
                }
                _ => said == asked,
            },
            _ => false,
        }
    }

    /// Whether it holds of one of several texts.
    pub fn texts<'a>(&self, mut said: impl Iterator<Item = &'a str>) -> bool {
        match &self.value {
            Value::Anything => said.next().is_some(),
            Value::Text(asked) => said.any(|said| said == asked),
            _ => false,
        }
    }

    /// Whether it holds of a time.
    pub fn time(&self, said: Option<Timestamp>) -> bool {
        match (said, &self.value) {
            (Some(_), Value::Anything) => true,
            (Some(said), Value::Time(asked)) => self.op.holds(&said, asked),
            _ => false,
        }
    }

    /// Whether it holds of a number.
    pub fn number(&self, said: Option<i64>) -> bool {
        match (said, &self.value) {
            (Some(_), Value::Anything) => true,
            (Some(said), Value::Number(asked)) => self.op.holds(&said, asked),
            _ => false,
        }
    }

    /// Whether it holds of an address.
    pub fn address(&self, said: Option<IpAddr>) -> bool {
        match (said, &self.value) {
            (Some(_), Value::Anything) => true,
            (Some(said), Value::Address(asked)) => said.to_canonical() == *asked,
            (Some(said), Value::Network(asked)) => asked.contains(&said.to_canonical()),
            _ => false,
        }
    }

    /// Whether it holds of what JSON says, of one item of a list.
    pub fn json(&self, said: Option<&Json>) -> bool {
        match (said, &self.value) {
            (None | Some(Json::Null), _) => false,
            (Some(_), Value::Anything) => true,
            (Some(Json::Array(items)), _) => items.iter().any(|item| self.json(Some(item))),
            (Some(Json::String(said)), Value::Text(asked)) if self.op == Op::Has => has(said, asked),
            (Some(Json::String(said)), Value::Text(asked)) => self.op.holds(said, asked),
            (Some(Json::String(said)), Value::Number(asked)) => *said == asked.to_string(),
            (Some(Json::Number(said)), Value::Number(asked)) => {
                said.as_i64().is_some_and(|said| self.op.holds(&said, asked))
            }
            (Some(Json::Bool(said)), Value::Text(asked)) => said.to_string() == *asked,
            _ => false,
        }
    }
}

/// Whether a text has another in it, in whichever case.
fn has(said: &str, asked: &str) -> bool {
    said.to_lowercase().contains(&asked.to_lowercase())
}

fn value<F: Field>(field: &F, op: Op, given: &str, is_quoted: bool, now: Timestamp) -> Result<Value, String> {
    let kind = field.kind();
    let (takes, instead) = match kind {
        Kind::Text | Kind::Principal | Kind::Domain => (matches!(op, Op::Eq | Op::Has), "`=`, `!=` or `:`"),
        Kind::Texts => (op == Op::Has, "`:`"),
        Kind::Choice(_) | Kind::Bool => (op == Op::Eq, "`=` or `!=`, or `:*`"),
        Kind::Ordered(_) | Kind::Time | Kind::Number => (op != Op::Has, "`=`, `<`, `<=`, `>`, `>=`, or `:*`"),
        Kind::Address => (op == Op::Eq, "`=` or `!=`, or `:*`"),
        Kind::Network => (matches!(op, Op::Eq | Op::Has), "`=`, or `:` with a network"),
        Kind::Json => (true, ""),
    };
    if !takes {
        return Err(format!("`{}` is compared by {instead}", field.name()));
    }
    match kind {
        Kind::Text | Kind::Texts => text(given).map(Value::Text),
        Kind::Principal if op == Op::Has => text(given).map(Value::Text),
        Kind::Principal => principal(given).map(Value::Text),
        Kind::Domain => text(given).map(|name| Value::Text(name.trim_end_matches('.').to_ascii_lowercase())),
        Kind::Choice(names) | Kind::Ordered(names) => match names.contains(&given) {
            true => Ok(Value::Text(given.to_owned())),
            false => {
                let near = nearest(names, given).map(|name| format!("did you mean `{name}`? ")).unwrap_or_default();
                Err(format!("`{}` has no such value: {near}write one of {}", field.name(), names.join(", ")))
            }
        },
        Kind::Time => time(given, now).map(Value::Time),
        Kind::Number => given.parse().map(Value::Number).map_err(|_| "write a whole number".to_owned()),
        Kind::Bool => given.parse().map(Value::Bool).map_err(|_| "write `true` or `false`".to_owned()),
        Kind::Address | Kind::Network => address(op, given),
        Kind::Json => match given.parse() {
            Ok(number) if !is_quoted && op != Op::Has => Ok(Value::Number(number)),
            _ => text(given).map(Value::Text),
        },
    }
}

fn text(given: &str) -> Result<String, String> {
    if given.len() > LONGEST || given.chars().any(char::is_control) {
        return Err("nothing has a text like this: at most 2048 bytes, without control characters".to_owned());
    }
    Ok(given.to_owned())
}

/// `Type::"id"` as events spell it; `Type::id`, and a bare id for a client, which are easier to type.
fn principal(given: &str) -> Result<String, String> {
    let given = text(given)?;
    let wrong = || "write `Type::\"id\"`, such as `Client::\"reader\"`, or just `reader` for a client".to_owned();
    match given.split_once("::") {
        None => Ok(PrincipalRef::new("Client", given).to_string()),
        Some((kind, id)) if !kind.is_empty() && !id.is_empty() => match id.strip_prefix('"') {
            None => Ok(PrincipalRef::new(kind, id).to_string()),
            Some(rest) if rest.len() > 1 && rest.ends_with('"') => Ok(given),
            Some(_) => Err(wrong()),
        },
        Some(_) => Err(wrong()),
    }
}

fn address(op: Op, given: &str) -> Result<Value, String> {
    if op == Op::Has
        && let Ok(network) = given.parse::<IpNet>()
    {
        return Ok(Value::Network(network.trunc()));
    }
    match given.parse::<IpAddr>() {
        Ok(address) => Ok(Value::Address(address.to_canonical())),
        Err(_) if op == Op::Has => Err("write an IP address or a network, such as 198.51.100.0/24".to_owned()),
        Err(_) => Err("write an IP address".to_owned()),
    }
}

fn time(given: &str, now: Timestamp) -> Result<Timestamp, String> {
    let instead = "write an RFC 3339 time such as `2026-11-24T10:00:00Z` (a `+` in a query string is written `%2B`), or \
                   how long ago: `-24h`";
    match given.strip_prefix('-').and_then(age) {
        Some(age) => Ok(now.minus(age)),
        None => Timestamp::parse(given).ok_or_else(|| instead.to_owned()),
    }
}

/// `90s`, `15m`, `24h`, `7d`, `2w`.
fn age(text: &str) -> Option<Duration> {
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        "w" => 604_800,
        _ => return None,
    };
    let number = number.bytes().all(|b| b.is_ascii_digit()).then(|| number.parse::<u64>().ok())??;
    number.checked_mul(seconds).map(Duration::from_secs)
}

/// A text in quotes, as the grammar reads it back.
pub(super) fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

impl<F: Field> fmt::Display for Condition<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.field.name();
        let op = self.op.as_str();
        let blank = if self.op == Op::Has { "" } else { " " };
        write!(f, "{name}{blank}{op}{blank}")?;
        match &self.value {
            Value::Text(text) if matches!(self.field.kind(), Kind::Choice(_) | Kind::Ordered(_)) => f.write_str(text),
            Value::Text(text) => f.write_str(&quoted(text)),
            Value::Time(time) => write!(f, "{time}"),
            Value::Number(number) => write!(f, "{number}"),
            Value::Bool(yes) => write!(f, "{yes}"),
            Value::Address(address) => write!(f, "{address}"),
            Value::Network(network) => write!(f, "{network}"),
            Value::Anything => f.write_str("*"),
        }
    }
}
