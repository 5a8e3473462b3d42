//! `POST /oauth/par` (RFC 9126): a client pushes its authorization request, authenticated and checked before any browser is
//! involved, and is given a name for it that is good for a minute.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use http::StatusCode;

use super::authorize::request::{self, Params};
use super::authorize::{Fault, PUSHED};
use super::error::{Error, json};
use super::form::{self, Form};
use super::record::{Asked, Refusal};
use super::{Shared, client_auth, dpop, limit};
use crate::crypto::secret_text::{self, Kind};
use crate::crypto::sha256;
use crate::http::Info;
use crate::live::LiveClient;
use crate::model::PushedRequest;
use crate::model::event::kind;
use crate::store::{StoreError, pushed_requests};

/// How long a pushed request may wait for its browser (RFC 9126 2.2).
const LIFETIME: Duration = Duration::from_secs(60);

pub(super) async fn endpoint(State(server): State<Shared>, info: Info, request: Request) -> Response {
    let asked = Asked::new(&server, info, "authorize");
    let mut response = match answer(&asked, request).await {
        Ok(response) => response,
        Err(refusal) => refusal.record(&asked, kind::AUTHORIZATION_REFUSED).await.into_response(),
    };
    dpop::hand_out(&asked, &mut response);
    response
}

async fn answer(asked: &Asked<'_>, request: Request) -> Result<Response, Refusal> {
    let server = asked.server;
    limit::address(server, "par", server.ctx.settings.token_address, &asked.info).map_err(Error::RateLimited)?;
    let path = dpop::path(&request);
    let (headers, body) = form::read(request).await?;
    let form = Form::parse(&body)?;
    let client = client_auth::identify(asked, &headers, &form).await?;
    limit::client(server, &client.client.client_id).map_err(|secs| Error::RateLimited(secs).to(&client))?;
    let malformed = |what| Error::InvalidRequest(what).to(&client);
    if form.get("request_uri").is_some() {
        return Err(malformed("request_uri names a request that was pushed already"));
    }
    if form.get("client_id").is_some_and(|id| id != client.client.client_id) {
        return Err(malformed("client_id is another client's"));
    }
    // What is proven here is what the code will be bound to (RFC 9449 10.1); without a proof nothing is.
    if path.is_some() {
        dpop::prove(asked, &client, &headers, path.as_deref()).await?;
    }
    let text = std::str::from_utf8(&body).unwrap_or_default();
    let params = Params::parse(text).ok_or_else(|| malformed("the body does not parse"))?;
    let kept = request::check(server, &client, &params, asked.jkt()).map_err(|fault| {
        match fault {
            Fault::Nowhere(what) => Error::InvalidRequest(what),
            Fault::Told(code, what) => Error::Authorization(code, what),
        }
        .to(&client)
    })?;
    let body = serde_json::to_string(&kept).map_err(|_| Error::Server.to(&client))?;
    let uri = keep(asked, &client, body).await.map_err(|error| {
        tracing::warn!(error = %crate::telemetry::chain(&error), "a pushed request could not be stored");
        Error::Unavailable.to(&client)
    })?;
    Ok(json(StatusCode::CREATED, format!(r#"{{"request_uri":"{uri}","expires_in":{}}}"#, LIFETIME.as_secs())))
}

async fn keep(asked: &Asked<'_>, client: &Arc<LiveClient>, body: String) -> Result<String, StoreError> {
    let ctx = &asked.server.ctx;
    let name = secret_text::generate(Kind::PushedRequest, &*ctx.rng);
    let uri = format!("{PUSHED}{}", name.expose());
    let row = PushedRequest {
        client_id: client.client.client_id.clone(),
        body,
        expires_at: asked.now.plus(LIFETIME),
        used_at: None,
    };
    let mut tx = ctx.store.begin().await?;
    pushed_requests::insert(&mut tx, &sha256(uri.as_bytes()), &row).await?;
    tx.commit().await?;
    Ok(uri)
}
