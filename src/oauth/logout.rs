//! `/oauth/logout` (OpenID Connect RP-Initiated Logout 1.0): a client sends its person here to sign out. An ID token of this
//! very session is proof enough that they want to; anything else, and nothing, is asked about first. Back it goes only to a
//! registered string.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use http::{HeaderMap, Method, StatusCode};

use super::authorize::request::{LONGEST, Params};
use super::error::Error;
use super::record::Asked;
use super::{Shared, form, limit};
use crate::accounts::{self, Occasion, Why};
use crate::crypto::id_token::{self, Hint};
use crate::http::Info;
use crate::http::browser::page::{ErrorPage, Frame};
use crate::http::browser::{Page, csrf, see_other};
use crate::http::session::SignedIn;
use crate::live::LiveClient;
use crate::model::{Event, Outcome};
use crate::store::StoreError;

/// What of a request is carried through the question.
const CARRIED: [&str; 3] = ["client_id", "post_logout_redirect_uri", "state"];

/// The question.
#[derive(Debug, Template)]
#[template(path = "confirm.html")]
struct Confirm<'a> {
    frame: Frame,
    csrf: String,
    action: String,
    title: &'a str,
    message: &'a str,
    act: &'a str,
    refuse: String,
    stay: &'a str,
}

/// That it is done.
#[derive(Debug, Template)]
#[template(path = "done.html")]
struct Done<'a> {
    frame: Frame,
    title: &'a str,
    message: &'a str,
    next: Option<(&'a str, String)>,
}

/// One request.
struct Visit<'a> {
    asked: Asked<'a>,
    headers: HeaderMap,
}

/// Who asks, and where the browser goes afterwards.
struct Wanted {
    client: Option<Arc<LiveClient>>,
    hint: Option<Hint>,
    back: Option<String>,
}

pub(super) async fn endpoint(State(server): State<Shared>, info: Info, request: Request) -> Response {
    let asked = Asked::new(&server, info, "logout");
    let visit = Visit { asked, headers: request.headers().clone() };
    if let Err(secs) = limit::address(&server, "logout", server.ctx.settings.address, &visit.asked.info) {
        return visit.page(
            StatusCode::TOO_MANY_REQUESTS,
            "Too many requests",
            "Wait a moment and try again.",
            Some(secs),
        );
    }
    visit.serve(request).await.unwrap_or_else(|error| {
        tracing::warn!(error = %crate::telemetry::chain(&error), "a logout could not be looked up or stored");
        let message = "This is on our side, and you may still be signed in. Try again in a moment.";
        visit.page(StatusCode::SERVICE_UNAVAILABLE, "This does not work right now", message, Some(1))
    })
}

