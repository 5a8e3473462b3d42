//! `stockade token`: issue, look at and revoke access tokens, from the machine itself.

use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use clap::Subcommand;
use serde_json::json;

use super::failure::Failure;
use super::local::Local;
use super::output::{self, Output};
use crate::base::{Clock as _, Secret, SystemClock, Timestamp, id};
use crate::config::TokenFormat;
use crate::crypto::secret_text::{self, Kind};
use crate::crypto::verify::{AccessClaims, TokenError};
use crate::crypto::{jws, sha256};
use crate::live::Live;
use crate::model::{AccessToken, ClientKind, GrantType, Outcome, event};
use crate::policy::{Facts, Resource};
use crate::store::{revocations, tokens};

/// No token outlives this: retired keys are kept as long.
const LONGEST: Duration = Duration::from_secs(86_400);

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Issue an access token for a client, as the policies allow that client; printed once
    Issue(IssueArgs),
    /// Say what a token says, if it is alive; exit 1 when it is not
    Introspect(TokenArgs),
    /// Revoke a token, everywhere within a second
    Revoke(TokenArgs),
}

#[derive(Debug, clap::Args)]
pub(super) struct IssueArgs {
    /// The client it is issued to
    #[arg(long, value_name = "ID")]
    client: String,
    /// The API it is for [default: the client's default]
    #[arg(long, value_name = "URI")]
    resource: Option<String>,
    /// A scope to ask for [default: all that the client registered]
    #[arg(long = "scope", value_name = "SCOPE")]
    scopes: Vec<String>,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, clap::Args)]
pub(super) struct TokenArgs {
    /// The token; read from stdin when it is not given, which keeps it out of the list of processes
    #[arg(value_name = "TOKEN")]
    token: Option<String>,
    #[command(flatten)]
    output: Output,
}

pub(super) async fn run(command: Command, config: Option<&Path>) -> Result<(), Failure> {
    let local = Local::open(config).await?;
    let done = match command {
        Command::Issue(args) => issue(&local, &args).await,
        Command::Introspect(args) => introspect(&local, &args).await,
        Command::Revoke(args) => revoke(&local, &args).await,
    };
    local.store.close().await;
    done
}

impl TokenArgs {
    fn token(&self) -> Result<Secret<String>, Failure> {
        let mut text = self.token.clone().unwrap_or_default();
        if self.token.is_none() {
            let read = std::io::stdin().lock().take(64 * 1024).read_to_string(&mut text);
            read.map_err(|e| Failure::usage(format!("cannot read the token from stdin: {e}")))?;
        }
        match text.trim() {
            "" => Err(Failure::usage("there is no token: give it on stdin")),
            token => Ok(Secret::new(token.to_owned())),
        }
    }
}

async fn live(local: &Local) -> Result<Live, Failure> {
    let (sealer, clock) = (Arc::new(local.sealer()?), Arc::new(SystemClock));
    let live = Live::load(local.store.clone(), sealer, &local.config.server.issuer, clock).await;
    live.map_err(|e| Failure::chain(&e))
}

