//! Where values come from: the file, the environment, files that hold a secret. Knows lines and names, not meanings.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use toml::de::{DeTable, DeValue};

use super::error::ConfigError;

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The embedded `default.toml`.
    Default,
    /// A line of the configuration file.
    File {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
    },
    /// An environment variable.
    Environment(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { path, line } => write!(f, "{}:{line}", path.display()),
            Self::Environment(name) => f.write_str(name),
        }
    }
}

/// A value with its place. Text from the environment may still become a number, a flag or a list.
#[derive(Clone, Debug)]
pub(super) enum Data {
    Text(String),
    Integer(i64),
    Flag(bool),
    List(Vec<Node>),
    Table(Vec<(String, Node)>),
    /// Floats and dates: no key takes one.
    Other(&'static str),
}

impl Data {
    /// What to call it in an error.
    pub(super) fn type_name(&self) -> &'static str {
        match self {
            Self::Text(_) => "text",
            Self::Integer(_) => "a number",
            Self::Flag(_) => "true or false",
            Self::List(_) => "a list",
            Self::Table(_) => "a table",
            Self::Other(name) => name,
        }
    }
}

#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) data: Data,
    pub(super) origin: Origin,
}

/// Leaves by dotted key.
pub(super) type Leaves = BTreeMap<String, Node>;

/// Reads a TOML file into leaves. Tables are opened, lists are leaves.
pub(super) fn from_toml(path: &Path, text: &str, errors: &mut Vec<ConfigError>) -> Leaves {
    let (table, problems) = DeTable::parse_recoverable(text);
    for problem in problems {
        let line = problem.span().map_or(1, |span| line_of(text, span.start));
        let at = Origin::File { path: path.to_owned(), line };
        errors.push(ConfigError::new(Some(at), format!("not TOML: {}", problem.message())));
    }
    let mut leaves = Leaves::new();
    open(path, text, "", table.get_ref(), &mut leaves);
    leaves
}

fn open(path: &Path, text: &str, prefix: &str, table: &DeTable<'_>, leaves: &mut Leaves) {
    for (name, value) in table {
        let key = if prefix.is_empty() { name.get_ref().to_string() } else { format!("{prefix}.{}", name.get_ref()) };
        let line = line_of(text, name.span().start);
        match value.get_ref() {
            DeValue::Table(inner) if !inner.is_empty() => open(path, text, &key, inner, leaves),
            other => {
                leaves.insert(key, node(path, text, line, other));
            }
        }
    }
}

fn node(path: &Path, text: &str, line: usize, value: &DeValue<'_>) -> Node {
    let data = match value {
        DeValue::String(s) => Data::Text(s.to_string()),
        DeValue::Integer(i) => {
            i64::from_str_radix(i.as_str(), i.radix()).map_or(Data::Other("a number too large"), Data::Integer)
        }
        DeValue::Boolean(b) => Data::Flag(*b),
        DeValue::Array(items) => Data::List(
            items.iter().map(|item| node(path, text, line_of(text, item.span().start), item.get_ref())).collect(),
        ),
        DeValue::Table(inner) => Data::Table(
            inner
                .iter()
                .map(|(name, value)| {
                    let line = line_of(text, name.span().start);
                    (name.get_ref().to_string(), node(path, text, line, value.get_ref()))
                })
                .collect(),
        ),
        DeValue::Float(_) => Data::Other("a number with a fraction"),
        DeValue::Datetime(_) => Data::Other("a date"),
    };
    Node { data, origin: Origin::File { path: path.to_owned(), line } }
}

fn line_of(text: &str, offset: usize) -> usize {
    text.bytes().take(offset).filter(|b| *b == b'\n').count() + 1
}

/// Reads the variables that are configuration: names that begin with `STOCKADE_` and contain `__`.
pub(super) fn from_environment(env: &BTreeMap<String, String>) -> Leaves {
    let mut leaves = Leaves::new();
    for (name, value) in env {
        let Some(rest) = name.strip_prefix("STOCKADE_") else { continue };
        if !rest.contains("__") {
            continue;
        }
        let key = rest.replace("__", ".").to_ascii_lowercase();
        let origin = Origin::Environment(name.clone());
        leaves.insert(key, Node { data: Data::Text(value.clone()), origin });
    }
    leaves
}

/// A value of the environment that must be a list: TOML when it opens with a bracket, else what stands between commas.
pub(super) fn list_from_text(text: &str, origin: &Origin) -> Result<Vec<Node>, String> {
    if text.trim_start().starts_with('[') {
        let value = DeValue::parse(text).map_err(|e| format!("not a TOML array: {}", e.message()))?;
        return match relabel(node(Path::new(""), text, 1, value.get_ref()), origin).data {
            Data::List(items) => Ok(items),
            other => Err(format!("expected a list, found {}", other.type_name())),
        };
    }
    let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
    Ok(parts.map(|part| Node { data: Data::Text(part.to_owned()), origin: origin.clone() }).collect())
}

fn relabel(node: Node, origin: &Origin) -> Node {
    let data = match node.data {
        Data::List(items) => Data::List(items.into_iter().map(|item| relabel(item, origin)).collect()),
        Data::Table(fields) => {
            Data::Table(fields.into_iter().map(|(name, value)| (name, relabel(value, origin))).collect())
        }
        other => other,
    };
    Node { data, origin: origin.clone() }
}
