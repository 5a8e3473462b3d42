//! What the grants share in which a client asks for itself: one resource, its own scopes, policy, the token.

use std::sync::Arc;

use axum::response::Response;

use crate::base::Timestamp;
use crate::live::LiveClient;
use crate::model::{Event, GrantType};
use crate::oauth::error::Error;
use crate::oauth::form::Form;
use crate::oauth::issuance::{self, Target};
use crate::oauth::issue::{self, Beside, Subject};
use crate::oauth::record::{Asked, Refusal};
use crate::oauth::scope;

/// A token of the client for itself by `grant`, that lives until `until` at the most; its event says what `with` adds.
pub(super) async fn token(
    asked: &Asked<'_>,
    client: &Arc<LiveClient>,
    form: &Form<'_>,
    grant: GrantType,
    until: Option<Timestamp>,
    with: impl FnOnce(Event) -> Event,
) -> Result<Response, Refusal> {
    let target = target(asked, client, form).map_err(|error| error.to(client))?;
    let about = |error: Error| Refusal { resource: Some(Arc::clone(&target.uri)), ..error.to(client) };
    let scopes = scopes(client, form).map_err(about)?;
    let granted = issuance::decide(asked, client, grant, &target, &scopes);
    if let Some(error) = granted.error() {
        return Err(Refusal { decision: Some(granted.decision), ..about(error) });
    }
    let minted = issue::mint(asked, client, &target, Subject::Client, &granted.scope, until).map_err(about)?;
    let event = with(minted.event(asked, client, grant, &target, &granted.decision));
    minted.give(asked, grant, event, &Beside::default()).await.map_err(about)
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
