//! Text to tree. Total: bounded in length, depth and terms, and every other text is an error with its place.

use std::fmt;

use super::{Condition, DEEPEST, Field, Filter, LONGEST, MOST, Op, Words, nearest};
use crate::base::Timestamp;

/// What is wrong, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FilterError {
    /// Which character, from 1.
    pub at: usize,
    /// What to write instead.
    pub problem: String,
}

impl fmt::Display for FilterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at character {}: {}", self.at, self.problem)
    }
}

impl std::error::Error for FilterError {}

/// Reads a filter. Ages such as `-24h` count back from `now`. An empty one asks for nothing.
///
/// # Errors
/// The first mistake.
pub fn parse<F: Field>(text: &str, now: Timestamp) -> Result<Filter<F>, FilterError> {
    let mut parser = Parser { text, at: 0, now, depth: 0, terms: 0 };
    if text.len() > LONGEST {
        return Err(parser.wrong(0, format!("a filter has at most {LONGEST} bytes")));
    }
    if parser.peek().is_none() {
        return Ok(Filter::default());
    }
    let filter = parser.expression()?;
    match parser.peek() {
        None => Ok(filter),
        Some(')') => Err(parser.wrong(parser.at, "no parenthesis is open here".to_owned())),
        Some(_) => Err(parser.wrong(parser.at, "nothing can stand here".to_owned())),
    }
}

struct Parser<'a> {
    text: &'a str,
    /// How many bytes are read.
    at: usize,
    now: Timestamp,
    depth: usize,
    terms: usize,
}

type Parsed<T> = Result<T, FilterError>;

impl<'a> Parser<'a> {
    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn wrong(&self, at: usize, problem: String) -> FilterError {
        FilterError { at: self.text.get(..at).unwrap_or_default().chars().count() + 1, problem }
    }

    /// The next character that is no blank.
    fn peek(&mut self) -> Option<char> {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start().len();
        self.rest().chars().next()
    }

    fn take(&mut self, wanted: &str) -> bool {
        let is_there = self.rest().starts_with(wanted);
        if is_there {
            self.at += wanted.len();
        }
        is_there
    }

    /// A word of the grammar, which must end there.
    fn keyword(&mut self, word: &str) -> bool {
        self.peek();
        let follows = self.rest().strip_prefix(word).map(|rest| rest.chars().next());
        let is_there = matches!(follows, Some(next) if next.is_none_or(|c| c.is_whitespace() || "()\"'".contains(c)));
        if is_there {
            self.at += word.len();
        }
        is_there
    }

