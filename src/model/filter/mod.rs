//! What a reader of events or findings asks for: one grammar, one typed tree.
//!
//! A subset of AIP-160: comparisons (`=`, `!=`, `<`, `<=`, `>`, `>=`), `:` for "has", words alone for full text, `AND`,
//! `OR` (which binds tighter), `NOT`, `-`, parentheses; blanks between conditions mean `AND`. Any text gives a tree or an
//! error with its place. A tree prints as text that reads back as the same tree.

mod condition;
mod events;
mod findings;
mod parse;
mod words;

use std::borrow::Cow;
use std::fmt;

pub use condition::{Condition, Op, Value};
pub use events::EventField;
pub use findings::FindingField;
pub use parse::{FilterError, parse};
pub use words::Words;

/// Longest filter, in bytes.
pub const LONGEST: usize = 8192;
/// How deep parentheses and negations may stand in each other.
pub const DEEPEST: usize = 16;
/// How many conditions and words a filter may have.
pub const MOST: usize = 64;

/// What rows of one sort can be asked about.
pub trait Field: Clone + PartialEq + fmt::Debug + Send + Sync + 'static {
    /// The names there are.
    const NAMES: &'static [&'static str];

    /// The field of this name.
    fn named(name: &str) -> Option<Self>;

    /// Its name.
    fn name(&self) -> Cow<'_, str>;

    /// What its values are.
    fn kind(&self) -> Kind;
}

/// What the values of a field are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A text.
    Text,
    /// Several texts.
    Texts,
    /// `Type::"id"`; a bare id is a client's.
    Principal,
    /// A DNS name.
    Domain,
    /// One of these.
    Choice(&'static [&'static str]),
    /// One of these, in their order.
    Ordered(&'static [&'static str]),
    /// A time.
    Time,
    /// A whole number.
    Number,
    /// Yes or no.
    Bool,
    /// An IP address.
    Address,
    /// An IP address, which may be in a network.
    Network,
    /// Whatever JSON has.
    Json,
}

/// A tree of conditions over fields `F`.
#[derive(Clone, Debug, PartialEq)]
pub enum Filter<F> {
    /// Each of these holds; none asks for nothing.
    All(Vec<Self>),
    /// One of these holds.
    Any(Vec<Self>),
    /// This does not hold.
    Not(Box<Self>),
    /// A field has such a value.
    Is(Condition<F>),
    /// These words stand somewhere, next to each other.
    Says(Words),
}

impl<F> Default for Filter<F> {
    fn default() -> Self {
        Self::All(Vec::new())
    }
}

/// A row that can be asked.
pub trait Row<F> {
    /// Whether a condition holds. It holds of no field that the row has not.
    fn is(&self, condition: &Condition<F>) -> bool;

    /// Whether the words stand in one of its texts.
    fn says(&self, words: &Words) -> bool;
}

impl<F: Field> Filter<F> {
    /// That a field has this very text.
    pub fn is(field: F, text: impl Into<String>) -> Self {
        Self::of(field, Op::Eq, Value::Text(text.into()))
    }

    /// One condition.
    pub const fn of(field: F, op: Op, value: Value) -> Self {
        Self::Is(Condition { field, op, value })
    }

    /// Both.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::All(all), other) | (other, Self::All(all)) if all.is_empty() => other,
            (Self::All(mut all), other) => {
                all.push(other);
                Self::All(all)
            }
            (one, other) => Self::All(vec![one, other]),
        }
    }

    /// Whether it asks for nothing.
    pub fn is_empty(&self) -> bool {
        matches!(self, Self::All(all) if all.is_empty())
    }

    /// Whether a row is what it asks for.
    pub fn holds(&self, row: &impl Row<F>) -> bool {
        match self {
            Self::All(all) => all.iter().all(|one| one.holds(row)),
            Self::Any(any) => any.iter().any(|one| one.holds(row)),
            Self::Not(one) => !one.holds(row),
            Self::Is(condition) => row.is(condition),
            Self::Says(words) => row.says(words),
        }
    }

    /// The names of the fields it asks about, sorted; `text` for words. The values may be personal, the names are not.
    pub fn names(&self) -> Vec<String> {
        let mut names = Vec::new();
        self.collect(&mut names);
        names.sort_unstable();
        names.dedup();
        names
    }

    fn collect(&self, names: &mut Vec<String>) {
        match self {
            Self::All(several) | Self::Any(several) => several.iter().for_each(|one| one.collect(names)),
            Self::Not(one) => one.collect(names),
            Self::Is(condition) => names.push(condition.field.name().into_owned()),
            Self::Says(_) => names.push("text".to_owned()),
        }
    }
}

impl<F: Field> fmt::Display for Filter<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inner = |f: &mut fmt::Formatter<'_>, one: &Self| match (self, one) {
            (_, Self::Is(_) | Self::Says(_)) | (Self::All(_) | Self::Any(_), Self::Not(_)) => write!(f, "{one}"),
            _ => write!(f, "({one})"),
        };
        let joined = |f: &mut fmt::Formatter<'_>, several: &[Self], word: &str| {
            for (n, one) in several.iter().enumerate() {
                if n > 0 {
                    f.write_str(word)?;
                }
                inner(f, one)?;
            }
            Ok(())
        };
        match self {
            Self::All(all) => joined(f, all, " AND "),
            Self::Any(any) => joined(f, any, " OR "),
            Self::Not(one) => {
                f.write_str("NOT ")?;
                inner(f, one)
            }
            Self::Is(condition) => write!(f, "{condition}"),
            Self::Says(words) => f.write_str(&condition::quoted(words.text())),
        }
    }
}

/// The nearest of some names, when one is near.
pub fn nearest<'a>(names: &[&'a str], given: &str) -> Option<&'a str> {
    let near = |name: &str| strsim::jaro_winkler(name, given);
    names.iter().copied().max_by(|a, b| near(a).total_cmp(&near(b))).filter(|name| near(name) > 0.6)
}

#[cfg(test)]
mod tests;
