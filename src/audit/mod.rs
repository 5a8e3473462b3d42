//! The audit API: the read side of the log. `GET /api/v1/audit/events` searches it, newest first; `GET
//! /api/v1/audit/checkpoint` gives its newest signed tree head, `GET /api/v1/audit/export` all of it, `GET
//! /api/v1/audit/{proofs,consistency,tlog}` what it takes to trust a part of it. Every call is decided by Cedar, and reading is itself an
//! event.

mod checkpoint;
mod events;
mod export;
mod filter;
mod permissions;
mod proofs;
mod tlog;

use std::sync::Arc;

use axum::Router;
use axum::extract::FromRef;

use crate::crypto::seal::Sealer;
use crate::http::routes::{Call, Described, Parameter, Routes};
use crate::http::{Cursors, Guard};
use crate::store::Store;

const ENTRIES: [Parameter; 2] = [
    Parameter::new("entries", "Which: up to 100 numbers with commas", r#"{"type": "string"}"#),
    Parameter::new("begins_with", "Sizes of heads that were kept", r#"{"type": "string"}"#),
];
const FROM: [Parameter; 1] =
    [Parameter::new("from", "Sizes of heads that were kept, with commas", r#"{"type": "string"}"#)];

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
    let proofs = Call::reads("proveEntries", "Gives entries with their paths to the newest signed head", "ExportLine");
    let proofs = proofs.media("application/x-ndjson").query(&ENTRIES);
    let consistency = Call::reads("proveConsistency", "Shows that the log begins with an older one", "ExportLine");
    let consistency = consistency.media("application/x-ndjson").query(&FROM);
    let note = Call::reads("tlogCheckpoint", "Gives the newest signed head as a note (C2SP tlog-tiles)", "Note");
    let tile = Call::reads("tlogTile", "Gives a tile of the log's tree, or of leaf data (C2SP tlog-tiles)", "Tile");
    let (note, tile) = (note.media("text/plain"), tile.media("application/octet-stream"));
    Routes::default()
        .get("/api/v1/audit/events", search, events::search)
        .get("/api/v1/audit/checkpoint", newest, checkpoint::newest)
        .get("/api/v1/audit/export", export, export::export)
        .get("/api/v1/audit/proofs", proofs, proofs::entries)
        .get("/api/v1/audit/consistency", consistency, proofs::consistency)
        .get("/api/v1/audit/tlog/checkpoint", note, tlog::checkpoint)
        .get("/api/v1/audit/tlog/tile/{level}/{*index}", tile, tlog::tile)
}

/// `/api/v1/audit/…`.
pub fn router(ctx: Ctx) -> Router {
    routes().router(Shared(Arc::new(ctx)))
}

/// The same, for the document.
pub fn described() -> Described {
    routes().described(include_str!("schemas.json"))
}
