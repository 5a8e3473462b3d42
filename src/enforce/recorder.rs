//! Where the pipeline's events go.

use crate::model::Event;

/// Takes the events of the pipeline. Called on the request's own task: it must not block.
pub trait Recorder: Send + Sync + std::fmt::Debug {
    /// One event about a caller who is known.
    fn record(&self, event: Event);

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

    fn fold(&self, event: Event) {
        Self::fold(self, event);
    }
}
