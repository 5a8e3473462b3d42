//! Hands the sections their values, and keeps what was wrong, what was asked for, and what came from where.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use super::error::ConfigError;
use super::source::{self, Data, Leaves, Node, Origin};
use crate::base::Secret;

/// One line of `config show`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// The dotted key.
    pub key: String,
    /// Its value as TOML; secrets redacted.
    pub value: String,
    /// Where it came from.
    pub origin: Origin,
}

pub(super) struct Reader<'a> {
    env: &'a Leaves,
    file: &'a Leaves,
    defaults: &'a Leaves,
    base: &'a Path,
    known: Vec<String>,
    pub(super) shown: Vec<Shown>,
    pub(super) errors: Vec<ConfigError>,
}

impl<'a> Reader<'a> {
    /// `base` is the directory that relative paths of the file start from.
    pub(super) fn new(env: &'a Leaves, file: &'a Leaves, defaults: &'a Leaves, base: &'a Path) -> Self {
        Self { env, file, defaults, base, known: Vec::new(), shown: Vec::new(), errors: Vec::new() }
    }

    fn take(&mut self, key: &str, redact: fn(&Node) -> String) -> Option<&'a Node> {
        self.known.push(key.to_owned());
        let node = self.env.get(key).or_else(|| self.file.get(key));
        if let Some(shown) = node.or_else(|| self.defaults.get(key)) {
            let origin = node.map_or(Origin::Default, |n| n.origin.clone());
            self.shown.push(Shown { key: key.to_owned(), value: redact(shown), origin });
        }
        node
    }

    /// Where a key's value (or its `_file` twin) comes from; `None` for the default.
    pub(super) fn origin(&self, key: &str) -> Option<&Origin> {
        self.shown.iter().rfind(|s| s.key == key || s.key.strip_suffix("_file") == Some(key)).map(|s| &s.origin)
    }

    /// Notes a mistake of a key.
    pub(super) fn wrong(&mut self, key: &str, message: impl std::fmt::Display) {
        let twin = format!("{key}_file");
        let find = |layer: &Leaves| layer.get(key).or_else(|| layer.get(&twin)).map(|n| n.origin.clone());
        let at = find(self.env).or_else(|| find(self.file));
        self.errors.push(ConfigError::new(at, format!("`{key}`: {message}")));
    }

    fn settle<T>(&mut self, key: &str, default: T, value: Option<Result<T, String>>) -> T {
        match value {
            None => default,
            Some(Ok(value)) => value,
            Some(Err(message)) => {
                self.wrong(key, message);
                default
            }
        }
    }

    /// Text that `parse` understands.
    pub(super) fn parsed<T>(&mut self, key: &str, default: T, parse: impl Fn(&str) -> Result<T, String>) -> T {
        let value = self.take(key, render).map(|node| parse(text(node)?));
        self.settle(key, default, value)
    }

    /// A whole number of a range.
    pub(super) fn number<T: TryFrom<i64> + Copy + std::fmt::Display + PartialOrd>(
        &mut self,
        key: &str,
        default: T,
        range: RangeInclusive<T>,
    ) -> T {
        let value = self.take(key, render).map(|node| {
            let wrong = || format!("expected a whole number from {} to {}", range.start(), range.end());
            let number = match &node.data {
                Data::Integer(i) => *i,
                Data::Text(t) if from_environment(node) => t.trim().parse().map_err(|_| wrong())?,
                other => return Err(format!("{}, found {}", wrong(), other.type_name())),
            };
            T::try_from(number).ok().filter(|n| range.contains(n)).ok_or_else(wrong)
        });
        self.settle(key, default, value)
    }

    /// True or false.
    pub(super) fn flag(&mut self, key: &str, default: bool) -> bool {
        let value = self.take(key, render).map(|node| match &node.data {
            Data::Flag(flag) => Ok(*flag),
            Data::Text(t) if from_environment(node) && t == "true" => Ok(true),
            Data::Text(t) if from_environment(node) && t == "false" => Ok(false),
            other => Err(format!("expected true or false, found {}", other.type_name())),
        });
        self.settle(key, default, value)
    }

    /// A path; relative ones of the file start from the file's directory. Empty is none.
    pub(super) fn path(&mut self, key: &str, default: Option<PathBuf>) -> Option<PathBuf> {
        let base = self.base;
        let value = self.take(key, render).map(|node| {
            let text = text(node)?;
            Ok((!text.is_empty()).then(|| resolve(base, node, text)))
        });
        self.settle(key, default, value)
    }

    /// A list of texts that `parse` understands; every wrong one is reported.
    pub(super) fn list<T>(&mut self, key: &str, default: Vec<T>, parse: impl Fn(&str) -> Result<T, String>) -> Vec<T> {
        let Some(node) = self.take(key, render) else { return default };
        let mut out = Vec::new();
        match items(node) {
            Ok(items) => {
                for item in items {
                    match text(&item).and_then(&parse) {
                        Ok(value) => out.push(value),
                        Err(message) => {
                            self.errors.push(ConfigError::new(Some(item.origin), format!("`{key}`: {message}")))
                        }
                    }
                }
            }
            Err(message) => self.wrong(key, message),
        }
        out
    }

    /// A list of tables.
    pub(super) fn tables<T>(&mut self, key: &str, read: impl Fn(&mut Fields<'_>) -> T) -> Vec<T> {
        let Some(node) = self.take(key, render) else { return Vec::new() };
        let items = match items(node) {
            Ok(items) => items,
            Err(message) => {
                self.wrong(key, message);
                return Vec::new();
            }
        };
        let mut out = Vec::new();
        for (i, item) in items.iter().enumerate() {
            let name = format!("{key}[{i}]");
            let Data::Table(fields) = &item.data else {
                let message = format!("`{name}`: expected a table, found {}", item.data.type_name());
                self.errors.push(ConfigError::new(Some(item.origin.clone()), message));
                continue;
            };
            let mut reader = Fields {
                name: &name,
                origin: &item.origin,
                fields,
                known: Vec::new(),
                base: self.base,
                errors: &mut self.errors,
            };
            out.push(read(&mut reader));
            reader.finish();
        }
        out
    }

    /// A secret: as it stands, or from the file that `{key}_file` names. `None` when neither is there.
    pub(super) fn secret(&mut self, key: &str, redact: fn(&Node) -> String) -> Option<Secret<String>> {
        let (inline, twin) = self.twins(key, redact);
        if let Some(node) = twin {
            return self.secret_file(key, node).map(|text| Secret::new(text.trim_end().to_owned()));
        }
        let value = inline.map(|node| text(node).map(|t| Secret::new(t.to_owned())));
        match value? {
            Ok(secret) => Some(secret),
            Err(message) => {
                self.wrong(key, message);
                None
            }
        }
    }

    /// A list of secrets: as it stands, or one a line from the file that `{key}_file` names.
    pub(super) fn secrets(&mut self, key: &str) -> Vec<Secret<String>> {
        let (inline, twin) = self.twins(key, |_| "\"[redacted]\"".to_owned());
        if let Some(node) = twin {
            let lines = self.secret_file(key, node).unwrap_or_default();
            return lines.lines().map(str::trim).filter(|l| !l.is_empty()).map(|l| Secret::new(l.to_owned())).collect();
        }
        let Some(node) = inline else { return Vec::new() };
        let items = items(node).and_then(|items| {
            items.iter().map(|item| text(item).map(|t| Secret::new(t.to_owned()))).collect::<Result<Vec<_>, _>>()
        });
        items.unwrap_or_else(|message| {
            self.wrong(key, message);
            Vec::new()
        })
    }

    /// The value and its `_file` twin, of which the higher layer counts; both in one layer is a mistake.
    fn twins(&mut self, key: &str, redact: fn(&Node) -> String) -> (Option<&'a Node>, Option<&'a Node>) {
        let twin_key = format!("{key}_file");
        let found = |layer: &'a Leaves| (layer.get(key), layer.get(&twin_key));
        let (inline, twin) = match found(self.env) {
            (None, None) => found(self.file),
            some => some,
        };
        if inline.is_some() && twin.is_some() {
            self.wrong(&twin_key, format!("`{key}` is set too: keep one of them"));
        }
        self.known.push(key.to_owned());
        self.known.push(twin_key.clone());
        let (name, node) = if twin.is_some() { (twin_key.as_str(), twin) } else { (key, inline) };
        let value = match (twin, node.or_else(|| self.defaults.get(key))) {
            (Some(twin), _) => render(twin),
            (None, Some(node)) if !matches!(node.origin, Origin::Default) || node_is_set(node) => redact(node),
            (None, node) => node.map(render).unwrap_or_default(),
        };
        let origin = node.map_or(Origin::Default, |n| n.origin.clone());
        self.shown.push(Shown { key: name.to_owned(), value, origin });
        (inline, twin)
    }

    fn secret_file(&mut self, key: &str, node: &Node) -> Option<String> {
        let twin_key = format!("{key}_file");
        let path = match text(node) {
            Ok(text) => resolve(self.base, node, text),
            Err(message) => {
                self.wrong(&twin_key, message);
                return None;
            }
        };
        match std::fs::read_to_string(&path) {
            Ok(text) => Some(text),
            Err(e) => {
                self.wrong(&twin_key, format!("cannot read {}: {e}", path.display()));
                None
            }
        }
    }

    /// Every key that no section asked for is unknown: names the nearest one that exists.
    pub(super) fn finish(&mut self) {
        for (key, node) in self.env.iter().chain(self.file) {
            if self.known.iter().any(|known| known == key) {
                continue;
            }
            // An empty table such as `[limits]` is a section without keys.
            let section = format!("{key}.");
            let is_table = matches!(&node.data, Data::Table(fields) if fields.is_empty());
            if is_table && self.known.iter().any(|known| known.starts_with(&section)) {
                continue;
            }
            let written = |key: &str| match &node.origin {
                Origin::Environment(_) => environment_name(key),
                _ => key.to_owned(),
            };
            let hint = nearest(key, &self.known).map_or_else(
                || "`stockade config show` lists the keys there are".to_owned(),
                |near| format!("did you mean `{}`?", written(near)),
            );
            let message = format!("unknown key `{}`; {hint}", written(key));
            self.errors.push(ConfigError::new(Some(node.origin.clone()), message));
        }
    }
}

