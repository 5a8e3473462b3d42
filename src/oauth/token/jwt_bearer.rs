//! The JWT bearer grant (RFC 7523 2.1): a workload shows what its cluster or CI system issued it, in place of a secret.
//!
//! The client is the registered one that the workload acts as, public or not; the assertion is the proof. Nothing is
//! accepted that a policy does not permit (`assertion:accept`) by the assertion's claims, and the token does not outlive
//! the assertion.

use std::sync::Arc;

use axum::response::Response;
use http::StatusCode;

use crate::base::{Secret, Timestamp, id};
use crate::config::{Issuance, TokenFormat};
use crate::crypto::foreign::{self, ForeignToken};
use crate::crypto::secret_text::{self, Kind};
use crate::crypto::verify::{AccessClaims, TokenError};
use crate::crypto::{jws, sha256};
use crate::live::LiveClient;
use crate::model::event::kind;
use crate::model::{AccessToken, Decision, DenyReason, Event, GrantType, Outcome};
use crate::oauth::error::{Error, json};
use crate::oauth::form::Form;
use crate::oauth::issuance::{self, Granted, Target};
use crate::oauth::record::{Asked, Refusal};
use crate::oauth::scope;
use crate::oauth::trusted::{self, TrustedIssuer};
use crate::policy::{Facts, WireContext};
use crate::store::{StoreError, events, tokens};
use crate::telemetry::labels::{self, Point};

const GRANT: GrantType = GrantType::JwtBearer;
const ACCEPT: &str = "assertion:accept";
/// Scopes that only make sense where a person signed in.
const FOR_PEOPLE: [&str; 2] = ["openid", "offline_access"];

pub(super) async fn grant(asked: &Asked<'_>, client: &Arc<LiveClient>, form: &Form<'_>) -> Result<Response, Refusal> {
    let wrong = |what: &'static str| Error::InvalidAssertion(what).to(client);
    let jwt = form.get("assertion").ok_or_else(|| Error::InvalidRequest("assertion is missing").to(client))?;
    let (issuer, kid) = foreign::claimed(jwt).ok_or_else(|| wrong("the assertion is no JWT"))?;
    let issuer =
        asked.server.ctx.issuers.get(&*issuer).ok_or_else(|| wrong("nobody trusts the issuer of the assertion"))?;
    let assertion = issuer.verify(jwt, kid.as_deref(), asked.now).await.map_err(|why| match why {
        TokenError::Unavailable => Error::Unavailable.to(client),
        TokenError::Expired => wrong("the assertion has expired"),
        _ => wrong("the assertion does not verify; check its audience, its key and its claims"),
    })?;
    let accepted = accept(asked, client, issuer, &assertion);
    if let Some(reason) = accepted.denied {
        let error = match reason {
            DenyReason::NoSnapshot => Error::Unavailable,
            _ => Error::InvalidAssertion("no policy accepts this assertion for this client"),
        };
        return Err(Refusal {
            decision: Some(accepted),
            resource: Some(issuer.entity().name().into()),
            ..error.to(client)
        });
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
    issue(asked, client, &target, &granted, (issuer, &assertion)).await.map_err(|error| about(error.to(client)))
}

/// Whether the client may speak by this assertion.
fn accept(asked: &Asked<'_>, client: &LiveClient, issuer: &TrustedIssuer, assertion: &ForeignToken) -> Decision {
    let ctx = &asked.server.ctx;
    let decision = match ctx.engine.snapshot() {
        None => Decision::deny(DenyReason::NoSnapshot, Arc::from("")),
        Some(snapshot) => {
            let facts = Facts::at(asked.now).client(&client.client.client_id).address(asked.info.address);
            let said = trusted::context(assertion);
            let context = snapshot.prepare(ACCEPT, None, &WireContext::new(&facts, Some(&said)));
            snapshot.decide_prepared(&client.principal, ACCEPT, &issuer.entity(), &context)
        }
    };
    ctx.metrics.decisions.add((Point::Issuance, decision.denied));
    decision
}

/// RFC 8707 2: one resource a token; without one, the client's default.
fn target(asked: &Asked<'_>, client: &LiveClient, form: &Form<'_>) -> Result<Arc<Target>, Error> {
    let mut named = form.all("resource");
    let uri = match (named.next(), named.next()) {
        (None, _) => &client.client.default_resource,
        (Some(_), Some(_)) => return Err(Error::InvalidTarget("name one resource for each token")),
        (Some(uri), None) => uri,
    };
    if *uri != client.client.default_resource && client.client.resources.iter().all(|r| r != uri) {
        return Err(Error::InvalidTarget("this client is not registered for this resource"));
    }
    Ok(issuance::target(asked.server, uri))
}

/// The scopes asked for, which must be registered; without any, all that are.
fn scopes<'a>(client: &'a LiveClient, form: &'a Form<'_>) -> Result<Vec<&'a str>, Error> {
    let for_people = |scope: &str| FOR_PEOPLE.contains(&scope);
    let registered = &client.client.scopes;
    let Some(asked) = scope::requested(form.get("scope"))? else {
        return Ok(registered.iter().map(String::as_str).filter(|s| !for_people(s)).collect());
    };
    if asked.iter().any(|s| for_people(s) || registered.iter().all(|r| r != s)) {
        return Err(Error::InvalidScope("this client is not registered for one of the scopes, or it needs a person"));
    }
    Ok(asked)
}

