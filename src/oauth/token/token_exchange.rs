//! Token exchange (RFC 8693): a resource server that was shown an access token gets one for the API that it must call in turn.
//! It speaks for the same subject, says who acts (`act`), has no more scopes and no longer life.
//!
//! Three say yes, or nothing is issued: a policy lets this client go there for this subject (`token:exchange`, which no
//! shipped policy permits), the client may have such a token, and a person's own policies give it what it asks for.

use std::sync::Arc;

use axum::response::Response;
use serde_json::{Map, Value};

use crate::crypto::verify::TokenError;
use crate::live::LiveClient;
use crate::model::{AccessToken, Actor, ClientKind, Decision, DenyReason, GrantType};
use crate::oauth::error::Error;
use crate::oauth::form::Form;
use crate::oauth::issuance::{self, Granted, Target};
use crate::oauth::issue::{self, Beside, Subject};
use crate::oauth::record::{Asked, Refusal};
use crate::oauth::scope;
use crate::policy::{Facts, Principal, WireContext};
use crate::telemetry::labels::Point;

const GRANT: GrantType = GrantType::TokenExchange;
const EXCHANGE: &str = "token:exchange";
const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";
/// Most actors in a row: each exchange adds one.
const MOST_ACTORS: usize = 8;

pub(super) async fn grant(asked: &Asked<'_>, client: &Arc<LiveClient>, form: &Form<'_>) -> Result<Response, Refusal> {
    if client.client.kind == ClientKind::Public {
        return Err(Error::UnauthorizedClient.to(client));
    }
    let text = subject_token(form).map_err(|error| error.to(client))?;
    let (subject, principal) = asked.server.ctx.live.known(text, asked.now).await.map_err(|why| match why {
        TokenError::Unavailable => Error::Unavailable.to(client),
        _ => Error::InvalidRequest("the subject token is malformed, expired, revoked or no access token").to(client),
    })?;
    // Only whom the token was shown to may go on with it.
    if !subject.aud.iter().any(|aud| client.client.serves.contains(aud)) {
        return Err(Error::InvalidRequest("the subject token is not for a resource that this client serves").to(client));
    }
    asked.speaks_for(&subject.sub);
    let target = target(asked, client, form).map_err(|error| error.to(client))?;
    let about = |error: Error| Refusal { resource: Some(Arc::clone(&target.uri)), ..error.to(client) };
    let act = actor(client, &subject).map_err(about)?;
    let scopes = scopes(client, &subject, form).map_err(about)?;
    let granted = decide(asked, client, &subject, &principal, &target, &scopes);
    if let Some(error) = granted.error() {
        let error = match error {
            Error::AccessDenied => {
                Error::InvalidTarget("no policy lets this client go on to this resource for this subject")
            }
            other => other,
        };
        return Err(Refusal { decision: Some(granted.decision), ..about(error) });
    }
    let of = Subject::Of(&subject, &act);
    let minted = issue::mint(asked, client, &target, of, &granted.scope, Some(subject.exp)).map_err(about)?;
    let event =
        minted.event(asked, client, GRANT, &target, &granted.decision).with("subject_jti", subject.jti.as_str());
    let beside = Beside { issued_token_type: Some(ACCESS_TOKEN), ..Beside::default() };
    minted.give(asked, GRANT, event, &beside).await.map_err(about)
}

/// The token that is exchanged; what else a request may say, it must say as we understand it.
fn subject_token<'a>(form: &'a Form<'_>) -> Result<&'a str, Error> {
    if form.get("actor_token").is_some() || form.get("actor_token_type").is_some() {
        return Err(Error::InvalidRequest("leave out actor_token: the client itself acts"));
    }
    if form.get("requested_token_type").is_some_and(|wanted| wanted != ACCESS_TOKEN) {
        return Err(Error::InvalidRequest("only access tokens are issued"));
    }
    if form.get("subject_token_type") != Some(ACCESS_TOKEN) {
        return Err(Error::InvalidRequest("subject_token_type must be urn:ietf:params:oauth:token-type:access_token"));
    }
    form.get("subject_token").ok_or(Error::InvalidRequest("subject_token is missing"))
}

