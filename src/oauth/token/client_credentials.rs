//! The client credentials grant (RFC 6749 4.4): a client asks for itself.

use std::sync::Arc;

use axum::response::Response;
use http::StatusCode;

use crate::base::{Timestamp, id};
use crate::config::{Issuance, TokenFormat};
use crate::crypto::secret_text::{self, Kind};
use crate::crypto::verify::{AccessClaims, Confirmation, PersonClaims};
use crate::crypto::{jws, sha256};
use crate::live::LiveClient;
use crate::model::event::kind;
use crate::model::{AccessToken, Algorithm, ClientKind, DenyReason, Event, GrantType, Outcome};
use crate::oauth::error::{Error, json};
use crate::oauth::form::Form;
use crate::oauth::issuance::{self, Granted, Target};
use crate::oauth::record::{Asked, Refusal};
use crate::oauth::scope;
use crate::store::{StoreError, events, tokens};
use crate::telemetry::labels;

const GRANT: GrantType = GrantType::ClientCredentials;
/// Scopes that only make sense where a person signed in.
const FOR_PEOPLE: [&str; 2] = ["openid", "offline_access"];

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
    let token = issue(asked, client, &target, &granted).await.map_err(|error| about(error.to(client)))?;
    let format = match target.tokens {
        TokenFormat::Jwt => labels::TokenFormat::Jwt,
        TokenFormat::Opaque => labels::TokenFormat::Opaque,
    };
    asked.server.ctx.metrics.tokens_issued.add((GRANT, format));
    Ok(token)
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
    let for_people = |scope: &str| FOR_PEOPLE.contains(&scope);
    let registered = &client.client.scopes;
    let Some(asked) = scope::requested(form.get("scope"))? else {
        return Ok(registered.iter().map(String::as_str).filter(|s| !for_people(s)).collect());
    };
    if asked.iter().any(|s| for_people(s)) {
        return Err(Error::InvalidScope("openid and offline_access need a person"));
    }
    if asked.iter().any(|s| registered.iter().all(|r| r != s)) {
        return Err(Error::InvalidScope("this client is not registered for one of the scopes"));
    }
    Ok(asked)
}

async fn issue(asked: &Asked<'_>, client: &LiveClient, target: &Target, granted: &Granted) -> Result<Response, Error> {
    let ctx = &asked.server.ctx;
    let ttl = target.ttl_secs(client, &ctx.settings);
    let iat = asked.now.as_secs();
    let jti = id::new("at", asked.now, &*ctx.rng);
    let text = match target.tokens {
        TokenFormat::Jwt => {
            let alg = target.alg(client, &ctx.settings);
            let text = jwt(asked, client, target, granted, alg, &jti, ttl)?;
            let event = event(asked, client, target, granted, jti, ttl).with("alg", alg.as_str());
            match ctx.settings.issuance {
                Issuance::Before => ctx.audit.record(event).await.map_err(|_| Error::Unavailable)?,
                Issuance::Queued => ctx.audit.queue(event),
            }
            text
        }
        TokenFormat::Opaque => {
            let text = secret_text::generate(Kind::AccessToken, &*ctx.rng);
            let (iat, exp) = (Timestamp::from_secs(iat), Timestamp::from_secs(iat.saturating_add(ttl)));
            let token = AccessToken {
                scope: granted.scope.to_string(),
                cnf_jkt: asked.jkt().map(str::to_owned),
                ..AccessToken::of_client(&client.client.client_id, jti.clone(), &target.uri, iat, exp)
            };
            let event = event(asked, client, target, granted, jti, ttl);
            keep(asked, text.expose(), token, &event).await.map_err(|error| {
                tracing::warn!(error = %crate::telemetry::chain(&error), "an opaque token could not be stored");
                Error::Unavailable
            })?;
            text.expose().clone()
        }
    };
    Ok(success(&text, asked.jkt().is_some(), ttl, &granted.scope))
}

fn jwt(
    asked: &Asked<'_>,
    client: &LiveClient,
    target: &Target,
    granted: &Granted,
    alg: Algorithm,
    jti: &str,
    ttl: i64,
) -> Result<String, Error> {
    let ctx = &asked.server.ctx;
    let ring = ctx.live.key_ring();
    let Some(signer) = ring.signer(alg, asked.now) else {
        tracing::error!(
            alg = alg.as_str(),
            "there is no active signing key; add the algorithm to `oauth.signing_algs`"
        );
        return Err(Error::Server);
    };
    let iat = asked.now.as_secs();
    let claims = AccessClaims {
        iss: &ctx.issuer,
        sub: &client.client.client_id,
        aud: &target.uri,
        client_id: &client.client.client_id,
        iat,
        exp: iat.saturating_add(ttl),
        jti,
        scope: &granted.scope,
        person: PersonClaims { cnf: asked.jkt().map(|jkt| Confirmation { jkt }), ..PersonClaims::default() },
    };
    jws::sign(signer, jws::ACCESS_TOKEN, &claims).map_err(|error| {
        tracing::error!(error = %crate::telemetry::chain(&error), kid = signer.kid(), "a token could not be signed");
        Error::Server
    })
}

/// The row of an opaque token and its event are one commit.
async fn keep(asked: &Asked<'_>, text: &str, token: AccessToken, event: &Event) -> Result<(), StoreError> {
    let ctx = &asked.server.ctx;
    let digest = sha256(text.as_bytes());
    let mut tx = ctx.store.begin().await?;
    tokens::insert(&mut tx, &digest, &token).await?;
    events::intake(&mut tx, event).await?;
    tx.commit().await?;
    ctx.live.remember_opaque(digest, Arc::new(token));
    Ok(())
}

fn event(asked: &Asked<'_>, client: &LiveClient, target: &Target, granted: &Granted, jti: String, ttl: i64) -> Event {
    let mut event = asked.event(kind::TOKEN_ISSUED, Outcome::Allowed, Some(client)).decided(&granted.decision);
    event.resource = Some(Arc::clone(&target.uri));
    event.with("jti", jti).with("grant", GRANT.as_str()).with("scope", &*granted.scope).with("expires_in", ttl)
}

/// RFC 6749 5.1. Every character of token and scope stands in a JSON string as it is.
fn success(token: &str, bound: bool, ttl: i64, scope: &str) -> Response {
    let mut body = String::with_capacity(token.len() + scope.len() + 96);
    body.push_str(r#"{"access_token":""#);
    body.push_str(token);
    body.push_str(r#"","token_type":""#);
    body.push_str(if bound { "DPoP" } else { "Bearer" });
    body.push_str(r#"","expires_in":"#);
    body.push_str(&ttl.to_string());
    if !scope.is_empty() {
        body.push_str(r#","scope":""#);
        body.push_str(scope);
        body.push('"');
    }
    body.push('}');
    json(StatusCode::OK, body)
}
