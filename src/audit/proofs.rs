//! `GET /api/v1/audit/proofs`: single entries, each with its path to the newest signed head. `GET /api/v1/audit/consistency`:
//! that the log under that head begins with one whose head was kept. Both answer in lines that `stockade audit verify` takes.

use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse, Response};
use http::header;

use super::permissions::{Export, Verify};
use super::{Ctx, Shared};
use crate::audit_log::export::ExportError;
use crate::audit_log::prove;
use crate::audit_log::tiles::TreeError;
use crate::http::query::Query;
use crate::http::{Kind, May, Permission, Problem};
use crate::live;
use crate::model::{Event, Outcome, event};

/// How many proofs one answer has.
const MOST: usize = 100;

fn numbers<T: std::str::FromStr>(text: &str) -> Result<Vec<T>, String> {
    let numbers: Option<Vec<T>> = text.split(',').map(|number| number.parse().ok()).collect();
    let wrong = || format!("write up to {MOST} numbers, with commas between them");
    numbers.filter(|numbers| numbers.len() <= MOST).ok_or_else(wrong)
}

/// The entries' lines, with what they say: as much as an export of them.
pub(super) async fn entries(
    may: May<Export>,
    State(Shared(ctx)): State<Shared>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let mut query = Query::read(query.as_deref(), &["entries", "begins_with"]);
    let seqs = query.take("entries", numbers::<i64>);
    let older = query.take("begins_with", numbers::<u64>).unwrap_or_default();
    query.finish()?;
    let seqs = seqs.ok_or_else(|| Problem::parameter("entries", "name the entries to prove: their `seq`"))?;
    let (action, resource) = (Export::ACTION, Export::resource());
    let read = ctx.guard.event(&may.caller, &may.info, event::kind::AUDIT_READ, Outcome::Allowed, action, resource);
    answer(&ctx, &seqs, &older, read.decided(&may.decision)).await
}

/// One line an older size, and the head.
pub(super) async fn consistency(
    may: May<Verify>,
    State(Shared(ctx)): State<Shared>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let mut query = Query::read(query.as_deref(), &["from"]);
    let from = query.take("from", numbers::<u64>);
    query.finish()?;
    let from = from.ok_or_else(|| Problem::parameter("from", "name the size of a head that was kept"))?;
    let (action, resource) = (Verify::ACTION, Verify::resource());
    let read = ctx.guard.event(&may.caller, &may.info, event::kind::AUDIT_READ, Outcome::Allowed, action, resource);
    answer(&ctx, &[], &from, read.decided(&may.decision)).await
}

async fn answer(ctx: &Ctx, seqs: &[i64], older: &[u64], read: Event) -> Result<Response, Problem> {
    let key = live::keys::log_key(&ctx.store, &ctx.sealer, &*ctx.guard.rng).await.map_err(|error| {
        tracing::warn!(error = %crate::telemetry::chain(&error), "the key of the audit log could not be read");
        Problem::new(Kind::Unavailable).detail("nothing can be proved now: try again")
    })?;
    let mut body = Vec::new();
    match prove::prove(&ctx.store, &key.public(), seqs, older, &mut body).await {
        Ok(()) => {}
        Err(
            error @ (ExportError::Missing(_)
            | ExportError::Dropped(_)
            | ExportError::Unsigned(_)
            | ExportError::Tree(TreeError::Beyond(_))),
        ) => {
            return Err(Problem::new(Kind::NotFound).detail(error.to_string()));
        }
        Err(error) => {
            tracing::warn!(error = %crate::telemetry::chain(&error), "the audit log gave no proof");
            return Err(Problem::new(Kind::Unavailable).detail("nothing can be proved now: see the log of the service"));
        }
    }
    // Who takes entries away is known before they have them.
    let read = read.with("entries", seqs).with("begins_with", older);
    if ctx.guard.audit.record(read).await.is_err() {
        return Err(Problem::new(Kind::NotRecorded).detail("try again later"));
    }
    Ok(([(header::CONTENT_TYPE, "application/x-ndjson")], body).into_response())
}