/// One resource, by either of its names, that the client is registered for. There is no default: who goes on must say where.
fn target(asked: &Asked<'_>, client: &LiveClient, form: &Form<'_>) -> Result<Arc<Target>, Error> {
    let mut named = form.all("resource").chain(form.get("audience"));
    let uri = match (named.next(), named.next()) {
        (Some(uri), None) => uri,
        _ => return Err(Error::InvalidTarget("name one resource")),
    };
    if client.client.resources.iter().all(|r| r != uri) {
        return Err(Error::InvalidTarget("this client is not registered for this resource"));
    }
    Ok(issuance::target(asked.server, uri))
}

/// The client acts, for whoever acted before it.
fn actor(client: &LiveClient, subject: &AccessToken) -> Result<Actor, Error> {
    let mut before = subject.act.as_ref();
    let mut count = 1;
    while let Some(actor) = before {
        count += 1;
        before = actor.act.as_deref();
    }
    if count > MOST_ACTORS {
        return Err(Error::InvalidRequest("the subject token has been exchanged too often"));
    }
    Ok(Actor { sub: client.client.client_id.clone(), act: subject.act.clone().map(Box::new) })
}

/// The scopes asked for, which the subject token and the client must have; without any, all that both have.
fn scopes<'a>(client: &LiveClient, subject: &'a AccessToken, form: &'a Form<'_>) -> Result<Vec<&'a str>, Error> {
    let has = |scope: &str| {
        subject.scopes().any(|s| s == scope)
            && client.client.scopes.iter().any(|s| s == scope)
            && !scope::is_for_people(scope)
    };
    let Some(asked) = scope::requested(form.get("scope"))? else {
        return Ok(subject.scopes().filter(|scope| has(scope)).collect());
    };
    if asked.iter().any(|scope| !has(scope)) {
        return Err(Error::InvalidScope("the subject token or this client does not have one of the scopes"));
    }
    Ok(asked)
}

/// The three decisions together.
fn decide(
    asked: &Asked<'_>,
    client: &LiveClient,
    subject: &AccessToken,
    principal: &Principal,
    target: &Target,
    scopes: &[&str],
) -> Granted {
    let ctx = &asked.server.ctx;
    let nothing = |decision| Granted { decision, scope: "".into(), by_scope: false };
    let Some(snapshot) = ctx.engine.snapshot() else {
        let decision = Decision::deny(DenyReason::NoSnapshot, Arc::from(""));
        ctx.metrics.decided(Point::Issuance, &decision);
        return nothing(decision);
    };
    let of_subject = Facts::of_token(subject, asked.now).address(asked.info.address);
    let facts = asked.told(&client.principal, of_subject);
    let said = Map::from_iter([
        ("subject".to_owned(), Value::from(principal.reference().to_string())),
        ("audiences".to_owned(), subject.aud.clone().into()),
    ]);
    let context = snapshot.prepare(EXCHANGE, None, &WireContext::new(&facts, Some(&said)));
    let mut granted = nothing(snapshot.decide_prepared(&client.principal, EXCHANGE, target.entity(), &context));
    let decision = &mut granted.decision;
    if decision.is_allowed() {
        let mut kept: Vec<String> = scopes.iter().map(|scope| (*scope).to_owned()).collect();
        // The subject's own policies count when it is a person; a client's say what it may have for itself.
        let person = (!subject.speaks_for_client()).then_some(principal);
        for principal in [Some(&client.principal), person].into_iter().flatten() {
            let wanted: Vec<&str> = kept.iter().map(String::as_str).collect();
            let joined = wanted.join(" ");
            let facts = asked.told(principal, of_subject.scopes(&joined));
            let said = snapshot.issuance(principal, GRANT.as_str(), target.entity(), &wanted, &facts);
            granted.by_scope |= !said.refused.is_empty();
            decision.denied = said.decision.denied;
            decision.policies.extend(said.decision.policies);
            decision.errors.extend(said.decision.errors);
            kept = said.scopes;
            if decision.denied.is_some() {
                break;
            }
        }
        decision.policies.sort_unstable();
        decision.policies.dedup();
        granted.scope = kept.join(" ").into();
    }
    ctx.metrics.decided(Point::Issuance, &granted.decision);
    granted
}
