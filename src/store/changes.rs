//! How processes learn of each other's changes: one number a topic, polled, and on PostgreSQL a NOTIFY that wakes the
//! poll early.

use std::collections::HashMap;
use std::time::Duration;

use sqlx::postgres::PgListener;

use super::sql::{Conn, Handle, affected, run, statements};
use super::{Store, StoreError, Tx};

statements! {
    BUMP = shared(
        "insert into changes (topic, version) values ($1, 1)
         on conflict (topic) do update set version = changes.version + 1"
    );
    NOTIFY = split("select $1", "select pg_notify('stockade', $1)");
    VERSIONS = shared("select topic, version from changes");
}

/// What can change under a running process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Topic {
    /// A client.
    Clients,
    /// A person.
    Users,
    /// A signing key.
    Keys,
    /// The denylist.
    Revocations,
    /// A finding, or how fresh they are.
    Findings,
    /// An event waits in the intake.
    Intake,
}

impl Topic {
    /// The name in the table and in the notification.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Clients => "clients",
            Self::Users => "users",
            Self::Keys => "keys",
            Self::Revocations => "revocations",
            Self::Findings => "findings",
            Self::Intake => "intake",
        }
    }
}

/// Says that `topic` changed; seen by others when this transaction commits.
///
/// # Errors
/// When the database fails.
pub async fn bump(tx: &mut Tx, topic: Topic) -> Result<(), StoreError> {
    affected!(tx, BUMP, |text| sqlx::query(text).bind(topic.as_str())).map(drop)?;
    notify(tx, topic).await
}

/// Wakes listeners without raising the number: for topics that are tables of work. SQLite has none to wake.
///
/// # Errors
/// When the database fails.
pub async fn notify(tx: &mut Tx, topic: Topic) -> Result<(), StoreError> {
    let Conn::Postgres(conn) = tx.conn() else { return Ok(()) };
    let notify = sqlx::query(NOTIFY.postgres).bind(topic.as_str());
    notify.execute(conn).await.map(drop).map_err(|e| NOTIFY.failed(e))
}

/// The number of every topic that ever changed.
///
/// # Errors
/// When the database fails.
pub async fn versions(handle: &mut impl Handle) -> Result<HashMap<String, i64>, StoreError> {
    let rows: Vec<(String, i64)> = run!(handle, VERSIONS, |conn, text| sqlx::query_as(text).fetch_all(conn))?;
    Ok(rows.into_iter().collect())
}

/// Waits for changes.
#[derive(Debug)]
pub struct Watch {
    store: Store,
    listener: Option<PgListener>,
}

impl Watch {
    /// On PostgreSQL it listens as soon as a connection is to be had.
    pub const fn new(store: Store) -> Self {
        Self { store, listener: None }
    }

    /// Returns when something was announced, or after `poll`, whichever is first. A lost listener falls back to the poll.
    pub async fn wait(&mut self, poll: Duration) {
        if let (None, Store::Postgres(pool)) = (&self.listener, &self.store)
            && let Ok(mut listener) = PgListener::connect_with(pool).await
            && listener.listen("stockade").await.is_ok()
        {
            self.listener = Some(listener);
        }
        match &mut self.listener {
            None => tokio::time::sleep(poll).await,
            Some(listener) => {
                if matches!(tokio::time::timeout(poll, listener.recv()).await, Ok(Err(_))) {
                    self.listener = None;
                    tokio::time::sleep(poll).await;
                }
            }
        }
    }
}
