//! The audit API: the read side of the log. `GET /api/v1/audit/events` searches it, newest first; `GET
//! /api/v1/audit/checkpoint` gives its newest signed tree head. Every call is decided by Cedar, and reading is itself an
//! event.

mod checkpoint;
mod events;
mod filter;
mod permissions;

use std::sync::Arc;

use axum::Router;
use axum::extract::FromRef;
use axum::routing::get;

use crate::http::{Cursors, Guard};
use crate::store::Store;

/// What the audit API needs.
#[derive(Debug)]
pub struct Ctx {
    /// Who may.
    pub guard: Arc<Guard>,
    /// The log's database.
    pub store: Store,
    /// Where pages begin; the same in every process of a deployment.
    pub cursors: Cursors,
}

/// [`Ctx`] as the router's state.
#[derive(Clone)]
struct Shared(Arc<Ctx>);

impl FromRef<Shared> for Arc<Guard> {
    fn from_ref(shared: &Shared) -> Self {
        Self::clone(&shared.0.guard)
    }
}

/// `/api/v1/audit/…`.
pub fn router(ctx: Ctx) -> Router {
    Router::new()
        .route("/api/v1/audit/events", get(events::search))
        .route("/api/v1/audit/checkpoint", get(checkpoint::newest))
        .with_state(Shared(Arc::new(ctx)))
}
