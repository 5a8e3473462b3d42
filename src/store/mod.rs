//! Both databases. The only place that knows SQL.
//!
//! A [`Store`] gives [`Reader`]s and [`Tx`]s. Functions that read take either; functions that write take a `Tx`, so a
//! write outside a transaction does not compile. Statements are constants at the top of the file that uses them; one
//! test prepares every one of them on both databases. Columns both databases share: text ids, UTC microseconds as
//! `bigint`, digests as bytes, JSON as text.
//!
//! SQLite: WAL, `synchronous=full`, one writing connection whose queued transactions share commits ([`writer`]), and the
//! log in a file of its own. PostgreSQL: one pool; what may be used once is one conditional statement, never
//! read-then-write.

pub mod assertions;
pub mod blocks;
pub mod changes;
pub mod clients;
pub mod codes;
pub mod consents;
pub mod credentials;
pub mod device_codes;
pub mod entry;
pub mod erase;
pub mod events;
mod finding_search;
pub mod findings;
pub mod grants;
pub mod heads;
pub mod holds;
pub mod idempotency;
pub mod keys;
pub mod leases;
pub mod log;
pub mod logout_deliveries;
mod migrate;
mod plan;
pub mod pushed_requests;
pub mod refresh_tokens;
pub mod registrations;
pub mod retention;
pub mod revocations;
pub mod risk;
pub mod row;
mod search;
pub mod segments;
pub mod sessions;
pub(crate) mod sql;
mod terms;
pub mod tiles;
pub mod tokens;
pub mod upstream_links;
pub mod users;
pub mod visits;
mod writer;

use std::path::{Path, PathBuf};
use std::str::FromStr as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sqlx::pool::{PoolConnection, PoolOptions};
use sqlx::postgres::{PgConnectOptions, PgPool};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqliteSynchronous};
use sqlx::{Connection as _, Postgres, Sqlite, SqliteConnection, Transaction};

pub use migrate::MigrationStatus;
pub use sql::{Conn, Handle};
pub use writer::Turn;
use writer::Writer;

use crate::telemetry::Metrics;

/// How long a caller waits for a connection before it is told that the database is busy or gone.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(2);

/// The database of one deployment.
#[derive(Clone, Debug)]
pub enum Store {
    /// Embedded: two files.
    Sqlite(SqliteFiles),
    /// A server that several processes may share.
    Postgres(PgPool),
}

/// The pools of an embedded store.
#[derive(Clone, Debug)]
pub struct SqliteFiles {
    path: PathBuf,
    options: SqliteConnectOptions,
    log_options: SqliteConnectOptions,
    write: Writer,
    read: SqlitePool,
    log_write: SqlitePool,
    log_read: SqlitePool,
    /// The disk is as full as it may get: nothing is written.
    full: Arc<AtomicBool>,
}

/// What went wrong with the database.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The URL names no database we speak.
    #[error("`{0}` is no database URL: use `sqlite:PATH` or `postgres://USER@HOST/NAME`")]
    Url(String),
    /// No connection.
    #[error("no connection to the database: check that it runs and `[database] url`")]
    Connect(#[source] sqlx::Error),
    /// A migration failed.
    #[error("the database could not be migrated; run `stockade migrate status`")]
    Migrate(#[source] sqlx::migrate::MigrateError),
    /// Somebody else's migrations.
    #[error(
        "migration {0} of this database is not the one this version has: another build made it. Export its log with that \
         build (`stockade audit export`), then begin with a new database, or restore a backup that a release made"
    )]
    Foreign(i64),
    /// A later version's.
    #[error(
        "this database has migration {0}, which this version does not know: use the version that made it, or a later one"
    )]
    Newer(i64),
    /// There is no room left that may be used.
    #[error("the disk of the database is full up to the mark: nothing is written until there is room")]
    Full,
    /// A statement failed.
    #[error("statement {name} failed")]
    Statement {
        /// The statement's constant.
        name: &'static str,
        /// What the driver says.
        #[source]
        source: sqlx::Error,
    },
    /// A transaction could not begin or commit.
    #[error("the transaction failed")]
    Transaction(#[source] Arc<sqlx::Error>),
    /// A stored row does not read back: someone else wrote it, or a newer version did.
    #[error("a row of `{table}` cannot be read: {problem}")]
    Corrupt {
        /// Which table.
        table: &'static str,
        /// Why.
        problem: String,
    },
    /// Someone changed it first, or it already exists.
    #[error("`{0}` was changed or made by someone else meanwhile")]
    Conflict(String),
    /// Another process took over the task that this one thought it held.
    #[error("the lease was taken over by another process")]
    Fenced,
}

