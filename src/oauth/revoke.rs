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
use crate::crypto::secret_text::{self, Kind};
use crate::crypto::verify::TokenError;
use crate::http::Info;
use crate::live::LiveClient;
use crate::model::event::kind;
use crate::model::{AccessToken, Outcome};
use crate::store::{StoreError, events, revocations};

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
    let caller = client_auth::authenticate(asked, &headers, &form).await?;
    // `token_type_hint` changes nothing: all that can be revoked is looked at in one step (RFC 7009 2.1).
    let text = form.get("token").ok_or_else(|| Error::InvalidRequest("token is missing").to(&caller))?;
    let token = match ctx.live.verify(text, asked.now).await {
        Ok(token) => token,
        Err(TokenError::Unavailable) => return Err(Error::Unavailable.to(&caller)),
        Err(TokenError::WrongType) => return Err(Error::UnsupportedTokenType.to(&caller)),
        Err(_) if secret_text::check(text) == Some(Kind::ClientSecret) => {
            return Err(Error::UnsupportedTokenType.to(&caller));
        }
        Err(_) => return Ok(()),
    };
    if token.client_id != caller.client.client_id {
        return Err(Error::InvalidGrant.to(&caller));
    }
    revoke(asked, &caller, &token).await.map_err(|error| {
        tracing::warn!(error = %crate::telemetry::chain(&error), "a revocation could not be stored");
        Error::Unavailable.to(&caller)
    })
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
