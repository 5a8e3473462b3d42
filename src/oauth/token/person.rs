//! What the grants of people share: who the person is now, what of their family is asked for, and whether policy still gives it.

use std::sync::Arc;

use crate::live::{LiveClient, LiveUser};
use crate::model::{Event, Grant, GrantType};
use crate::oauth::error::Error;
use crate::oauth::form::Form;
use crate::oauth::issuance::{self, Person};
use crate::oauth::issue::{self, Minted, Subject};
use crate::oauth::record::{Asked, Refusal};
use crate::oauth::scope;
use crate::store::{StoreError, Tx, grants};

/// What of a family one access token is to have.
#[derive(Debug)]
pub(super) struct Asks {
    resource: String,
    scopes: Vec<String>,
}

impl Asks {
    /// From a request: no more than `resources` and `scopes` (RFC 6749 6, RFC 8707 2.2), all of the scopes and the first of the
    /// resources when it names none.
    pub(super) fn of(form: &Form<'_>, resources: &[String], scopes: &[String]) -> Result<Self, Error> {
        let mut named = form.all("resource");
        let resource = match (named.next(), named.next()) {
            (Some(_), Some(_)) => return Err(Error::InvalidTarget("name one resource for each token")),
            (Some(uri), None) => resources.iter().find(|known| *known == uri),
            (None, _) => resources.first(),
        };
        let resource = resource.ok_or(Error::InvalidTarget("the resource is none of those that were granted"))?.clone();
        let scopes = match scope::requested(form.get("scope"))? {
            None => scopes.to_vec(),
            Some(asked) if asked.iter().all(|scope| scopes.iter().any(|known| known == scope)) => {
                asked.into_iter().map(str::to_owned).collect()
            }
            Some(_) => return Err(Error::InvalidScope("one of the scopes was not granted")),
        };
        Ok(Self { resource, scopes })
    }
}

/// An access token for a person, and the event of its issuance.
#[derive(Debug)]
pub(super) struct Made {
    pub(super) minted: Minted,
    pub(super) event: Event,
}

/// Makes an access token of a family, if its person is still there and policy still gives it.
pub(super) async fn mint(
    asked: &Asked<'_>,
    client: &Arc<LiveClient>,
    grant: &Grant,
    by: GrantType,
    asks: &Asks,
) -> Result<Made, Refusal> {
    asked.speaks_for(&grant.user_id);
    let found = asked.server.ctx.live.user(&grant.user_id).await.map_err(|error| unavailable(&error).to(client))?;
    make(asked, client, grant, by, asks, found).map_err(|refusal| *refusal)
}

/// The same with the person at hand, if there is one.
pub(super) fn make(
    asked: &Asked<'_>,
    client: &Arc<LiveClient>,
    grant: &Grant,
    by: GrantType,
    asks: &Asks,
    found: Option<Arc<LiveUser>>,
) -> Result<Made, Box<Refusal>> {
    let Some(user) = found.filter(|user| !user.user.disabled) else {
        return Err(Box::new(Error::InvalidGrant("the person is gone or disabled").to(client)));
    };
    let age = asked.now.since(grant.auth_time).as_secs();
    let person = Person { user: &user, acr: grant.acr.level(), auth_age_secs: u32::try_from(age).unwrap_or(u32::MAX) };
    let target = issuance::target(asked.server, &asks.resource);
    // What the client is no longer registered for, it is not given either.
    let registered = |scope: &&String| client.client.scopes.contains(*scope);
    let wanted: Vec<&str> = asks.scopes.iter().filter(registered).map(String::as_str).collect();
    let granted = issuance::decide_for(asked, client, &person, by, &target, &wanted);
    let about = |error: Error| Box::new(Refusal { resource: Some(Arc::clone(&target.uri)), ..error.to(client) });
    if let Some(error) = granted.error() {
        return Err(Box::new(Refusal { decision: Some(granted.decision), ..*about(error) }));
    }
    let minted = issue::mint(asked, client, &target, Subject::Person(grant), &granted.scope, None).map_err(about)?;
    let event = minted.event(asked, client, by, &target, &granted.decision);
    Ok(Made { minted, event })
}

/// Binds the family of a public client to the key that it proved (RFC 9449 5): false when it belongs to another, or proves
/// none although it is bound.
pub(super) async fn bind(
    asked: &Asked<'_>,
    tx: &mut Tx,
    client: &LiveClient,
    grant: &Grant,
) -> Result<bool, StoreError> {
    match (asked.jkt(), &grant.dpop_jkt) {
        (None, bound) => Ok(bound.is_none()),
        (Some(_), None) if !is_public(client) => Ok(true),
        (Some(jkt), _) => grants::bind_key(tx, &grant.grant_id, jkt).await,
    }
}

pub(super) fn is_public(client: &LiveClient) -> bool {
    client.client.kind == crate::model::ClientKind::Public
}

pub(super) fn unavailable(error: &StoreError) -> Error {
    tracing::warn!(error = %crate::telemetry::chain(error), "a grant could not be looked up or stored");
    Error::Unavailable
}
