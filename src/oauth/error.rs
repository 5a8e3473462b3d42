//! Every way an OAuth request can fail, with its status and code (RFC 6749 5.2, RFC 6750 3.1, RFC 7009 2.2, RFC 8707 2).

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};

use super::authorize::Code;
use crate::telemetry::labels::OauthError;

/// A refusal. What it carries is text of ours, never the caller's: it goes into a JSON string as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Error {
    /// The wrong method; says which one is right.
    Method(&'static str),
    /// Malformed, repeated or missing parameters.
    InvalidRequest(&'static str),
    /// A body beyond the limit.
    TooLarge,
    /// The client did not prove who it is. One answer for every reason, so that nobody learns which clients exist.
    InvalidClient,
    /// Bearer authentication where a client must authenticate as itself.
    InvalidToken,
    /// A code, a refresh token or another grant that does not count, or not for this client.
    InvalidGrant(&'static str),
    /// This client may not use this grant.
    UnauthorizedClient,
    /// No such grant.
    UnsupportedGrantType,
    /// Nobody has decided yet (RFC 8628 3.5).
    AuthorizationPending,
    /// Polled too early: five seconds more between polls from now on (RFC 8628 3.5).
    SlowDown,
    /// The device code died (RFC 8628 3.5).
    ExpiredToken,
    /// The person said no (RFC 8628 3.5).
    DeniedByPerson,
    /// A scope that the client may not have.
    InvalidScope(&'static str),
    /// A resource that the client may not ask for (RFC 8707 2).
    InvalidTarget(&'static str),
    /// A DPoP proof that is missing or does not count (RFC 9449 5).
    InvalidDpopProof(&'static str),
    /// A DPoP proof without a nonce of ours (RFC 9449 8); the answer carries one.
    UseDpopNonce,
    /// An assertion that does not count (RFC 7523 3.1).
    InvalidAssertion(&'static str),
    /// Policy refuses.
    AccessDenied,
    /// What the authorization endpoint would answer to a request that is pushed (RFC 9126 2.3).
    Authorization(Code, &'static str),
    /// A kind of token that cannot be revoked (RFC 7009 2.2.1).
    UnsupportedTokenType,
    /// Over a limit; seconds to wait.
    RateLimited(u64),
    /// Over a limit, at revocation (RFC 7009 2.2.1); seconds to wait.
    Overloaded(u64),
    /// The store, the log or the policies cannot answer now.
    Unavailable,
    /// Broke on our side.
    Server,
}

impl Error {
    pub(super) fn status(self) -> StatusCode {
        match self {
            Self::Method(_) => StatusCode::METHOD_NOT_ALLOWED,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::InvalidClient | Self::InvalidToken => StatusCode::UNAUTHORIZED,
            Self::InvalidRequest(_)
            | Self::InvalidGrant(_)
            | Self::Authorization(..)
            | Self::UnauthorizedClient
            | Self::UnsupportedGrantType
            | Self::AuthorizationPending
            | Self::SlowDown
            | Self::ExpiredToken
            | Self::DeniedByPerson
            | Self::InvalidScope(_)
            | Self::InvalidTarget(_)
            | Self::InvalidDpopProof(_)
            | Self::UseDpopNonce
            | Self::InvalidAssertion(_)
            | Self::AccessDenied
            | Self::UnsupportedTokenType => StatusCode::BAD_REQUEST,
            Self::RateLimited(_) => StatusCode::TOO_MANY_REQUESTS,
            Self::Overloaded(_) | Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            Self::Server => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// The `error` member.
    pub(super) fn code(self) -> &'static str {
        match self {
            Self::Method(_) | Self::InvalidRequest(_) | Self::TooLarge => "invalid_request",
            Self::InvalidClient => "invalid_client",
            Self::InvalidToken => "invalid_token",
            Self::InvalidGrant(_) => "invalid_grant",
            Self::UnauthorizedClient => "unauthorized_client",
            Self::UnsupportedGrantType => "unsupported_grant_type",
            Self::AuthorizationPending => "authorization_pending",
            Self::SlowDown => "slow_down",
            Self::ExpiredToken => "expired_token",
            Self::InvalidScope(_) => "invalid_scope",
            Self::InvalidTarget(_) => "invalid_target",
            Self::InvalidDpopProof(_) => "invalid_dpop_proof",
            Self::UseDpopNonce => "use_dpop_nonce",
            Self::InvalidAssertion(_) => "invalid_grant",
            Self::AccessDenied | Self::DeniedByPerson => "access_denied",
            Self::Authorization(code, _) => code.as_str(),
            Self::UnsupportedTokenType => "unsupported_token_type",
            Self::RateLimited(_) | Self::Overloaded(_) | Self::Unavailable => "temporarily_unavailable",
            Self::Server => "server_error",
        }
    }

    /// The `error_description` member: printable ASCII without quotes and backslashes (RFC 6749 5.2).
    pub(super) fn description(self) -> &'static str {
        match self {
            Self::Method("POST") => "use POST",
            Self::Method(_) => "use GET",
            Self::InvalidRequest(what)
            | Self::InvalidScope(what)
            | Self::InvalidTarget(what)
            | Self::InvalidGrant(what)
            | Self::Authorization(_, what)
            | Self::InvalidDpopProof(what) => what,
            Self::InvalidAssertion(what) => what,
            Self::UseDpopNonce => "make the DPoP proof again with the nonce of DPoP-Nonce",
            Self::TooLarge => "the body is larger than 64 KiB",
            Self::InvalidClient => "client authentication failed",
            Self::InvalidToken => "authenticate as a client, not with a bearer token",
            Self::UnauthorizedClient => "this client may not use this grant type",
            Self::UnsupportedGrantType => "no such grant; the metadata lists those there are",
            Self::AuthorizationPending => "nobody has decided yet; poll again after the interval",
            Self::SlowDown => "wait five seconds longer between polls",
            Self::ExpiredToken => "the device_code has expired; begin again",
            Self::DeniedByPerson => "the person refused",
            Self::AccessDenied => "policy does not let this client have a token for this resource",
            Self::UnsupportedTokenType => "only access and refresh tokens can be revoked",
            Self::RateLimited(_) => "too many requests; wait as long as Retry-After says",
            Self::Overloaded(_) | Self::Unavailable => "try again as soon as Retry-After says",
            Self::Server => "something broke on our side; the request id finds it in the logs",
        }
    }

    /// The metric's label.
    pub(super) fn label(self) -> OauthError {
        match self {
            Self::Method(_)
            | Self::InvalidRequest(_)
            | Self::TooLarge
            | Self::Authorization(..)
            | Self::UnsupportedTokenType => OauthError::InvalidRequest,
            Self::InvalidClient | Self::InvalidToken => OauthError::InvalidClient,
            Self::InvalidGrant(_) => OauthError::InvalidGrant,
            Self::UnauthorizedClient => OauthError::UnauthorizedClient,
            Self::UnsupportedGrantType => OauthError::UnsupportedGrantType,
            Self::InvalidScope(_) => OauthError::InvalidScope,
            Self::InvalidTarget(_) => OauthError::InvalidTarget,
            Self::InvalidDpopProof(_) => OauthError::InvalidDpopProof,
            Self::UseDpopNonce => OauthError::UseDpopNonce,
            Self::InvalidAssertion(_) => OauthError::InvalidGrant,
            Self::AuthorizationPending => OauthError::AuthorizationPending,
            Self::SlowDown => OauthError::SlowDown,
            Self::ExpiredToken => OauthError::ExpiredToken,
            Self::AccessDenied | Self::DeniedByPerson => OauthError::AccessDenied,
            Self::RateLimited(_) | Self::Overloaded(_) | Self::Unavailable => OauthError::TemporarilyUnavailable,
            Self::Server => OauthError::ServerError,
        }
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let body = format!(r#"{{"error":"{}","error_description":"{}"}}"#, self.code(), self.description());
        let mut response = json(self.status(), body);
        let headers = response.headers_mut();
        match self {
            Self::Method(allow) => {
                headers.insert(header::ALLOW, HeaderValue::from_static(allow));
            }
            // RFC 9110 15.5.2 wants a challenge with every 401, RFC 6749 5.2 this one when it was tried.
            Self::InvalidClient => {
                let challenge = HeaderValue::from_static(r#"Basic realm="stockade", charset="UTF-8""#);
                headers.insert(header::WWW_AUTHENTICATE, challenge);
            }
            Self::InvalidToken => {
                let challenge = HeaderValue::from_static(r#"Bearer error="invalid_token""#);
                headers.insert(header::WWW_AUTHENTICATE, challenge);
            }
            Self::RateLimited(secs) | Self::Overloaded(secs) => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from(secs));
            }
            Self::Unavailable => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from(1));
            }
            _ => {}
        }
        response
    }
}

/// A JSON answer that nobody may keep (RFC 6749 5.1).
pub(super) fn json(status: StatusCode, body: impl Into<Body>) -> Response {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::PRAGMA, HeaderValue::from_static("no-cache"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_description_fits_its_grammar_and_every_code_has_its_status() {
        use Error as E;
        for (error, status, code) in [
            (E::Method("POST"), 405, "invalid_request"),
            (E::Method("GET, HEAD"), 405, "invalid_request"),
            (E::InvalidRequest("x"), 400, "invalid_request"),
            (E::TooLarge, 413, "invalid_request"),
            (E::InvalidClient, 401, "invalid_client"),
            (E::InvalidToken, 401, "invalid_token"),
            (E::InvalidGrant("x"), 400, "invalid_grant"),
            (E::Authorization(Code::RequestNotSupported, "x"), 400, "request_not_supported"),
            (E::UnauthorizedClient, 400, "unauthorized_client"),
            (E::UnsupportedGrantType, 400, "unsupported_grant_type"),
            (E::AuthorizationPending, 400, "authorization_pending"),
            (E::SlowDown, 400, "slow_down"),
            (E::ExpiredToken, 400, "expired_token"),
            (E::DeniedByPerson, 400, "access_denied"),
            (E::InvalidScope("x"), 400, "invalid_scope"),
            (E::InvalidTarget("x"), 400, "invalid_target"),
            (E::InvalidDpopProof("x"), 400, "invalid_dpop_proof"),
            (E::UseDpopNonce, 400, "use_dpop_nonce"),
            (E::InvalidAssertion("x"), 400, "invalid_grant"),
            (E::AccessDenied, 400, "access_denied"),
            (E::UnsupportedTokenType, 400, "unsupported_token_type"),
            (E::RateLimited(1), 429, "temporarily_unavailable"),
            (E::Overloaded(1), 503, "temporarily_unavailable"),
            (E::Unavailable, 503, "temporarily_unavailable"),
            (E::Server, 500, "server_error"),
        ] {
            assert_eq!((error.status().as_u16(), error.code()), (status, code), "{error:?}");
            let text = error.description();
            assert!(text.bytes().all(|b| (b' '..=b'~').contains(&b) && !b"\"\\".contains(&b)), "{text}");
        }
    }
}
