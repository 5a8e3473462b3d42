//! What keeps a handler from answering as it was asked to, and the page that says so.

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::StatusCode;

use super::Shared;
use crate::crypto::CryptoError;
use crate::crypto::hasher::HasherError;
use crate::http::browser::page::{ErrorPage, Frame, Page};
use crate::http::browser::see_other;
use crate::http::{Info, Kind, Problem};
use crate::store::StoreError;
use crate::telemetry;

/// Why a handler does not answer as it was asked to.
#[derive(Debug)]
pub(super) enum Trouble {
    /// Something else comes first: a path of ours, complete.
    Elsewhere(String),
    /// The authorization request is not under way in this browser.
    NoFlow,
    /// The form did not come from our page in this browser.
    Forged,
    /// Too often; seconds to wait.
    RateLimited(u64),
    /// Too many passwords are being checked.
    Busy,
    /// There is no such thing, or not for this person.
    NotFound,
    /// The request itself.
    Problem(Problem),
    /// The database.
    Store(StoreError),
    /// Sealing, signing, hashing.
    Crypto(CryptoError),
}

impl From<StoreError> for Trouble {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<CryptoError> for Trouble {
    fn from(error: CryptoError) -> Self {
        Self::Crypto(error)
    }
}

impl From<Problem> for Trouble {
    fn from(problem: Problem) -> Self {
        Self::Problem(problem)
    }
}

impl From<HasherError> for Trouble {
    fn from(error: HasherError) -> Self {
        match error {
            HasherError::Busy => Self::Busy,
            HasherError::Failed => Self::Crypto(CryptoError::Refused),
        }
    }
}

/// What the page says.
#[derive(Clone, Copy, Debug)]
struct Words {
    title: &'static str,
    message: &'static str,
    retry_after: Option<u64>,
    /// Whether to offer the way to `/login`.
    sign_in: bool,
}

impl Trouble {
    fn words(&self) -> (StatusCode, Words) {
        let plain = |title, message| Words { title, message, retry_after: None, sign_in: false };
        match self {
            Self::NoFlow => (
                StatusCode::BAD_REQUEST,
                plain(
                    "This sign-in is over",
                    "It was finished, took longer than ten minutes, or began in another browser. Go back to the app and start again.",
                ),
            ),
            Self::Forged => (
                StatusCode::FORBIDDEN,
                Words {
                    sign_in: true,
                    ..plain(
                        "This form is out of date",
                        "You may have signed in or out since it was opened, or your browser keeps no cookies. Open the page again.",
                    )
                },
            ),
            Self::RateLimited(secs) => (
                StatusCode::TOO_MANY_REQUESTS,
                Words {
                    retry_after: Some(*secs),
                    ..plain("Too many tries", "Wait a while before you try again. A passkey still signs you in.")
                },
            ),
            Self::Busy => (
                StatusCode::SERVICE_UNAVAILABLE,
                Words {
                    retry_after: Some(5),
                    ..plain("Too many people at once", "Nothing was checked. Try again in a few seconds.")
                },
            ),
            Self::NotFound => {
                (StatusCode::NOT_FOUND, plain("There is nothing here", "It may have been removed meanwhile."))
            }
            Self::Problem(problem) => match problem.kind() {
                Kind::QuotaExceeded => Self::RateLimited(1).words(),
                Kind::Internal => Self::Crypto(CryptoError::Refused).words(),
                kind => (
                    kind.status(),
                    plain("That cannot be read", "Go back, open the page again and fill it in once more."),
                ),
            },
            Self::Store(_) => (
                StatusCode::SERVICE_UNAVAILABLE,
                Words {
                    retry_after: Some(5),
                    ..plain("Not available right now", "Nothing was changed. Try again in a minute.")
                },
            ),
            Self::Elsewhere(_) | Self::Crypto(_) => (
                StatusCode::INTERNAL_SERVER_ERROR,
                plain("Something broke on our side", "Nothing was changed. Try again later, and tell us if it stays."),
            ),
        }
    }
}

/// Without its frame; [`dress`] puts that around it.
impl IntoResponse for Trouble {
    fn into_response(self) -> Response {
        match &self {
            Self::Elsewhere(path) => return see_other(path, []),
            Self::Store(error) => tracing::warn!(error = %telemetry::chain(error), "a page cannot be answered"),
            Self::Crypto(error) => tracing::error!(%error, "a page cannot be answered"),
            _ => {}
        }
        let (status, words) = self.words();
        let mut response = status.into_response();
        response.extensions_mut().insert(words);
        response
    }
}

/// Makes a page of what [`Trouble`] left.
pub(super) async fn dress(State(server): State<Shared>, request: Request, next: Next) -> Response {
    let info = request.extensions().get::<Info>().cloned();
    let mut response = next.run(request).await;
    let Some(words) = response.extensions_mut().remove::<Words>() else { return response };
    let site = &server.ctx.site;
    let template = ErrorPage {
        frame: Frame::of(site),
        title: words.title,
        message: words.message,
        next: words.sign_in.then(|| ("Go to the sign-in page", site.path("/login"))),
        request_id: info.as_ref().map_or("-", |info| &info.request_id),
    };
    let page = Page::new(site, &template).status(response.status());
    let page = match words.retry_after {
        Some(secs) => page.retry_after(secs),
        None => page,
    };
    page.into_response()
}
