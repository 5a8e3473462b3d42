//! `GET /api/v1/audit/events`: the log, newest first.

use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, header};
use serde_json::{Value, json};

use super::asked::{MOST_READ, asked, unavailable};
use super::permissions::Search;
use super::{SEARCH, Shared};
use crate::http::asked::Paged;
use crate::http::query::Query;
use crate::http::routes::Parameter;
use crate::http::{May, Problem};
use crate::store::log::{self, Filter, Numbered, Order, Walk, Work};

/// `{"items": [...], "next_cursor": ... | null}`, and with `explain=true` what it took.
pub(super) async fn search(
    may: May<Search>,
    State(Shared(ctx)): State<Shared>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let mut q = Query::read(query.as_deref(), &SEARCH.map(|parameter| parameter.name));
    let caller = may.caller.reference().to_string();
    let page = Paged::take(&mut q, &ctx.cursors, ("events", caller), &["explain"], ctx.guard.clock.now());
    let explain = q.take("explain", |text| text.parse::<bool>().map_err(|_| "write `true` or `false`"));
    let asked = asked(&mut q, page.as_of);
    q.finish()?;
    let before = page.position.as_deref().and_then(|seq| seq.parse().ok()).unwrap_or(i64::MAX);
    let mut rows = ctx.rows(&may)?;
    let within = rows.within();
    let order = Order::Before(before);
    let walk = Walk { filter: &asked.filter, within: within.as_ref(), order, most: MOST_READ };
    let mut reader = ctx.store.read_log().await.map_err(unavailable(&may))?;
    let found = log::pages(&mut reader, &walk, page.limit, |row| rows.allow(row)).await.map_err(unavailable(&may))?;
    drop(reader);
    let next = found.next.map(|next| page.next(&ctx.cursors, &next.to_string()));
    let mut read = ctx.read_event(&may, asked.names).with("items", found.items.len());
    if rows.withheld() > 0 {
        read = read.with("withheld", rows.withheld());
    }
    ctx.guard.audit.queue(read);
    let mut body = render(&found.items, next.as_deref());
    if explain == Some(true) && body.pop().is_some() {
        body.extend_from_slice(br#","explain":"#);
        body.extend_from_slice(explained(&asked.filter, &found.work).to_string().as_bytes());
        body.push(b'}');
    }
    Ok(([(header::CONTENT_TYPE, JSON)], body).into_response())
}

/// What it took, without a word of what the caller may not see.
fn explained(filter: &Filter, work: &Work) -> Value {
    json!({
        "filter": filter.to_string(),
        "index": work.plan,
        "segments": work.segments,
        "segments_passed_over": work.passed_over,
        "blocks": work.blocks,
        "entries_read": work.read,
        "entries_unindexed": work.unindexed,
    })
}

/// Of a search alone.
pub(super) const EXPLAIN: [Parameter; 1] =
    [Parameter::new("explain", "Whether to tell what the index did", r#"{"type": "boolean", "default": false}"#)];

const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// The stored halves are JSON objects already: they are joined as they are, so what is read is what was signed.
fn render(page: &[Numbered], next: Option<&str>) -> Vec<u8> {
    let mut out = Vec::with_capacity(64 + page.len() * 600);
    out.extend_from_slice(br#"{"items":["#);
    for (i, numbered) in page.iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        item(&mut out, numbered);
    }
    out.extend_from_slice(br#"],"next_cursor":"#);
    match next {
        // Base64url needs no escapes.
        Some(cursor) => {
            out.push(b'"');
            out.extend_from_slice(cursor.as_bytes());
            out.push(b'"');
        }
        None => out.extend_from_slice(b"null"),
    }
    out.push(b'}');
    out
}

/// One event: its number, then the members of both halves. What was erased is missing, and `erased` says so.
pub(super) fn item(out: &mut Vec<u8>, numbered: &Numbered) {
    out.extend_from_slice(format!(r#"{{"seq":{}"#, numbered.seq).as_bytes());
    let halves = [numbered.entry.rest(), numbered.entry.personal()].map(|half| half.body.and_then(members));
    halves.into_iter().flatten().for_each(|members| append(out, members));
    if halves.contains(&None) {
        append(out, br#""erased":true"#);
    }
    out.push(b'}');
}

/// What stands between the braces of a JSON object that we wrote.
fn members(object: &[u8]) -> Option<&[u8]> {
    object.strip_prefix(b"{")?.strip_suffix(b"}")
}

fn append(out: &mut Vec<u8>, members: &[u8]) {
    if !members.is_empty() {
        out.push(b',');
        out.extend_from_slice(members);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::store::entry::{Entry, Half};

    fn stored(seq: i64, rest: Option<&'static str>, personal: Option<&'static str>) -> Numbered {
        let half = |body: Option<&'static str>| Half {
            body: body.map(str::as_bytes),
            salt: if body.is_some() { &[0; 16] } else { &[0; 32] },
        };
        Numbered { seq, leaf: [0; 32], entry: Entry::of(half(personal), half(rest)) }
    }

    #[test]
    fn both_halves_are_one_object_and_what_was_erased_is_said() {
        let page = [
            stored(3, Some(r#"{"id":"evt_3","kind":"decision"}"#), Some(r#"{"principal":"Client::\"a\""}"#)),
            stored(2, Some(r#"{"id":"evt_2"}"#), Some("{}")),
            stored(1, Some(r#"{"id":"evt_1"}"#), None),
            stored(0, None, None),
        ];
        let body: Value = serde_json::from_slice(&render(&page, Some("abc"))).unwrap();
        assert_eq!(
            body,
            json!({
                "items": [
                    { "seq": 3, "id": "evt_3", "kind": "decision", "principal": "Client::\"a\"" },
                    { "seq": 2, "id": "evt_2" },
                    { "seq": 1, "id": "evt_1", "erased": true },
                    { "seq": 0, "erased": true },
                ],
                "next_cursor": "abc",
            })
        );
        let empty: Value = serde_json::from_slice(&render(&[], None)).unwrap();
        assert_eq!(empty, json!({ "items": [], "next_cursor": null }));
    }
}
