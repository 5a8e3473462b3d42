//! RFC 9457 problems: every error of ours that no other standard gives a shape. `type` is stable; programs branch on it, and
//! people read `detail`.

use std::borrow::Cow;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};
use serde_json::{Map, Value};

use crate::limits::fields;

/// The content type.
pub const CONTENT_TYPE: HeaderValue = HeaderValue::from_static("application/problem+json");

/// What kind of problem: a closed set, each with its status and its stable `type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// 400: something about the request, which `detail` names.
    BadRequest,
    /// 400: one or more parameters, which `errors` names.
    InvalidParameter,
    /// 400: the body is not what it should be.
    InvalidBody,
    /// 401: no credential.
    Unauthenticated,
    /// 401: a credential that is no good.
    InvalidToken,
    /// 401: the person must authenticate more strongly or again.
    InsufficientAuthentication,
    /// 403: the token lacks a scope.
    InsufficientScope,
    /// 403: policy says no.
    Forbidden,
    /// 404.
    NotFound,
    /// 405.
    MethodNotAllowed,
    /// 408: the body did not come in time.
    BodyTimeout,
    /// 409: someone changed it first, or it exists.
    Conflict,
    /// 412: it is no longer what `If-Match` says.
    PreconditionFailed,
    /// 422: one or more members of the body, which `errors` names.
    InvalidMember,
    /// 422: the `Idempotency-Key` belongs to another call.
    IdempotencyKeyReused,
    /// 428: it must be said which state is replaced.
    PreconditionRequired,
    /// 413.
    BodyTooLarge,
    /// 415.
    UnsupportedMediaType,
    /// 414.
    UriTooLong,
    /// 431: a request line or header fields too long, or too many of them.
    HeadTooLarge,
    /// 429: a quota is used up.
    QuotaExceeded,
    /// 500.
    Internal,
    /// 503: a part that this needs is not there now.
    Unavailable,
    /// 503: the audit log could not record it, so it did not happen.
    NotRecorded,
    /// 503: it took too long.
    Timeout,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 25] = [
        Self::BadRequest,
        Self::InvalidParameter,
        Self::InvalidBody,
        Self::Unauthenticated,
        Self::InvalidToken,
        Self::InsufficientAuthentication,
        Self::InsufficientScope,
        Self::Forbidden,
        Self::NotFound,
        Self::MethodNotAllowed,
        Self::BodyTimeout,
        Self::Conflict,
        Self::PreconditionFailed,
        Self::InvalidMember,
        Self::IdempotencyKeyReused,
        Self::PreconditionRequired,
        Self::BodyTooLarge,
        Self::UnsupportedMediaType,
        Self::UriTooLong,
        Self::HeadTooLarge,
        Self::QuotaExceeded,
        Self::Internal,
        Self::Unavailable,
        Self::NotRecorded,
        Self::Timeout,
    ];

    /// The status.
    pub const fn status(self) -> StatusCode {
        match self {
            Self::BadRequest | Self::InvalidParameter | Self::InvalidBody => StatusCode::BAD_REQUEST,
            Self::Unauthenticated | Self::InvalidToken | Self::InsufficientAuthentication => StatusCode::UNAUTHORIZED,
            Self::InsufficientScope | Self::Forbidden => StatusCode::FORBIDDEN,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::BodyTimeout => StatusCode::REQUEST_TIMEOUT,
            Self::Conflict => StatusCode::CONFLICT,
            Self::PreconditionFailed => StatusCode::PRECONDITION_FAILED,
            Self::InvalidMember | Self::IdempotencyKeyReused => StatusCode::UNPROCESSABLE_ENTITY,
            Self::PreconditionRequired => StatusCode::PRECONDITION_REQUIRED,
            Self::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::UnsupportedMediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::UriTooLong => StatusCode::URI_TOO_LONG,
            Self::HeadTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::QuotaExceeded => StatusCode::TOO_MANY_REQUESTS,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Unavailable | Self::NotRecorded | Self::Timeout => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// The `type`.
    pub const fn type_uri(self) -> &'static str {
        match self {
            Self::BadRequest => "urn:stockade:problem:bad-request",
            Self::InvalidParameter => "urn:stockade:problem:invalid-parameter",
            Self::InvalidBody => "urn:stockade:problem:invalid-body",
            Self::Unauthenticated => "urn:stockade:problem:unauthenticated",
            Self::InvalidToken => "urn:stockade:problem:invalid-token",
            Self::InsufficientAuthentication => "urn:stockade:problem:insufficient-authentication",
            Self::InsufficientScope => "urn:stockade:problem:insufficient-scope",
            Self::Forbidden => "urn:stockade:problem:forbidden",
            Self::NotFound => "urn:stockade:problem:not-found",
            Self::MethodNotAllowed => "urn:stockade:problem:method-not-allowed",
            Self::BodyTimeout => "urn:stockade:problem:body-timeout",
            Self::Conflict => "urn:stockade:problem:conflict",
            Self::PreconditionFailed => "urn:stockade:problem:precondition-failed",
            Self::InvalidMember => "urn:stockade:problem:invalid-member",
            Self::IdempotencyKeyReused => "urn:stockade:problem:idempotency-key-reused",
            Self::PreconditionRequired => "urn:stockade:problem:precondition-required",
            Self::BodyTooLarge => "urn:stockade:problem:body-too-large",
            Self::UnsupportedMediaType => "urn:stockade:problem:unsupported-media-type",
            Self::UriTooLong => "urn:stockade:problem:uri-too-long",
            Self::HeadTooLarge => "urn:stockade:problem:head-too-large",
            Self::QuotaExceeded => fields::QUOTA_EXCEEDED,
            Self::Internal => "urn:stockade:problem:internal",
            Self::Unavailable => "urn:stockade:problem:unavailable",
            Self::NotRecorded => "urn:stockade:problem:not-recorded",
            Self::Timeout => "urn:stockade:problem:timeout",
        }
    }

    /// The `title`: the same words for every occurrence.
    pub const fn title(self) -> &'static str {
        match self {
            Self::BadRequest => "The request is malformed",
            Self::InvalidParameter => "A parameter is not valid",
            Self::InvalidBody => "The body is not valid",
            Self::Unauthenticated => "An access token is needed",
            Self::InvalidToken => "The access token is not valid",
            Self::InsufficientAuthentication => "A stronger or fresher sign-in is needed",
            Self::InsufficientScope => "The access token lacks a scope",
            Self::Forbidden => "Policy does not allow this",
            Self::NotFound => "There is nothing here",
            Self::MethodNotAllowed => "This does not take that method",
            Self::BodyTimeout => "The body did not come in time",
            Self::Conflict => "Someone was here first",
            Self::PreconditionFailed => "It has changed since it was read",
            Self::InvalidMember => "A member of the body is not valid",
            Self::IdempotencyKeyReused => "The idempotency key belongs to another call",
            Self::PreconditionRequired => "It must be said what is replaced",
            Self::BodyTooLarge => "The body is too large",
            Self::UnsupportedMediaType => "The body is of another media type",
            Self::UriTooLong => "The URI is too long",
            Self::HeadTooLarge => "The head of the request is too large",
            Self::QuotaExceeded => "Too many requests",
            Self::Internal => "Something broke on our side",
            Self::Unavailable => "A part of the service is not available",
            Self::NotRecorded => "The audit log could not record this, so it was not done",
            Self::Timeout => "This took too long",
        }
    }
}

