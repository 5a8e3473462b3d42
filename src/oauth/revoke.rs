//! `POST /oauth/revoke` (RFC 7009): a client takes back a token of its own. What is no token, or none any more, is answered
//! like success: there is nothing left to do.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use http::StatusCode;

use super::cors::Origin;
use super::error::{Error, json};
use super::form::{self, Form};
use super::record::{Asked, Refusal};
use super::{Shared, client_auth, limit};
use crate::accounts::{self, Occasion, Why};
use crate::crypto::secret_text::{self, Kind};
use crate::crypto::verify::TokenError;
use crate::http::Info;
use crate::live::LiveClient;
use crate::model::event::kind;
use crate::model::{AccessToken, Grant, Outcome};
use crate::store::grants::Of;
use crate::store::{StoreError, events, grants, refresh_tokens, revocations};

pub(super) async fn endpoint(State(server): State<Shared>, info: Info, request: Request) -> Response {
    if let Some(preflight) = Origin::preflight(&server, request.method(), request.headers(), "POST") {
        return preflight;
    }
    let origin = Origin::of(request.headers());
    let asked = Asked::new(&server, info, "token:revoke");
    let mut response = match answer(&asked, request).await {
        Ok(()) => json(StatusCode::OK, ""),
        Err(refusal) => refusal.record(&asked, kind::TOKEN_REVOKED).await.into_response(),
    };
    origin.admit(&server, asked.client.get().map(|client| &**client), &mut response);
    response
}

async fn answer(asked: &Asked<'_>, request: Request) -> Result<(), Refusal> {
    let server = asked.server;
    let ctx = &server.ctx;
    limit::address(server, "revoke", ctx.settings.address, &asked.info).map_err(Error::Overloaded)?;
    let (headers, body) = form::read(request).await?;
    let form = Form::parse(&body)?;
    // Public clients too, which name themselves (RFC 7009 2.1): what they can revoke is theirs.
    let caller = client_auth::identify(asked, &headers, &form).await?;
    // `token_type_hint` changes nothing: all that can be revoked is looked at in one step (RFC 7009 2.1).
    let text = form.get("token").ok_or_else(|| Error::InvalidRequest("token is missing").to(&caller))?;
    let unavailable = |error: StoreError| {
        tracing::warn!(error = %crate::telemetry::chain(&error), "a revocation could not be stored");
        Error::Unavailable.to(&caller)
    };
    let kind = secret_text::check(text);
    if kind == Some(Kind::RefreshToken) {
        return match refreshable(asked, text).await.map_err(unavailable)? {
            None => Ok(()),
            Some(family) if family.client_id != caller.client.client_id => Err(FOREIGN.to(&caller)),
            Some(family) => end(asked, &caller, &family).await.map_err(unavailable),
        };
    }
    let token = match ctx.live.verify(text, asked.now).await {
        Ok(token) => token,
        Err(TokenError::Unavailable) => return Err(Error::Unavailable.to(&caller)),
        Err(TokenError::WrongType) => return Err(Error::UnsupportedTokenType.to(&caller)),
        Err(_) if kind.is_some_and(|kind| kind != Kind::AccessToken) => {
            return Err(Error::UnsupportedTokenType.to(&caller));
        }
        Err(_) => return Ok(()),
    };
    if token.client_id != caller.client.client_id {
        return Err(FOREIGN.to(&caller));
    }
    revoke(asked, &caller, &token).await.map_err(unavailable)
}

const FOREIGN: Error = Error::InvalidGrant("the token was issued to another client");

/// The family of a refresh token.
async fn refreshable(asked: &Asked<'_>, text: &str) -> Result<Option<Grant>, StoreError> {
    let mut reader = asked.server.ctx.store.read().await?;
    let found = refresh_tokens::find(&mut reader, &secret_text::digest(text)).await?;
    match found {
        Some(token) => grants::find(&mut reader, &token.grant_id).await,
        None => Ok(None),
    }
}

/// With a refresh token goes everything of its family (RFC 7009 2.1): access tokens that know nothing of it are dead by the
/// denylist.
async fn end(asked: &Asked<'_>, caller: &LiveClient, family: &Grant) -> Result<(), StoreError> {
    let ctx = &asked.server.ctx;
    let make = |kind: &'static str, outcome: Outcome| asked.event(kind, outcome, Some(caller));
    let on = Occasion { event: &make, why: Why::Revoked, now: asked.now, rng: &*ctx.rng };
    let mut tx = ctx.store.begin().await?;
    let ended = accounts::revoke(&mut tx, Of::Grant(&family.grant_id), &on).await?;
    tx.commit().await?;
    ended.announce(&ctx.live);
    ctx.metrics.revocations.add(());
    Ok(())
}

/// The denylist row and its event are one commit; from then on this process knows, and the others within a second.
async fn revoke(asked: &Asked<'_>, caller: &LiveClient, token: &AccessToken) -> Result<(), StoreError> {
    let ctx = &asked.server.ctx;
    let mut event = asked.event(kind::TOKEN_REVOKED, Outcome::Allowed, Some(caller));
    event.resource = token.aud.first().map(|aud| Arc::from(aud.as_str()));
    let event = event.with("jti", token.jti.as_str());
    let mut tx = ctx.store.begin().await?;
    revocations::insert(&mut tx, &token.jti, token.exp, asked.now).await?;
    events::intake(&mut tx, &event).await?;
    tx.commit().await?;
    ctx.live.revoke(&token.jti, token.exp);
    ctx.metrics.revocations.add(());
    Ok(())
}