impl Visit<'_> {
    async fn serve(&self, request: Request) -> Result<Response, StoreError> {
        let site = &self.asked.server.ctx.site;
        let query = request.uri().query().unwrap_or_default().to_owned();
        let posted = match *request.method() {
            Method::GET | Method::HEAD => None,
            Method::POST => match form::read_beside(request).await {
                Ok(body) => Some(String::from_utf8(body.to_vec()).unwrap_or_default()),
                Err(error) => return Ok(error.into_response()),
            },
            _ => return Ok(Error::Method("GET, POST").into_response()),
        };
        let whole = [query.as_str(), posted.as_deref().unwrap_or_default()].join("&");
        let params = Params::parse(&whole).filter(|params| whole.len() <= LONGEST && !params.has_repeats());
        let Some(params) = params else { return Ok(self.bad()) };
        let token = params.get(csrf::FIELD).filter(|_| posted.is_some());
        if posted.is_some() && token.is_none() {
            // From another site, so without the session's cookie: again, as a navigation that has it.
            let query = posted.unwrap_or_default();
            if !query.bytes().all(|b| b.is_ascii_graphic()) {
                return Ok(self.bad());
            }
            return Ok(see_other(&site.path(&format!("/oauth/logout?{query}")), []));
        }
        let Some(wanted) = self.wanted(&params) else { return Ok(self.bad()) };
        let Some(signed) = self.asked.server.ctx.sessions.find(&self.headers).await? else {
            return Ok(self.nobody(&wanted));
        };
        let confirmed = match token {
            Some(token) => match site.csrf().check(site.cookies(), site.origin(), &self.headers, token) {
                Ok(()) => true,
                Err(_) => {
                    let message = "This form was not sent from our own page. Go back and try again.";
                    return Ok(self.page(StatusCode::FORBIDDEN, "You are still signed in", message, None));
                }
            },
            None => wanted.hint.as_ref().is_some_and(|hint| hint.sid.as_ref() == Some(&signed.session.session_id)),
        };
        if !confirmed {
            return Ok(self.question(&params, &wanted, &signed));
        }
        self.end(&signed, wanted.client.as_deref()).await?;
        let there = wanted.back.unwrap_or_else(|| site.path("/login/out"));
        Ok(see_other(&there, self.asked.server.ctx.sessions.forget()))
    }

    /// Who asks; `None` when what stands in the request contradicts itself.
    fn wanted(&self, params: &Params) -> Option<Wanted> {
        let ctx = &self.asked.server.ctx;
        let keys = ctx.live.key_ring().public(self.asked.now);
        let hint = params.get("id_token_hint").and_then(|text| id_token::read_hint(&keys, &ctx.issuer, text).ok());
        let named = params.get("client_id");
        let of_hint = hint.as_ref().and_then(|hint| hint.aud.first()).map(String::as_str);
        if let (Some(named), Some(of_hint)) = (named, of_hint)
            && named != of_hint
        {
            return None;
        }
        let client = of_hint.or(named).and_then(|id| ctx.live.client(id)).filter(|client| !client.client.disabled);
        let back = params.get("post_logout_redirect_uri").filter(|uri| {
            let registered =
                |client: &Arc<LiveClient>| client.client.post_logout_redirect_uris.iter().any(|u| u == uri);
            client.as_ref().is_some_and(registered)
        });
        let back = back.map(|uri| match params.state() {
            None => uri.to_owned(),
            Some(state) => {
                let joint = if uri.contains('?') { '&' } else { '?' };
                format!("{uri}{joint}{}", serde_urlencoded::to_string([("state", state)]).unwrap_or_default())
            }
        });
        Some(Wanted { client, hint, back })
    }

    /// Nobody is signed in: who shows an ID token of ours goes back at once, another by a click.
    fn nobody(&self, wanted: &Wanted) -> Response {
        let ctx = &self.asked.server.ctx;
        if let (Some(back), Some(_)) = (&wanted.back, &wanted.hint) {
            return see_other(back, ctx.sessions.forget());
        }
        let text = wanted.client.as_ref().map(|client| format!("Back to {}", client.client.display_name()));
        let next = text.as_deref().zip(wanted.back.clone());
        let done = Done {
            frame: Frame::of(&ctx.site),
            title: "You are signed out",
            message: "You can close this window.",
            next,
        };
        Page::new(&ctx.site, &done).into_response()
    }

    fn question(&self, params: &Params, wanted: &Wanted, signed: &SignedIn) -> Response {
        let ctx = &self.asked.server.ctx;
        let site = &ctx.site;
        let given = site.csrf().give(site.cookies(), &self.headers, &*ctx.rng);
        // Who it was for is known from the hint; the hint itself is not carried on.
        let client_id = wanted.client.as_ref().map(|client| client.client.client_id.as_str());
        let value = |name: &str| if name == "client_id" { client_id } else { params.get(name) };
        let carried: Vec<(&str, &str)> = CARRIED.into_iter().filter_map(|name| Some((name, value(name)?))).collect();
        let query = serde_urlencoded::to_string(carried).unwrap_or_default();
        let message = format!(
            "You are signed in as {}. Apps that you signed in to from this browser lose their access.",
            signed.user.user.username
        );
        let confirm = Confirm {
            frame: Frame::of(site),
            csrf: given.token,
            action: site.path(&format!("/oauth/logout?{query}")),
            title: "Sign out?",
            message: &message,
            act: "Sign out",
            refuse: site.path("/account"),
            stay: "Stay signed in",
        };
        let page = Page::new(site, &confirm).cookie(given.cookie);
        match &wanted.back {
            Some(back) => page.leading_to(back).into_response(),
            None => page.into_response(),
        }
    }

    async fn end(&self, signed: &SignedIn, client: Option<&LiveClient>) -> Result<(), StoreError> {
        let ctx = &self.asked.server.ctx;
        let who = signed.user.principal.reference();
        let make = |kind: &'static str, outcome: Outcome| -> Event {
            let mut event = self.asked.event(kind, outcome, None);
            event.principal = Some(who.clone());
            match client {
                Some(client) => event.with("asked_by", client.client.client_id.as_str()),
                None => event,
            }
        };
        let on = Occasion { event: &make, why: Why::Logout, now: self.asked.now, rng: &*ctx.rng };
        let mut tx = ctx.store.begin().await?;
        let ended = accounts::end_session(&mut tx, &ctx.live, &signed.session, &on).await?;
        tx.commit().await?;
        ended.announce(&ctx.live);
        Ok(())
    }

    fn bad(&self) -> Response {
        let message = "The application sent something that is no logout request. You are still signed in.";
        self.page(StatusCode::BAD_REQUEST, "This link is broken", message, None)
    }

    fn page(&self, status: StatusCode, title: &str, message: &str, retry_after: Option<u64>) -> Response {
        let site = &self.asked.server.ctx.site;
        let request_id = &self.asked.info.request_id;
        let next = Some(("Your account", site.path("/account")));
        let page = Page::new(site, &ErrorPage { frame: Frame::of(site), title, message, next, request_id });
        let page = page.status(status);
        match retry_after {
            Some(secs) => page.retry_after(secs).into_response(),
            None => page.into_response(),
        }
    }
}