async fn issue(local: &Local, args: &IssueArgs) -> Result<(), Failure> {
    local.permit(event::kind::TOKEN_REFUSED, "token:mint", &Resource::token_store()).await?;
    let live = live(local).await?;
    let found = live.client(&args.client);
    let client = found.ok_or_else(|| Failure::failed(format!("there is no client `{}`", args.client)))?;
    let registered = &client.client;
    if registered.kind == ClientKind::Public {
        return Err(Failure::failed(format!("`{}` is public: it cannot ask for itself", args.client)));
    }
    let aud = args.resource.as_ref().unwrap_or(&registered.default_resource);
    if *aud != registered.default_resource && !registered.resources.contains(aud) {
        return Err(Failure::failed(format!("`{}` is not registered for `{aud}`", args.client)));
    }
    let asked = if args.scopes.is_empty() { &registered.scopes } else { &args.scopes };
    if let Some(scope) = asked.iter().find(|scope| !registered.scopes.contains(scope)) {
        return Err(Failure::failed(format!("`{}` is not registered for the scope `{scope}`", args.client)));
    }
    let now = local.clock.now();
    let wanted = asked.join(" ");
    let facts = Facts::at(now).scopes(&wanted);
    let scopes: Vec<&str> = asked.iter().map(String::as_str).collect();
    let grant = GrantType::ClientCredentials.as_str();
    let given = local.policies()?.issuance(&client.principal, grant, &Resource::api(aud), &scopes, &facts);
    if let Some(reason) = given.decision.denied {
        let event =
            local.event(event::kind::TOKEN_REFUSED, Outcome::Denied, "token:mint", aud).decided(&given.decision);
        local.record(&event.with("client_id", args.client.as_str())).await?;
        return Err(Failure::failed(format!("the policies refuse `{}` this token: {}", args.client, reason.as_str())));
    }
    let resource = local.config.oauth.resources.iter().find(|resource| resource.id == *aud);
    let default = resource.and_then(|resource| resource.ttl).unwrap_or(local.config.oauth.access_token_ttl);
    let ttl = i64::try_from(registered.access_token_ttl(default).min(LONGEST).as_secs()).unwrap_or(1).max(1);
    let iat = now.as_secs();
    let (jti, exp) = (id::new("at", now, &local.rng), Timestamp::from_secs(iat.saturating_add(ttl)));
    let token = AccessToken {
        scope: given.scopes.join(" "),
        ..AccessToken::of_client(&args.client, jti, aud, Timestamp::from_secs(iat), exp)
    };
    let event = local.event(event::kind::TOKEN_ISSUED, Outcome::Allowed, "token:mint", aud).decided(&given.decision);
    let event = event.with("jti", token.jti.as_str()).with("client_id", args.client.as_str());
    let event = event.with("scope", token.scope.as_str()).with("expires_in", ttl);
    let mut tx = local.store.begin().await?;
    let text = if resource.is_some_and(|resource| resource.tokens == TokenFormat::Opaque) {
        let text = secret_text::generate(Kind::AccessToken, &local.rng);
        tokens::insert(&mut tx, &sha256(text.expose().as_bytes()), &token).await?;
        text
    } else {
        let alg = registered.access_token_alg.or(resource.and_then(|resource| resource.alg));
        let alg = alg.unwrap_or(local.config.oauth.default_alg());
        let ring = live.key_ring();
        let signer = ring.signer(alg, now).ok_or_else(|| {
            let alg = alg.as_str();
            Failure::failed(format!("no key signs {alg}: start the service once, or `stockade key rotate --alg {alg}`"))
        })?;
        let claims = AccessClaims::of(&local.config.server.issuer, &token);
        Secret::new(jws::sign(signer, jws::ACCESS_TOKEN, &claims)?)
    };
    local.commit(tx, &event).await?;
    let rows = [
        ("access_token", text.expose().clone()),
        ("expires_in", ttl.to_string()),
        ("scope", token.scope.clone()),
        ("aud", aud.clone()),
        ("jti", token.jti.clone()),
    ];
    let json = json!({
        "access_token": text.expose(), "token_type": "Bearer", "expires_in": ttl, "scope": token.scope, "aud": aud,
        "jti": token.jti,
    });
    output::record(args.output.output, &json, &rows)
}

async fn introspect(local: &Local, args: &TokenArgs) -> Result<(), Failure> {
    let token = args.token()?;
    let decision = local.permit(event::kind::TOKEN_INTROSPECTED, "token:inspect", &Resource::token_store()).await?;
    let event = local.event(
        event::kind::TOKEN_INTROSPECTED,
        Outcome::Allowed,
        "token:inspect",
        &Resource::token_store().name(),
    );
    local.record(&event.decided(&decision)).await?;
    let said = match live(local).await?.verify(token.expose(), local.clock.now()).await {
        Ok(said) => said,
        Err(TokenError::Unavailable) => return Err(Failure::usage("the database does not answer: try again")),
        Err(why) => {
            output::record(args.output.output, &json!({ "active": false }), &[("active", "no".to_owned())])?;
            output::note(format!("the token is not alive: {}", why.as_str()));
            return Err(Failure::No);
        }
    };
    let json = json!({
        "active": true, "client_id": said.client_id, "sub": said.sub, "aud": said.aud, "scope": said.scope,
        "iat": said.iat.as_secs(), "exp": said.exp.as_secs(), "jti": said.jti,
    });
    let rows = [
        ("active", "yes".to_owned()),
        ("client_id", said.client_id.clone()),
        ("sub", said.sub.clone()),
        ("aud", said.aud.join(" ")),
        ("scope", said.scope.clone()),
        ("iat", said.iat.to_string()),
        ("exp", said.exp.to_string()),
        ("jti", said.jti.clone()),
    ];
    output::record(args.output.output, &json, &rows)
}

async fn revoke(local: &Local, args: &TokenArgs) -> Result<(), Failure> {
    let token = args.token()?;
    let decision = local.permit(event::kind::TOKEN_REVOKED, "token:revoke", &Resource::token_store()).await?;
    let said = match live(local).await?.verify(token.expose(), local.clock.now()).await {
        Ok(said) => said,
        Err(TokenError::Unavailable) => return Err(Failure::usage("the database does not answer: try again")),
        Err(why) => return Err(Failure::failed(format!("there is nothing to revoke: {}", why.as_str()))),
    };
    let resource = said.aud.first().map(String::as_str).unwrap_or_default();
    let event = local.event(event::kind::TOKEN_REVOKED, Outcome::Allowed, "token:revoke", resource).decided(&decision);
    let event = event.with("jti", said.jti.as_str()).with("client_id", said.client_id.as_str());
    let mut tx = local.store.begin().await?;
    revocations::insert(&mut tx, &said.jti, said.exp, local.clock.now()).await?;
    local.commit(tx, &event).await?;
    output::record(
        args.output.output,
        &json!({ "revoked": true, "jti": said.jti }),
        &[("revoked", "yes".to_owned()), ("jti", said.jti.clone())],
    )
}
