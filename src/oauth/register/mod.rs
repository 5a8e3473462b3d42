//! `/oauth/register`: clients that register themselves (RFC 7591), and manage what they registered ([`own`], RFC 7592).
//!
//! It is there when the configuration says so, and then policy decides about each: who asks (by access token, or nobody),
//! and what the client says of itself. What it may be is what any client may be (`registry`), under the role `dynamic`;
//! one to which nothing is ever issued leaves again ([`unused`]).

mod answer;
mod own;
mod unused;

use std::sync::{Arc, LazyLock};

use axum::extract::{Request, State};
use axum::response::Response;
use http::request::Parts;
use http::{Method, StatusCode, header};
use serde_json::{Map, Value};

use self::answer::{Code, Refused, answered};
pub(super) use self::own::endpoint as own_endpoint;
pub use self::unused::Unused;
use super::error::Error;
use super::record::Asked;
use super::{Shared, limit};
use crate::base::{Secret, id};
use crate::crypto::{foreign, secret_text};
use crate::http::bearer::Refusal;
use crate::http::{Info, Kind, Problem, body};
use crate::model::event::kind;
use crate::model::{AccessToken, Client, Decision, DenyReason, Event, Outcome};
use crate::policy::{Facts, Principal, Resource};
use crate::registry::{self, Mistake, metadata};
use crate::store::{StoreError, clients, events, registrations};

const REGISTER: &str = "client:register";
/// The scope that the shipped policy wants of an initial access token.
const SCOPE: &str = "client:register";
/// Longest body that is read.
const LONGEST: usize = 64 * 1024;
/// How long to stay away when there are as many clients as there may be, in seconds.
const FULL: u64 = 3600;

static REGISTRY: LazyLock<Resource> = LazyLock::new(Resource::client_registry);

/// Who asks.
struct Who {
    principal: Principal,
    token: Option<Arc<AccessToken>>,
}

pub(super) async fn endpoint(State(server): State<Shared>, info: Info, request: Request) -> Response {
    let asked = Asked::new(&server, info, REGISTER);
    let outcome = register(&asked, request).await;
    answered(&asked, outcome).await
}

async fn register(asked: &Asked<'_>, request: Request) -> Result<Response, Refused> {
    let (server, ctx) = (asked.server, &asked.server.ctx);
    limit::address(server, "register", ctx.settings.register_address, &asked.info).map_err(Error::RateLimited)?;
    if request.method() != Method::POST {
        return Err(Error::Method("POST").into());
    }
    let (parts, body) = request.into_parts();
    let who = who(asked, &parts).await?;
    let sent = object(&parts, body).await?;
    let client_id = id::new("client", asked.now, &*ctx.rng);
    let mut client = described(asked, &client_id, &sent)?;
    let decision = decide(asked, &who, REGISTER, &client).await?;
    let (secret, kept) = new_secret(asked, &client);
    client.secrets.extend(kept);
    let token = secret_text::generate(secret_text::Kind::Registration, &*ctx.rng);
    let event = event(asked, &who, &client, "registered").decided(&decision);
    if !keep(asked, &client, &token, &event).await.map_err(unavailable)? {
        tracing::warn!("there are as many clients as `oauth.registration.most` lets register themselves");
        return Err(Error::Overloaded(FULL).into());
    }
    seen(asked).await;
    Ok(answer::client(asked, StatusCode::CREATED, &client, secret.as_ref(), token.expose()))
}

/// False when there is no room.
async fn keep(asked: &Asked<'_>, client: &Client, token: &Secret<String>, event: &Event) -> Result<bool, StoreError> {
    let ctx = &asked.server.ctx;
    let mut tx = ctx.store.begin().await?;
    if registrations::count(&mut tx).await? >= i64::from(ctx.settings.registration.most) {
        return Ok(false);
    }
    clients::insert(&mut tx, client).await?;
    let digest = secret_text::digest(token.expose());
    registrations::insert(&mut tx, &client.client_id, Some(&digest), asked.now).await?;
    events::intake(&mut tx, event).await?;
    tx.commit().await?;
    Ok(true)
}

/// By an access token of ours, which must be good when there is one (RFC 7591 3).
async fn who(asked: &Asked<'_>, parts: &Parts) -> Result<Who, Refused> {
    if !parts.headers.contains_key(header::AUTHORIZATION) {
        return Ok(Who { principal: Principal::anonymous(), token: None });
    }
    let caller = asked.server.ctx.guard.caller(parts, &asked.info).await?;
    Ok(Who { principal: caller.principal, token: caller.token })
}

async fn object(parts: &Parts, body: axum::body::Body) -> Result<Map<String, Value>, Refused> {
    if !body::is_type(&parts.headers, "application/json") {
        return Err(Error::InvalidRequest("send the metadata as application/json").into());
    }
    let body = body::read(body, LONGEST).await.map_err(|_| Error::TooLarge)?;
    match serde_json::from_slice(&body) {
        Ok(Value::Object(sent)) => Ok(sent),
        _ => Err(Refused::Metadata(Code::ClientMetadata, "the body is no JSON object".to_owned())),
    }
}

