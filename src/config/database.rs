//! `[database]`: where state and the audit log are kept.

use std::path::{Path, PathBuf};

use super::reader::{self, Reader};
use super::source::{Data, Node, Origin};
use crate::base::Secret;

/// `[database]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Database {
    /// `sqlite:FILE` or `postgres://…`, which may carry a password. The audit log is in `audit.db` beside a SQLite file, or
    /// in the same PostgreSQL database.
    pub url: Secret<String>,
}

impl Default for Database {
    fn default() -> Self {
        Self { url: Secret::new("sqlite:stockade.db".to_owned()) }
    }
}

impl Database {
    /// The SQLite file; `None` on PostgreSQL.
    pub fn sqlite_file(&self) -> Option<PathBuf> {
        self.url.expose().strip_prefix("sqlite:").map(PathBuf::from)
    }

    pub(super) fn read(r: &mut Reader<'_>, base: &Path) -> Self {
        let Some(url) = r.secret("database.url", redact) else { return Self::default() };
        let text = url.expose();
        if text.starts_with("postgres://") || text.starts_with("postgresql://") {
            return Self { url };
        }
        // `sqlite://x` is written too; the path is all that counts.
        let path = text.strip_prefix("sqlite:").map(|rest| rest.strip_prefix("//").unwrap_or(rest));
        let Some(path) = path.filter(|path| !path.is_empty() && !path.contains([':', '?'])) else {
            r.wrong("database.url", "expected \"sqlite:FILE\" or \"postgres://USER:PASSWORD@HOST/NAME\"");
            return Self { url };
        };
        if Path::new(path).file_name() == Some("audit.db".as_ref()) {
            r.wrong("database.url", "audit.db beside the file holds the audit log: choose another name");
        }
        let from_file = matches!(r.origin("database.url"), Some(Origin::File { .. }));
        let path = if from_file { base.join(path) } else { PathBuf::from(path) };
        Self { url: Secret::new(format!("sqlite:{}", path.display())) }
    }
}

/// The URL without user and password.
fn redact(node: &Node) -> String {
    let parts = match &node.data {
        Data::Text(text) => text.split_once("://").and_then(|(scheme, rest)| Some((scheme, rest.rsplit_once('@')?.1))),
        _ => None,
    };
    match parts {
        Some((scheme, host)) => format!("\"{scheme}://[redacted]@{host}\""),
        None => reader::render(node),
    }
}
