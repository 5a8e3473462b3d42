//! What `/oauth/register` answers (RFC 7591 3.2).

use axum::response::{IntoResponse as _, Response};
use http::StatusCode;
use serde_json::json;

use crate::base::Secret;
use crate::http::Problem;
use crate::model::event::kind;
use crate::model::{Client, Outcome};
use crate::oauth::error::{self, Error};
use crate::oauth::record::{Asked, Refusal};
use crate::registry::metadata;

/// RFC 7591 3.2.2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Code {
    RedirectUri,
    ClientMetadata,
    SoftwareStatement,
    UnapprovedStatement,
}

impl Code {
    const fn as_str(self) -> &'static str {
        match self {
            Self::RedirectUri => "invalid_redirect_uri",
            Self::ClientMetadata => "invalid_client_metadata",
            Self::SoftwareStatement => "invalid_software_statement",
            Self::UnapprovedStatement => "unapproved_software_statement",
        }
    }
}

/// Why there is no registration.
#[derive(Debug)]
pub(super) enum Refused {
    /// As at the other endpoints.
    Oauth(Error),
    /// The access token will not do (RFC 6750 3.1), or policy says no; recorded already.
    Caller(Box<Problem>),
    /// What the client says of itself.
    Metadata(Code, String),
}

impl From<Error> for Refused {
    fn from(error: Error) -> Self {
        Self::Oauth(error)
    }
}

impl From<Problem> for Refused {
    fn from(problem: Problem) -> Self {
        Self::Caller(Box::new(problem))
    }
}

/// Records a refusal that is not recorded yet; strangers cause them, so they are folded.
pub(super) async fn answered(asked: &Asked<'_>, outcome: Result<Response, Refused>) -> Response {
    match outcome {
        Ok(response) => response,
        Err(Refused::Caller(problem)) => problem.into_response(),
        Err(Refused::Oauth(error)) => Refusal::from(error).record(asked, kind::UNAUTHENTICATED).await.into_response(),
        Err(Refused::Metadata(code, why)) => {
            let mut event = asked.event(kind::CLIENT_CHANGED, Outcome::Denied, None);
            event.reason = Some(code.as_str().into());
            asked.server.ctx.audit.fold(event);
            // RFC 6749 5.2: ASCII, without quotes and backslashes.
            let plain = |c: char| if matches!(c, ' '..='~') && c != '"' && c != '\\' { c } else { '?' };
            let why: String = why.chars().take(1000).map(plain).collect();
            let body = json!({ "error": code.as_str(), "error_description": why });
            error::json(StatusCode::BAD_REQUEST, body.to_string())
        }
    }
}

/// The client in the standard's words, its secret when it is new, and how it manages itself (RFC 7592 3).
pub(super) fn client(
    asked: &Asked<'_>,
    status: StatusCode,
    client: &Client,
    secret: Option<&Secret<String>>,
    token: &str,
) -> Response {
    let mut body = metadata::view(client);
    if let Some(secret) = secret {
        body.insert("client_secret".to_owned(), secret.expose().as_str().into());
    }
    if crate::registry::client::uses_secrets(client) {
        body.insert("client_secret_expires_at".to_owned(), 0.into());
    }
    let uri = format!("{}/oauth/register/{}", asked.server.ctx.issuer, client.client_id);
    body.insert("registration_client_uri".to_owned(), uri.into());
    body.insert("registration_access_token".to_owned(), token.into());
    error::json(status, serde_json::Value::Object(body).to_string())
}
