//! What a list is asked for: `filter`, and plain parameters that are conditions of the same tree. One way to read both, for
//! events and for findings.

use std::ops::RangeInclusive;

use super::cursor::Cursors;
use super::query::Query;
use super::routes::Parameter;
use crate::base::Timestamp;
use crate::model::filter::{Condition, Field, Filter, Op, Value, parse};

/// Items of a page.
const LIMITS: RangeInclusive<usize> = 1..=500;
const DEFAULT_LIMIT: usize = 50;

/// The parameter of every list that takes the grammar.
pub const FILTER: Parameter = Parameter::new(
    "filter",
    "Conditions such as `outcome = denied AND time > -24h`: comparisons, `:` for has, words, AND, OR, NOT, parentheses",
    r#"{"type": "string", "maxLength": 8192}"#,
);

/// A plain parameter that is one condition.
#[derive(Clone, Copy, Debug)]
pub struct Plain {
    /// Its name.
    pub name: &'static str,
    /// The field that it asks about.
    pub field: &'static str,
    /// How it compares.
    pub op: Op,
    /// Other words for values, and what they mean.
    pub words: &'static [(&'static str, &'static str)],
}

impl Plain {
    /// A parameter named as its field, which must be equal.
    pub const fn same(name: &'static str) -> Self {
        Self { name, field: name, op: Op::Eq, words: &[] }
    }

    /// A parameter of a field.
    pub const fn of(name: &'static str, field: &'static str, op: Op) -> Self {
        Self { name, field, op, words: &[] }
    }
}

/// What a query asks for.
#[derive(Clone, Debug, PartialEq)]
pub struct Asked<F> {
    /// All of it.
    pub filter: Filter<F>,
    /// The names of what is asked for. The values may be personal, the names are not.
    pub names: Vec<String>,
}

impl<F: Field> Asked<F> {
    /// Takes `filter` and the plain parameters out of a query. Ages count back from `now`. Mistakes are noted in `q`.
    pub fn take(q: &mut Query, plain: &[Plain], now: Timestamp) -> Self {
        let mut all: Vec<(&Plain, Condition<F>)> = Vec::new();
        let mut names = Vec::new();
        for one in plain {
            let read = q.take(one.name, |given| {
                let given = one.words.iter().find(|(word, _)| *word == given).map_or(given, |(_, meant)| meant);
                let field = F::named(one.field).ok_or_else(|| "nothing has this".to_owned())?;
                Condition::read(field, one.op, given, true, now)
            });
            let Some(condition) = read else { continue };
            names.push(one.name.to_owned());
            let other = all.iter().find(|(_, there)| there.field == condition.field && there.op == condition.op);
            match other {
                Some((other, there)) if there.value != condition.value => {
                    q.wrong(one.name, format!("`{}` says something else: give one of them", other.name));
                }
                Some(_) => {}
                None => all.push((one, condition)),
            }
        }
        let bound = |op| {
            all.iter().find_map(|(plain, condition)| match condition.value {
                Value::Time(time) if condition.op == op => Some((plain.name, time)),
                _ => None,
            })
        };
        if let (Some((since, from)), Some((until, to))) = (bound(Op::Ge), bound(Op::Lt))
            && from >= to
        {
            q.wrong(until, format!("this is not after `{since}`, so nothing could match"));
        }
        let plain = all.into_iter().map(|(_, condition)| Filter::Is(condition));
        let mut filter = plain.fold(Filter::default(), Filter::and);
        if let Some(given) = q.take(FILTER.name, |given| parse::<F>(given, now).map_err(|e| e.to_string())) {
            names.extend(given.names());
            filter = filter.and(given);
        }
        Self { filter, names }
    }
}

/// Which page: `limit` and `cursor`. A cursor is good for the caller and the query it was given for, and keeps the time that
/// ages count back from.
#[derive(Clone, Debug)]
pub struct Paged {
    bound: [String; 3],
    /// How many items.
    pub limit: usize,
    /// Where it begins.
    pub position: Option<String>,
    /// The time of the first page.
    pub as_of: Timestamp,
}

impl Paged {
    /// Takes them out of a query to `list`. Take this first: the rest of the query is what cursors are bound to, but for
    /// `free`, which may change between pages.
    pub fn take(
        q: &mut Query,
        cursors: &Cursors,
        (list, caller): (&str, String),
        free: &[&str],
        now: Timestamp,
    ) -> Self {
        let limit = q.take("limit", |text| match text.parse() {
            Ok(limit) if LIMITS.contains(&limit) => Ok(limit),
            _ => Err("write a number from 1 to 500"),
        });
        let cursor = q.take("cursor", |text| Ok::<_, &str>(text.to_owned()));
        let bound = [list.to_owned(), caller, q.binding(free)];
        let mut paged = Self { bound, limit: limit.unwrap_or(DEFAULT_LIMIT), position: None, as_of: now };
        if let Some(cursor) = cursor {
            match paged.opened(cursors, &cursor) {
                Some((as_of, position)) => (paged.as_of, paged.position) = (as_of, Some(position)),
                None => q.wrong(
                    "cursor",
                    "this cursor belongs to another filter or caller, or is none: begin again without it",
                ),
            }
        }
        paged
    }

    fn binding(&self) -> [&str; 3] {
        let [list, caller, query] = &self.bound;
        [list, caller, query]
    }

    fn opened(&self, cursors: &Cursors, cursor: &str) -> Option<(Timestamp, String)> {
        let text = cursors.open_text(&self.binding(), cursor)?;
        let (as_of, position) = text.split_once(' ')?;
        Some((Timestamp::from_micros(as_of.parse().ok()?), position.to_owned()))
    }

    /// The cursor of a page that begins at `position`.
    pub fn next(&self, cursors: &Cursors, position: &str) -> String {
        cursors.seal_text(&self.binding(), &format!("{} {position}", self.as_of.as_micros()))
    }
}