/// What the metadata say, checked.
fn described(asked: &Asked<'_>, client_id: &str, sent: &Map<String, Value>) -> Result<Client, Refused> {
    let ctx = &asked.server.ctx;
    if let Some(statement) = sent.get("software_statement").filter(|statement| !statement.is_null()) {
        let refused = |code, what: &str| Err(Refused::Metadata(code, what.to_owned()));
        return match statement.as_str().and_then(foreign::claimed) {
            Some(_) => refused(Code::UnapprovedStatement, "nobody's software statements are trusted: leave it out"),
            None => refused(Code::SoftwareStatement, "the software statement is no JWT"),
        };
    }
    let scopes = &ctx.settings.registration.scopes;
    metadata::read(client_id, sent, scopes, &ctx.registry, asked.now).map_err(|mistakes| {
        let about_uris = mistakes.iter().all(|mistake| mistake.member() == "redirect_uris");
        let code = if about_uris { Code::RedirectUri } else { Code::ClientMetadata };
        let all: Vec<String> = mistakes.iter().map(Mistake::to_string).collect();
        Refused::Metadata(code, all.join("; "))
    })
}

/// Whether policy lets `client` be what it says.
async fn decide(asked: &Asked<'_>, who: &Who, action: &'static str, client: &Client) -> Result<Decision, Refused> {
    let ctx = &asked.server.ctx;
    let facts = who.token.as_ref().map_or_else(|| Facts::at(asked.now), |token| Facts::of_token(token, asked.now));
    let facts = facts.address(asked.info.address);
    let decision = asked.decide(&who.principal, action, &REGISTRY, &facts, &said(client));
    match decision.denied {
        None => return Ok(decision),
        Some(DenyReason::NoSnapshot) => return Err(Error::Unavailable.into()),
        Some(_) => {}
    }
    let stranger = &*who.principal.reference().kind == "Anonymous";
    let kind = if stranger { kind::UNAUTHENTICATED } else { kind::DECISION };
    let mut event = asked.event(kind, Outcome::Denied, None).decided(&decision);
    event.principal = Some(who.principal.reference().clone());
    event.resource = Some(REGISTRY.name().into());
    if stranger {
        ctx.audit.fold(event);
        return Err(ctx.guard.challenge(&Refusal::Missing).into());
    }
    ctx.audit.record(event).await.map_err(|_| Error::Unavailable)?;
    let lacks_scope = who.token.as_ref().is_some_and(|token| token.scopes().all(|scope| scope != SCOPE));
    Err(match lacks_scope {
        true => ctx.guard.challenge(&Refusal::Scope(SCOPE.to_owned())),
        false => Problem::new(Kind::Forbidden).detail("no policy lets this client be registered like this"),
    }
    .into())
}

/// What policies see of a client that describes itself.
pub(super) fn said(client: &Client) -> Map<String, Value> {
    let host = |uri: &String| {
        let url = url::Url::parse(uri).ok()?;
        Some(url.host_str().map_or_else(|| format!("{}:", url.scheme()), str::to_owned))
    };
    let hosts: Vec<String> = client.redirect_uris.iter().filter_map(host).collect();
    let grants: Vec<&str> = client.grants.iter().map(|grant| grant.as_str()).collect();
    Map::from_iter([
        ("hosts".to_owned(), hosts.into()),
        ("grants".to_owned(), grants.into()),
        ("asks".to_owned(), client.scopes.clone().into()),
    ])
}

fn new_secret(
    asked: &Asked<'_>,
    client: &Client,
) -> (Option<Secret<String>>, Option<crate::model::client::ClientSecret>) {
    let wants = registry::client::uses_secrets(client);
    wants.then(|| registry::client::new_secret(asked.now, &*asked.server.ctx.rng)).unzip()
}

fn event(asked: &Asked<'_>, who: &Who, client: &Client, what: &'static str) -> Event {
    let mut event = asked.event(kind::CLIENT_CHANGED, Outcome::Allowed, None);
    event.principal = Some(who.principal.reference().clone());
    event.resource = Some(format!("Client::{:?}", client.client_id).into());
    let event = event.with("change", what).with("client_id", client.client_id.as_str());
    event.with("scope", client.scopes.join(" ")).with("redirect_uris", client.redirect_uris.clone())
}

fn unavailable(error: StoreError) -> Refused {
    tracing::warn!(error = %crate::telemetry::chain(&error), "a registration could not be stored");
    Error::Unavailable.into()
}

/// Here at once; the others follow within a second.
pub(super) async fn seen(asked: &Asked<'_>) {
    if let Err(error) = asked.server.ctx.live.refresh().await {
        tracing::debug!(error = %crate::telemetry::chain(&error), "a registration is seen here with the next look");
    }
}