/// The fields of one table of a list.
pub(super) struct Fields<'a> {
    name: &'a str,
    origin: &'a Origin,
    fields: &'a [(String, Node)],
    known: Vec<String>,
    base: &'a Path,
    errors: &'a mut Vec<ConfigError>,
}

impl Fields<'_> {
    /// A field that names a file, relative to the file that it stands in.
    pub(super) fn path(&mut self, field: &str) -> Option<PathBuf> {
        let text = self.optional(field, |text| Ok(text.to_owned()))?;
        let (_, node) = self.fields.iter().find(|(name, _)| name == field)?;
        Some(resolve(self.base, node, &text))
    }

    /// Something about the table as a whole is wrong.
    pub(super) fn wrong(&mut self, message: &str) {
        self.errors.push(ConfigError::new(Some(self.origin.clone()), format!("`{}`: {message}", self.name)));
    }

    /// A field that `parse` understands, `None` when it is not there or wrong (which is reported).
    pub(super) fn optional<T>(&mut self, field: &str, parse: impl Fn(&str) -> Result<T, String>) -> Option<T> {
        self.known.push(field.to_owned());
        let (_, node) = self.fields.iter().find(|(name, _)| name == field)?;
        match text(node).and_then(parse) {
            Ok(value) => Some(value),
            Err(message) => {
                let message = format!("`{}.{field}`: {message}", self.name);
                self.errors.push(ConfigError::new(Some(node.origin.clone()), message));
                None
            }
        }
    }

    /// A field that must be there.
    pub(super) fn required<T>(&mut self, field: &str, parse: impl Fn(&str) -> Result<T, String>) -> Option<T> {
        if !self.fields.iter().any(|(name, _)| name == field) {
            let message = format!("`{}` has no `{field}`: add it", self.name);
            self.errors.push(ConfigError::new(Some(self.origin.clone()), message));
        }
        self.optional(field, parse)
    }

    /// True or false.
    pub(super) fn flag(&mut self, field: &str) -> Option<bool> {
        self.known.push(field.to_owned());
        let (_, node) = self.fields.iter().find(|(name, _)| name == field)?;
        let Data::Flag(flag) = &node.data else {
            let message = format!("`{}.{field}`: expected true or false, found {}", self.name, node.data.type_name());
            self.errors.push(ConfigError::new(Some(node.origin.clone()), message));
            return None;
        };
        Some(*flag)
    }

    /// A secret: as it stands, or from the file that `{field}_file` names. Its name ends with `secret`, so that [`render`]
    /// does not show it.
    pub(super) fn secret(&mut self, field: &str) -> Option<Secret<String>> {
        let twin = format!("{field}_file");
        let inline = self.optional(field, |text| Ok(Secret::new(text.to_owned())));
        let Some(path) = self.path(&twin) else { return inline };
        if inline.is_some() {
            self.wrong(&format!("`{field}` and `{twin}` are both set: keep one of them"));
        }
        match std::fs::read_to_string(&path) {
            Ok(text) => Some(Secret::new(text.trim_end().to_owned())),
            Err(e) => {
                self.wrong(&format!("`{twin}`: cannot read {}: {e}", path.display()));
                None
            }
        }
    }

    fn finish(self) {
        for (field, node) in self.fields.iter().filter(|(field, _)| !self.known.contains(field)) {
            let hint = nearest(field, &self.known)
                .map_or_else(|| self.known.join(", "), |near| format!("did you mean `{near}`?"));
            let message = format!("unknown key `{}.{field}`; {hint}", self.name);
            self.errors.push(ConfigError::new(Some(node.origin.clone()), message));
        }
    }
}

