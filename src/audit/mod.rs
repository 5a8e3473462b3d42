//! The audit API: the read side of the log.
//!
//! ```text
//! GET /api/v1/audit/events             searches it, newest first
//! GET /api/v1/audit/events/facets      counts what they say
//! GET /api/v1/audit/events/histogram   counts them over time
//! GET /api/v1/audit/events/tail        sends them as they are recorded
//! GET /api/v1/audit/events/export      sends them, oldest first, as they are or in OCSF
//! GET /api/v1/audit/checkpoint         the newest signed tree head
//! GET /api/v1/audit/export             the whole log, to be verified anywhere
//! GET /api/v1/audit/proofs             single entries, with what it takes to trust them
//! GET /api/v1/audit/consistency        that the log goes on from an older head
//! GET /api/v1/audit/tlog/…             its tree (C2SP tlog-tiles)
//! ```
//!
//! Every call is decided by Cedar, and reading is itself an event. Of what a call about events finds each event is decided as
//! well (`audit:read`): who may not see it never learns that it is there.

mod asked;
mod checkpoint;
mod counts;
mod events;
mod export;
mod filter;
mod ocsf;
mod permissions;
mod proofs;
mod tail;
mod take;
mod tlog;

use std::sync::Arc;

pub use tail::Tails;

use axum::Router;
use axum::extract::FromRef;
use filter::FILTERS;

use crate::crypto::seal::Sealer;
use crate::http::routes::{Call, Described, PAGE, Parameter, Routes, joined};
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
    /// Who reads along.
    pub tails: Tails,
}

/// [`Ctx`] as the router's state.
#[derive(Clone)]
struct Shared(Arc<Ctx>);

impl FromRef<Shared> for Arc<Guard> {
    fn from_ref(shared: &Shared) -> Self {
        Self::clone(&shared.0.guard)
    }
}

const SEARCH: [Parameter; 13] = joined(&[&FILTERS, &PAGE, &events::EXPLAIN]);
const FACETS: [Parameter; 13] = joined(&[&FILTERS, &[PAGE[1]], &counts::FACETS]);
const TAIL: [Parameter; 10] = FILTERS;
const TAKE: [Parameter; 12] = joined(&[&FILTERS, &take::PARAMETERS]);
const HISTOGRAM: [Parameter; 12] = joined(&[&FILTERS, &[PAGE[1]], &counts::HISTOGRAM]);

fn routes() -> Routes<Shared> {
    let search = Call::reads("searchEvents", "Searches the log", "EventPage").query(&SEARCH);
    let facets = Call::reads("countEvents", "Counts events by what they say", "Facets").query(&FACETS);
    let histogram = Call::reads("countEventsOverTime", "Counts events over time", "Histogram").query(&HISTOGRAM);
    let tail = Call::reads("tailEvents", "Sends events as they are recorded, as server-sent events", "EventStream");
    let tail = tail.query(&TAIL).media("text/event-stream");
    let take = Call::reads("exportEvents", "Sends events, oldest first, one a line", "EventLine").query(&TAKE);
    let take = take.media("application/x-ndjson");
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
        .get("/api/v1/audit/events/facets", facets, counts::facets)
        .get("/api/v1/audit/events/histogram", histogram, counts::histogram)
        .get("/api/v1/audit/events/tail", tail, tail::tail)
        .get("/api/v1/audit/events/export", take, take::take)
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
