//! What pages of other origins may read (Fetch 3.2): token, revocation, userinfo, keys and metadata answer origins that a
//! client registered, and what a client's request was answered, only the origins of that client. No credentials of the
//! browser are ever used, `null` is nobody's origin, and the authorization endpoint is for navigation alone.

use axum::response::{IntoResponse as _, Response};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};

use super::Server;
use crate::live::LiveClient;

/// What a page may read of an answer, beside what it always may.
const EXPOSED: HeaderValue = HeaderValue::from_static("www-authenticate, dpop-nonce, retry-after, x-request-id");
/// What a page may send.
const SENDABLE: HeaderValue = HeaderValue::from_static("authorization, content-type, dpop");
/// For how long the permission is remembered, in seconds.
const REMEMBERED: HeaderValue = HeaderValue::from_static("600");

/// The origin of the page that sent a request; most requests are sent by no page.
#[derive(Clone, Debug)]
pub(super) struct Origin(Option<HeaderValue>);

impl Origin {
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let mut lines = headers.get_all(header::ORIGIN).iter();
        Self(lines.next().filter(|_| lines.next().is_none()).cloned())
    }

    /// The answer to a preflight, when `request` is one and its origin is registered.
    pub(super) fn preflight(
        server: &Server,
        method: &Method,
        headers: &HeaderMap,
        allowed: &'static str,
    ) -> Option<Response> {
        if method != Method::OPTIONS || !headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD) {
            return None;
        }
        let origin = Self::of(headers).0.filter(|origin| is_known(server, origin))?;
        let mut response = StatusCode::NO_CONTENT.into_response();
        let headers = response.headers_mut();
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static(allowed));
        headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, SENDABLE);
        headers.insert(header::ACCESS_CONTROL_MAX_AGE, REMEMBERED);
        headers.insert(header::VARY, HeaderValue::from_static("origin"));
        Some(response)
    }

    /// Lets the page read `response`: when `client`, whose request it answers, registered the page's origin, or, where no
    /// client is known, any did.
    pub(super) fn admit(self, server: &Server, client: Option<&LiveClient>, response: &mut Response) {
        let Some(origin) = self.0 else { return };
        let headers = response.headers_mut();
        headers.insert(header::VARY, HeaderValue::from_static("origin"));
        let registered = match client {
            Some(client) => origin != "null" && client.client.cors_origins.iter().any(|known| origin == known.as_str()),
            None => is_known(server, &origin),
        };
        if registered {
            headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
            headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
        }
    }
}

fn is_known(server: &Server, origin: &HeaderValue) -> bool {
    origin.to_str().is_ok_and(|origin| server.ctx.live.is_origin(origin))
}