impl StoreError {
    /// Whether a unique constraint refused the row.
    pub fn is_unique_violation(&self) -> bool {
        matches!(self, Self::Statement { source: sqlx::Error::Database(e), .. } if e.is_unique_violation())
    }
}

/// A connection to read with.
#[derive(Debug)]
pub enum Reader {
    /// SQLite.
    Sqlite(PoolConnection<Sqlite>),
    /// PostgreSQL.
    Postgres(PoolConnection<Postgres>),
}

/// A transaction. Dropped without [`Tx::commit`] it leaves no trace.
///
/// On SQLite it may see what others of its group wrote, before that is durable: an answer that promises something
/// because of what a `Tx` read leaves after [`Tx::commit`], even when this one wrote nothing.
#[derive(Debug)]
pub enum Tx {
    /// SQLite's main file: a turn on its one writing connection.
    Turn(Turn),
    /// SQLite's log file.
    Sqlite(Transaction<'static, Sqlite>),
    /// PostgreSQL.
    Postgres(Transaction<'static, Postgres>),
}

impl sql::sealed::Sealed for Reader {}
impl sql::sealed::Sealed for Tx {}

impl Handle for Reader {
    fn conn(&mut self) -> Conn<'_> {
        match self {
            Self::Sqlite(conn) => Conn::Sqlite(conn),
            Self::Postgres(conn) => Conn::Postgres(conn),
        }
    }
}

impl Handle for Tx {
    fn conn(&mut self) -> Conn<'_> {
        match self {
            Self::Turn(turn) => Conn::Sqlite(turn.conn()),
            Self::Sqlite(tx) => Conn::Sqlite(tx),
            Self::Postgres(tx) => Conn::Postgres(tx),
        }
    }
}

impl Tx {
    /// Makes it so. When this returns `Ok`, the change is durable.
    ///
    /// # Errors
    /// [`StoreError::Transaction`]: nothing has changed, or (a lost connection) nobody can tell.
    pub async fn commit(self) -> Result<(), StoreError> {
        match self {
            Self::Turn(turn) => return turn.commit().await,
            Self::Sqlite(tx) => tx.commit().await,
            Self::Postgres(tx) => tx.commit().await,
        }
        .map_err(|error| StoreError::Transaction(Arc::new(error)))
    }
}

fn sqlite_pool(options: SqliteConnectOptions, connections: u32) -> SqlitePool {
    PoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .test_before_acquire(false)
        // SQLite rolls back by itself when the disk is full; sqlx then takes the connection for still being in a
        // transaction and never begins another on it.
        .before_acquire(|conn: &mut SqliteConnection, _| Box::pin(std::future::ready(Ok(!conn.is_in_transaction()))))
        .connect_lazy_with(options)
}

impl Store {
    /// Opens (and on SQLite creates) the database at `url`. SQLite keeps its log in `audit.db` beside the file.
    /// Does not migrate.
    ///
    /// # Errors
    /// [`StoreError::Url`] for an unknown scheme, [`StoreError::Connect`] when the database does not answer.
    pub async fn open(url: &str) -> Result<Self, StoreError> {
        if let Some(path) = url.strip_prefix("sqlite:") {
            let path = Path::new(path.strip_prefix("//").unwrap_or(path));
            if path.as_os_str().is_empty() || url.contains(":memory:") {
                return Err(StoreError::Url(url.to_owned()));
            }
            return Self::open_sqlite(path).await;
        }
        if url.starts_with("postgres://") || url.starts_with("postgresql://") {
            // The URL may hold a password: an unreadable one is not repeated.
            let options =
                PgConnectOptions::from_str(url).map_err(|_| StoreError::Url("postgres://[redacted]".to_owned()))?;
            // A process that is paused in a transaction must not hold its locks over everyone else.
            let options = options.options([("idle_in_transaction_session_timeout", "3s"), ("lock_timeout", "10s")]);
            let pool = PoolOptions::new()
                .max_connections(10)
                .acquire_timeout(ACQUIRE_TIMEOUT)
                .test_before_acquire(false)
                .connect_with(options)
                .await
                .map_err(StoreError::Connect)?;
            return Ok(Self::Postgres(pool));
        }
        // Only the scheme: what follows may hold a password.
        Err(StoreError::Url(url.split(':').next().unwrap_or_default().to_owned()))
    }

