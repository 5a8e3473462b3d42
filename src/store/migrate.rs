//! Migrations: embedded, the same numbers and names for both databases. On SQLite the log lives in a file of its own, so
//! that tokens and audit do not share one writer lock; on PostgreSQL both sets go to one database.

use std::borrow::Cow;

use sqlx::migrate::{Migrate, MigrateError, Migration, MigrationType, Migrator};
use sqlx::{ConnectOptions as _, Connection as _, SqlSafeStr as _};

use super::{Store, StoreError};

/// One migration in both dialects. `log` says which of SQLite's two files it belongs to.
struct Pair {
    version: i64,
    name: &'static str,
    log: bool,
    sqlite: &'static str,
    postgres: &'static str,
}

macro_rules! pair {
    ($version:literal, $name:literal, log: $log:literal) => {
        Pair {
            version: $version,
            name: $name,
            log: $log,
            sqlite: include_str!(concat!("migrations/sqlite/", $name, ".sql")),
            postgres: include_str!(concat!("migrations/postgres/", $name, ".sql")),
        }
    };
}

const ALL: &[Pair] = &[
    pair!(1, "0001_core", log: false),
    pair!(2, "0002_log", log: true),
    pair!(3, "0003_people", log: false),
    pair!(4, "0004_heads", log: true),
    pair!(5, "0005_client_order", log: false),
    pair!(6, "0006_segments", log: true),
    pair!(7, "0007_registrations", log: false),
    pair!(8, "0008_findings", log: false),
    pair!(9, "0009_finding_origins", log: false),
    pair!(10, "0010_risk", log: false),
    pair!(12, "0012_tiles", log: true),
    pair!(13, "0013_holds", log: false),
    pair!(14, "0014_triage", log: false),
];

fn migrator(pick: impl Fn(&Pair) -> Option<&'static str>) -> Migrator {
    let migrations = ALL.iter().filter_map(|pair| {
        let sql = pick(pair)?;
        Some(Migration::new(pair.version, Cow::Borrowed(pair.name), MigrationType::Simple, sql.into_sql_str(), false))
    });
    Migrator::with_migrations(migrations.collect())
}

/// Where one migration stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MigrationStatus {
    /// Its number and name.
    pub name: &'static str,
    /// Whether the database has it.
    pub applied: bool,
}

async fn applied<C: Migrate>(conn: &mut C) -> Result<Vec<i64>, StoreError> {
    conn.ensure_migrations_table("_sqlx_migrations").await.map_err(StoreError::Migrate)?;
    let list = conn.list_applied_migrations("_sqlx_migrations").await.map_err(StoreError::Migrate)?;
    Ok(list.into_iter().map(|m| m.version).collect())
}

/// What to do about it, where that is known.
fn refused(error: MigrateError) -> StoreError {
    match error {
        MigrateError::VersionMismatch(version) => StoreError::Foreign(version),
        MigrateError::VersionMissing(version) => StoreError::Newer(version),
        other => StoreError::Migrate(other),
    }
}

impl Store {
    /// Brings the database to this binary's schema. A database that is newer than the binary is refused.
    ///
    /// # Errors
    /// [`StoreError::Migrate`] when a migration fails, [`StoreError::Foreign`] or [`StoreError::Newer`] when the database is of
    /// another build.
    pub async fn migrate(&self) -> Result<(), StoreError> {
        match self {
            Self::Sqlite(files) => {
                // Connections of their own: a migration is no turn among others.
                for (options, log) in [(&files.options, false), (&files.log_options, true)] {
                    let mut conn = options.connect().await.map_err(StoreError::Connect)?;
                    let migrator = migrator(|p| (p.log == log).then_some(p.sqlite));
                    migrator.run(&mut conn).await.map_err(refused)?;
                    conn.close().await.map_err(StoreError::Connect)?;
                }
                Ok(())
            }
            Self::Postgres(pool) => {
                // So here: what fails holds a lock for as long as its connection lives.
                let mut conn = pool.connect_options().connect().await.map_err(StoreError::Connect)?;
                migrator(|p| Some(p.postgres)).run(&mut conn).await.map_err(refused)?;
                conn.close().await.map_err(StoreError::Connect)
            }
        }
    }

    /// Which migrations the database has.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn migration_status(&self) -> Result<Vec<MigrationStatus>, StoreError> {
        let have = match self {
            Self::Sqlite(files) => {
                let mut have = Vec::new();
                for options in [&files.options, &files.log_options] {
                    let mut conn = options.connect().await.map_err(StoreError::Connect)?;
                    have.extend(applied(&mut conn).await?);
                    conn.close().await.map_err(StoreError::Connect)?;
                }
                have
            }
            Self::Postgres(pool) => applied(&mut *pool.acquire().await.map_err(StoreError::Connect)?).await?,
        };
        Ok(ALL.iter().map(|p| MigrationStatus { name: p.name, applied: have.contains(&p.version) }).collect())
    }
}
