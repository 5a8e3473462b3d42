//! `/oauth/authorize` (RFC 6749 4.1.1, OpenID Connect Core 3.1.2): who asks, for what, and whether the person at the browser
//! may and wants to give it.
//!
//! ```text
//! a new request    request::check -> signed in? -> policy -> consent? -> code::issue
//! ?flow=ID         the same request again, after a page of room `login` has done its part
//! ```
//!
//! What is wrong before the redirect URI is proven is a page; everything after goes to the client with `iss` (RFC 9207) and
//! its `state`. A visitor who is not signed in is asked before leaving for an error (RFC 9700 4.11.2). When a page is needed,
//! the request goes into a flow first ([`crate::http::flow`]); when none is, nothing is written but the code.

mod answer;
mod code;
pub(super) mod request;

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use http::{HeaderMap, HeaderValue, Method, StatusCode};

use self::request::Params;
use super::error::Error;
use super::record::Asked;
use super::{Shared, documents, form, limit};
use crate::base::Timestamp;
use crate::crypto::secret_text::{self, Kind};
use crate::crypto::sha256;
use crate::http::Info;
use crate::http::browser::see_other;
use crate::http::flow::{Authorization, Flow, FlowError, Kept, Needs, Requested};
use crate::http::session::SignedIn;
use crate::live::LiveClient;
use crate::model::{Consent, Decision, DenyReason, GrantType, PushedRequest};
use crate::oauth::issuance::{self, Person};
use crate::policy::{Facts, Question};
use crate::store::{StoreError, pushed_requests, visits};
use crate::telemetry::labels::Authorized;

/// How a `request_uri` of ours begins (RFC 9126 2.2).
pub(super) const PUSHED: &str = "urn:ietf:params:oauth:request_uri:";

/// Error codes of the authorization endpoint (RFC 6749 4.1.2.1, OpenID Connect Core 3.1.2.6, RFC 8707 2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Code {
    InvalidRequest,
    UnauthorizedClient,
    AccessDenied,
    UnsupportedResponseType,
    InvalidScope,
    InvalidTarget,
    LoginRequired,
    InteractionRequired,
    ConsentRequired,
    RequestNotSupported,
    RequestUriNotSupported,
    RegistrationNotSupported,
    TemporarilyUnavailable,
}

impl Code {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::InvalidRequest => "invalid_request",
            Self::UnauthorizedClient => "unauthorized_client",
            Self::AccessDenied => "access_denied",
            Self::UnsupportedResponseType => "unsupported_response_type",
            Self::InvalidScope => "invalid_scope",
            Self::InvalidTarget => "invalid_target",
            Self::LoginRequired => "login_required",
            Self::InteractionRequired => "interaction_required",
            Self::ConsentRequired => "consent_required",
            Self::RequestNotSupported => "request_not_supported",
            Self::RequestUriNotSupported => "request_uri_not_supported",
            Self::RegistrationNotSupported => "registration_not_supported",
            Self::TemporarilyUnavailable => "temporarily_unavailable",
        }
    }
}

/// What is wrong with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// And there is nobody to tell but the person.
    Nowhere(&'static str),
    /// And the client is told.
    Told(Code, &'static str),
}

/// Where an answer goes.
#[derive(Clone, Debug)]
struct ReturnTo {
    client: Arc<LiveClient>,
    uri: String,
    state: Option<String>,
    /// Whether it goes there without asking the person, signed in or not.
    at_once: bool,
}

/// How a request ends that leads to no code.
#[derive(Debug)]
enum Stop {
    /// A page says what is wrong: status, title, what to do.
    Page(StatusCode, &'static str, &'static str),
    /// The client is told.
    Told(Box<Telling>),
    /// The store, the log or a key does not answer.
    Broken,
}

/// What the client is told, and with what.
#[derive(Debug)]
struct Telling {
    to: ReturnTo,
    code: Code,
    what: &'static str,
    decision: Option<Decision>,
    cookies: Vec<HeaderValue>,
}

impl From<StoreError> for Stop {
    fn from(error: StoreError) -> Self {
        tracing::warn!(error = %crate::telemetry::chain(&error), "an authorization could not be looked up or stored");
        Self::Broken
    }
}

/// The flow is over, was begun elsewhere, or was answered.
const NO_FLOW: Stop = Stop::Page(
    StatusCode::BAD_REQUEST,
    "This sign-in is over",
    "It took too long, was finished already, or was begun in another browser. Go back to the application and begin again.",
);

/// One visit of a browser.
struct Visit<'a> {
    asked: Asked<'a>,
    headers: HeaderMap,
    signed: Option<SignedIn>,
    /// What the person agreed to give the client before.
    consent: Option<Consent>,
}

