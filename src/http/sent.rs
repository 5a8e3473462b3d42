//! What a caller sent, read whole once the caller is known: body, conditions, idempotency key.

use axum::extract::{FromRequest, Request};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, header};
use serde_json::{Map, Value};

use super::query::Query;
use super::{Kind, Problem, body};
use crate::crypto::sha256;
use crate::registry::Mistake;

/// Longest body, in bytes.
const LONGEST: usize = 65_536;
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// A request behind its guard.
#[derive(Debug)]
pub struct Sent {
    /// SHA-256 of method, target and body: what a repeated call must repeat.
    pub digest: [u8; 32],
    /// `Idempotency-Key`.
    pub key: Option<String>,
    /// Whether it is only to be said what would happen.
    pub dry_run: bool,
    headers: HeaderMap,
    body: Bytes,
}

impl<S: Send + Sync> FromRequest<S> for Sent {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        let mut query = Query::read(parts.uri.query(), &["dry_run"]);
        let dry_run = query.take("dry_run", |text| match text {
            "true" => Ok(true),
            "false" => Ok(false),
            _ => Err("write `true` or `false`"),
        });
        query.finish()?;
        let key = idempotency_key(&parts.headers)?;
        let body = body::read(body, LONGEST).await?;
        let target = parts.uri.path_and_query().map_or("", http::uri::PathAndQuery::as_str);
        let mut whole = format!("{} {target}\n", parts.method).into_bytes();
        whole.extend_from_slice(&body);
        let digest = sha256(&whole);
        Ok(Self { digest, key, dry_run: dry_run.unwrap_or(false), headers: parts.headers, body })
    }
}

/// A structured string (`"…"`) or the bare text that most send: 1 to 255 visible characters.
fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let mut values = headers.get_all(IDEMPOTENCY_KEY).iter();
    let Some(value) = values.next() else { return Ok(None) };
    let text = value.to_str().unwrap_or_default().trim();
    let bare = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text);
    let good = (1..=255).contains(&bare.len()) && bare.chars().all(|c| c.is_ascii_graphic());
    if good && values.next().is_none() {
        return Ok(Some(bare.to_owned()));
    }
    let detail = "`Idempotency-Key` is one text of 1 to 255 visible ASCII characters, such as a UUID";
    Err(Problem::new(Kind::BadRequest).detail(detail))
}

impl Sent {
    /// The members of a JSON object. `patch`: as a merge patch (RFC 7396), which has a media type of its own.
    fn read(&self, patch: bool) -> Result<Map<String, Value>, Problem> {
        let merge = patch && body::is_type(&self.headers, "application/merge-patch+json");
        if !merge && !body::is_type(&self.headers, "application/json") {
            let detail = if patch {
                "send the body as `Content-Type: application/merge-patch+json`"
            } else {
                "send the body as `Content-Type: application/json`"
            };
            return Err(Problem::new(Kind::UnsupportedMediaType).detail(detail));
        }
        match serde_json::from_slice(&self.body) {
            Ok(Value::Object(members)) => Ok(members),
            Ok(_) => Err(Problem::new(Kind::InvalidBody).detail("the body is a JSON object: `{…}`")),
            Err(error) => Err(Problem::new(Kind::InvalidBody).detail(error.to_string())),
        }
    }

    /// The members of the JSON object that was sent.
    ///
    /// # Errors
    /// The problem to answer.
    pub fn object(&self) -> Result<Map<String, Value>, Problem> {
        self.read(false)
    }

    /// The members of the merge patch that was sent.
    ///
    /// # Errors
    /// The problem to answer.
    pub fn patch(&self) -> Result<Map<String, Value>, Problem> {
        self.read(true)
    }

    /// The members of what may be left out: of `known` alone, none without a body.
    ///
    /// # Errors
    /// The problem to answer.
    pub fn options(&self, known: &[&str]) -> Result<Map<String, Value>, Problem> {
        if self.body.is_empty() {
            return Ok(Map::new());
        }
        let members = self.object()?;
        let unknown = members.keys().filter(|name| !known.contains(&name.as_str()));
        let mistakes: Vec<_> = unknown.map(|name| Mistake::unknown(name, known)).collect();
        if mistakes.is_empty() { Ok(members) } else { Err(invalid(&mistakes)) }
    }

    /// Whether what is there now is what the caller means (RFC 9110 13.1.1).
    ///
    /// # Errors
    /// 412 when it is not.
    pub fn matches(&self, etag: &str) -> Result<(), Problem> {
        if !self.is_conditional() {
            return Ok(());
        }
        let lists = self.headers.get_all(header::IF_MATCH).iter();
        let mut tags = lists.flat_map(|list| list.as_bytes().split(|b| *b == b',')).map(<[u8]>::trim_ascii);
        // The comparison is strong: a weak tag matches nothing.
        if tags.any(|tag| tag == b"*" || tag == etag.as_bytes()) {
            return Ok(());
        }
        Err(changed())
    }

    /// Whether it says what it means to change.
    pub fn is_conditional(&self) -> bool {
        self.headers.contains_key(header::IF_MATCH)
    }

    /// The same, demanded (RFC 6585 3).
    ///
    /// # Errors
    /// 428 without `If-Match`.
    pub fn must_be_conditional(&self) -> Result<(), Problem> {
        if self.is_conditional() {
            return Ok(());
        }
        let detail = "say in `If-Match` which state you replace: the `ETag` it was read with, or `*` for any";
        Err(Problem::new(Kind::PreconditionRequired).detail(detail))
    }
}

/// 412.
pub fn changed() -> Problem {
    Problem::new(Kind::PreconditionFailed).detail("read it again, and send the new `ETag` in `If-Match`")
}

/// 422 with every mistake.
pub fn invalid(mistakes: &[Mistake]) -> Problem {
    let detail = mistakes.first().map(ToString::to_string).unwrap_or_default();
    let told = mistakes.iter().map(|m| serde_json::json!({ "pointer": m.pointer, "detail": m.detail }));
    Problem::new(Kind::InvalidMember).detail(detail).with("errors", told.collect::<Vec<_>>())
}
