//! `/api/v1/tokens`: access tokens as administrators see them. Tokens are sent in bodies, never in paths, which end up in logs.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::response::Response;
use serde_json::{Value, json};

use super::permissions::{InspectToken, MintToken, RevokeToken};
use super::{Ctx, Shared};
use crate::accounts::LONGEST_TOKEN;
use crate::base::{Secret, Timestamp, id};
use crate::config::TokenFormat;
use crate::crypto::secret_text::{self, Kind as TextKind};
use crate::crypto::verify::{AccessClaims, TokenError};
use crate::crypto::{jws, sha256};
use crate::http::change::{self, Answer, Begun, Change, broken};
use crate::http::sent::{Sent, invalid};
use crate::http::{Kind, May, Permission, Problem};
use crate::live::LiveClient;
use crate::model::{AccessToken, ClientKind, GrantType, Outcome, event};
use crate::policy::{Facts, Resource};
use crate::registry::Mistake;
use crate::store::{revocations, tokens};

/// What a client is asked to be given.
struct Wanted {
    client: Arc<LiveClient>,
    resource: String,
    scopes: Vec<String>,
}

/// A text among the members that were sent.
fn text<'a>(members: &'a serde_json::Map<String, Value>, name: &str) -> Result<Option<&'a str>, Problem> {
    let wrong = || invalid(&[Mistake::of(name, "expected text")]);
    members.get(name).map(|value| value.as_str().filter(|text| !text.is_empty()).ok_or_else(wrong)).transpose()
}

async fn wanted(ctx: &Ctx, sent: &Sent) -> Result<Wanted, Problem> {
    let members = sent.options(&["client_id", "resource", "scopes"])?;
    let Some(client_id) = text(&members, "client_id")? else {
        return Err(invalid(&[Mistake::of("client_id", "name the client that the token is issued to")]));
    };
    let refused = |detail: String| Problem::new(Kind::Conflict).detail(detail);
    let client = ctx.live().await?.client(client_id);
    let missing = || Problem::new(Kind::NotFound).detail(format!("there is no client `{client_id}`"));
    let client = client.ok_or_else(missing)?;
    let registered = &client.client;
    if registered.kind == ClientKind::Public {
        return Err(refused(format!("`{client_id}` is public: it cannot ask for itself")));
    }
    let resource = text(&members, "resource")?.unwrap_or(&registered.default_resource).to_owned();
    if resource != registered.default_resource && !registered.resources.contains(&resource) {
        return Err(refused(format!("`{client_id}` is not registered for `{resource}`")));
    }
    let scopes = members.get("scopes").map(|scopes| serde_json::from_value::<Vec<String>>(scopes.clone()));
    let scopes = match scopes {
        None => registered.scopes.clone(),
        Some(Ok(scopes)) => scopes,
        Some(Err(_)) => return Err(invalid(&[Mistake::of("scopes", "expected a list of scopes")])),
    };
    if let Some(scope) = scopes.iter().find(|scope| !registered.scopes.contains(scope)) {
        return Err(refused(format!("`{client_id}` is not registered for the scope `{scope}`")));
    }
    Ok(Wanted { client, resource, scopes })
}

/// `POST /api/v1/tokens`: an access token for a client, as the policies allow that client; shown this once.
pub(super) async fn issue(
    may: May<MintToken>,
    State(Shared(ctx)): State<Shared>,
    sent: Sent,
) -> Result<Response, Problem> {
    let Wanted { client, resource: aud, scopes } = wanted(&ctx, &sent).await?;
    let (client_id, now) = (client.client.client_id.as_str(), ctx.guard.clock.now());
    let requested = scopes.join(" ");
    let scopes: Vec<&str> = scopes.iter().map(String::as_str).collect();
    // Of the client, not of where the operator sits.
    let facts = Facts::at(now).scopes(&requested).client(client_id).address(may.info.address);
    let facts = ctx.guard.engine.risk().told(client.principal.reference(), facts);
    let grant = GrantType::ClientCredentials.as_str();
    let given = ctx.guard.engine.issuance(&client.principal, grant, &Resource::api(&aud), &scopes, &facts);
    let about = |kind: &'static str| {
        let event = change::event(&ctx, &may, kind, &aud).decided(&given.decision);
        event.with("client_id", client_id).with("grant", grant).with("requested_scope", requested.as_str())
    };
    if let Some(reason) = given.decision.denied {
        let refused = crate::model::Event { outcome: Outcome::Denied, ..about(event::kind::TOKEN_REFUSED) };
        if ctx.guard.audit.record(refused).await.is_err() {
            return Err(Problem::new(Kind::NotRecorded).detail("try again later"));
        }
        let detail = format!("the policies refuse `{client_id}` this token: {}", reason.as_str());
        return Err(Problem::new(Kind::Forbidden).detail(detail));
    }
    let configured = ctx.oauth.resources.iter().find(|resource| resource.id == aud);
    let default = configured.and_then(|resource| resource.ttl).unwrap_or(ctx.oauth.access_token_ttl);
    let ttl = client.client.access_token_ttl(default).clamp(Duration::from_secs(1), LONGEST_TOKEN).as_secs();
    let iat = Timestamp::from_secs(now.as_secs());
    let jti = id::new("at", now, &*ctx.guard.rng);
    let token = AccessToken {
        scope: given.scopes.join(" "),
        ..AccessToken::of_client(client_id, jti, &aud, iat, iat.plus(Duration::from_secs(ttl)))
    };
    let mut change = match Change::begin(&ctx, &may, &sent).await? {
        Begun::Work(change) => change,
        Begun::Done(response) => return Ok(response),
    };
    let made = if configured.is_some_and(|resource| resource.tokens == TokenFormat::Opaque) {
        let made = secret_text::generate(TextKind::AccessToken, &*ctx.guard.rng);
        tokens::insert(&mut change.tx, &sha256(made.expose().as_bytes()), &token).await.map_err(broken)?;
        made
    } else {
        let alg = client.client.access_token_alg.or(configured.and_then(|resource| resource.alg));
        signed(&ctx, &token, alg.unwrap_or(ctx.oauth.default_alg()), now).await?
    };
    let event = about(event::kind::TOKEN_ISSUED).with("jti", token.jti.as_str());
    let event = event.with("scope", token.scope.as_str()).with("expires_in", ttl);
    let mut body = json!({
        "token_type": "Bearer", "expires_in": ttl, "scope": token.scope, "aud": aud, "jti": token.jti,
        "client_id": client_id,
    });
    if let (Some(members), false) = (body.as_object_mut(), sent.dry_run) {
        members.insert("access_token".to_owned(), made.expose().as_str().into());
    }
    change.commit(&[event], Answer::ok(body)).await
}

