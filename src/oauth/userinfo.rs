//! `/oauth/userinfo` (OpenID Connect Core 5.3): what an access token with the scope `openid` lets a client know of its person.

use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use http::{Method, StatusCode};
use serde::Serialize;

use super::Shared;
use super::cors::Origin;
use super::error::{Error, json};
use crate::http::bearer::Refusal;
use crate::http::{Info, Problem};
use crate::model::User;

/// Claims by scope (Core 5.4).
#[derive(Serialize)]
struct Claims<'a> {
    sub: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    preferred_username: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    updated_at: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    email: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    email_verified: Option<bool>,
}

impl<'a> Claims<'a> {
    fn of(user: &'a User, has: impl Fn(&str) -> bool) -> Self {
        let (profile, email) = (has("profile"), has("email"));
        let email = user.email.as_deref().filter(|_| email);
        Self {
            sub: &user.user_id,
            name: user.name.as_deref().filter(|_| profile),
            preferred_username: profile.then_some(&*user.username),
            updated_at: profile.then(|| user.updated_at.as_secs()),
            email,
            email_verified: email.map(|_| user.email_verified),
        }
    }
}

pub(super) async fn endpoint(State(server): State<Shared>, info: Info, request: Request) -> Response {
    if let Some(preflight) = Origin::preflight(&server, request.method(), request.headers(), "GET, POST") {
        return preflight;
    }
    let origin = Origin::of(request.headers());
    if !matches!(*request.method(), Method::GET | Method::HEAD | Method::POST) {
        return Error::Method("GET, POST").into_response();
    }
    let (parts, _) = request.into_parts();
    let caller = match server.ctx.guard.caller(&parts, &info).await {
        Ok(caller) => caller,
        Err(problem) => {
            let mut response = problem.into_response();
            origin.admit(&server, None, &mut response);
            return response;
        }
    };
    // A caller by a request's token always has one; an operator at the machine has none, and is no person.
    let Some(token) = caller.token else { return server.ctx.guard.challenge(&Refusal::Token).into_response() };
    let client = server.ctx.live.client(&token.client_id);
    let mut response = match answer(&server, &token).await {
        Ok(response) => response,
        Err(problem) => problem.into_response(),
    };
    origin.admit(&server, client.as_deref(), &mut response);
    response
}

async fn answer(server: &Shared, token: &crate::model::AccessToken) -> Result<Response, Problem> {
    let has = |wanted: &str| token.scopes().any(|scope| scope == wanted);
    if token.is_client() || !has("openid") {
        return Err(server.ctx.guard.challenge(&Refusal::Scope("openid".to_owned())));
    }
    let unavailable = || Problem::new(crate::http::Kind::Unavailable).detail("try again later");
    let user = server.ctx.live.user(&token.sub).await.map_err(|error| {
        tracing::warn!(error = %crate::telemetry::chain(&error), "a person could not be looked up");
        unavailable()
    })?;
    // It was there a moment ago, when the token was checked.
    let user = user.ok_or_else(unavailable)?;
    let body = serde_json::to_vec(&Claims::of(&user.user, has)).map_err(|_| unavailable())?;
    Ok(json(StatusCode::OK, body))
}
