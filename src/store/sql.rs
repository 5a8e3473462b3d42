//! A statement, and the macro that runs it on either driver.

use sqlx::{PgConnection, SqliteConnection};

use super::StoreError;

/// A named statement. One text where the databases agree, two where they do not.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sql {
    /// The constant's name, for errors and spans; never the values.
    pub name: &'static str,
    /// The text for SQLite.
    pub sqlite: &'static str,
    /// The text for PostgreSQL.
    pub postgres: &'static str,
}

impl Sql {
    /// A text both databases understand.
    pub(crate) const fn shared(name: &'static str, text: &'static str) -> Self {
        Self { name, sqlite: text, postgres: text }
    }

    /// A text each.
    pub(crate) const fn split(name: &'static str, sqlite: &'static str, postgres: &'static str) -> Self {
        Self { name, sqlite, postgres }
    }

    pub(crate) fn failed(self, error: sqlx::Error) -> StoreError {
        StoreError::Statement { name: self.name, source: error }
    }
}

/// A connection of either driver.
#[derive(Debug)]
pub enum Conn<'a> {
    /// SQLite.
    Sqlite(&'a mut SqliteConnection),
    /// PostgreSQL.
    Postgres(&'a mut PgConnection),
}

/// What statements run on: a [`super::Reader`] or a [`super::Tx`].
pub trait Handle: Send + sealed::Sealed {
    /// The connection.
    fn conn(&mut self) -> Conn<'_>;
}

pub(crate) mod sealed {
    /// Only this room makes handles.
    pub trait Sealed {}
}

/// Declares statements as constants, and lists them for the test that prepares each on both databases.
macro_rules! statements {
    ($($(#[$meta:meta])* $name:ident = $kind:ident($($text:expr),+ $(,)?);)+) => {
        $($(#[$meta])* const $name: $crate::store::sql::Sql = $crate::store::sql::Sql::$kind(stringify!($name), $($text),+);)+
        /// Every statement of this file.
        pub(crate) const STATEMENTS: &[$crate::store::sql::Sql] = &[$($name),+];
    };
}

/// Runs one query expression on whichever driver `handle` has: `run!(handle, FIND, |conn, text| query(text)…)`.
macro_rules! run {
    ($handle:expr, $sql:ident, |$conn:ident, $text:ident| $query:expr) => {
        match $crate::store::sql::Handle::conn($handle) {
            $crate::store::sql::Conn::Sqlite($conn) => {
                let $text = $sql.sqlite;
                $query.await.map_err(|e| $sql.failed(e))
            }
            $crate::store::sql::Conn::Postgres($conn) => {
                let $text = $sql.postgres;
                $query.await.map_err(|e| $sql.failed(e))
            }
        }
    };
}

/// Runs one statement that gives no rows; how many it changed: `affected!(handle, INSERT, |text| query(text)…)`.
macro_rules! affected {
    ($handle:expr, $sql:ident, |$text:ident| $query:expr) => {
        match $crate::store::sql::Handle::conn($handle) {
            $crate::store::sql::Conn::Sqlite(conn) => {
                let $text = $sql.sqlite;
                $query.execute(conn).await.map(|done| done.rows_affected()).map_err(|e| $sql.failed(e))
            }
            $crate::store::sql::Conn::Postgres(conn) => {
                let $text = $sql.postgres;
                $query.execute(conn).await.map(|done| done.rows_affected()).map_err(|e| $sql.failed(e))
            }
        }
    };
}

pub(crate) use {affected, run, statements};
