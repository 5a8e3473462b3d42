//! Clients and people as declared in files: TOML with `[[client]]` and `[[user]]`, whose members are those of the management
//! API. Every mistake has its file and line.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};
use toml::de::{DeTable, DeValue};

use super::{Mistake, client, user};
use crate::model;

/// What files declare.
#[derive(Clone, Debug, Default)]
pub struct Declared {
    /// Clients, in the order they were read.
    pub clients: Vec<Declaration>,
    /// People, in the order they were read.
    pub users: Vec<Declaration>,
}

/// One client or person.
#[derive(Clone, Debug)]
pub struct Declaration {
    /// `client_id`, or the username in its one spelling.
    pub id: String,
    /// What is said of it.
    pub members: Map<String, Value>,
    file: PathBuf,
    line: usize,
    /// Lines of members and of list items, by JSON Pointer.
    lines: BTreeMap<String, usize>,
}

/// A mistake and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Misdeclared {
    /// The file.
    pub file: PathBuf,
    /// The line, from 1.
    pub line: usize,
    /// What is wrong and what to write instead.
    pub message: String,
}

impl fmt::Display for Misdeclared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file.display(), self.line, self.message)
    }
}

impl Declaration {
    /// A mistake with its place: the line of what it points at, or of the nearest thing around that.
    pub fn at(&self, mistake: &Mistake) -> Misdeclared {
        let member = format!("/{}", mistake.pointer.split('/').nth(1).unwrap_or_default());
        let line = self.lines.get(&mistake.pointer).or_else(|| self.lines.get(&member)).unwrap_or(&self.line);
        Misdeclared { file: self.file.clone(), line: *line, message: mistake.to_string() }
    }
}

/// A kind of thing that is declared.
#[derive(Clone, Copy)]
struct Kind {
    table: &'static str,
    /// The member that names it.
    key: &'static str,
    members: &'static [&'static str],
}

const CLIENT: Kind = Kind { table: "client", key: "client_id", members: client::MEMBERS };
const USER: Kind = Kind { table: "user", key: "username", members: user::MEMBERS };

impl Declared {
    /// Adds what a file declares; gives its mistakes. What has one is added without it, so that the rest is checked too.
    pub fn read(&mut self, file: &Path, text: &str) -> Vec<Misdeclared> {
        let mut reading = Reading { file, text, mistakes: Vec::new() };
        let (table, problems) = DeTable::parse_recoverable(text);
        for problem in problems {
            let at = problem.span().map_or(0, |span| span.start);
            reading.wrong(at, format!("not TOML: {}", problem.message()));
        }
        for (name, value) in table.get_ref() {
            let (kind, into) = match name.get_ref().as_ref() {
                "client" => (CLIENT, &mut self.clients),
                "user" => (USER, &mut self.users),
                other => {
                    let Mistake { detail, .. } = Mistake::unknown(other, &["client", "user"]);
                    reading.wrong(name.span().start, format!("`{other}`: {detail}"));
                    continue;
                }
            };
            let DeValue::Array(items) = value.get_ref() else {
                reading.wrong(name.span().start, format!("write `[[{}]]`", kind.table));
                continue;
            };
            for item in items {
                let at = item.span().start;
                match item.get_ref() {
                    DeValue::Table(table) => {
                        let one = reading.one(kind, at, table, into);
                        into.extend(one);
                    }
                    _ => reading.wrong(at, format!("write `[[{}]]`", kind.table)),
                }
            }
        }
        reading.mistakes
    }
}

struct Reading<'a> {
    file: &'a Path,
    text: &'a str,
    mistakes: Vec<Misdeclared>,
}

impl Reading<'_> {
    fn line(&self, at: usize) -> usize {
        self.text.bytes().take(at).filter(|byte| *byte == b'\n').count() + 1
    }

    fn wrong(&mut self, at: usize, message: String) {
        self.mistakes.push(Misdeclared { file: self.file.to_owned(), line: self.line(at), message });
    }

    fn one(&mut self, kind: Kind, at: usize, table: &DeTable<'_>, before: &[Declaration]) -> Option<Declaration> {
        let mut found = Declaration {
            id: String::new(),
            members: Map::new(),
            file: self.file.to_owned(),
            line: self.line(at),
            lines: BTreeMap::new(),
        };
        for (name, value) in table {
            let (at, name) = (name.span().start, name.get_ref().as_ref());
            let known = name == kind.key || name == "disabled" || kind.members.contains(&name);
            if !known {
                self.wrong(at, unknown(kind, name));
                continue;
            }
            let pointer = format!("/{name}");
            if let DeValue::Array(items) = value.get_ref() {
                let lines = items.iter().enumerate();
                found.lines.extend(lines.map(|(i, item)| (format!("{pointer}/{i}"), self.line(item.span().start))));
            }
            found.lines.insert(pointer, self.line(at));
            match json(value.get_ref()) {
                Ok(value) => drop(found.members.insert(name.to_owned(), value)),
                Err(why) => self.wrong(at, format!("`{name}`: {why}")),
            }
        }
        let id = found.members.get(kind.key).and_then(Value::as_str);
        let Some(id) = id else {
            self.wrong(at, format!("there is no `{}`: say which {} it is", kind.key, kind.table));
            return None;
        };
        found.id = if kind.table == USER.table { model::user::fold(id).unwrap_or_default() } else { id.to_owned() };
        if let Some(first) = before.iter().find(|one| one.id == found.id) {
            let place = format!("{}:{}", first.file.display(), first.line);
            self.wrong(at, format!("`{id}` is declared already, at {place}: keep one"));
            return None;
        }
        Some(found)
    }
}

