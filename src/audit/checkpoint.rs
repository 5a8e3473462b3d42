//! `GET /api/v1/audit/checkpoint`: the newest signed tree head. Keep it elsewhere: a log that was cut or rewritten after it
//! cannot be made to fit it.

use axum::Json;
use axum::extract::{RawQuery, State};
use serde_json::{Value, json};

use super::Shared;
use super::permissions::Verify;
use crate::http::query::Query;
use crate::http::{Kind, May, Permission, Problem};
use crate::model::{Outcome, event};
use crate::store::heads::{self, Head};

/// `{"origin", "size", "root", "note"}`: the note as signed (C2SP), and its three lines in parts.
pub(super) async fn newest(
    may: May<Verify>,
    State(Shared(ctx)): State<Shared>,
    RawQuery(query): RawQuery,
) -> Result<Json<Value>, Problem> {
    Query::read(query.as_deref(), &[]).finish()?;
    let unavailable = |error: crate::store::StoreError| {
        let error = crate::telemetry::chain(&error);
        tracing::warn!(%error, request_id = &*may.info.request_id, "the head of the audit log could not be read");
        Problem::new(Kind::Unavailable).detail("the audit log cannot be read now: try again")
    };
    let mut reader = ctx.store.read_log().await.map_err(unavailable)?;
    let found = heads::standing(&mut reader).await.map_err(unavailable)?.newest;
    drop(reader);
    let Some(Head { size, note }) = found else {
        return Err(
            Problem::new(Kind::NotFound).detail("no head of the audit log has been signed yet: try again in a minute")
        );
    };
    let guard = &ctx.guard;
    let read = guard.event(
        &may.caller,
        &may.info,
        event::kind::AUDIT_READ,
        Outcome::Allowed,
        Verify::ACTION,
        Verify::resource(),
    );
    guard.audit.queue(read.decided(&may.decision).with("size", size));
    let mut lines = note.lines();
    let (origin, root) = (lines.next().unwrap_or_default(), lines.nth(1).unwrap_or_default());
    Ok(Json(json!({ "origin": origin, "size": size, "root": root, "note": note })))
}
