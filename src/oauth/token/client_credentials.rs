//! The client credentials grant (RFC 6749 4.4): a client asks for itself.

use std::sync::Arc;

use axum::response::Response;

use crate::config::Issuance;
use crate::live::LiveClient;
use crate::model::{ClientKind, DenyReason, Event, GrantType};
use crate::oauth::error::Error;
use crate::oauth::form::Form;
use crate::oauth::issuance::{self, Granted, Target};
use crate::oauth::issue::{self, Beside, Minted, Subject};
use crate::oauth::record::{Asked, Refusal};
use crate::oauth::scope;
use crate::store::{StoreError, events};

const GRANT: GrantType = GrantType::ClientCredentials;

pub(super) async fn grant(asked: &Asked<'_>, client: &Arc<LiveClient>, form: &Form<'_>) -> Result<Response, Refusal> {
    if client.client.kind == ClientKind::Public {
        return Err(Error::UnauthorizedClient.to(client));
    }
    let target = target(asked, client, form).map_err(|error| error.to(client))?;
    let about = |refusal: Refusal| Refusal { resource: Some(Arc::clone(&target.uri)), ..refusal };
    let scopes = scopes(client, form).map_err(|error| about(error.to(client)))?;
    let granted = issuance::decide(asked, client, GRANT, &target, &scopes);
    if let Some(reason) = granted.decision.denied {
        let error = match reason {
            DenyReason::NoSnapshot => Error::Unavailable,
            _ if granted.by_scope => Error::InvalidScope("policy grants none of these scopes for this resource"),
            _ => Error::AccessDenied,
        };
        return Err(about(Refusal { decision: Some(granted.decision.clone()), ..error.to(client) }));
    }
    issue(asked, client, &target, &granted).await.map_err(|error| about(error.to(client)))
}

/// RFC 8707 2: one resource a token; without one, the client's default.
fn target(asked: &Asked<'_>, client: &LiveClient, form: &Form<'_>) -> Result<Arc<Target>, Error> {
    let mut named = form.all("resource");
    let uri = match (named.next(), named.next()) {
        (None, _) => &client.client.default_resource,
        (Some(_), Some(_)) => return Err(Error::InvalidTarget("name one resource for each token")),
        (Some(uri), None) => uri,
    };
    let registered = *uri == client.client.default_resource || client.client.resources.iter().any(|r| r == uri);
    if !registered {
        return Err(Error::InvalidTarget("this client is not registered for this resource"));
    }
    Ok(issuance::target(asked.server, uri))
}

/// The scopes asked for, which must be registered; without any, all that are.
fn scopes<'a>(client: &'a LiveClient, form: &'a Form<'_>) -> Result<Vec<&'a str>, Error> {
    let registered = &client.client.scopes;
    let Some(asked) = scope::requested(form.get("scope"))? else {
        return Ok(registered.iter().map(String::as_str).filter(|s| !scope::is_for_people(s)).collect());
    };
    if asked.iter().any(|s| scope::is_for_people(s)) {
        return Err(Error::InvalidScope("openid and offline_access need a person"));
    }
    if asked.iter().any(|s| registered.iter().all(|r| r != s)) {
        return Err(Error::InvalidScope("this client is not registered for one of the scopes"));
    }
    Ok(asked)
}

async fn issue(asked: &Asked<'_>, client: &LiveClient, target: &Target, granted: &Granted) -> Result<Response, Error> {
    let ctx = &asked.server.ctx;
    let minted = issue::mint(asked, client, target, Subject::Client, &granted.scope, None)?;
    let event = minted.event(asked, client, GRANT, target, &granted.decision);
    if minted.is_opaque() {
        keep(asked, &minted, &event).await.map_err(|error| {
            tracing::warn!(error = %crate::telemetry::chain(&error), "an opaque token could not be stored");
            Error::Unavailable
        })?;
    } else {
        match ctx.settings.issuance {
            Issuance::Before => ctx.audit.record(event).await.map_err(|_| Error::Unavailable)?,
            Issuance::Queued => ctx.audit.queue(event),
        }
    }
    minted.issued(asked, GRANT);
    Ok(minted.answer(&Beside::default()))
}

/// The row of an opaque token and its event are one commit.
async fn keep(asked: &Asked<'_>, minted: &Minted, event: &Event) -> Result<(), StoreError> {
    let mut tx = asked.server.ctx.store.begin().await?;
    minted.keep(&mut tx).await?;
    events::intake(&mut tx, event).await?;
    tx.commit().await
}
