//! `GET /api/v1/audit/events/export`: the events that match, oldest first, one a line: as they are, or in OCSF. Go on after
//! the last line that came with `after`.

use std::io::Write as _;
use std::sync::Arc;

use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse, Response};
use http::header;
use tokio::sync::OwnedSemaphorePermit;

use super::asked::{MOST_READ, asked, unavailable};
use super::events::item;
use super::export::turn;
use super::ocsf;
use super::permissions::Search;
use super::{Ctx, Shared, TAKE};
use crate::http::pipe::{PipeWriter, pipe};
use crate::http::query::Query;
use crate::http::routes::Parameter;
use crate::http::{Kind, May, Problem};
use crate::store::log::{self, Filter, Order, Walk};

/// Events of one look.
const LOOK: usize = 1000;

/// Beside what filters.
pub(super) const PARAMETERS: [Parameter; 2] = [
    Parameter::new("after", "The number of the last event that you have", r#"{"type": "integer", "minimum": -1}"#),
    Parameter::new("format", "How events are written", r#"{"enum": ["ndjson", "ocsf"], "default": "ndjson"}"#),
];

/// How events are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Ndjson,
    Ocsf,
}

/// One line an event.
pub(super) async fn take(
    may: May<Search>,
    State(Shared(ctx)): State<Shared>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let mut q = Query::read(query.as_deref(), &TAKE.map(|parameter| parameter.name));
    let asked = asked(&mut q, ctx.guard.clock.now());
    let after = q.take("after", |text| text.parse::<i64>().ok().filter(|seq| *seq >= -1).ok_or("write a number"));
    let format = q.take("format", |text| match text {
        "ndjson" => Ok(Format::Ndjson),
        "ocsf" => Ok(Format::Ocsf),
        _ => Err("write `ndjson` or `ocsf`"),
    });
    q.finish()?;
    ctx.rows(&may)?;
    let turn = turn()?;
    let mut reader = ctx.store.read_log().await.map_err(unavailable(&may))?;
    let end = log::last_seq(&mut reader).await.map_err(unavailable(&may))?;
    drop(reader);
    let after = after.unwrap_or(-1);
    let format = format.unwrap_or(Format::Ndjson);
    let read = ctx.read_event(&may, asked.names).with("by", "export").with("after", after);
    // Who takes them away is known before they have them.
    if ctx.guard.audit.record(read).await.is_err() {
        return Err(Problem::new(Kind::NotRecorded).detail("try again later"));
    }
    let (writer, body) = pipe();
    let work = Taking { ctx: Arc::clone(&ctx), may, filter: asked.filter, format, end, _turn: turn };
    let handle = tokio::runtime::Handle::current();
    tokio::task::spawn_blocking(move || {
        let mut writer = writer;
        if let Err(error) = handle.block_on(work.write(after, &mut writer)) {
            tracing::warn!(error, "an export of events broke off");
            writer.break_off(error);
        }
    });
    Ok(([(header::CONTENT_TYPE, "application/x-ndjson")], body).into_response())
}

struct Taking {
    ctx: Arc<Ctx>,
    may: May<Search>,
    filter: Filter,
    format: Format,
    /// The last entry there was at the beginning.
    end: i64,
    _turn: OwnedSemaphorePermit,
}

impl Taking {
    async fn write(&self, mut after: i64, out: &mut PipeWriter) -> Result<(), String> {
        let told = |error: crate::store::StoreError| crate::telemetry::chain(&error).to_string();
        let mut line = Vec::new();
        loop {
            // What is allowed is decided as the policies are now: an export takes its time.
            let mut rows = self.ctx.rows(&self.may).map_err(|_| "the policies no longer allow it".to_owned())?;
            let within = rows.within();
            let order = Order::After(after);
            let walk = Walk { filter: &self.filter, within: within.as_ref(), order, most: MOST_READ };
            let mut reader = self.ctx.store.read_log().await.map_err(told)?;
            let found = log::pages(&mut reader, &walk, LOOK, |row| rows.allow(row)).await.map_err(told)?;
            drop(reader);
            for numbered in found.items.iter().take_while(|numbered| numbered.seq <= self.end) {
                line.clear();
                match self.format {
                    Format::Ndjson => item(&mut line, numbered),
                    Format::Ocsf => line.extend_from_slice(ocsf::event(numbered).to_string().as_bytes()),
                }
                line.push(b'\n');
                out.write_all(&line).map_err(|e| e.to_string())?;
            }
            match found.next {
                Some(next) if next < self.end => after = next,
                _ => return out.flush().map_err(|e| e.to_string()),
            }
        }
    }
}
