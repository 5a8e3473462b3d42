//! Findings of AWS's detectors: GuardDuty, Security Hub, and what speaks their formats.
//!
//! ```text
//! documents -> split (envelopes) -> record: normalise -> one Tx: finding, revision, entities, event
//! store -> live: who is at risk -> policy; respond: what they may not keep ends
//! aws/ -> a page -> sync: the same Tx, and how far the source is read
//! audit_log: what refusals say together -> own -> the same Tx
//! GET /api/v1/findings               list: newest activity first
//! GET /api/v1/findings/{id}          one, with its revisions
//! GET /api/v1/findings/{id}/raw      its bytes, as received
//! ```
//!
//! The bytes are the truth and are kept as received; what is read from them can be read again. A finding is known again by
//! its provider's id; each content it ever had is a revision, and each revision is an event. Findings of one cause, such as
//! the same activity seen by GuardDuty and by Security Hub, share a case.

mod api;
#[cfg(feature = "aws")]
mod aws;
#[cfg(not(feature = "aws"))]
#[path = "no_aws.rs"]
mod aws;
mod feeds;
mod filter;
mod import;
mod normalise;
mod own;
mod permissions;
mod record;
mod respond;
mod source;
mod split;
mod sync;

use std::sync::Arc;

use axum::Router;
use axum::extract::FromRef;

pub use feeds::{Feeds, Past, Round};
pub use import::{ImportError, import};
pub use normalise::normalise;
pub use own::{Own, PRODUCT};
pub use record::{Bringer, Incoming, Tally, record};
pub use respond::Responder;
pub use source::{Answer, Page, Source, SourceError, Window};
pub use split::{Piece, split};
pub use sync::{OnPage, Sync, SyncError};

use crate::http::routes::{Call, Described, Parameter, Routes};
use crate::http::{Cursors, Guard};
use crate::store::Store;

/// Findings that are made up, of every format, for trying things out; each says so.
pub const SAMPLES: &str = include_str!("samples.json");

/// What the API of findings needs.
#[derive(Debug)]
pub struct Ctx {
    /// Who may.
    pub guard: Arc<Guard>,
    /// Where they are.
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

/// `/api/v1/findings…`.
pub fn router(ctx: Ctx) -> Router {
    routes().router(Shared(Arc::new(ctx)))
}

fn routes() -> Routes<Shared> {
    let [list, show, raw] = [
        Call::reads("listFindings", "Lists how findings stand", "FindingPage").query(&filter::PARAMETERS),
        Call::reads("showFinding", "Shows a finding with its revisions", "Finding"),
        Call::reads("rawFinding", "Gives the bytes of a revision as they were received", "RawFinding").query(&REVISION),
    ];
    Routes::default().get("/api/v1/findings", list, api::list).get("/api/v1/findings/{id}", show, api::show).get(
        "/api/v1/findings/{id}/raw",
        raw,
        api::raw,
    )
}

const REVISION: [Parameter; 1] =
    [Parameter::new("revision", "Which; the one in force when left out", r#"{"type": "integer", "minimum": 1}"#)];

/// The same, for the document.
pub fn described() -> Described {
    routes().described(include_str!("schemas.json"))
}
