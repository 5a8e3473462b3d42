//! Query strings, strictly: every parameter known, none twice, all mistakes at once.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use serde_json::{Value, json};

use super::problem::{Kind, Problem};

/// What is wrong with an encoding that does not decode.
const BROKEN: &str = "this is not percent-encoded UTF-8: write `%` and two hex digits for each byte";

/// The parameters of one request. Ask for each with [`Query::take`], then call [`Query::finish`].
#[derive(Debug, Default)]
pub struct Query {
    values: BTreeMap<String, String>,
    errors: Vec<Value>,
}

impl Query {
    /// Reads `query`, of which `known` parameters may be there.
    pub fn read(query: Option<&str>, known: &[&str]) -> Self {
        let mut all = Self::default();
        for pair in query.unwrap_or("").split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let Some(name) = decode(name) else {
                let shown: String = name.chars().take(64).collect();
                all.wrong(&shown, BROKEN);
                continue;
            };
            let Some(value) = decode(value) else {
                all.wrong(&name, BROKEN);
                continue;
            };
            if !known.contains(&&*name) {
                let near = |known: &str| strsim::jaro_winkler(known, &name);
                let nearest = known.iter().max_by(|a, b| near(a).total_cmp(&near(b))).filter(|k| near(k) > 0.75);
                let name: String = name.chars().take(64).collect();
                let hint = nearest.map(|n| format!(": did you mean `{n}`?")).unwrap_or_default();
                all.wrong(&name, format!("there is no such parameter{hint}"));
                continue;
            }
            match all.values.entry(name.into_owned()) {
                Entry::Occupied(there) => {
                    let name = there.key().clone();
                    all.wrong(&name, "this parameter is here more than once: give it once");
                }
                Entry::Vacant(place) => drop(place.insert(value.into_owned())),
            }
        }
        all
    }

    /// The value of `name` through `parse`, which says what to write instead when it cannot. An empty value is a mistake too.
    pub fn take<T, E: Into<Cow<'static, str>>>(
        &mut self,
        name: &str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        let value = self.values.remove(name)?;
        if value.is_empty() {
            self.wrong(name, "this parameter is empty: give it a value or leave it out");
            return None;
        }
        match parse(&value) {
            Ok(parsed) => Some(parsed),
            Err(detail) => {
                self.wrong(name, detail);
                None
            }
        }
    }

    /// What is left of the query as text, but for `free`: the same for every spelling of it.
    pub fn binding(&self, free: &[&str]) -> String {
        let left: Vec<_> = self.values.iter().filter(|(name, _)| !free.contains(&name.as_str())).collect();
        serde_json::to_string(&left).unwrap_or_default()
    }

    /// Notes a mistake.
    pub fn wrong(&mut self, name: &str, detail: impl Into<Cow<'static, str>>) {
        self.errors.push(json!({ "parameter": name, "detail": detail.into() }));
    }

    /// Whether all was well.
    ///
    /// # Errors
    /// A problem of kind [`Kind::InvalidParameter`] that lists every mistake in `errors`.
    pub fn finish(self) -> Result<(), Problem> {
        let Some(first) = self.errors.first() else { return Ok(()) };
        let text = |key: &str| first.get(key).and_then(Value::as_str).unwrap_or("");
        let detail = match text("parameter") {
            "" => text("detail").to_owned(),
            name => format!("`{name}`: {}", text("detail")),
        };
        Err(Problem::new(Kind::InvalidParameter).detail(detail).with("errors", self.errors))
    }
}

/// Undoes the form encoding of one name or value. `None` for a `%` without two hex digits, or bytes that are no UTF-8.
pub fn decode(text: &str) -> Option<Cow<'_, str>> {
    if !text.bytes().any(|b| b == b'%' || b == b'+') {
        return Some(Cow::Borrowed(text));
    }
    let hex = |b: Option<u8>| char::from(b?).to_digit(16).and_then(|d| u8::try_from(d).ok());
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(b) = bytes.next() {
        out.push(match b {
            b'+' => b' ',
            b'%' => hex(bytes.next())? << 4 | hex(bytes.next())?,
            _ => b,
        });
    }
    String::from_utf8(out).ok().map(Cow::Owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(query: &str) -> Result<(Option<u32>, Option<String>), Value> {
        let mut q = Query::read(Some(query), &["limit", "kind"]);
        let limit = q.take("limit", |t| t.parse::<u32>().map_err(|_| "a number such as 50"));
        let kind = q.take("kind", |t| Ok::<_, &str>(t.to_owned()));
        let problem = q.finish().map_err(|p| serde_json::from_slice::<Value>(&p.body(None)).unwrap());
        problem.map(|()| (limit, kind))
    }

    #[test]
    fn known_parameters_are_read() {
        assert_eq!(read("limit=5&kind=a%20b"), Ok((Some(5), Some("a b".to_owned()))));
        assert_eq!(read(""), Ok((None, None)));
    }

    #[test]
    fn all_mistakes_come_at_once_and_each_names_its_parameter() {
        let problem = read("limit=x&kinds=a&kind=&limit=6").unwrap_err();
        let errors = problem["errors"].as_array().unwrap();
        let named: Vec<_> =
            errors.iter().map(|e| (e["parameter"].as_str().unwrap(), e["detail"].as_str().unwrap())).collect();
        assert_eq!(
            named,
            [
                ("kinds", "there is no such parameter: did you mean `kind`?"),
                ("limit", "this parameter is here more than once: give it once"),
                ("limit", "a number such as 50"),
                ("kind", "this parameter is empty: give it a value or leave it out"),
            ]
        );
        assert_eq!(problem["status"], 400);
    }

    #[test]
    fn a_broken_percent_encoding_is_a_mistake_of_its_parameter() {
        for (query, parameter) in [
            ("kind=%", "kind"),
            ("kind=a%2", "kind"),
            ("kind=%zz", "kind"),
            ("kind=%+f", "kind"),
            ("kind=%ff", "kind"),
            ("kind=%C3%28", "kind"),
            ("k%69nd=%e9", "kind"),
            ("%zz=a", "%zz"),
        ] {
            let problem = read(query).unwrap_err();
            assert_eq!(problem["errors"][0]["parameter"], parameter, "{query}");
            assert!(problem["detail"].as_str().unwrap().starts_with(&format!("`{parameter}`: ")), "{problem}");
        }
        assert_eq!(read("kind=%C3%A9+%2B"), Ok((None, Some("\u{e9} +".to_owned()))));
    }
}
