//! What is wrong with a policy tree, and where.

use std::fmt;
use std::path::PathBuf;

use serde::Serialize;

/// Whether a problem stops a load.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// The snapshot is refused.
    Error,
    /// Probably not what its author meant; the snapshot is taken.
    Warning,
}

/// One problem, at one place.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Problem {
    /// Relative to the policy tree, `/` between its parts.
    pub file: String,
    /// From 1; 0 when the whole file or tree is meant.
    pub line: usize,
    /// From 1, in characters; 0 when the whole line, file or tree is meant.
    pub column: usize,
    /// Whether it stops a load.
    pub severity: Severity,
    /// What is wrong and what to do next.
    pub message: String,
}

impl Problem {
    /// An error about a whole file.
    pub fn file(file: impl Into<String>, message: impl Into<String>) -> Self {
        Self { file: file.into(), line: 0, column: 0, severity: Severity::Error, message: message.into() }
    }

    /// An error at a byte offset into the file's text.
    pub fn at(file: impl Into<String>, text: &str, offset: usize, message: impl Into<String>) -> Self {
        let (line, column) = position(text, offset);
        Self { file: file.into(), line, column, severity: Severity::Error, message: message.into() }
    }

    /// The same, as a warning.
    #[must_use]
    pub fn warning(self) -> Self {
        Self { severity: Severity::Warning, ..self }
    }

    /// Whether it stops a load.
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }
}

impl fmt::Display for Problem {
    /// `file:line:column: message`, as compilers write it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if self.line > 0 {
            write!(f, ":{}:{}", self.line, self.column)?;
        }
        f.write_str(if self.is_error() { ": " } else { ": warning: " })?;
        f.write_str(&self.message)
    }
}

/// Line and column, both from 1, of a byte offset.
fn position(text: &str, offset: usize) -> (usize, usize) {
    let before = text.as_bytes().get(..offset.min(text.len())).unwrap_or_default();
    let line = 1 + before.iter().filter(|b| **b == b'\n').count();
    let start = before.iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1);
    let column = 1 + String::from_utf8_lossy(before.get(start..).unwrap_or_default()).chars().count();
    (line, column)
}

/// The files of a policy tree: path relative to its root and text, sorted by path.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Files(pub(crate) Vec<(String, String)>);

impl Files {
    /// From pairs of path and text.
    pub fn new(files: impl IntoIterator<Item = (impl Into<String>, impl Into<String>)>) -> Self {
        let mut files: Vec<_> = files.into_iter().map(|(path, text)| (path.into(), text.into())).collect();
        files.sort();
        Self(files)
    }

    /// Reads a directory and those below it: `.cedar`, `.cedarschema`, `.toml`, `.json`, `.yaml`.
    ///
    /// # Errors
    /// Every file that cannot be read, that is too large (1 MiB), or that is one too many (4,096).
    pub fn read(root: &std::path::Path) -> Result<Self, Vec<Problem>> {
        const MOST_FILES: usize = 4096;
        const LARGEST: u64 = 1 << 20;
        let mut files = Vec::new();
        let mut problems = Vec::new();
        let mut open: Vec<(PathBuf, String)> = vec![(root.to_owned(), String::new())];
        while let Some((dir, prefix)) = open.pop() {
            let entries = match std::fs::read_dir(&dir) {
                Ok(entries) => entries,
                Err(e) => {
                    problems.push(Problem::file(dir.display().to_string(), format!("cannot be read: {e}")));
                    continue;
                }
            };
            for entry in entries.flatten() {
                let name = entry.file_name().to_string_lossy().into_owned();
                let path = format!("{prefix}{name}");
                if name.starts_with('.') {
                    continue;
                }
                let Ok(meta) = std::fs::metadata(entry.path()) else {
                    problems.push(Problem::file(path, "cannot be read: a link to nothing; remove it"));
                    continue;
                };
                if meta.is_dir() {
                    if prefix.matches('/').count() < 16 {
                        open.push((entry.path(), format!("{path}/")));
                    }
                } else if [".cedar", ".cedarschema", ".toml", ".json", ".yaml"].iter().any(|end| name.ends_with(end)) {
                    if meta.len() > LARGEST {
                        problems.push(Problem::file(path, "larger than 1 MiB; split it"));
                    } else if files.len() >= MOST_FILES {
                        problems.push(Problem::file(path, format!("more than {MOST_FILES} files; merge some")));
                        return Err(problems);
                    } else {
                        match std::fs::read_to_string(entry.path()) {
                            Ok(text) => files.push((path, text)),
                            Err(e) => problems.push(Problem::file(path, format!("cannot be read: {e}"))),
                        }
                    }
                }
            }
        }
        files.sort();
        if problems.is_empty() { Ok(Self(files)) } else { Err(problems) }
    }

    /// Path and text of each file, sorted by path.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(path, text)| (path.as_str(), text.as_str()))
    }

    /// The text of one file.
    pub fn get(&self, path: &str) -> Option<&str> {
        self.iter().find(|(p, _)| *p == path).map(|(_, text)| text)
    }
}