/// One problem.
#[derive(Clone, Debug)]
pub struct Problem(Box<Inner>);

#[derive(Clone, Debug)]
struct Inner {
    kind: Kind,
    detail: Option<Cow<'static, str>>,
    members: Map<String, Value>,
    headers: HeaderMap,
}

impl Problem {
    /// A problem of `kind`, without detail.
    pub fn new(kind: Kind) -> Self {
        Self(Box::new(Inner { kind, detail: None, members: Map::new(), headers: HeaderMap::new() }))
    }

    /// One parameter that is not valid, and what to write instead.
    pub fn parameter(name: &str, detail: impl Into<Cow<'static, str>>) -> Self {
        let detail = detail.into();
        let error = serde_json::json!({ "parameter": name, "detail": &*detail });
        Self::new(Kind::InvalidParameter).detail(format!("`{name}`: {detail}")).with("errors", vec![error])
    }

    /// What happened this time and what to do next. Never a secret, never the inner error.
    #[must_use]
    pub fn detail(mut self, detail: impl Into<Cow<'static, str>>) -> Self {
        self.0.detail = Some(detail.into());
        self
    }

    /// An extension member (RFC 9457 3.2).
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.0.members.insert(name.to_owned(), value.into());
        self
    }

    /// A header of the answer.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.0.headers.append(name, value);
        self
    }

    /// Headers of the answer, added by `add`.
    #[must_use]
    pub fn headers(mut self, add: impl FnOnce(&mut HeaderMap)) -> Self {
        add(&mut self.0.headers);
        self
    }

    /// What kind it is.
    pub fn kind(&self) -> Kind {
        self.0.kind
    }

    /// The body: JSON.
    pub fn body(&self, request_id: Option<&str>) -> Bytes {
        let mut all = Map::new();
        all.insert("type".to_owned(), self.0.kind.type_uri().into());
        all.insert("title".to_owned(), self.0.kind.title().into());
        all.insert("status".to_owned(), self.0.kind.status().as_u16().into());
        if let Some(detail) = &self.0.detail {
            all.insert("detail".to_owned(), Value::from(&**detail));
        }
        if let Some(request_id) = request_id {
            all.insert("request_id".to_owned(), request_id.into());
        }
        for (name, value) in &self.0.members {
            all.entry(name.clone()).or_insert_with(|| value.clone());
        }
        serde_json::to_vec(&all).unwrap_or_default().into()
    }

    /// The whole answer.
    pub fn response(self, request_id: Option<&str>) -> Response<Bytes> {
        let mut response = Response::new(self.body(request_id));
        *response.status_mut() = self.0.kind.status();
        *response.headers_mut() = self.0.headers;
        response.headers_mut().insert(header::CONTENT_TYPE, CONTENT_TYPE);
        response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response
    }
}

