//! `POST /oauth/token` (RFC 6749 3.2): one file a grant.

mod authorization_code;
mod client_credentials;
mod device_code;
mod jwt_bearer;
mod own;
mod person;
mod refresh_token;
mod token_exchange;

use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};

use super::cors::Origin;
use super::error::Error;
use super::form::{self, Form};
use super::record::{Asked, Refusal};
use super::{Shared, client_auth, dpop, limit};
use crate::http::Info;
use crate::model::GrantType;
use crate::model::event::kind;
use crate::store::registrations;

pub(super) async fn endpoint(State(server): State<Shared>, info: Info, request: Request) -> Response {
    if let Some(preflight) = Origin::preflight(&server, request.method(), request.headers(), "POST") {
        return preflight;
    }
    let origin = Origin::of(request.headers());
    let asked = Asked::new(&server, info, "token:issue");
    let mut response = match answer(&asked, request).await {
        Ok(response) => {
            note_use(&asked).await;
            response
        }
        Err(refusal) => {
            let error = refusal.record(&asked, kind::TOKEN_REFUSED).await;
            server.ctx.metrics.tokens_refused.add(error.label());
            error.into_response()
        }
    };
    dpop::hand_out(&asked, &mut response);
    origin.admit(&server, asked.client.get().map(|client| &**client), &mut response);
    response
}

async fn answer(asked: &Asked<'_>, request: Request) -> Result<Response, Refusal> {
    let server = asked.server;
    limit::address(server, "token", server.ctx.settings.token_address, &asked.info).map_err(Error::RateLimited)?;
    let path = dpop::path(&request);
    let (headers, body) = form::read(request).await?;
    let form = Form::parse(&body)?;
    let client = client_auth::identify(asked, &headers, &form).await?;
    limit::client(server, &client.client.client_id).map_err(|secs| Error::RateLimited(secs).to(&client))?;
    let name = form.get("grant_type").ok_or_else(|| Error::InvalidRequest("grant_type is missing").to(&client))?;
    let grant = GrantType::parse(name).ok_or_else(|| Error::UnsupportedGrantType.to(&client))?;
    asked.asks(&client, grant, &form);
    if !client.client.grants.contains(&grant) {
        return Err(Error::UnauthorizedClient.to(&client));
    }
    dpop::prove(asked, &client, &headers, path.as_deref()).await?;
    match grant {
        GrantType::AuthorizationCode => authorization_code::grant(asked, &client, &form).await,
        GrantType::ClientCredentials => client_credentials::grant(asked, &client, &form).await,
        GrantType::JwtBearer => jwt_bearer::grant(asked, &client, &form).await,
        GrantType::RefreshToken => refresh_token::grant(asked, &client, &form).await,
        GrantType::TokenExchange => token_exchange::grant(asked, &client, &form).await,
        GrantType::DeviceCode => device_code::grant(asked, &client, &form).await,
    }
}

/// A client that registered itself stays once something was issued to it.
async fn note_use(asked: &Asked<'_>) {
    let (server, ctx) = (asked.server, &asked.server.ctx);
    let Some(client) = asked.client.get().filter(|client| client.client.is_dynamic()) else { return };
    let client_id = &client.client.client_id;
    if server.used.get(client_id).is_some() {
        return;
    }
    let noted = async {
        let mut tx = ctx.store.begin().await?;
        registrations::used(&mut tx, client_id, asked.now).await?;
        tx.commit().await
    };
    match noted.await {
        Ok(()) => server.used.insert(client_id.clone(), ()),
        Err(error) => {
            let error: crate::store::StoreError = error;
            tracing::warn!(error = %crate::telemetry::chain(&error), "the use of a client could not be noted");
        }
    }
}
