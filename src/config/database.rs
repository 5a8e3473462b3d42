//! `[database]`: where state and the audit log are kept.

use std::path::{Path, PathBuf};

use super::reader::{self, Reader};
use super::source::{Data, Node};
use crate::base::Secret;

/// `[database]`. URLs may carry a password.
#[derive(Clone, Debug, PartialEq)]
pub struct Database {
    /// `sqlite:FILE` or `postgres://…`.
    pub url: Secret<String>,
    /// The audit log's: a SQLite file of its own, or the same PostgreSQL URL.
    pub audit_url: Secret<String>,
}

impl Default for Database {
    fn default() -> Self {
        Self { url: Secret::new("sqlite:stockade.db".to_owned()), audit_url: Secret::new("sqlite:audit.db".to_owned()) }
    }
}

impl Database {
    /// Whether state is kept in SQLite (else PostgreSQL).
    pub fn is_sqlite(&self) -> bool {
        self.url.expose().starts_with("sqlite:")
    }

    /// The SQLite file of the state; `None` on PostgreSQL and in memory.
    pub fn sqlite_file(&self) -> Option<PathBuf> {
        sqlite_file(self.url.expose())
    }

    /// The SQLite file of the audit log; `None` on PostgreSQL and in memory.
    pub fn audit_sqlite_file(&self) -> Option<PathBuf> {
        sqlite_file(self.audit_url.expose())
    }

    pub(super) fn read(r: &mut Reader<'_>, base: &Path) -> Self {
        let d = Self::default();
        let url = r.secret("database.url", redact).unwrap_or(d.url);
        let url = checked(r, "database.url", base, &url);
        let audit = r.secret("database.audit_url", redact).filter(|url| !url.expose().is_empty());
        let audit_url = match audit {
            Some(audit) => checked(r, "database.audit_url", base, &audit),
            None => beside(&url),
        };
        if url.expose().starts_with("sqlite:") != audit_url.expose().starts_with("sqlite:") {
            r.wrong("database.audit_url", "must be of the same kind as `database.url`: SQLite or PostgreSQL");
        } else if url == audit_url && sqlite_file(url.expose()).is_some() {
            r.wrong("database.audit_url", "must be another file than `database.url`: they must not share a writer");
        }
        Self { url, audit_url }
    }
}

fn sqlite_file(url: &str) -> Option<PathBuf> {
    let rest = url.strip_prefix("sqlite:")?;
    let rest = rest.strip_prefix("//").unwrap_or(rest);
    let file = rest.split_once('?').map_or(rest, |(file, _)| file);
    (file != ":memory:").then(|| PathBuf::from(file))
}

/// `audit.db` in the same directory, or the same PostgreSQL.
fn beside(url: &Secret<String>) -> Secret<String> {
    let Some(file) = sqlite_file(url.expose()) else { return url.clone() };
    Secret::new(format!("sqlite:{}", file.with_file_name("audit.db").display()))
}

/// Checks the scheme, and makes a SQLite file's relative path start from `base`.
fn checked(r: &mut Reader<'_>, key: &str, base: &Path, url: &Secret<String>) -> Secret<String> {
    let text = url.expose();
    if text.starts_with("postgres://") || text.starts_with("postgresql://") {
        return url.clone();
    }
    if !text.starts_with("sqlite:") || text == "sqlite:" {
        r.wrong(key, "expected \"sqlite:FILE\" or \"postgres://USER:PASSWORD@HOST/NAME\"");
        return url.clone();
    }
    let from_file = matches!(r.origin(key), Some(super::Origin::File { .. }));
    match sqlite_file(text) {
        Some(file) if from_file && file.is_relative() => {
            let query = text.split_once('?').map(|(_, query)| format!("?{query}")).unwrap_or_default();
            Secret::new(format!("sqlite:{}{query}", base.join(file).display()))
        }
        _ => url.clone(),
    }
}

/// The URL without user and password.
fn redact(node: &Node) -> String {
    match &node.data {
        Data::Text(text) => {
            match text.split_once("://").and_then(|(scheme, rest)| Some((scheme, rest.rsplit_once('@')?))) {
                Some((scheme, (_, host))) => format!("\"{scheme}://[redacted]@{host}\""),
                None => reader::render(node),
            }
        }
        _ => reader::render(node),
    }
}