/// The answer without `request_id`; [`super::edge`] adds it, which knows it.
#[cfg(feature = "server")]
impl axum::response::IntoResponse for Problem {
    fn into_response(self) -> axum::response::Response {
        let mut response = self.clone().response(None).map(axum::body::Body::from);
        response.extensions_mut().insert(self);
        response
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_kind_has_a_type_and_a_title_of_its_own() {
        let types: BTreeSet<_> = Kind::ALL.iter().map(|k| k.type_uri()).collect();
        let titles: BTreeSet<_> = Kind::ALL.iter().map(|k| k.title()).collect();
        assert_eq!((types.len(), titles.len()), (Kind::ALL.len(), Kind::ALL.len()));
        assert!(Kind::ALL.iter().all(|k| k.status().is_client_error() || k.status().is_server_error()));
    }

    #[test]
    fn an_extension_member_cannot_overwrite_a_standard_one() {
        let problem = Problem::new(Kind::NotFound).with("status", 200).with("hint", "look elsewhere");
        let response = problem.response(Some("req_1"));
        let body: Value = serde_json::from_slice(response.body()).unwrap();
        assert_eq!(body["status"], 404);
        assert_eq!((&body["hint"], &body["request_id"]), (&"look elsewhere".into(), &"req_1".into()));
        assert_eq!(response.headers()[header::CONTENT_TYPE], "application/problem+json");
        assert_eq!(response.status(), 404);
    }
}
