//! What the index can do for a filter: which terms name every entry that could match, and which times bound them.

use std::collections::HashMap;
use std::fmt;

use super::StoreError;
use super::segments;
use super::sql::Handle;
use super::terms::{self, Term};
use crate::model::filter::{Condition, EventField, Filter, Op, Value};

/// A cover of a filter: what it does not name does not match. What it names is read and compared again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Plan {
    /// The index cannot tell.
    Everything,
    /// Entries that hold a term.
    Term(Term, &'static str),
    /// What each of these names.
    All(Vec<Self>),
    /// What any of these names.
    Any(Vec<Self>),
}

impl Plan {
    /// The cover of a filter.
    pub(super) fn of(filter: &Filter<EventField>) -> Self {
        match filter {
            Filter::All(all) => Self::all(all.iter().map(Self::of)),
            Filter::Any(any) => Self::any(any.iter().map(Self::of)),
            Filter::Not(_) | Filter::Says(_) => Self::Everything,
            Filter::Is(condition) => Self::of_condition(condition),
        }
    }

    fn of_condition(condition: &Condition<EventField>) -> Self {
        let Condition { field, op: Op::Eq, value: Value::Text(text) } = condition else { return Self::Everything };
        terms::of_field(field, text).map_or(Self::Everything, |(term, name)| Self::Term(term, name))
    }

    /// What each of several covers.
    pub(super) fn all(several: impl Iterator<Item = Self>) -> Self {
        let mut all: Vec<Self> = several.filter(|one| *one != Self::Everything).collect();
        match all.len() {
            0 => Self::Everything,
            1 => all.pop().unwrap_or(Self::Everything),
            _ => Self::All(all),
        }
    }

    fn any(several: impl Iterator<Item = Self>) -> Self {
        let mut any: Vec<Self> = several.collect();
        match any.len() {
            _ if any.contains(&Self::Everything) => Self::Everything,
            1 => any.pop().unwrap_or(Self::Everything),
            _ => Self::Any(any),
        }
    }

    fn terms(&self, found: &mut Vec<Term>) {
        match self {
            Self::Everything => {}
            Self::Term(term, _) if found.contains(term) => {}
            Self::Term(term, _) => found.push(*term),
            Self::All(several) | Self::Any(several) => several.iter().for_each(|one| one.terms(found)),
        }
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let joined = |f: &mut fmt::Formatter<'_>, several: &[Self], word: &str| {
            f.write_str("(")?;
            for (n, one) in several.iter().enumerate() {
                let between = if n > 0 { word } else { "" };
                write!(f, "{between}{one}")?;
            }
            f.write_str(")")
        };
        match self {
            Self::Everything => f.write_str("everything"),
            Self::Term(_, name) => f.write_str(name),
            Self::All(all) => joined(f, all, " and "),
            Self::Any(any) => joined(f, any, " or "),
        }
    }
}

/// Not before the first, before the second: microseconds within which all lies that could match.
pub(super) fn times(filter: &Filter<EventField>) -> (i64, i64) {
    const ALWAYS: (i64, i64) = (i64::MIN, i64::MAX);
    match filter {
        Filter::All(all) => all.iter().map(times).fold(ALWAYS, |a, b| (a.0.max(b.0), a.1.min(b.1))),
        Filter::Any(any) => {
            let each = any.iter().map(times);
            each.reduce(|a, b| (a.0.min(b.0), a.1.max(b.1))).unwrap_or(ALWAYS)
        }
        Filter::Is(Condition { field: EventField::Time, op, value: Value::Time(time) }) => {
            let at = time.as_micros();
            match op {
                Op::Eq => (at, at.saturating_add(1)),
                Op::Lt => (i64::MIN, at),
                Op::Le => (i64::MIN, at.saturating_add(1)),
                Op::Gt => (at.saturating_add(1), i64::MAX),
                Op::Ge => (at, i64::MAX),
                Op::Has => ALWAYS,
            }
        }
        Filter::Not(_) | Filter::Says(_) | Filter::Is(_) => ALWAYS,
    }
}

/// What the index of some segments holds of the terms of a plan.
pub(super) struct Named<'a> {
    plan: &'a Plan,
    held: HashMap<(Term, i64), Vec<u8>>,
}

impl<'a> Named<'a> {
    /// Of the segments `first..=last`, by their first numbers.
    pub(super) async fn read(
        handle: &mut impl Handle,
        plan: &'a Plan,
        first: i64,
        last: i64,
    ) -> Result<Self, StoreError> {
        let (mut terms, mut held) = (Vec::new(), HashMap::new());
        plan.terms(&mut terms);
        for term in terms {
            for (first_seq, bytes) in segments::postings(handle, term.bucket, first, last).await? {
                held.insert((term, first_seq), bytes);
            }
        }
        Ok(Self { plan, held })
    }

    /// The places of a segment that the plan names, ascending; `None` for all of them.
    pub(super) fn of(&self, first_seq: i64) -> Result<Option<Vec<u16>>, StoreError> {
        self.places(self.plan, first_seq)
    }

    fn places(&self, plan: &Plan, first_seq: i64) -> Result<Option<Vec<u16>>, StoreError> {
        match plan {
            Plan::Everything => Ok(None),
            Plan::Term(term, _) => match self.held.get(&(*term, first_seq)) {
                None => Ok(Some(Vec::new())),
                Some(bytes) => terms::find(bytes, *term).map(Some).ok_or_else(|| segments::damaged(first_seq)),
            },
            Plan::All(all) => {
                let mut held: Option<Vec<u16>> = None;
                for one in all {
                    let Some(places) = self.places(one, first_seq)? else { continue };
                    held = Some(match held {
                        None => places,
                        Some(mut held) => {
                            held.retain(|place| places.binary_search(place).is_ok());
                            held
                        }
                    });
                    if held.as_ref().is_some_and(Vec::is_empty) {
                        break;
                    }
                }
                Ok(held)
            }
            Plan::Any(any) => {
                let mut held = Vec::new();
                for one in any {
                    match self.places(one, first_seq)? {
                        None => return Ok(None),
                        Some(places) => held.extend(places),
                    }
                }
                held.sort_unstable();
                held.dedup();
                Ok(Some(held))
            }
        }
    }
}