async fn signed(
    ctx: &Ctx,
    token: &AccessToken,
    alg: crate::model::Algorithm,
    now: Timestamp,
) -> Result<Secret<String>, Problem> {
    let ring = ctx.live().await?.key_ring();
    let signer = ring.signer(alg, now).ok_or_else(|| {
        let alg = alg.as_str();
        let detail = format!("no key signs {alg}: start the service once, or rotate the keys of {alg}");
        Problem::new(Kind::Conflict).detail(detail)
    })?;
    let text = jws::sign(signer, jws::ACCESS_TOKEN, &AccessClaims::of(&ctx.site.issuer, token));
    text.map(Secret::new).map_err(|error| {
        tracing::error!(error = %crate::telemetry::chain(&error), "a token could not be signed");
        Problem::new(Kind::Internal)
    })
}

fn unavailable() -> Problem {
    Problem::new(Kind::Unavailable).detail("the token cannot be checked now: try again")
}

/// The `token` that was sent.
fn sent_token(members: &serde_json::Map<String, Value>) -> Result<&str, Problem> {
    text(members, "token")?.ok_or_else(|| invalid(&[Mistake::of("token", "send the token itself")]))
}

/// `POST /api/v1/tokens/introspect`: what a token says, if it is alive; else why it is not.
pub(super) async fn introspect(
    may: May<InspectToken>,
    State(Shared(ctx)): State<Shared>,
    sent: Sent,
) -> Result<Response, Problem> {
    let members = sent.options(&["token"])?;
    let verified = ctx.live().await?.verify(sent_token(&members)?, ctx.guard.clock.now()).await;
    let event = change::event(&ctx, &may, event::kind::TOKEN_INTROSPECTED, &InspectToken::resource().name());
    let (event, body) = match verified {
        Err(TokenError::Unavailable) => return Err(unavailable()),
        Err(why) => (event.with("active", false), json!({ "active": false, "reason": why.as_str() })),
        Ok(said) => {
            let body = json!({
                "active": true, "client_id": said.client_id, "sub": said.sub, "aud": said.aud, "scope": said.scope,
                "iat": said.iat.as_secs(), "exp": said.exp.as_secs(), "jti": said.jti, "gid": said.gid,
                "sid": said.sid, "acr": said.acr, "cnf_jkt": said.cnf_jkt,
            });
            (event.with("active", true).with("jti", said.jti.as_str()), body)
        }
    };
    ctx.guard.audit.queue(event);
    Ok(Answer::ok(body).response())
}

/// `POST /api/v1/tokens/revoke`: a token, by its text or by its id. It is refused everywhere within a second.
pub(super) async fn revoke(
    may: May<RevokeToken>,
    State(Shared(ctx)): State<Shared>,
    sent: Sent,
) -> Result<Response, Problem> {
    let members = sent.options(&["token", "jti"])?;
    let now = ctx.guard.clock.now();
    let event = |about: &str| change::event(&ctx, &may, event::kind::TOKEN_REVOKED, about);
    let (jti, exp, event) = match (text(&members, "token")?, text(&members, "jti")?) {
        (Some(token), None) => {
            let said = ctx.live().await?.verify(token, now).await.map_err(|why| match why {
                TokenError::Unavailable => unavailable(),
                why => Problem::new(Kind::Conflict).detail(format!("there is nothing to revoke: {}", why.as_str())),
            })?;
            let event = event(said.aud.first().map(String::as_str).unwrap_or_default());
            (said.jti.clone(), said.exp, event.with("client_id", said.client_id.as_str()))
        }
        // No token outlives this: that one of such an id was ever issued need not be known.
        (None, Some(jti)) if id::number("at", jti).is_some() => {
            (jti.to_owned(), now.plus(LONGEST_TOKEN), event(&RevokeToken::resource().name()))
        }
        (None, Some(_)) => return Err(invalid(&[Mistake::of("jti", "this is no id of an access token: `at_…`")])),
        _ => return Err(invalid(&[Mistake::of("token", "send either the token or its `jti`")])),
    };
    let mut change = match Change::begin(&ctx, &may, &sent).await? {
        Begun::Work(change) => change,
        Begun::Done(response) => return Ok(response),
    };
    revocations::insert(&mut change.tx, &jti, exp, now).await.map_err(broken)?;
    let body = json!({ "revoked": true, "jti": jti });
    change.commit(&[event.with("jti", jti)], Answer::ok(body)).await
}
