//! Answers of the authorization endpoint that carry no code: to the client, or to the person.

use std::sync::Arc;

use axum::response::{IntoResponse as _, Response};
use http::{HeaderValue, StatusCode};

use super::{ReturnTo, Stop, Telling, Visit};
use crate::http::browser::page::{ErrorPage, Frame};
use crate::http::browser::{Page, see_other};
use crate::model::event::kind;
use crate::model::{Event, Outcome};

/// Where an answer goes: the redirect URI with these parameters, `state` and `iss` (RFC 9207 2).
pub(super) fn location(uri: &str, issuer: &str, state: Option<&str>, pairs: &[(&str, &str)]) -> String {
    let state = state.map(|state| ("state", state));
    let pairs: Vec<(&str, &str)> = pairs.iter().copied().chain(state).chain([("iss", issuer)]).collect();
    let query = serde_urlencoded::to_string(pairs).unwrap_or_default();
    let joint = if uri.contains('?') { '&' } else { '?' };
    format!("{uri}{joint}{query}")
}

impl Visit<'_> {
    /// Ends a request that leads to no code, and records it.
    pub(super) async fn stop(&self, stop: Stop) -> Response {
        match stop {
            Stop::Page(status, title, message) => {
                let mut event = self.asked.event(kind::AUTHORIZATION_REFUSED, Outcome::Denied, None);
                event.reason = Some(Arc::from("invalid_request"));
                self.asked.server.ctx.audit.fold(event);
                self.page(status, title, message, None, None)
            }
            Stop::Broken => self.broken(),
            Stop::Told(telling) => {
                let Telling { to, code, what, decision, cookies } = *telling;
                let mut event = self.refusal(&to);
                if let Some(decision) = &decision {
                    event = event.decided(decision);
                }
                event.reason.get_or_insert_with(|| Arc::from(code.as_str()));
                let event = event.with("error", code.as_str());
                let audit = &self.asked.server.ctx.audit;
                if self.signed.is_none() {
                    audit.fold(event);
                } else if audit.record(event).await.is_err() {
                    return self.broken();
                }
                let pairs = [("error", code.as_str()), ("error_description", what)];
                let location = location(&to.uri, &self.asked.server.ctx.issuer, to.state.as_deref(), &pairs);
                if to.at_once || self.signed.is_some() {
                    return see_other(&location, cookies);
                }
                self.interstitial(&to, location)
            }
        }
    }

    fn refusal(&self, to: &ReturnTo) -> Event {
        let mut event = self.asked.event(kind::AUTHORIZATION_REFUSED, Outcome::Denied, Some(&to.client));
        if let Some(signed) = &self.signed {
            event.principal = Some(signed.user.principal.reference().clone());
        }
        event.with("client_id", to.client.client.client_id.as_str())
    }

    /// Nobody is sent away by a link alone: whoever is not signed in sees first where it leads (RFC 9700 4.11.2).
    fn interstitial(&self, to: &ReturnTo, location: String) -> Response {
        let text = format!("Back to {}", to.client.client.display_name());
        let message = "The application asked for something that cannot be answered. You can go back to it.";
        self.page(
            StatusCode::BAD_REQUEST,
            "Something is wrong with this sign-in",
            message,
            Some((&text, location)),
            None,
        )
    }

    fn broken(&self) -> Response {
        let message = "This is on our side. Try again in a moment.";
        self.page(StatusCode::SERVICE_UNAVAILABLE, "This does not work right now", message, None, Some(1))
    }

    pub(super) fn throttled(&self, secs: u64) -> Response {
        let mut event = self.asked.event(kind::RATE_LIMITED, Outcome::Denied, None);
        event.reason = Some(Arc::from("rate_limited"));
        self.asked.server.ctx.audit.fold(event);
        let message = "There were too many requests from your network. Wait a moment and try again.";
        self.page(StatusCode::TOO_MANY_REQUESTS, "Too many requests", message, None, Some(secs))
    }

    fn page(
        &self,
        status: StatusCode,
        title: &str,
        message: &str,
        next: Option<(&str, String)>,
        retry_after: Option<u64>,
    ) -> Response {
        let site = &self.asked.server.ctx.site;
        let request_id = &self.asked.info.request_id;
        let page = Page::new(site, &ErrorPage { frame: Frame::of(site), title, message, next, request_id });
        let page = page.status(status);
        match retry_after {
            Some(secs) => page.retry_after(secs).into_response(),
            None => page.into_response(),
        }
    }

    /// 303 to the client, with `cookies`.
    pub(super) fn leave(&self, location: &str, cookies: Vec<HeaderValue>) -> Response {
        see_other(location, cookies)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a9_a10_an_answer_carries_the_issuer_and_the_state_as_it_was() {
        let state = "a&b=c d\"\u{e4}%20#";
        let there = location("https://app.example/cb?x=1", "https://a.example", Some(state), &[("code", "c+d")]);
        let query = there.strip_prefix("https://app.example/cb?x=1&").unwrap();
        let pairs: Vec<(String, String)> = serde_urlencoded::from_str(query).unwrap();
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(pairs, [pair("code", "c+d"), pair("state", state), pair("iss", "https://a.example")]);
        assert!(!location("app:/cb", "https://a.example", None, &[("code", "c")]).contains("state"));
    }
}
