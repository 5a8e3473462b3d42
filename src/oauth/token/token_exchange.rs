//! Token exchange (RFC 8693): a resource server that was shown an access token gets one for the API that it must call in turn.
//! It speaks for the same subject, says who acts (`act`), has no more scopes and no longer life.
//!
//! Three say yes, or nothing is issued: a policy lets this client go there for this subject (`token:exchange`, which no
//! shipped policy permits), the client may have such a token, and a person's own policies give it what it asks for.

use std::sync::Arc;

use axum::response::Response;
use http::StatusCode;
use serde_json::{Map, Value};

use crate::base::{Secret, Timestamp, id};
use crate::config::{Issuance, TokenFormat};
use crate::crypto::secret_text::{self, Kind};
use crate::crypto::verify::{AccessClaims, TokenError};
use crate::crypto::{jws, sha256};
use crate::live::LiveClient;
use crate::model::event::kind;
use crate::model::{AccessToken, Actor, ClientKind, Decision, DenyReason, Event, GrantType, Outcome};
use crate::oauth::error::{Error, json};
use crate::oauth::form::Form;
use crate::oauth::issuance::{self, Target};
use crate::oauth::record::{Asked, Refusal};
use crate::oauth::scope;
use crate::policy::{Facts, Principal, WireContext};
use crate::store::{StoreError, events, tokens};
use crate::telemetry::labels::{self, Point};

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
    let target = target(asked, client, form).map_err(|error| error.to(client))?;
    let about = |refusal: Refusal| Refusal { resource: Some(Arc::clone(&target.uri)), ..refusal };
    let act = actor(client, &subject).map_err(|error| about(error.to(client)))?;
    let scopes = scopes(client, &subject, form).map_err(|error| about(error.to(client)))?;
    let (decision, granted) = decide(asked, client, &subject, &principal, &target, &scopes);
    if let Some(reason) = decision.denied {
        let error = match reason {
            DenyReason::NoSnapshot => Error::Unavailable,
            _ if granted.by_scope => Error::InvalidScope("policy grants none of these scopes for this resource"),
            _ => Error::InvalidTarget("no policy lets this client go on to this resource for this subject"),
        };
        return Err(about(Refusal { decision: Some(decision), ..error.to(client) }));
    }
    let new = Exchange { client, subject: &subject, target: &target, act, scope: granted.scope, decision: &decision };
    new.issue(asked).await.map_err(|error| about(error.to(client)))
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
            && !matches!(scope, "openid" | "offline_access")
    };
    let Some(asked) = scope::requested(form.get("scope"))? else {
        return Ok(subject.scopes().filter(|scope| has(scope)).collect());
    };
    if asked.iter().any(|scope| !has(scope)) {
        return Err(Error::InvalidScope("the subject token or this client does not have one of the scopes"));
    }
    Ok(asked)
}

/// What came of the three decisions together.
struct Granted {
    scope: String,
    by_scope: bool,
}

fn decide(
    asked: &Asked<'_>,
    client: &LiveClient,
    subject: &AccessToken,
    principal: &Principal,
    target: &Target,
    scopes: &[&str],
) -> (Decision, Granted) {
    let ctx = &asked.server.ctx;
    let nothing = || Granted { scope: String::new(), by_scope: false };
    let Some(snapshot) = ctx.engine.snapshot() else {
        let decision = Decision::deny(DenyReason::NoSnapshot, Arc::from(""));
        ctx.metrics.decisions.add((Point::Issuance, decision.denied));
        return (decision, nothing());
    };
    let facts = Facts::of_token(subject, asked.now).address(asked.info.address);
    let said = Map::from_iter([
        ("subject".to_owned(), Value::from(principal.reference().to_string())),
        ("audiences".to_owned(), subject.aud.clone().into()),
    ]);
    let context = snapshot.prepare(EXCHANGE, None, &WireContext::new(&facts, Some(&said)));
    let mut decision = snapshot.decide_prepared(&client.principal, EXCHANGE, target.entity(), &context);
    let mut granted = nothing();
    if decision.is_allowed() {
        let mut kept: Vec<String> = scopes.iter().map(|scope| (*scope).to_owned()).collect();
        // The subject's own policies count when it is a person; a client's say what it may have for itself.
        let person = (!subject.speaks_for_client()).then_some(principal);
        for principal in [Some(&client.principal), person].into_iter().flatten() {
            let wanted: Vec<&str> = kept.iter().map(String::as_str).collect();
            let joined = wanted.join(" ");
            let said = snapshot.issuance(principal, GRANT.as_str(), target.entity(), &wanted, &facts.scopes(&joined));
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
        granted.scope = kept.join(" ");
    }
    ctx.metrics.decisions.add((Point::Issuance, decision.denied));
    (decision, granted)
}

/// What is issued.
struct Exchange<'a> {
    client: &'a LiveClient,
    subject: &'a AccessToken,
    target: &'a Target,
    act: Actor,
    scope: String,
    decision: &'a Decision,
}

impl Exchange<'_> {
    async fn issue(self, asked: &Asked<'_>) -> Result<Response, Error> {
        let ctx = &asked.server.ctx;
        let iat = Timestamp::from_secs(asked.now.as_secs());
        let left = self.subject.exp.as_secs().saturating_sub(iat.as_secs());
        let ttl = self.target.ttl_secs(self.client, &ctx.settings).min(left).max(1);
        let token = AccessToken {
            jti: id::new("at", asked.now, &*ctx.rng),
            client_id: self.client.client.client_id.clone(),
            aud: vec![self.target.uri.to_string()],
            scope: self.scope.clone(),
            iat,
            exp: Timestamp::from_secs(iat.as_secs().saturating_add(ttl)),
            cnf_jkt: asked.jkt().map(str::to_owned),
            act: Some(self.act.clone()),
            ..self.subject.clone()
        };
        let event = self.event(asked, &token, ttl);
        let (text, format) = match self.target.tokens {
            TokenFormat::Jwt => {
                let text = self.signed(asked, &token)?;
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
            "issued_token_type": ACCESS_TOKEN,
            "token_type": if asked.jkt().is_some() { "DPoP" } else { "Bearer" },
            "expires_in": ttl,
            "scope": self.scope,
        });
        Ok(json(StatusCode::OK, body.to_string()))
    }

    fn event(&self, asked: &Asked<'_>, token: &AccessToken, ttl: i64) -> Event {
        let mut event = asked.event(kind::TOKEN_ISSUED, Outcome::Allowed, Some(self.client)).decided(self.decision);
        event.resource = Some(Arc::clone(&self.target.uri));
        let event =
            event.with("jti", token.jti.as_str()).with("grant", GRANT.as_str()).with("scope", self.scope.as_str());
        let event = event.with("expires_in", ttl).with("sub", token.sub.as_str());
        let event = event.with("subject_jti", self.subject.jti.as_str());
        match &token.gid {
            Some(gid) => event.with("gid", gid.as_str()),
            None => event,
        }
    }

    fn signed(&self, asked: &Asked<'_>, token: &AccessToken) -> Result<Secret<String>, Error> {
        let ctx = &asked.server.ctx;
        let (ring, alg) = (ctx.live.key_ring(), self.target.alg(self.client, &ctx.settings));
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
