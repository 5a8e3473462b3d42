//! `GET /api/v1/audit/export`: the whole log as NDJSON, with what it takes to verify it anywhere. It is verified while it is
//! sent; where it does not hold, the answer breaks off and has no checkpoint at its end.

use std::io::Write as _;
use std::sync::{Arc, LazyLock};

use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse, Response};
use http::header;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::Shared;
use super::permissions::Export;
use crate::audit_log::export;
use crate::http::pipe::pipe;
use crate::http::query::Query;
use crate::http::{Kind, May, Permission, Problem};
use crate::live;
use crate::model::{Outcome, event};

/// How many exports one process sends at once: each reads everything.
static TURNS: LazyLock<Arc<Semaphore>> = LazyLock::new(|| Arc::new(Semaphore::new(2)));

/// One of them.
pub(super) fn turn() -> Result<OwnedSemaphorePermit, Problem> {
    let busy =
        |_| Problem::new(Kind::Unavailable).detail("other exports are on their way: try again when they have ended");
    Arc::clone(&TURNS).try_acquire_owned().map_err(busy)
}

/// One line an entry; the signed head is the last.
pub(super) async fn export(
    may: May<Export>,
    State(Shared(ctx)): State<Shared>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    Query::read(query.as_deref(), &[]).finish()?;
    let turn = turn()?;
    let key = live::keys::log_key(&ctx.store, &ctx.sealer, &*ctx.guard.rng).await.map_err(|error| {
        tracing::warn!(error = %crate::telemetry::chain(&error), "the key of the audit log could not be read");
        Problem::new(Kind::Unavailable).detail("the audit log cannot be exported now: try again")
    })?;
    let (action, resource) = (Export::ACTION, Export::resource());
    let read = ctx.guard.event(&may.caller, &may.info, event::kind::AUDIT_READ, Outcome::Allowed, action, resource);
    // Who takes all of it away is known before they have it.
    if ctx.guard.audit.record(read.decided(&may.decision)).await.is_err() {
        return Err(Problem::new(Kind::NotRecorded).detail("try again later"));
    }
    let (mut writer, body) = pipe();
    let (ctx, handle) = (Arc::clone(&ctx), tokio::runtime::Handle::current());
    tokio::task::spawn_blocking(move || {
        let _turn = turn;
        let work = export::export(&ctx.store, &ctx.origin, &key, &*ctx.guard.clock, &mut writer);
        let done = handle.block_on(work).and_then(|_| Ok(writer.flush()?));
        if let Err(error) = done {
            tracing::warn!(error = %crate::telemetry::chain(&error), "an export of the audit log broke off");
            writer.break_off(error.to_string());
        }
    });
    Ok(([(header::CONTENT_TYPE, "application/x-ndjson")], body).into_response())
}
