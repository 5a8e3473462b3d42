//! One request of a browser: what every handler of this room starts from.

use axum::body::Body;
use axum::extract::{FromRequest, FromRequestParts, Request};
use http::HeaderMap;
use http::request::Parts;

use super::trouble::Trouble;
use super::{Ctx, Shared};
use crate::base::Timestamp;
use crate::http::browser::csrf::{FIELD, Given};
use crate::http::browser::page::Frame;
use crate::http::browser::{Form, Site};
use crate::http::flow::Flow;
use crate::http::session::SignedIn;
use crate::http::{Info, coarse};
use crate::model::event::kind;
use crate::model::{Event, Outcome, PrincipalRef};

/// Longest query that is read.
const QUERY: usize = 8192;

/// One request.
#[derive(Debug)]
pub(super) struct Visit {
    pub(super) server: Shared,
    pub(super) info: Info,
    pub(super) headers: HeaderMap,
    query: Vec<(String, String)>,
}

impl FromRequestParts<Shared> for Visit {
    type Rejection = Trouble;

    async fn from_request_parts(parts: &mut Parts, server: &Shared) -> Result<Self, Trouble> {
        let info = Info::from_request_parts(parts, server).await?;
        let query = parts.uri.query().filter(|query| query.len() <= QUERY).unwrap_or_default();
        let visit = Self {
            server: Shared::clone(server),
            headers: parts.headers.clone(),
            query: serde_urlencoded::from_str(query).unwrap_or_default(),
            info,
        };
        if let Err(verdict) = server.ctx.coarse.check(&visit.info) {
            visit.refused(kind::RATE_LIMITED, None, "rate_limited");
            return Err(coarse::problem(&verdict).into());
        }
        Ok(visit)
    }
}

impl Visit {
    pub(super) fn ctx(&self) -> &Ctx {
        &self.server.ctx
    }

    pub(super) fn site(&self) -> &Site {
        &self.server.ctx.site
    }

    pub(super) fn now(&self) -> Timestamp {
        self.server.ctx.clock.now()
    }

    pub(super) fn frame(&self) -> Frame {
        Frame::of(self.site())
    }

    /// A parameter of the query; empty counts as absent.
    pub(super) fn query(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(known, value)| known == name && !value.is_empty()).map(|(_, value)| value.as_str())
    }

    /// A parameter that the query has once, and not empty.
    pub(super) fn only(&self, name: &str) -> Option<&str> {
        let mut all = self.query.iter().filter(|(known, _)| known == name).map(|(_, value)| value.as_str());
        all.next().filter(|value| !value.is_empty() && all.next().is_none())
    }

    /// Whether the query has a parameter at all.
    pub(super) fn has(&self, name: &str) -> bool {
        self.query.iter().any(|(known, _)| known == name)
    }

    /// The authorization request of this id, which must be under way in this browser.
    pub(super) fn flow(&self, id: &str) -> Result<Flow, Trouble> {
        self.server.ctx.flows.open(&self.headers, id).ok_or(Trouble::NoFlow)
    }

    /// Who is signed in here.
    pub(super) async fn signed_in(&self) -> Result<Option<SignedIn>, Trouble> {
        Ok(self.server.ctx.sessions.find(&self.headers).await?)
    }

    /// Whether a link was followed from a page of ours, or typed, as far as the browser says.
    pub(super) fn is_from_here(&self) -> bool {
        let mut told = self.headers.get_all("sec-fetch-site").iter();
        told.all(|site| matches!(site.as_bytes(), b"same-origin" | b"none"))
    }

    /// A form token for the page that answers this.
    pub(super) fn given(&self) -> Given {
        self.site().csrf().give(self.site().cookies(), &self.headers, &*self.server.ctx.rng)
    }

    /// An event of this request, about `user_id` when that is known.
    pub(super) fn event(&self, kind: &'static str, outcome: Outcome, user_id: Option<&str>) -> Event {
        let ctx = self.ctx();
        let mut event = self.info.event(kind, outcome, &*ctx.clock, &*ctx.rng);
        event.principal = user_id.map(|id| PrincipalRef::new("User", id));
        event
    }

    /// Records a refusal that anyone can cause.
    pub(super) fn refused(&self, kind: &'static str, user_id: Option<&str>, reason: &'static str) {
        let mut event = self.event(kind, Outcome::Denied, user_id);
        event.reason = Some(reason.into());
        self.ctx().audit.fold(event);
    }
}

/// A form that came from our own page in the same browser.
#[derive(Debug)]
pub(super) struct Posted {
    pub(super) visit: Visit,
    pub(super) form: Form,
}

impl FromRequest<Shared> for Posted {
    type Rejection = Trouble;

    async fn from_request(request: Request<Body>, server: &Shared) -> Result<Self, Trouble> {
        let (mut parts, body) = request.into_parts();
        let visit = Visit::from_request_parts(&mut parts, server).await?;
        let (_, form) = Form::read(Request::from_parts(parts, body)).await?;
        let site = visit.site();
        let checked = site.csrf().check(site.cookies(), site.origin(), &visit.headers, form.get(FIELD));
        if let Err(refused) = checked {
            visit.refused(kind::UNAUTHENTICATED, None, refused.as_str());
            return Err(Trouble::Forged);
        }
        Ok(Self { visit, form })
    }
}