    fn run(&mut self, ends: impl Fn(char) -> bool) -> &'a str {
        let rest = self.rest();
        let run = rest.split(ends).next().unwrap_or_default();
        self.at += run.len();
        run
    }

    /// Factors with `AND` or a blank between.
    fn expression<F: Field>(&mut self) -> Parsed<Filter<F>> {
        let mut all = vec![self.factor()?];
        loop {
            let and = self.keyword("AND");
            match self.peek() {
                None | Some(')') if !and => break,
                _ => all.push(self.factor()?),
            }
        }
        Ok(one_or(all, Filter::All))
    }

    /// Terms with `OR` between.
    fn factor<F: Field>(&mut self) -> Parsed<Filter<F>> {
        let mut any = vec![self.term()?];
        while self.keyword("OR") {
            any.push(self.term()?);
        }
        Ok(one_or(any, Filter::Any))
    }

    fn term<F: Field>(&mut self) -> Parsed<Filter<F>> {
        if self.keyword("NOT") || self.take("-") {
            return Ok(Filter::Not(Box::new(self.simple()?)));
        }
        self.simple()
    }

    fn simple<F: Field>(&mut self) -> Parsed<Filter<F>> {
        let Some(next) = self.peek() else {
            return Err(self.wrong(self.at, "a condition or a word is missing here".to_owned()));
        };
        if next == '(' {
            let at = self.at;
            self.depth += 1;
            if self.depth > DEEPEST {
                return Err(self.wrong(at, format!("parentheses stand in each other {DEEPEST} deep at most")));
            }
            self.take("(");
            let inner = self.expression()?;
            if self.peek() != Some(')') {
                return Err(self.wrong(at, "this parenthesis is not closed".to_owned()));
            }
            self.take(")");
            self.depth -= 1;
            return Ok(inner);
        }
        self.terms += 1;
        if self.terms > MOST {
            return Err(self.wrong(self.at, format!("a filter has at most {MOST} conditions")));
        }
        let at = self.at;
        if next == '"' || next == '\'' {
            let text = self.quoted()?;
            return self.says(at, &text);
        }
        let name = self.run(|c| c.is_whitespace() || "()\"=<>!:".contains(c));
        self.peek();
        match self.op(at)? {
            Some(_) if name.is_empty() => Err(self.wrong(at, "the name of a field is missing here".to_owned())),
            Some((op, is_not)) => self.condition(at, name, op, is_not),
            None => match name {
                "" => Err(self.wrong(at, "a condition or a word is missing here".to_owned())),
                "AND" | "OR" | "NOT" => Err(self.wrong(at, format!("a condition is missing at `{name}`"))),
                "and" | "or" | "not" => {
                    let upper = name.to_uppercase();
                    Err(self.wrong(at, format!("write `{upper}`, or `\"{name}\"` to look for the word")))
                }
                word => self.says(at, word),
            },
        }
    }

    fn says<F: Field>(&self, at: usize, text: &str) -> Parsed<Filter<F>> {
        let words = Words::new(text).filter(|_| !text.chars().any(char::is_control));
        words.map(Filter::Says).ok_or_else(|| self.wrong(at, "this has no word to look for".to_owned()))
    }

    /// A comparison, and whether it is `!=`.
    fn op(&mut self, at: usize) -> Parsed<Option<(Op, bool)>> {
        const OPS: [(&str, Op, bool); 7] = [
            ("!=", Op::Eq, true),
            ("<=", Op::Le, false),
            (">=", Op::Ge, false),
            ("=", Op::Eq, false),
            ("<", Op::Lt, false),
            (">", Op::Gt, false),
            (":", Op::Has, false),
        ];
        for (text, op, is_not) in OPS {
            if self.take(text) {
                return Ok(Some((op, is_not)));
            }
        }
        if self.rest().starts_with('!') {
            return Err(self.wrong(at, "write `!=`, or `NOT` before a condition".to_owned()));
        }
        Ok(None)
    }

    fn condition<F: Field>(&mut self, at: usize, name: &str, op: Op, is_not: bool) -> Parsed<Filter<F>> {
        let Some(field) = F::named(name) else {
            let near = nearest(F::NAMES, name).map(|name| format!(": did you mean `{name}`?")).unwrap_or_default();
            let shown: String = name.chars().take(64).collect();
            return Err(self.wrong(at, format!("there is no field `{shown}`{near}")));
        };
        let next = self.peek();
        let value_at = self.at;
        let is_quoted = matches!(next, Some('"' | '\''));
        let given = if is_quoted { self.quoted()? } else { self.bare()?.to_owned() };
        if given.is_empty() {
            return Err(self.wrong(value_at, format!("a value for `{name}` is missing here")));
        }
        let read = Condition::read(field, op, &given, is_quoted, self.now);
        let is = Filter::Is(read.map_err(|problem| self.wrong(value_at, problem))?);
        Ok(if is_not { Filter::Not(Box::new(is)) } else { is })
    }

    /// A value without quotes around it; those in it hold blanks and parentheses: `Route::"GET /a"`.
    fn bare(&mut self) -> Parsed<&'a str> {
        let from = self.at;
        loop {
            self.run(|c| c.is_whitespace() || "()\"".contains(c));
            if !self.rest().starts_with('"') {
                return Ok(self.text.get(from..self.at).unwrap_or_default());
            }
            self.quoted()?;
        }
    }

    /// What stands in quotes of either sort, in which a backslash takes a quote or a backslash as it is.
    fn quoted(&mut self) -> Parsed<String> {
        let from = self.at;
        let mut chars = self.rest().char_indices();
        let quote = chars.next().map_or('"', |(_, quote)| quote);
        let mut text = String::new();
        while let Some((offset, c)) = chars.next() {
            match c {
                '\\' => match chars.next() {
                    Some((_, c @ ('"' | '\'' | '\\'))) => text.push(c),
                    _ => {
                        let problem = "a backslash stands only before a quote or a backslash".to_owned();
                        return Err(self.wrong(from + offset, problem));
                    }
                },
                c if c == quote => {
                    self.at = from + offset + 1;
                    return Ok(text);
                }
                c => text.push(c),
            }
        }
        Err(self.wrong(from, "this quote is not closed".to_owned()))
    }
}

fn one_or<F>(mut several: Vec<Filter<F>>, group: fn(Vec<Filter<F>>) -> Filter<F>) -> Filter<F> {
    match several.pop() {
        Some(only) if several.is_empty() => only,
        Some(last) => {
            several.push(last);
            group(several)
        }
        None => group(several),
    }
}
