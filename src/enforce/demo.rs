//! The demo API of `dev`: notes in memory, guarded by the same tower layer that users embed.

use std::collections::VecDeque;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{RawQuery, Request, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use axum::{Extension, Json, Router};
use http::StatusCode;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::fence::Fence;
use super::layer::FenceLayer;
use super::pipeline::Admitted;
use crate::base::{Clock, Rng, Timestamp, id};
use crate::crypto::b64url;
use crate::crypto::dpop::ALGORITHMS;
use crate::http::{Kind, Problem, body, dpop};

/// Notes kept; older ones make room.
const MOST_NOTES: usize = 1000;
/// Longest text of a note in characters.
const LONGEST_NOTE: usize = 1000;
/// Notes in one answer, unless asked otherwise.
const PAGE: usize = 50;
/// Notes in one answer at most.
const LARGEST_PAGE: usize = 500;

#[derive(Clone, Debug, Serialize)]
struct Note {
    /// Its place in the order; what a cursor says.
    #[serde(skip)]
    number: u64,
    id: String,
    text: String,
    author: Arc<str>,
    created_at: Timestamp,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewNote {
    text: String,
}

#[derive(Debug)]
struct Notes {
    notes: Mutex<VecDeque<Note>>,
    clock: Arc<dyn Clock>,
    rng: Arc<dyn Rng>,
}

/// The API with the document that describes it (RFC 9728), which its challenges name.
pub fn described(fence: &Fence) -> Router {
    let issuer = &*fence.pipeline.issuer;
    let path = format!("/.well-known/oauth-protected-resource{}/demo", dpop::path(issuer));
    let url = [dpop::origin(issuer).unwrap_or_default(), path.as_str()].concat();
    let document = json!({
        "resource": format!("{issuer}/demo"),
        "resource_name": "Notes",
        "authorization_servers": [issuer],
        "scopes_supported": ["notes:read", "notes:write"],
        "bearer_methods_supported": ["header"],
        "dpop_signing_alg_values_supported": ALGORITHMS,
    });
    let document = move || std::future::ready(Json(document.clone()));
    notes(fence, fence.layer().resource_metadata(url)).route(&path, get(document))
}

/// `/demo/notes`: GET lists the newest notes, POST `{"text": …}` adds one.
pub fn router(fence: &Fence) -> Router {
    notes(fence, fence.layer())
}

fn notes(fence: &Fence, layer: FenceLayer) -> Router {
    let pipeline = &fence.pipeline;
    let notes = Notes {
        notes: Mutex::new(VecDeque::new()),
        clock: Arc::clone(&pipeline.clock),
        rng: Arc::clone(&pipeline.rng),
    };
    Router::new().route("/demo/notes", get(list).post(add)).route_layer(layer).with_state(Arc::new(notes))
}

async fn list(State(notes): State<Arc<Notes>>, RawQuery(query): RawQuery) -> Result<Response, Problem> {
    let mut limit = PAGE;
    let mut below = u64::MAX;
    let pairs: Vec<(String, String)> = serde_urlencoded::from_str(query.as_deref().unwrap_or("")).unwrap_or_default();
    for (name, value) in &pairs {
        match name.as_str() {
            "limit" => {
                let asked = value.parse().ok().filter(|limit| (1..=LARGEST_PAGE).contains(limit));
                limit = asked.ok_or_else(|| Problem::parameter("limit", "must be a number from 1 to 500"))?;
            }
            "cursor" => {
                let number = b64url::decode_array::<8>(value).map(u64::from_be_bytes);
                below =
                    number.ok_or_else(|| Problem::parameter("cursor", "is none of ours: begin again without it"))?;
            }
            _ => {}
        }
    }
    let kept = notes.notes.lock();
    let mut newest: Vec<Note> =
        kept.iter().rev().skip_while(|note| note.number >= below).take(limit + 1).cloned().collect();
    drop(kept);
    let more = newest.len() > limit;
    newest.truncate(limit);
    let next = newest.last().filter(|_| more).map(|note| b64url::encode(&note.number.to_be_bytes()));
    Ok(Json(json!({ "items": newest, "next_cursor": next })).into_response())
}

async fn add(
    State(notes): State<Arc<Notes>>,
    Extension(caller): Extension<Admitted>,
    request: Request<Body>,
) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let NewNote { text } = body::json(&parts.headers, body, 16 * 1024).await?;
    if text.trim().is_empty() || text.chars().count() > LONGEST_NOTE {
        let detail = format!("`text` must have 1 to {LONGEST_NOTE} characters that are not all blank");
        return Err(Problem::new(Kind::InvalidBody).detail(detail));
    }
    let now = notes.clock.now();
    let note = Note {
        number: 0,
        id: id::new("note", now, &*notes.rng),
        text,
        author: Arc::clone(&caller.principal.reference().id),
        created_at: now,
    };
    let answer = Json(&note).into_response();
    keep(&mut notes.notes.lock(), note);
    Ok((StatusCode::CREATED, answer).into_response())
}

fn keep(notes: &mut VecDeque<Note>, mut note: Note) {
    note.number = notes.back().map_or(0, |last| last.number + 1);
    while notes.len() >= MOST_NOTES {
        notes.pop_front();
    }
    notes.push_back(note);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn older_notes_make_room() {
        let mut notes = VecDeque::new();
        for number in 0..=MOST_NOTES {
            let created_at = Timestamp::from_secs(0);
            keep(
                &mut notes,
                Note { number: 0, id: number.to_string(), text: "x".to_owned(), author: "a".into(), created_at },
            );
        }
        assert_eq!(notes.len(), MOST_NOTES);
        assert_eq!(notes.front().map(|note| note.id.as_str()), Some("1"));
    }
}
