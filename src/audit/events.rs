//! `GET /api/v1/audit/events`: the log, newest first.

use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, header};

use super::Shared;
use super::filter::Asked;
use super::permissions::Search;
use crate::http::{Kind, May, Permission, Problem};
use crate::model::{Outcome, event};
use crate::store::log::{self, Numbered};

/// `{"items": [...], "next_cursor": ... | null}`.
pub(super) async fn search(
    may: May<Search>,
    State(Shared(ctx)): State<Shared>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let asked = Asked::read(query.as_deref())?;
    let (caller, binding) = (may.caller.reference().to_string(), asked.binding());
    let bound = [caller.as_str(), binding.as_str()];
    let before = match &asked.cursor {
        None => None,
        Some(cursor) => Some(ctx.cursors.open(&bound, cursor).ok_or_else(|| {
            let detail = "this cursor belongs to another filter or caller, or is none: begin again without it";
            Problem::parameter("cursor", detail)
        })?),
    };
    let unavailable = |error: crate::store::StoreError| {
        let error = crate::telemetry::chain(&error);
        tracing::warn!(%error, request_id = &*may.info.request_id, "the audit log could not be read");
        Problem::new(Kind::Unavailable).detail("the audit log cannot be read now: try again")
    };
    let mut reader = ctx.store.read_log().await.map_err(unavailable)?;
    // One more than asked for tells whether there is another page.
    let mut page = log::page(&mut reader, &asked.filter, before, asked.limit + 1).await.map_err(unavailable)?;
    drop(reader);
    let wanted = usize::try_from(asked.limit).unwrap_or(usize::MAX);
    let more = page.len() > wanted;
    page.truncate(wanted);
    let next = page.last().filter(|_| more).map(|last| ctx.cursors.seal(&bound, last.seq));

    let guard = &ctx.guard;
    let read = guard.event(
        &may.caller,
        &may.info,
        event::kind::AUDIT_READ,
        Outcome::Allowed,
        Search::ACTION,
        Search::resource(),
    );
    guard.audit.queue(read.decided(&may.decision).with("filters", asked.names()).with("items", page.len()));
    Ok(([(header::CONTENT_TYPE, JSON)], render(&page, next.as_deref())).into_response())
}

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
fn item(out: &mut Vec<u8>, numbered: &Numbered) {
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
