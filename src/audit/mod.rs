//! The audit API: the read side of the log. `GET /api/v1/audit/events` searches it, newest first; `GET
//! /api/v1/audit/checkpoint` gives its newest signed tree head, `GET /api/v1/audit/export` all of it. Every call is decided by Cedar, and reading is itself an
//! event.

mod checkpoint;
mod events;
mod export;
mod filter;
mod permissions;

use std::sync::Arc;

use axum::Router;
use axum::extract::FromRef;

use crate::crypto::seal::Sealer;
use crate::http::routes::{Call, Described, Routes};
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
    /// Opens the key that signs heads.
    pub sealer: Arc<Sealer>,
    /// What heads are signed for.
    pub origin: String,
}

/// [`Ctx`] as the router's state.
#[derive(Clone)]
struct Shared(Arc<Ctx>);

impl FromRef<Shared> for Arc<Guard> {
    fn from_ref(shared: &Shared) -> Self {
        Self::clone(&shared.0.guard)
    }
}

fn routes() -> Routes<Shared> {
    let search = Call::reads("searchEvents", "Searches the log", "EventPage").query(&filter::PARAMETERS);
    let newest = Call::reads("newestCheckpoint", "Gives the newest signed head of the log", "Head");
    let export = Call::reads("exportLog", "Sends the whole log as NDJSON, verifying it on the way", "ExportLine");
    let export = export.media("application/x-ndjson");
    Routes::default()
        .get("/api/v1/audit/events", search, events::search)
        .get("/api/v1/audit/checkpoint", newest, checkpoint::newest)
        .get("/api/v1/audit/export", export, export::export)
}

/// `/api/v1/audit/…`.
pub fn router(ctx: Ctx) -> Router {
    routes().router(Shared(Arc::new(ctx)))
}

/// The same, for the document.
pub fn described() -> Described {
    routes().described(include_str!("schemas.json"))
}