/// The environment name of a dotted key.
pub fn environment_name(key: &str) -> String {
    format!("STOCKADE_{}", key.replace('.', "__").to_ascii_uppercase())
}

fn nearest<'k>(key: &str, known: &'k [String]) -> Option<&'k str> {
    let scored = known.iter().map(|k| (strsim::jaro_winkler(key, k), k.as_str()));
    scored.filter(|(score, _)| *score > 0.8).max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, k)| k)
}

fn from_environment(node: &Node) -> bool {
    matches!(node.origin, Origin::Environment(_))
}

fn node_is_set(node: &Node) -> bool {
    !matches!(&node.data, Data::List(items) if items.is_empty())
}

fn text(node: &Node) -> Result<&str, String> {
    match &node.data {
        Data::Text(text) => Ok(text),
        other => Err(format!("expected text, found {}", other.type_name())),
    }
}

fn items(node: &Node) -> Result<Vec<Node>, String> {
    match &node.data {
        Data::List(items) => Ok(items.clone()),
        Data::Text(text) if from_environment(node) => source::list_from_text(text, &node.origin),
        other => Err(format!("expected a list, found {}", other.type_name())),
    }
}

fn resolve(base: &Path, node: &Node, text: &str) -> PathBuf {
    if from_environment(node) { PathBuf::from(text) } else { base.join(text) }
}

/// A value as TOML; of a table, no field whose name ends with `secret`.
pub(super) fn render(node: &Node) -> String {
    match &node.data {
        Data::Text(text) => toml::Value::String(text.clone()).to_string(),
        Data::Integer(i) => i.to_string(),
        Data::Flag(flag) => flag.to_string(),
        Data::List(items) => format!("[{}]", items.iter().map(render).collect::<Vec<_>>().join(", ")),
        Data::Table(fields) => {
            let shown = |name: &str, node: &Node| match name.ends_with("secret") {
                true => "\"[redacted]\"".to_owned(),
                false => render(node),
            };
            let fields: BTreeMap<_, _> = fields.iter().map(|(name, node)| (name, shown(name, node))).collect();
            let fields: Vec<_> = fields.iter().map(|(name, value)| format!("{name} = {value}")).collect();
            format!("{{ {} }}", fields.join(", "))
        }
        Data::Other(name) => (*name).to_owned(),
    }
}
