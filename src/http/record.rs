//! Where the management API's events go: to the log of a running service, or, in a command that works on the store itself,
//! to the intake that such a log is fed from.

use std::sync::Arc;

use parking_lot::Mutex;

use crate::audit_log::{AuditLog, NotRecorded};
use crate::model::Event;
use crate::store::{Store, StoreError, events};

/// How many events wait for [`Record::flush`] at most: a command asks a handful of times.
const MOST: usize = 4096;

/// Takes events. Clones share one place.
#[derive(Clone, Debug)]
pub enum Record {
    /// A running log.
    Log(AuditLog),
    /// The intake.
    Intake(Arc<Intake>),
}

/// Events on their way to the intake.
#[derive(Debug)]
pub struct Intake {
    store: Store,
    waiting: Mutex<Vec<Event>>,
}

impl From<AuditLog> for Record {
    fn from(log: AuditLog) -> Self {
        Self::Log(log)
    }
}

impl Record {
    /// The intake of this store.
    pub fn intake(store: Store) -> Self {
        Self::Intake(Arc::new(Intake { store, waiting: Mutex::default() }))
    }

    /// Records before the answer: durable when this returns.
    ///
    /// # Errors
    /// [`NotRecorded`]: the answer must not leave.
    pub async fn record(&self, event: Event) -> Result<(), NotRecorded> {
        match self {
            Self::Log(log) => log.record(event).await,
            Self::Intake(intake) => intake.put(&[event]).await.map_err(|error| {
                tracing::error!(error = %crate::telemetry::chain(&error), "an event could not be recorded");
                NotRecorded
            }),
        }
    }

    /// Records after the answer.
    pub fn queue(&self, event: Event) {
        match self {
            Self::Log(log) => log.queue(event),
            Self::Intake(intake) => {
                let mut waiting = intake.waiting.lock();
                if waiting.len() < MOST {
                    waiting.push(event);
                }
            }
        }
    }

    /// Records a refusal that anyone can cause, together with others like it.
    pub fn fold(&self, event: Event) {
        match self {
            Self::Log(log) => log.fold(event),
            Self::Intake(_) => self.queue(event),
        }
    }

    /// Writes what was queued: for whoever is about to end. A running log does that by itself.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn flush(&self) -> Result<(), StoreError> {
        let Self::Intake(intake) = self else { return Ok(()) };
        let waiting = std::mem::take(&mut *intake.waiting.lock());
        if waiting.is_empty() { Ok(()) } else { intake.put(&waiting).await }
    }
}

impl Intake {
    async fn put(&self, all: &[Event]) -> Result<(), StoreError> {
        let mut tx = self.store.begin().await?;
        for event in all {
            events::intake(&mut tx, event).await?;
        }
        tx.commit().await
    }
}
