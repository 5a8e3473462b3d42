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
//! POST /api/v1/findings/{id}/…       triage: acknowledge, assign, resolve, reopen, escalate, comment
//! GET  /api/v1/cases[/{id}]          findings of one cause together; POST …/{id}/…: the same for all of them
//! GET POST /api/v1/suppressions      what nobody is told of; POST …/{id}/end
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
mod cases;
mod feeds;
mod filter;
mod history;
mod import;
mod normalise;
mod own;
mod permissions;
mod record;
mod respond;
mod settle;
mod source;
mod split;
mod suppress;
mod sync;
mod triage;

use std::sync::Arc;

use axum::Router;
use axum::extract::FromRef;

pub use feeds::{Feeds, Past, Round};
pub use import::{ImportError, import};
pub use normalise::normalise;
pub use own::{Own, PRODUCT};
pub use record::{Bringer, Incoming, Tally, record};
pub use respond::Responder;
pub use settle::end_expired;
pub use source::{Answer, Page, Source, SourceError, Window};
pub use split::{Piece, split};
pub use sync::{Compared, OnPage, Sync, SyncError};

use crate::crypto::seal::Sealer;
use crate::http::change::Changes;
use crate::http::routes::{Call, Described, PAGE, Parameter, Routes};
use crate::http::{Cursors, Guard};
use crate::live::Live;
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
    /// Seals answers that are kept.
    pub sealer: Arc<Sealer>,
    /// What this process holds in memory; a command holds nothing.
    pub live: Option<Arc<Live>>,
}

impl Changes for Ctx {
    fn guard(&self) -> &Guard {
        &self.guard
    }

    fn store(&self) -> &Store {
        &self.store
    }

    fn sealer(&self) -> &Sealer {
        &self.sealer
    }

    fn live(&self) -> Option<&Live> {
        self.live.as_deref()
    }
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
    let routes = Routes::default()
        .get("/api/v1/findings", list, api::list)
        .get("/api/v1/findings/{id}", show, api::show)
        .get("/api/v1/findings/{id}/raw", raw, api::raw);
    suppressions(cases(acts(routes)))
}

/// What people do to a finding.
fn acts(routes: Routes<Shared>) -> Routes<Shared> {
    let act = |id, summary, body| Call::acts(id, summary, "Finding").takes(body).tagged();
    let [acknowledge, assign, resolve] = [
        act("acknowledgeFinding", "Says that somebody has it in hand", "Acknowledgement"),
        act("assignFinding", "Says who works on it", "Assignment"),
        act("resolveFinding", "Says that it is dealt with", "Resolving"),
    ];
    let [reopen, escalate, comment] = [
        act("reopenFinding", "Says that it is not", "Comment"),
        act("escalateFinding", "Hands it up", "Escalation"),
        act("commentOnFinding", "Adds words", "Comment"),
    ];
    routes
        .post("/api/v1/findings/{id}/acknowledge", acknowledge, triage::acknowledge)
        .post("/api/v1/findings/{id}/assign", assign, triage::assign)
        .post("/api/v1/findings/{id}/resolve", resolve, triage::resolve)
        .post("/api/v1/findings/{id}/reopen", reopen, triage::reopen)
        .post("/api/v1/findings/{id}/escalate", escalate, triage::escalate)
        .post("/api/v1/findings/{id}/comment", comment, triage::comment)
}

fn cases(routes: Routes<Shared>) -> Routes<Shared> {
    let list = Call::reads("listCases", "Lists the cases that are open", "CasePage").query(&PAGE);
    let show = Call::reads("showCase", "Shows a case with its findings", "Case");
    let act = |id, summary, body| Call::acts(id, summary, "Case").takes(body);
    let [acknowledge, assign] = [
        act("acknowledgeCase", "Says that somebody has all of it in hand", "Acknowledgement"),
        act("assignCase", "Says who works on all of it", "Assignment"),
    ];
    let [resolve, reopen] = [
        act("resolveCase", "Says that all of it is dealt with", "Resolving"),
        act("reopenCase", "Says that it is not", "Comment"),
    ];
    routes
        .get("/api/v1/cases", list, cases::list)
        .get("/api/v1/cases/{id}", show, cases::show)
        .post("/api/v1/cases/{id}/acknowledge", acknowledge, cases::acknowledge)
        .post("/api/v1/cases/{id}/assign", assign, cases::assign)
        .post("/api/v1/cases/{id}/resolve", resolve, cases::resolve)
        .post("/api/v1/cases/{id}/reopen", reopen, cases::reopen)
}

fn suppressions(routes: Routes<Shared>) -> Routes<Shared> {
    let list = Call::reads("listSuppressions", "Lists what nobody is told of", "SuppressionPage");
    let create = Call::acts("createSuppression", "Hides findings for a time", "Suppression").takes("NewSuppression");
    let end = Call::acts("endSuppression", "Shows again what it hid", "Suppression");
    routes
        .get("/api/v1/suppressions", list, suppress::list)
        .post("/api/v1/suppressions", create.creates(), suppress::create)
        .post("/api/v1/suppressions/{id}/end", end, suppress::end)
}

const REVISION: [Parameter; 1] =
    [Parameter::new("revision", "Which; the one in force when left out", r#"{"type": "integer", "minimum": 1}"#)];

/// The same, for the document.
pub fn described() -> Described {
    routes().described(include_str!("schemas.json"))
}
