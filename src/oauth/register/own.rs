//! `/oauth/register/{client_id}` (RFC 7592): a client reads, replaces and removes its own registration, by the token that it
//! was given with it.

use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse as _, Response};
use http::{Method, StatusCode};

use super::answer::{self, Code, Refused, answered};
use super::{Who, decide, described, event, new_secret, object, seen, unavailable};
use crate::accounts::{self, Occasion, Why};
use crate::crypto::{compare, secret_text};
use crate::http::Info;
use crate::http::bearer::{self, Refusal};
use crate::model::Client;
use crate::oauth::error::Error;
use crate::oauth::record::Asked;
use crate::oauth::{Shared, limit};
use crate::policy::Principal;
use crate::registry::client::uses_secrets;
use crate::store::clients::{self, Stored};
use crate::store::grants::Of;
use crate::store::{StoreError, Tx, consents, events, registrations};

const CHANGE: &str = "client:change-own";
/// What only an answer says (RFC 7592 2.2).
const OURS: [&str; 4] =
    ["registration_access_token", "registration_client_uri", "client_secret_expires_at", "client_id_issued_at"];

pub(in crate::oauth) async fn endpoint(
    State(server): State<Shared>,
    Path(client_id): Path<String>,
    info: Info,
    request: Request,
) -> Response {
    let asked = Asked::new(&server, info, CHANGE);
    let outcome = manage(&asked, &client_id, request).await;
    answered(&asked, outcome).await
}

async fn manage(asked: &Asked<'_>, client_id: &str, request: Request) -> Result<Response, Refused> {
    let (server, ctx) = (asked.server, &asked.server.ctx);
    limit::address(server, "register", ctx.settings.register_address, &asked.info).map_err(Error::RateLimited)?;
    let (parts, body) = request.into_parts();
    if ![Method::GET, Method::PUT, Method::DELETE].contains(&parts.method) {
        return Err(Error::Method("GET, PUT, DELETE").into());
    }
    let presented = bearer::presented(&parts.headers, &parts.uri).map_err(|refusal| ctx.guard.challenge(&refusal))?;
    let mut tx = ctx.store.begin().await.map_err(unavailable)?;
    let known = registrations::token(&mut tx, client_id).await.map_err(unavailable)?;
    let found = clients::find(&mut tx, client_id).await.map_err(unavailable)?;
    let digest = secret_text::digest(presented.token);
    let proven = known.is_some_and(|known| compare::equal(&known, &digest));
    let before = found.filter(|stored| proven && !stored.client.disabled);
    let Some(before) = before else { return Err(ctx.guard.challenge(&Refusal::Token).into()) };
    match parts.method {
        Method::PUT => {
            drop(tx);
            let sent = object(&parts, body).await?;
            replace(asked, before, &sent, presented.token).await
        }
        Method::DELETE => {
            remove(asked, tx, &before.client).await.map_err(unavailable)?;
            seen(asked).await;
            Ok(StatusCode::NO_CONTENT.into_response())
        }
        _ => Ok(answer::client(asked, StatusCode::OK, &before.client, None, presented.token)),
    }
}

/// RFC 7592 2.2: what is left out is gone. Secrets, roles and age stay what they are.
async fn replace(
    asked: &Asked<'_>,
    before: Stored,
    sent: &serde_json::Map<String, serde_json::Value>,
    token: &str,
) -> Result<Response, Refused> {
    let ctx = &asked.server.ctx;
    let wrong = |what: &str| Refused::Metadata(Code::ClientMetadata, what.to_owned());
    if sent.get("client_id").and_then(|id| id.as_str()) != Some(&before.client.client_id) {
        return Err(wrong("client_id: it must be the client's own"));
    }
    if let Some(name) = OURS.iter().find(|name| sent.contains_key(**name)) {
        return Err(wrong(&format!("{name}: leave it out")));
    }
    if sent.contains_key("client_secret") {
        return Err(wrong("client_secret: secrets are made here; leave it out"));
    }
    let described = described(asked, &before.client.client_id, sent)?;
    let mut after = Client {
        secrets: before.client.secrets.clone(),
        roles: before.client.roles.clone(),
        created_at: before.client.created_at,
        ..described
    };
    let who = Who { principal: Principal::client(&before.client), token: None };
    let decision = decide(asked, &who, CHANGE, &after).await?;
    let mut secret = None;
    match (uses_secrets(&after), after.secrets.is_empty()) {
        (true, true) => {
            let (new, kept) = new_secret(asked, &after);
            after.secrets.extend(kept);
            secret = new;
        }
        (true, false) => {}
        (false, _) => after.secrets.clear(),
    }
    let event = event(asked, &who, &after, "replaced").decided(&decision);
    let store = async {
        let mut tx = ctx.store.begin().await?;
        clients::update(&mut tx, &after, before.version).await?;
        events::intake(&mut tx, &event).await?;
        tx.commit().await
    };
    store.await.map_err(unavailable)?;
    seen(asked).await;
    Ok(answer::client(asked, StatusCode::OK, &after, secret.as_ref(), token))
}

/// The client, and what people granted it.
async fn remove(asked: &Asked<'_>, mut tx: Tx, client: &Client) -> Result<(), StoreError> {
    let ctx = &asked.server.ctx;
    let who = Who { principal: Principal::client(client), token: None };
    let make = |kind, outcome| {
        let mut event = asked.event(kind, outcome, None);
        event.principal = Some(who.principal.reference().clone());
        event
    };
    let on = Occasion { event: &make, why: Why::Deleted, now: asked.now, rng: &*ctx.rng };
    let ended = accounts::revoke(&mut tx, Of::Client(&client.client_id), &on).await?;
    consents::forget_client(&mut tx, &client.client_id).await?;
    clients::delete(&mut tx, &client.client_id).await?;
    events::intake(&mut tx, &event(asked, &who, client, "deleted")).await?;
    tx.commit().await?;
    ended.announce(&ctx.live);
    Ok(())
}