/// A checked request on its way to a code.
struct Pending {
    client: Arc<LiveClient>,
    authorization: Authorization,
    needs: Needs,
    began_at: Timestamp,
    /// The pushed request that it came from.
    pushed: Option<String>,
    /// The flow that carries it, once a page was needed.
    flow: Option<Flow>,
}

pub(super) async fn endpoint(State(server): State<Shared>, info: Info, request: Request) -> Response {
    let asked = Asked::new(&server, info, "authorize");
    let mut visit = Visit { asked, headers: request.headers().clone(), signed: None, consent: None };
    let stop = match visit.serve(request).await {
        Ok(response) => return response,
        Err(stop) => stop,
    };
    server.ctx.metrics.authorizations.add(Authorized::Refused);
    visit.stop(stop).await
}

impl Visit<'_> {
    async fn serve(&mut self, request: Request) -> Result<Response, Stop> {
        let server = self.asked.server;
        if let Err(secs) = limit::address(server, "authorize", server.ctx.settings.address, &self.asked.info) {
            return Ok(self.throttled(secs));
        }
        let params = match *request.method() {
            Method::GET | Method::HEAD => request.uri().query().unwrap_or_default().to_owned(),
            Method::POST => match form::read(request).await {
                Ok((_, body)) => String::from_utf8(body.to_vec()).unwrap_or_default(),
                Err(error) => return Ok(error.into_response()),
            },
            _ => return Ok(Error::Method("GET, POST").into_response()),
        };
        let unreadable = Stop::Page(
            StatusCode::BAD_REQUEST,
            "This link is broken",
            "The application sent something that is no authorization request. Tell whoever runs it.",
        );
        let params = Params::parse(&params).filter(|_| params.len() <= request::LONGEST).ok_or(unreadable)?;
        match params.get("flow") {
            Some(flow_id) => {
                let flow = server.ctx.flows.open(&self.headers, flow_id).ok_or(NO_FLOW)?;
                let kept = self.look_up(Some(&flow.client_id), flow.pushed()).await?;
                self.resume(flow, kept, params.get("refused").is_some()).await
            }
            None => {
                let uri = params.one("request_uri").filter(|uri| uri.starts_with(PUSHED));
                let kept = self.look_up(params.one("client_id"), uri).await?;
                let pending = self.begin(&params, uri, kept).await?;
                self.go_on(pending).await
            }
        }
    }

    /// Who is there and what they agreed to give this client; what it pushed under this name.
    async fn look_up(&mut self, client_id: Option<&str>, uri: Option<&str>) -> Result<Option<PushedRequest>, Stop> {
        let ctx = &self.asked.server.ctx;
        let session = ctx.sessions.digest(&self.headers);
        let request = uri.map(|uri| sha256(uri.as_bytes()));
        if session.is_none() && request.is_none() {
            return Ok(None);
        }
        let named = visits::Named { session: session.as_ref(), client_id, request: request.as_ref() };
        let found = visits::find(&mut ctx.store.read().await?, named).await?;
        if let Some(digest) = session {
            self.signed = ctx.sessions.admit(digest, found.session).await?;
            self.consent = found.consent;
        }
        Ok(found.request)
    }

    /// A new request: whose it is, and whether it is one.
    async fn begin(&self, params: &Params, uri: Option<&str>, kept: Option<PushedRequest>) -> Result<Pending, Stop> {
        let server = self.asked.server;
        let stranger = Stop::Page(
            StatusCode::BAD_REQUEST,
            "This application is not known here",
            "The link names no application that may sign people in here. Tell whoever runs it.",
        );
        let client = match params.one("client_id") {
            Some(client_id) => documents::client(&self.asked, client_id).await,
            None => None,
        };
        let client = client.filter(|client| !client.client.disabled).ok_or(stranger)?;
        let began_at = self.asked.now;
        if let Some(uri) = uri {
            let kept = self.pushed(&client, kept)?;
            let (authorization, needs) = (kept.authorization, kept.wishes.needs(began_at));
            return Ok(Pending { client, authorization, needs, began_at, pushed: Some(uri.to_owned()), flow: None });
        }
        let nowhere = |_| {
            let what = "The application wants the answer to go where it is not registered. Tell whoever runs it.";
            Stop::Page(StatusCode::BAD_REQUEST, "This application is not set up for this address", what)
        };
        let uri = request::redirect_uri(&client.client, params).map_err(nowhere)?;
        let to = ReturnTo {
            client: Arc::clone(&client),
            uri: uri.to_owned(),
            state: params.state().map(str::to_owned),
            at_once: params.is_silent(),
        };
        let kept = match request::check(server, &client, params, None) {
            Ok(_) if client.client.require_par => {
                return Err(told(to, Code::InvalidRequest, "this client must push its requests"));
            }
            Ok(kept) => kept,
            Err(Fault::Told(code, what)) => return Err(told(to, code, what)),
            Err(fault) => return Err(nowhere(fault)),
        };
        let (authorization, needs) = (kept.authorization, kept.wishes.needs(began_at));
        Ok(Pending { client, authorization, needs, began_at, pushed: None, flow: None })
    }

    /// A pushed request: of this client, in time, and not answered yet (RFC 9126 2.2, 4).
    fn pushed(&self, client: &LiveClient, found: Option<PushedRequest>) -> Result<Kept, Stop> {
        let usable = |row: &PushedRequest| {
            row.client_id == client.client.client_id && row.used_at.is_none() && row.expires_at > self.asked.now
        };
        let kept = found.filter(usable).and_then(|row| serde_json::from_str::<Kept>(&row.body).ok());
        // What was registered when it was pushed may be no more.
        kept.filter(|kept| request::is_registered(&client.client, &kept.authorization.redirect_uri)).ok_or(NO_FLOW)
    }

    /// A request that has been to a page.
    async fn resume(&self, flow: Flow, kept: Option<PushedRequest>, refused: bool) -> Result<Response, Stop> {
        let authorization = flow.authorization_in(kept).ok_or(NO_FLOW)?;
        let client = documents::client(&self.asked, &flow.client_id).await.filter(|client| {
            !client.client.disabled && request::is_registered(&client.client, &authorization.redirect_uri)
        });
        let client = client.ok_or(NO_FLOW)?;
        let pushed = flow.pushed().map(str::to_owned);
        let pending =
            Pending { client, authorization, needs: flow.needs, began_at: flow.begun_at, pushed, flow: Some(flow) };
        if refused {
            let mut telling = self.telling(&pending, Code::AccessDenied, "the person refused");
            // A click on our own page.
            telling.to.at_once = true;
            return Err(Stop::Told(Box::new(telling)));
        }
        self.go_on(pending).await
    }

    /// What is still needed, or the code.
    async fn go_on(&self, pending: Pending) -> Result<Response, Stop> {
        let metrics = &self.asked.server.ctx.metrics;
        let Some(signed) = &self.signed else {
            if pending.needs.silent {
                return Err(self.refuse(&pending, Code::LoginRequired, "nobody is signed in"));
            }
            metrics.authorizations.add(Authorized::Login);
            return self.to_page("/login", pending).await;
        };
        if !pending.needs.are_met(signed.session.acr, signed.session.auth_time) {
            if pending.needs.silent {
                let code = match pending.needs.is_recent(signed.session.auth_time) {
                    true => Code::InteractionRequired,
                    false => Code::LoginRequired,
                };
                return Err(self.refuse(&pending, code, "the person must authenticate again"));
            }
            metrics.authorizations.add(Authorized::Login);
            return self.to_page("/login", pending).await;
        }
        if pending.authorization.subject.as_ref().is_some_and(|wanted| *wanted != signed.session.user_id) {
            return Err(self.refuse(&pending, Code::LoginRequired, "someone else is signed in"));
        }
        let allowed = self.decide(&pending, signed)?;
        if !self.has_consent(&pending, &allowed.scopes) {
            if pending.needs.silent {
                return Err(self.refuse(&pending, Code::ConsentRequired, "the person has not agreed"));
            }
            metrics.authorizations.add(Authorized::Consent);
            return self.to_page("/consent", pending).await;
        }
        let response = self.issue_code(&pending, signed, allowed).await?;
        metrics.authorizations.add(Authorized::Code);
        Ok(response)
    }

    /// What policy lets the person give the client: for every resource a token, and some of the scopes.
    fn decide(&self, pending: &Pending, signed: &SignedIn) -> Result<Allowed, Stop> {
        let asked = &self.asked;
        let person = Person {
            user: &signed.user,
            acr: signed.session.acr.level(),
            auth_age_secs: u32::try_from(asked.now.since(signed.session.auth_time).as_secs()).unwrap_or(u32::MAX),
        };
        let wanted: Vec<&str> = pending.authorization.scopes.iter().map(String::as_str).collect();
        let mut scopes: Vec<String> = Vec::new();
        let mut whole: Option<Decision> = None;
        for uri in &pending.authorization.resources {
            let target = issuance::target(asked.server, uri);
            let granted =
                issuance::decide_for(asked, &pending.client, &person, GrantType::AuthorizationCode, &target, &wanted);
            if let Some(reason) = granted.decision.denied {
                let code = match reason {
                    DenyReason::NoSnapshot => Code::TemporarilyUnavailable,
                    _ if granted.by_scope => Code::InvalidScope,
                    _ => Code::AccessDenied,
                };
                let telling = self.telling(pending, code, "policy does not allow it");
                return Err(Stop::Told(Box::new(Telling { decision: Some(granted.decision), ..telling })));
            }
            let new = granted.scope.split(' ').filter(|scope| !scope.is_empty());
            for scope in new {
                if scopes.iter().all(|known| known != scope) {
                    scopes.push(scope.to_owned());
                }
            }
            whole.get_or_insert(granted.decision);
        }
        match whole {
            Some(decision) => Ok(Allowed { scopes, decision }),
            None => Err(self.refuse(pending, Code::InvalidTarget, "no resource")),
        }
    }

    /// Whether the person need not be asked: policy says so of this client, or they agreed to all of it before.
    fn has_consent(&self, pending: &Pending, scopes: &[String]) -> bool {
        let resources = &pending.authorization.resources;
        if !pending.needs.consent && self.is_waived(pending) {
            return true;
        }
        let covers =
            |consent: &Consent| consent.covers(scopes.iter().map(String::as_str), resources.iter().map(String::as_str));
        // Of a client that was made again under an old id nobody knows anything.
        let made = pending.client.client.created_at;
        let since = if pending.needs.consent { pending.began_at } else { made };
        self.consent.as_ref().is_some_and(|consent| consent.given_at >= since.max(made) && covers(consent))
    }

    fn is_waived(&self, pending: &Pending) -> bool {
        let asked = &self.asked;
        let Some(snapshot) = asked.server.ctx.engine.snapshot() else { return false };
        let scopes = pending.authorization.scopes.join(" ");
        let client_id = &pending.client.client.client_id;
        let facts = Facts::at(asked.now).scopes(&scopes).client(client_id).address(asked.info.address);
        let facts = asked.told(&pending.client.principal, facts);
        pending.authorization.resources.iter().all(|uri| {
            let target = issuance::target(asked.server, uri);
            let question = Question {
                principal: &pending.client.principal,
                action: "consent:waive",
                resource: &target.entity,
                facts: &facts,
            };
            snapshot.decide(&question).is_allowed()
        })
    }

    /// On to a page of room `login`, with the request in a flow.
    async fn to_page(&self, path: &str, pending: Pending) -> Result<Response, Stop> {
        let ctx = &self.asked.server.ctx;
        let (flow, cookies) = match pending.flow {
            Some(flow) => (flow, Vec::new()),
            None => self.begin_flow(pending).await?,
        };
        Ok(see_other(&ctx.site.path(&format!("{path}?flow={}", flow.flow_id)), cookies))
    }

    async fn begin_flow(&self, pending: Pending) -> Result<(Flow, Vec<HeaderValue>), Stop> {
        let ctx = &self.asked.server.ctx;
        let client_id = &pending.client.client.client_id;
        let request = match pending.pushed {
            Some(uri) => Requested::Pushed(uri),
            None => Requested::Here(Box::new(pending.authorization.clone())),
        };
        let broken = |error: FlowError| {
            tracing::error!(%error, "a flow could not be begun");
            Stop::Broken
        };
        match ctx.flows.begin(&self.headers, client_id, request, pending.needs) {
            Err(FlowError::TooLarge) => {
                let name = secret_text::generate(Kind::PushedRequest, &*ctx.rng);
                let uri = format!("urn:stockade:kept:{}", name.expose());
                let kept = Kept { authorization: pending.authorization, wishes: Default::default() };
                let row = PushedRequest {
                    client_id: client_id.clone(),
                    body: serde_json::to_string(&kept).map_err(|_| Stop::Broken)?,
                    expires_at: self.asked.now,
                    used_at: None,
                };
                let mut tx = ctx.store.begin().await?;
                pushed_requests::insert(&mut tx, &sha256(uri.as_bytes()), &row).await?;
                tx.commit().await?;
                let request = Requested::Pushed(uri);
                ctx.flows.begin(&self.headers, client_id, request, pending.needs).map_err(broken)
            }
            begun => begun.map_err(broken),
        }
    }

    fn refuse(&self, pending: &Pending, code: Code, what: &'static str) -> Stop {
        Stop::Told(Box::new(self.telling(pending, code, what)))
    }

    fn telling(&self, pending: &Pending, code: Code, what: &'static str) -> Telling {
        let to = ReturnTo {
            client: Arc::clone(&pending.client),
            uri: pending.authorization.redirect_uri.clone(),
            state: pending.authorization.state.clone(),
            at_once: pending.needs.silent,
        };
        let cookies = pending.flow.iter().flat_map(|flow| self.asked.server.ctx.flows.end(flow)).collect();
        Telling { to, code, what, decision: None, cookies }
    }
}

/// What policy allows of a request.
struct Allowed {
    scopes: Vec<String>,
    decision: Decision,
}

fn told(to: ReturnTo, code: Code, what: &'static str) -> Stop {
    Stop::Told(Box::new(Telling { to, code, what, decision: None, cookies: Vec::new() }))
}