fn unknown(kind: Kind, name: &str) -> String {
    if name.contains("secret") || name.contains("password") {
        return format!("`{name}`: secrets are never in files: they are made when applied, and shown once");
    }
    let mut known = kind.members.to_vec();
    known.extend([kind.key, "disabled"]);
    format!("`{name}`: {}", Mistake::unknown(name, &known).detail)
}

fn json(value: &DeValue<'_>) -> Result<Value, &'static str> {
    Ok(match value {
        DeValue::String(text) => text.as_ref().into(),
        DeValue::Boolean(flag) => (*flag).into(),
        DeValue::Integer(number) => {
            i64::from_str_radix(number.as_str(), number.radix()).map_err(|_| "the number is too large")?.into()
        }
        DeValue::Array(items) => items.iter().map(|item| json(item.get_ref())).collect::<Result<Vec<_>, _>>()?.into(),
        DeValue::Table(table) => {
            let mut members = Map::new();
            for (name, value) in table {
                members.insert(name.get_ref().to_string(), json(value.get_ref())?);
            }
            Value::Object(members)
        }
        DeValue::Float(_) => return Err("a number with a fraction has no place here"),
        DeValue::Datetime(_) => return Err("a date has no place here: write it as text"),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(text: &str) -> (Declared, Vec<String>) {
        let mut declared = Declared::default();
        let wrong = declared.read(Path::new("a.toml"), text);
        (declared, wrong.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn clients_and_people_are_read_with_the_lines_they_stand_on() {
        let text = "[[client]]\nclient_id = \"app\"\nscopes = [\n  \"a\",\n  \"b c\",\n]\naccess_token_ttl_secs = 60\n\n\
                    [[user]]\nusername = \" Ada \"\nroles = [\"admin\"]\ndisabled = true\n";
        let (declared, wrong) = read(text);
        assert_eq!(wrong, Vec::<String>::new());
        let app = &declared.clients[0];
        assert_eq!((app.id.as_str(), &app.members["scopes"]), ("app", &json!(["a", "b c"])));
        assert_eq!(app.members["access_token_ttl_secs"], 60);
        assert_eq!(app.at(&Mistake::item("scopes", 1, "x")).to_string(), "a.toml:5: `scopes`: x");
        assert_eq!(app.at(&Mistake::of("redirect_uris", "x")).line, 1, "what is not there is wrong where it should be");
        assert_eq!((declared.users[0].id.as_str(), &declared.users[0].members["disabled"]), ("ada", &json!(true)));
    }

    #[test]
    fn every_mistake_is_told_with_its_line_and_the_nearest_name() {
        let text = "[[client]]\nclient_id = \"a\"\nscope = [\"x\"]\nclient_secret = \"s\"\n[[clients]]\n[[user]]\nname = \"A\"\n\
                    [[user]]\nusername = \"a\"\npassword = \"p\"\nemail = 1.5\n[[user]]\nusername = \"A\"\n";
        let (declared, mut wrong) = read(text);
        wrong.sort();
        let expected = [
            "a.toml:10: `password`: secrets are never in files: they are made when applied, and shown once",
            "a.toml:11: `email`: a number with a fraction has no place here",
            "a.toml:12: `A` is declared already, at a.toml:8: keep one",
            "a.toml:3: `scope`: there is no such member: did you mean `scopes`?",
            "a.toml:4: `client_secret`: secrets are never in files: they are made when applied, and shown once",
            "a.toml:5: `clients`: there is no such member: did you mean `client`?",
            "a.toml:6: there is no `username`: say which user it is",
        ];
        assert_eq!(wrong, expected);
        assert_eq!((declared.clients.len(), declared.users.len()), (1, 1), "what has a mistake is checked further");
        assert!(read("[client]\nclient_id = \"a\"\n").1[0].contains("write `[[client]]`"));
        assert!(read("[[client\n").1[0].starts_with("a.toml:1: not TOML"));
    }
}
