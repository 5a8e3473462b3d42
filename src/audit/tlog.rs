//! `GET /api/v1/audit/tlog/…`: the log's tree as C2SP tlog-tiles, for mirrors and witnesses: `checkpoint`, `tile/L/N[.p/W]` and
//! `tile/entries/N[.p/W]`. Nothing in it says what happened: an entry is its leaf data, the two salted commitments.

use axum::extract::{Path, RawQuery, State};
use axum::response::{IntoResponse, Response};
use http::header;

use super::permissions::Verify;
use super::{Ctx, Shared};
use crate::audit_log::prove;
use crate::audit_log::tiles::{self, Tree, TreeError, WIDTH};
use crate::http::query::Query;
use crate::http::{Kind, May, Permission, Problem};
use crate::live;
use crate::model::{Outcome, event};

/// Which tile: its number and how many hashes of it. `x001/x234/067.p/12` is 12 hashes of tile 1,234,067.
fn index(path: &str) -> Option<(u64, u64)> {
    let (path, width) = match path.split_once(".p/") {
        None => (path, WIDTH),
        Some((path, width)) => (path, width.parse().ok().filter(|n| *n > 0 && *n < WIDTH && !width.starts_with('0'))?),
    };
    let mut parts = path.split('/').rev();
    let group =
        |text: &str| text.parse::<u64>().ok().filter(|_| text.len() == 3 && text.bytes().all(|b| b.is_ascii_digit()));
    let (mut number, mut scale) = (group(parts.next()?)?, 1_u64);
    let mut leading = number;
    let mut groups = 1;
    for part in parts {
        leading = group(part.strip_prefix('x')?)?;
        scale = scale.checked_mul(1000)?;
        number = leading.checked_mul(scale)?.checked_add(number)?;
        groups += 1;
    }
    // One spelling each.
    (groups == 1 || leading > 0).then_some((number, width))
}

fn unavailable(error: &TreeError) -> Problem {
    tracing::warn!(error = %crate::telemetry::chain(error), "the tree of the audit log could not be read");
    Problem::new(Kind::Unavailable).detail("the tree of the audit log cannot be read now: try again in a minute")
}

fn record(ctx: &Ctx, may: &May<Verify>, what: String) {
    let (action, resource) = (Verify::ACTION, Verify::resource());
    let read = ctx.guard.event(&may.caller, &may.info, event::kind::AUDIT_READ, Outcome::Allowed, action, resource);
    ctx.guard.audit.queue(read.decided(&may.decision).with("tlog", what));
}

/// The newest signed head, as it was signed.
pub(super) async fn checkpoint(
    may: May<Verify>,
    State(Shared(ctx)): State<Shared>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    Query::read(query.as_deref(), &[]).finish()?;
    let key = live::keys::log_key(&ctx.store, &ctx.sealer, &*ctx.guard.rng).await.map_err(|error| {
        tracing::warn!(error = %crate::telemetry::chain(&error), "the key of the audit log could not be read");
        Problem::new(Kind::Unavailable).detail("the head cannot be read now: try again")
    })?;
    let mut reader = ctx.store.read_log().await.map_err(|error| unavailable(&error.into()))?;
    let head = prove::newest(&mut reader, &key.public()).await.map_err(|error| {
        tracing::warn!(error = %crate::telemetry::chain(&error), "the head of the audit log does not hold");
        Problem::new(Kind::Unavailable).detail("the head does not hold: see the log of the service")
    })?;
    drop(reader);
    let none =
        || Problem::new(Kind::NotFound).detail("no head of the audit log has been signed yet: try again in a minute");
    let (_, note) = head.ok_or_else(none)?;
    record(&ctx, &may, "checkpoint".to_owned());
    Ok(([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], note).into_response())
}

/// A tile of hashes, or of leaf data.
pub(super) async fn tile(
    may: May<Verify>,
    State(Shared(ctx)): State<Shared>,
    Path((level, path)): Path<(String, String)>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    Query::read(query.as_deref(), &[]).finish()?;
    let none =
        || Problem::new(Kind::NotFound).detail("there is no such tile (yet): see C2SP tlog-tiles for their paths");
    let (number, width) = index(&path).ok_or_else(none)?;
    let mut reader = ctx.store.read_log().await.map_err(|error| unavailable(&error.into()))?;
    let body = if level == "entries" {
        tiles::bundle(&mut reader, number, width).await
    } else {
        let level: u32 = level.parse().ok().filter(|n: &u32| n.to_string() == level && *n < 8).ok_or_else(none)?;
        hashes(&mut reader, level, number, width).await
    };
    let body = body.map_err(|error| unavailable(&error))?.ok_or_else(none)?;
    drop(reader);
    record(&ctx, &may, format!("tile/{level}/{path}"));
    Ok(([(header::CONTENT_TYPE, "application/octet-stream")], body).into_response())
}

async fn hashes(
    reader: &mut crate::store::Reader,
    level: u32,
    number: u64,
    width: u64,
) -> Result<Option<Vec<u8>>, TreeError> {
    let tile = Tree::open(reader).await?.tile(level, number, width).await?;
    Ok(tile.map(|hashes| hashes.as_flattened().to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tile_has_one_path_and_others_are_none() {
        assert_eq!(index("000"), Some((0, 256)));
        assert_eq!(index("067.p/12"), Some((67, 12)));
        assert_eq!(index("x001/x234/067"), Some((1_234_067, 256)));
        for path in [
            "",
            "1",
            "0000",
            "x001",
            "001/002",
            "x000/001",
            "000.p/0",
            "000.p/256",
            "000.p/012",
            "000.p/",
            "-01",
            "+01",
            "x001/x234/067/",
            "/000",
            "x018446744073709551616/000",
            "000.p/1/2",
        ] {
            assert_eq!(index(path), None, "{path}");
        }
        let longest = format!("{}999", "x999/".repeat(9));
        assert_eq!(index(&longest), None);
    }
}