    async fn open_sqlite(path: &Path) -> Result<Self, StoreError> {
        let log = path.with_file_name("audit.db");
        let options = |file: &Path| {
            SqliteConnectOptions::new()
                .filename(file)
                .journal_mode(SqliteJournalMode::Wal)
                .synchronous(SqliteSynchronous::Full)
                .foreign_keys(true)
                .busy_timeout(Duration::from_secs(5))
                .statement_cache_capacity(256)
        };
        // Created mode 0600: the file holds sealed keys and personal data.
        create_private(path).map_err(|e| StoreError::Connect(sqlx::Error::Io(e)))?;
        create_private(&log).map_err(|e| StoreError::Connect(sqlx::Error::Io(e)))?;
        let files = SqliteFiles {
            path: path.to_owned(),
            options: options(path),
            log_options: options(&log),
            // The writers go first: they turn the files to WAL, which a read-only connection cannot.
            write: Writer::open(options(path)).await.map_err(StoreError::Connect)?,
            read: sqlite_pool(options(path).read_only(true), 4),
            log_write: sqlite_pool(options(&log), 1),
            log_read: sqlite_pool(options(&log).read_only(true), 4),
            full: Arc::default(),
        };
        drop(files.log_write.acquire().await.map_err(StoreError::Connect)?);
        Ok(Self::Sqlite(files))
    }

    /// A connection to read with.
    ///
    /// # Errors
    /// [`StoreError::Connect`] when none is free within two seconds.
    pub async fn read(&self) -> Result<Reader, StoreError> {
        match self {
            Self::Sqlite(files) => files.read.acquire().await.map(Reader::Sqlite),
            Self::Postgres(pool) => pool.acquire().await.map(Reader::Postgres),
        }
        .map_err(StoreError::Connect)
    }

    /// A transaction on the main database.
    ///
    /// # Errors
    /// [`StoreError::Connect`] when no connection is free, or the database is locked or gone; [`StoreError::Full`].
    pub async fn begin(&self) -> Result<Tx, StoreError> {
        match self {
            Self::Sqlite(files) if files.full.load(Ordering::Relaxed) => return Err(StoreError::Full),
            Self::Sqlite(files) => files.write.begin().await.map(Tx::Turn),
            Self::Postgres(pool) => pool.begin().await.map(Tx::Postgres),
        }
        .map_err(StoreError::Connect)
    }

    /// A connection to read the log with.
    ///
    /// # Errors
    /// As [`Store::read`].
    pub async fn read_log(&self) -> Result<Reader, StoreError> {
        match self {
            Self::Sqlite(files) => files.log_read.acquire().await.map(Reader::Sqlite).map_err(StoreError::Connect),
            Self::Postgres(_) => self.read().await,
        }
    }

    /// A transaction on the log.
    ///
    /// # Errors
    /// As [`Store::begin`].
    pub async fn begin_log(&self) -> Result<Tx, StoreError> {
        match self {
            Self::Sqlite(files) => {
                files.log_write.begin_with("begin immediate").await.map(Tx::Sqlite).map_err(StoreError::Connect)
            }
            Self::Postgres(_) => self.begin().await,
        }
    }

    /// On SQLite, how many transactions of this process were committed to the main file, and how many commits of the file
    /// that took.
    pub fn written(&self) -> Option<(u64, u64)> {
        match self {
            Self::Sqlite(files) => Some(files.write.counts()),
            Self::Postgres(_) => None,
        }
    }

    /// Shows [`Store::written`] in `metrics` from now on.
    pub fn count_in(&self, metrics: Arc<Metrics>) {
        if let Self::Sqlite(files) = self {
            files.write.count_in(metrics);
        }
    }

    /// Whether the disk of an embedded store is so full that nothing is to be written any more.
    pub fn set_full(&self, full: bool) {
        if let Self::Sqlite(files) = self {
            files.full.store(full, Ordering::Relaxed);
        }
    }

    /// Whether several processes may serve this store.
    pub const fn is_shared(&self) -> bool {
        matches!(self, Self::Postgres(_))
    }

    /// Whether the database answers.
    ///
    /// # Errors
    /// When it does not.
    pub async fn ping(&self) -> Result<(), StoreError> {
        let mut reader = self.read().await?;
        affected!(&mut reader, PING, |text| sqlx::query(text)).map(drop)
    }

