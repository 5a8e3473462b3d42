//! `/enforce/nginx`: the answer that nginx's `auth_request` asks for before it forwards a request.
//!
//! It reads `X-Original-Method` and `X-Original-URI` and nothing else about the request but its bearer token, takes nothing
//! from the query string, and answers only peers in `trusted_proxies`. nginx turns every status but 2xx, 401 and 403 into
//! 500, so those are the only ones: what else would be said stands in `X-Stockade-Status`, with `Retry-After` for a limit
//! (`examples/nginx.conf` makes it 429 again). Every identity header is always there, empty when nothing is known, so that
//! one that the caller forged is overwritten. `X-Stockade-Assertion` says the same under a signature, for an upstream that
//! does not take the network's word for it; without a key to sign with nothing passes.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header};

use super::assertion::Assertions;
use super::fence::Fence;
use super::pipeline::{Admitted, Ask};
use crate::http::{Info, dpop};
use crate::telemetry::labels::Point;

const METHOD: HeaderName = HeaderName::from_static("x-original-method");
const URI: HeaderName = HeaderName::from_static("x-original-uri");
const STATUS: HeaderName = HeaderName::from_static("x-stockade-status");
const SUBJECT: HeaderName = HeaderName::from_static("x-stockade-subject");
const CLIENT: HeaderName = HeaderName::from_static("x-stockade-client");
/// Empty: a deployment has one tenant. The name is taken, so that no caller's own reaches an upstream that looks for it.
const TENANT: HeaderName = HeaderName::from_static("x-stockade-tenant");
const SCOPES: HeaderName = HeaderName::from_static("x-stockade-scopes");
const DECISION: HeaderName = HeaderName::from_static("x-stockade-decision-id");
const ASSERTION: HeaderName = HeaderName::from_static("x-stockade-assertion");

/// What this dialect is made of.
struct Dialect {
    fence: Fence,
    assertions: Assertions,
}

/// The route, for a fence whose trusted proxies are those that may ask.
pub fn router(fence: Fence, assertions: Assertions) -> Router {
    Router::new().route("/enforce/nginx", get(answer)).with_state(Arc::new(Dialect { fence, assertions }))
}

async fn answer(State(dialect): State<Arc<Dialect>>, info: Info, request: Request) -> Response {
    let fence = &dialect.fence;
    if !info.peer.is_some_and(|peer| fence.trusted.contains(peer)) {
        return refusal(StatusCode::FORBIDDEN, StatusCode::FORBIDDEN);
    }
    let headers = request.headers();
    let (Some(method), Some(uri)) = (only(headers, &METHOD), only(headers, &URI)) else {
        return refusal(StatusCode::FORBIDDEN, StatusCode::BAD_REQUEST);
    };
    // nginx sends what the caller sent: a path and perhaps a query. Anything else is not for us to interpret.
    let Some(uri) = uri.starts_with('/').then(|| uri.parse::<Uri>().ok()).flatten() else {
        return refusal(StatusCode::FORBIDDEN, StatusCode::BAD_REQUEST);
    };
    let ask = Ask { point: Point::Nginx, method, uri: &uri, headers, info: &info };
    match fence.pipeline.admit(&ask).await {
        Ok(admitted) => dialect.pass(&admitted),
        Err(refused) => {
            let meant = refused.status();
            let problem = refused.problem().response(Some(&info.request_id));
            let challenge = problem.headers().get(header::WWW_AUTHENTICATE).cloned();
            let nonce = problem.headers().get(dpop::NONCE).cloned();
            // A request with two tokens is as good as one without: 401 lets the challenge through.
            let said = match (meant, &challenge) {
                (StatusCode::UNAUTHORIZED | StatusCode::BAD_REQUEST, Some(_)) => StatusCode::UNAUTHORIZED,
                _ => StatusCode::FORBIDDEN,
            };
            let mut response = refusal(said, meant);
            let headers = response.headers_mut();
            if let Some(challenge) = challenge {
                headers.insert(header::WWW_AUTHENTICATE, challenge);
            }
            if let Some(nonce) = nonce {
                headers.insert(dpop::NONCE, nonce);
            }
            if let Some(secs) = refused.retry_after_secs() {
                headers.insert(header::RETRY_AFTER, HeaderValue::from(secs));
            }
            if let Ok(id) = HeaderValue::from_str(&refused.event_id) {
                headers.insert(DECISION, id);
            }
            response
        }
    }
}

impl Dialect {
    /// Lets the request pass and says whose it is.
    fn pass(&self, admitted: &Admitted) -> Response {
        let (token, pipeline) = (&admitted.token, &self.fence.pipeline);
        let decision = &*admitted.event_id;
        let assertion = pipeline.meant_for(admitted).and_then(|audience| {
            self.assertions.sign(&pipeline.issuer, audience, token, decision, pipeline.clock.now())
        });
        let Some(assertion) = assertion else {
            return refusal(StatusCode::FORBIDDEN, StatusCode::SERVICE_UNAVAILABLE);
        };
        let mut response = StatusCode::OK.into_response();
        let known = [
            (STATUS, "200"),
            (SUBJECT, token.sub.as_str()),
            (CLIENT, token.client_id.as_str()),
            (TENANT, ""),
            (SCOPES, token.scope.as_str()),
            (DECISION, decision),
            (ASSERTION, &assertion),
        ];
        for (name, value) in known {
            // A name that no header can carry must not become nobody's.
            let Ok(value) = HeaderValue::from_str(value) else {
                return refusal(StatusCode::FORBIDDEN, StatusCode::FORBIDDEN);
            };
            response.headers_mut().insert(name, value);
        }
        admitted.answer().apply(response.headers_mut());
        response
    }
}

/// The header's value when it is there once and is text.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (Some(value), None) => value.to_str().ok().filter(|value| !value.is_empty()),
        _ => None,
    }
}

/// `said` for nginx, `meant` for the snippet behind it; no identity.
fn refusal(said: StatusCode, meant: StatusCode) -> Response {
    let mut response = said.into_response();
    let headers = response.headers_mut();
    for name in [SUBJECT, CLIENT, TENANT, SCOPES, DECISION, ASSERTION] {
        headers.insert(name, HeaderValue::from_static(""));
    }
    headers.insert(STATUS, HeaderValue::from(meant.as_u16()));
    response
}
