//! `POST /oauth/introspect` (RFC 7662): the client that a token was issued to, and the resource servers in its `aud`, learn
//! what it says. To everyone else, and of every other text, it says `{"active":false}` and nothing more.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use http::StatusCode;
use serde::Serialize;

use super::error::{Error, json};
use super::form::{self, Form};
use super::record::{Asked, Refusal};
use super::{Shared, client_auth, limit};
use crate::base::Timestamp;
use crate::crypto::secret_text::{self, Kind};
use crate::crypto::verify::{Confirmation, TokenError};
use crate::http::Info;
use crate::model::event::kind;
use crate::model::{AccessToken, Acr, Actor, Client, Grant, Outcome, RefreshState, RefreshToken};
use crate::store::{StoreError, grants, refresh_tokens};
use crate::telemetry::labels::Activity;

#[derive(Serialize)]
struct Active<'a> {
    active: bool,
    #[serde(skip_serializing_if = "str::is_empty")]
    scope: &'a str,
    client_id: &'a str,
    token_type: &'static str,
    exp: i64,
    iat: i64,
    sub: &'a str,
    aud: Audience<'a>,
    iss: &'a str,
    jti: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    cnf: Option<Confirmation<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    acr: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    auth_time: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    act: Option<&'a Actor>,
}

/// What is said of a refresh token: to its client alone, so it has no audience.
#[derive(Serialize)]
struct ActiveRefresh<'a> {
    active: bool,
    scope: String,
    client_id: &'a str,
    exp: i64,
    iat: i64,
    sub: &'a str,
    iss: &'a str,
}

/// As the token has it: one as a string, several as an array.
#[derive(Serialize)]
#[serde(untagged)]
enum Audience<'a> {
    One(&'a str),
    Many(&'a [String]),
}

pub(super) async fn endpoint(State(server): State<Shared>, info: Info, request: Request) -> Response {
    let asked = Asked::new(&server, info, "token:introspect");
    match answer(&asked, request).await {
        Ok(response) => response,
        Err(refusal) => refusal.record(&asked, kind::TOKEN_INTROSPECTED).await.into_response(),
    }
}

async fn answer(asked: &Asked<'_>, request: Request) -> Result<Response, Refusal> {
    let server = asked.server;
    let ctx = &server.ctx;
    limit::address(server, "introspect", ctx.settings.address, &asked.info).map_err(Error::RateLimited)?;
    let (headers, body) = form::read(request).await?;
    let form = Form::parse(&body)?;
    let caller = client_auth::authenticate(asked, &headers, &form).await?;
    let token = form.get("token").ok_or_else(|| Error::InvalidRequest("token is missing").to(&caller))?;
    if secret_text::check(token) == Some(Kind::RefreshToken) {
        let found = refresh(asked, &caller.client, token).await.map_err(|error| {
            tracing::warn!(error = %crate::telemetry::chain(&error), "a refresh token could not be looked up");
            Error::Unavailable.to(&caller)
        })?;
        ctx.metrics.introspections.add(if found.is_some() { Activity::Active } else { Activity::Inactive });
        return Ok(found.unwrap_or_else(inactive));
    }
    let (response, reason) = match ctx.live.verify(token, asked.now).await {
        Ok(token) if may_know(&caller.client, &token) => (active(&ctx.issuer, &token)?, None),
        Ok(token) => {
            // Someone asks about a token that is no business of theirs: worth an entry of its own.
            let mut event = asked.event(kind::TOKEN_INTROSPECTED, Outcome::Denied, Some(&caller));
            event.reason = Some(Arc::from("not_in_audience"));
            ctx.audit.queue(event.with("jti", token.jti.as_str()));
            ctx.metrics.introspections.add(Activity::Inactive);
            return Ok(inactive());
        }
        // Not knowing is not "inactive": the caller would turn away a good token.
        Err(TokenError::Unavailable) => return Err(Error::Unavailable.to(&caller)),
        Err(why) => (inactive(), Some(why.as_str())),
    };
    let (activity, outcome) =
        if reason.is_none() { (Activity::Active, Outcome::Allowed) } else { (Activity::Inactive, Outcome::Denied) };
    ctx.metrics.introspections.add(activity);
    // Resource servers ask with every call of theirs: one event a second for each of them and each answer, with a count.
    let reason: Option<Arc<str>> = reason.map(Arc::from);
    ctx.audit.count(kind::TOKEN_INTROSPECTED, reason.clone(), caller.principal.reference(), || {
        let mut event = asked.event(kind::TOKEN_INTROSPECTED, outcome, Some(&caller));
        event.reason = reason;
        event
    });
    Ok(response)
}

/// What its own client learns of a refresh token that may still be used.
async fn refresh(asked: &Asked<'_>, caller: &Client, text: &str) -> Result<Option<Response>, StoreError> {
    let ctx = &asked.server.ctx;
    let mut reader = ctx.store.read().await?;
    let found = refresh_tokens::find(&mut reader, &secret_text::digest(text)).await?;
    let usable = |token: &RefreshToken| token.state == RefreshState::Active && token.expires_at > asked.now;
    let Some(token) = found.filter(usable) else { return Ok(None) };
    let grant = grants::find(&mut reader, &token.grant_id).await?;
    let own = |grant: &Grant| grant.client_id == caller.client_id && grant.created_at >= caller.created_at;
    let Some(grant) = grant.filter(|grant| own(grant) && grant.is_live(asked.now)) else { return Ok(None) };
    drop(reader);
    if ctx.live.user(&grant.user_id).await?.is_none_or(|user| user.user.disabled) {
        return Ok(None);
    }
    let said = ActiveRefresh {
        active: true,
        scope: grant.scopes.join(" "),
        client_id: &grant.client_id,
        exp: token.expires_at.as_secs(),
        iat: token.issued_at.as_secs(),
        sub: &grant.user_id,
        iss: &ctx.issuer,
    };
    Ok(serde_json::to_vec(&said).ok().map(|body| json(StatusCode::OK, body)))
}

/// Whether `caller` is the token's client or one of its resource servers.
fn may_know(caller: &Client, token: &AccessToken) -> bool {
    caller.client_id == token.client_id || token.aud.iter().any(|aud| caller.serves.contains(aud))
}

fn active(issuer: &str, token: &AccessToken) -> Result<Response, Error> {
    let aud = match token.aud.as_slice() {
        [one] => Audience::One(one),
        many => Audience::Many(many),
    };
    let said = Active {
        active: true,
        scope: &token.scope,
        client_id: &token.client_id,
        token_type: if token.cnf_jkt.is_some() { "DPoP" } else { "Bearer" },
        exp: token.exp.as_secs(),
        iat: token.iat.as_secs(),
        sub: &token.sub,
        aud,
        iss: issuer,
        jti: &token.jti,
        cnf: token.cnf_jkt.as_deref().map(|jkt| Confirmation { jkt }),
        acr: token.acr.and_then(|level| Acr::try_from(level).ok()).map(Acr::as_str),
        auth_time: token.auth_time.map(Timestamp::as_secs),
        act: token.act.as_ref(),
    };
    let body = serde_json::to_vec(&said).map_err(|_| Error::Server)?;
    Ok(json(StatusCode::OK, body))
}

fn inactive() -> Response {
    json(StatusCode::OK, r#"{"active":false}"#)
}