    /// Copies an embedded store to `target` (the main file) and `audit.db` beside it, consistently, while it is in use.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when a target exists; on PostgreSQL always: use `pg_dump`.
    pub async fn backup(&self, target: &Path) -> Result<(), StoreError> {
        let Self::Sqlite(files) = self else {
            return Err(StoreError::Conflict("backup of PostgreSQL: use pg_dump".to_owned()));
        };
        let log = target.with_file_name(format!(
            "{}.audit.db",
            target.file_stem().map_or_else(|| "backup".into(), std::ffi::OsStr::to_string_lossy)
        ));
        for file in [target, &log] {
            if file.exists() {
                return Err(StoreError::Conflict(file.display().to_string()));
            }
        }
        // The main file first: what the log then holds beyond it is harmless, a state change without its event is not.
        for (pool, file) in [(&files.read, target), (&files.log_read, log.as_path())] {
            create_private(file).map_err(|e| StoreError::Connect(sqlx::Error::Io(e)))?;
            sqlx::query(BACKUP.sqlite)
                .bind(file.to_string_lossy().into_owned())
                .execute(pool)
                .await
                .map_err(|e| BACKUP.failed(e))?;
        }
        Ok(())
    }

    /// The main file of an embedded store.
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::Sqlite(files) => Some(&files.path),
            Self::Postgres(_) => None,
        }
    }

    /// Closes every connection, after what is running has ended.
    pub async fn close(&self) {
        match self {
            Self::Sqlite(files) => {
                for pool in [&files.read, &files.log_read, &files.log_write] {
                    pool.close().await;
                }
                files.write.close().await;
            }
            Self::Postgres(pool) => pool.close().await,
        }
    }

    /// Prepares every statement there is; the names of those the database refuses, with its reason.
    ///
    /// # Errors
    /// When no connection is to be had.
    pub async fn prepare_all(&self) -> Result<Vec<String>, StoreError> {
        use sqlx::Executor as _;
        let mut refused = Vec::new();
        let findings = findings::ALL.concat();
        let main = [
            STATEMENTS,
            assertions::STATEMENTS,
            changes::STATEMENTS,
            clients::STATEMENTS,
            codes::STATEMENTS,
            consents::STATEMENTS,
            credentials::STATEMENTS,
            device_codes::STATEMENTS,
            events::STATEMENTS,
            &findings,
            grants::STATEMENTS,
            holds::STATEMENTS,
            idempotency::STATEMENTS,
            keys::STATEMENTS,
            logout_deliveries::STATEMENTS,
            registrations::STATEMENTS,
            pushed_requests::STATEMENTS,
            refresh_tokens::STATEMENTS,
            retention::STATEMENTS,
            revocations::STATEMENTS,
            risk::STATEMENTS,
            sessions::STATEMENTS,
            tokens::STATEMENTS,
            upstream_links::STATEMENTS,
            users::STATEMENTS,
            visits::STATEMENTS,
        ];
        let log = [
            blocks::STATEMENTS,
            heads::STATEMENTS,
            leases::STATEMENTS,
            log::STATEMENTS,
            segments::STATEMENTS,
            tiles::STATEMENTS,
        ];
        for (statements, in_log) in [(main.concat(), false), (log.concat(), true)] {
            for sql in statements {
                let mut tx = if in_log { self.begin_log().await? } else { self.begin().await? };
                let result = match tx.conn() {
                    Conn::Sqlite(conn) => conn.prepare(sqlx::SqlSafeStr::into_sql_str(sql.sqlite)).await.map(drop),
                    Conn::Postgres(conn) => conn.prepare(sqlx::SqlSafeStr::into_sql_str(sql.postgres)).await.map(drop),
                };
                if let Err(error) = result {
                    refused.push(format!("{}: {error}", sql.name));
                }
            }
        }
        Ok(refused)
    }
}

/// Makes an empty file that only its owner can read, if there is none.
fn create_private(path: &Path) -> std::io::Result<()> {
    let mut options = std::fs::OpenOptions::new();
    options.create(true).append(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map(drop)
}

use sql::{affected, statements};

statements! {
    PING = shared("select 1");
    /// SQLite's own consistent copy; PostgreSQL has `pg_dump`.
    BACKUP = split("vacuum into $1", "select $1::text");
}

/// Reads `body` columns back into nouns.
pub(crate) fn decode<T: serde::de::DeserializeOwned>(table: &'static str, body: &str) -> Result<T, StoreError> {
    serde_json::from_str(body).map_err(|e| StoreError::Corrupt { table, problem: e.to_string() })
}

/// Writes nouns into `body` columns.
pub(crate) fn encode<T: serde::Serialize>(table: &'static str, noun: &T) -> Result<String, StoreError> {
    serde_json::to_string(noun).map_err(|e| StoreError::Corrupt { table, problem: e.to_string() })
}

/// Reads a digest column back.
pub(crate) fn digest(table: &'static str, bytes: &[u8]) -> Result<crate::model::TokenDigest, StoreError> {
    bytes.try_into().map_err(|_| StoreError::Corrupt { table, problem: format!("{} bytes are no digest", bytes.len()) })
}
