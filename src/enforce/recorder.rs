//! Where the pipeline's events go.

use std::future::Future;
use std::pin::Pin;

use crate::model::Event;

/// The event is not known to be recorded: the request that depends on it must not proceed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the event was not recorded in time")]
pub struct NotRecorded;

/// Waits until an event is recorded.
pub type Recorded<'a> = Pin<Box<dyn Future<Output = Result<(), NotRecorded>> + Send + 'a>>;

/// Takes the events of the pipeline. Called on the request's own task: it must not block.
pub trait Recorder: Send + Sync + std::fmt::Debug {
    /// One event about a caller who is known.
    fn record(&self, event: Event);

    /// One event that must be recorded before the request proceeds or its answer leaves (`@record("before")`).
    fn before(&self, event: Event) -> Recorded<'_> {
        self.record(event);
        Box::pin(std::future::ready(Ok(())))
    }

    /// One event that anyone can cause, as often as they like: to be counted together with others like it.
    fn fold(&self, event: Event) {
        self.record(event);
    }
}

/// Logs refusals through `tracing` and keeps nothing: the default of an embedded guard.
#[derive(Clone, Copy, Debug, Default)]
pub struct Traced;

impl Recorder for Traced {
    fn record(&self, event: Event) {
        if event.outcome != crate::model::Outcome::Allowed {
            tracing::info!(
                event = event.id,
                kind = event.kind,
                principal = event.principal.as_ref().map(tracing::field::display),
                action = event.action.as_deref(),
                resource = event.resource.as_deref(),
                reason = event.reason.as_deref(),
                request_id = event.request_id.as_deref(),
                "refused"
            );
        }
    }

    fn fold(&self, event: Event) {
        tracing::debug!(event = event.id, kind = event.kind, reason = event.reason.as_deref(), "refused");
    }
}

#[cfg(feature = "server")]
impl Recorder for crate::audit_log::AuditLog {
    fn record(&self, event: Event) {
        self.queue(event);
    }

    fn before(&self, event: Event) -> Recorded<'_> {
        Box::pin(async move { Self::record(self, event).await.map_err(|_| NotRecorded) })
    }

    fn fold(&self, event: Event) {
        Self::fold(self, event);
    }
}