async fn issue(
    asked: &Asked<'_>,
    client: &LiveClient,
    target: &Target,
    granted: &Granted,
    (issuer, assertion): (&TrustedIssuer, &ForeignToken),
) -> Result<Response, Error> {
    let ctx = &asked.server.ctx;
    let left = assertion.exp.as_secs().saturating_sub(asked.now.as_secs());
    let ttl = target.ttl_secs(client, &ctx.settings).min(left).max(1);
    let iat = Timestamp::from_secs(asked.now.as_secs());
    let exp = Timestamp::from_secs(iat.as_secs().saturating_add(ttl));
    let jti = id::new("at", asked.now, &*ctx.rng);
    let token = AccessToken {
        scope: granted.scope.to_string(),
        cnf_jkt: asked.jkt().map(str::to_owned),
        ..AccessToken::of_client(&client.client.client_id, jti, &target.uri, iat, exp)
    };
    let mut event = asked.event(kind::TOKEN_ISSUED, Outcome::Allowed, Some(client)).decided(&granted.decision);
    event.resource = Some(Arc::clone(&target.uri));
    let event = event
        .with("jti", token.jti.as_str())
        .with("grant", GRANT.as_str())
        .with("scope", &*granted.scope)
        .with("expires_in", ttl)
        .with("assertion_issuer", &*issuer.issuer)
        .with("assertion_subject", assertion.sub.as_str());
    let (text, format) = match target.tokens {
        TokenFormat::Jwt => {
            let text = signed(asked, client, target, &token)?;
            match ctx.settings.issuance {
                Issuance::Before => ctx.audit.record(event).await.map_err(|_| Error::Unavailable)?,
                Issuance::Queued => ctx.audit.queue(event),
            }
            (text, labels::TokenFormat::Jwt)
        }
        TokenFormat::Opaque => {
            let text = secret_text::generate(Kind::AccessToken, &*ctx.rng);
            keep(asked, &text, token, &event).await.map_err(|error| {
                tracing::warn!(error = %crate::telemetry::chain(&error), "an opaque token could not be stored");
                Error::Unavailable
            })?;
            (text, labels::TokenFormat::Opaque)
        }
    };
    ctx.metrics.tokens_issued.add((GRANT, format));
    let body = serde_json::json!({
        "access_token": text.expose(),
        "token_type": if asked.jkt().is_some() { "DPoP" } else { "Bearer" },
        "expires_in": ttl,
        "scope": &*granted.scope,
    });
    Ok(json(StatusCode::OK, body.to_string()))
}

fn signed(
    asked: &Asked<'_>,
    client: &LiveClient,
    target: &Target,
    token: &AccessToken,
) -> Result<Secret<String>, Error> {
    let ctx = &asked.server.ctx;
    let (ring, alg) = (ctx.live.key_ring(), target.alg(client, &ctx.settings));
    let Some(signer) = ring.signer(alg, asked.now) else {
        tracing::error!(
            alg = alg.as_str(),
            "there is no active signing key; add the algorithm to `oauth.signing_algs`"
        );
        return Err(Error::Server);
    };
    let text = jws::sign(signer, jws::ACCESS_TOKEN, &AccessClaims::of(&ctx.issuer, token)).map_err(|error| {
        tracing::error!(error = %crate::telemetry::chain(&error), "a token could not be signed");
        Error::Server
    })?;
    Ok(Secret::new(text))
}

/// The row of an opaque token and its event are one commit.
async fn keep(asked: &Asked<'_>, text: &Secret<String>, token: AccessToken, event: &Event) -> Result<(), StoreError> {
    let ctx = &asked.server.ctx;
    let digest = sha256(text.expose().as_bytes());
    let mut tx = ctx.store.begin().await?;
    tokens::insert(&mut tx, &digest, &token).await?;
    events::intake(&mut tx, event).await?;
    tx.commit().await?;
    ctx.live.remember_opaque(digest, Arc::new(token));
    Ok(())
}
