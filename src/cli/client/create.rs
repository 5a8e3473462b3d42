//! `stockade client create`.

use std::path::PathBuf;
use std::time::Duration;

use super::super::failure::Failure;
use super::super::local::Local;
use super::super::output::Output;
use super::{changed, new_secret, print};
use crate::base::{Clock as _, Secret};
use crate::config::text;
use crate::crypto::assertion::ClientKeys;
use crate::model::client::ClientSecret;
use crate::model::{Algorithm, AuthMethod, Client, GrantType, event};
use crate::policy::Resource;
use crate::store::{StoreError, clients};

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// Its id: up to 128 characters of A-Z a-z 0-9 - _ . ~
    #[arg(long, value_name = "ID", value_parser = client_id)]
    id: String,
    /// It cannot keep a secret
    #[arg(long, conflicts_with = "jwks")]
    public: bool,
    /// A grant it may use: client_credentials
    #[arg(long = "grant", value_name = "GRANT", value_parser = grant)]
    grants: Vec<GrantType>,
    /// A scope it may ask for
    #[arg(long = "scope", value_name = "SCOPE", value_parser = scope)]
    scopes: Vec<String>,
    /// Where authorization answers may go, compared as an exact string
    #[arg(long = "redirect-uri", value_name = "URI", value_parser = redirect_uri)]
    redirect_uris: Vec<String>,
    /// An API it may ask tokens for [default: the issuer]
    #[arg(long = "resource", value_name = "URI", value_parser = uri)]
    resources: Vec<String>,
    /// The API of a request that names none [default: the first --resource]
    #[arg(long, value_name = "URI", value_parser = uri)]
    default_resource: Option<String>,
    /// An API it is the resource server of: it may introspect that API's tokens
    #[arg(long = "serves", value_name = "URI", value_parser = uri)]
    serves: Vec<String>,
    /// A role: policies see it as a parent of the client
    #[arg(long = "role", value_name = "ROLE")]
    roles: Vec<String>,
    /// What its access tokens are signed with [default: the resource's, or the first of `oauth.signing_algs`]
    #[arg(long, value_name = "ALG", value_parser = alg)]
    alg: Option<Algorithm>,
    /// How long its access tokens live [default: the resource's, or `oauth.access_token_ttl`]
    #[arg(long, value_name = "DURATION", value_parser = ttl)]
    ttl: Option<Duration>,
    /// A JWK Set of its public keys: it signs its requests (private_key_jwt) and has no secret
    #[arg(long, value_name = "FILE")]
    jwks: Option<PathBuf>,
    #[command(flatten)]
    output: Output,
}

pub(super) async fn run(local: &Local, args: &Args) -> Result<(), Failure> {
    let decision = local.permit(event::kind::CLIENT_CHANGED, "client:create", &Resource::client_registry()).await?;
    let (client, secret) = build(local, args)?;
    let mut tx = local.store.begin().await?;
    match clients::insert(&mut tx, &client).await {
        Err(StoreError::Conflict(_)) => return Err(taken(&args.id)),
        Err(error) if error.is_unique_violation() => return Err(taken(&args.id)),
        other => other?,
    }
    let event = changed(local, "client:create", &args.id, "created").decided(&decision);
    local.commit(tx, &event.with("scope", client.scopes.join(" "))).await?;
    print(args.output.output, &client, secret.as_ref())
}

fn taken(id: &str) -> Failure {
    Failure::failed(format!("there is a client `{id}` already: choose another id, or delete that one first"))
}

fn build(local: &Local, args: &Args) -> Result<(Client, Option<Secret<String>>), Failure> {
    if args.public && args.grants.contains(&GrantType::ClientCredentials) {
        return Err(Failure::usage("a public client cannot use client_credentials: leave out --public (RFC 6749 4.4)"));
    }
    let issuer = &local.config.server.issuer;
    let default_resource = args.default_resource.as_ref().or(args.resources.first()).unwrap_or(issuer).clone();
    let mut resources = args.resources.clone();
    if !resources.contains(&default_resource) {
        resources.push(default_resource.clone());
    }
    let known = |uri: &String| uri == issuer || local.config.oauth.resources.iter().any(|r| r.id == *uri);
    if let Some(unknown) = resources.iter().chain(&args.serves).find(|uri| !known(uri)) {
        return Err(Failure::usage(format!(
            "`{unknown}` is no API of this server: add it to [[oauth.resources]] first"
        )));
    }
    if let Some(alg) = args.alg.filter(|alg| !local.config.oauth.signing_algs.contains(alg)) {
        return Err(Failure::usage(format!(
            "nothing signs with {}: add it to `oauth.signing_algs` first",
            alg.as_str()
        )));
    }
    let jwks = args.jwks.as_deref().map(read_jwks).transpose()?;
    let (auth_method, secret) = match (&jwks, args.public) {
        (Some(_), _) => (AuthMethod::PrivateKeyJwt, None),
        (None, true) => (AuthMethod::None, None),
        (None, false) => (AuthMethod::ClientSecretBasic, Some(new_secret(local))),
    };
    let (secret, kept): (_, Option<ClientSecret>) = secret.unzip();
    let client = Client {
        secrets: kept.into_iter().collect(),
        jwks,
        grants: distinct(&args.grants),
        scopes: distinct(&args.scopes),
        resources: distinct(&resources),
        default_resource,
        serves: distinct(&args.serves),
        redirect_uris: distinct(&args.redirect_uris),
        access_token_alg: args.alg,
        access_token_ttl_secs: args.ttl.map(|ttl| ttl.as_secs()),
        roles: distinct(&args.roles),
        ..Client::new(&args.id, auth_method, local.clock.now())
    };
    Ok((client, secret))
}

fn distinct<T: Clone + PartialEq>(items: &[T]) -> Vec<T> {
    let mut out: Vec<T> = Vec::new();
    for item in items {
        if !out.contains(item) {
            out.push(item.clone());
        }
    }
    out
}

fn read_jwks(file: &std::path::Path) -> Result<serde_json::Value, Failure> {
    let wrong = |why: String| Failure::usage(format!("{}: {why}", file.display()));
    let text = std::fs::read_to_string(file).map_err(|e| wrong(format!("cannot be read: {e}")))?;
    let jwks = serde_json::from_str(&text).map_err(|e| wrong(format!("is not JSON: {e}")))?;
    ClientKeys::parse(&jwks).map_err(|e| wrong(e.to_string()))?;
    Ok(jwks)
}

fn client_id(text: &str) -> Result<String, String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.~".contains(c);
    if text.starts_with("usr_") {
        return Err("`usr_` begins the ids of people: choose another".to_owned());
    }
    if (1..=128).contains(&text.len()) && text.chars().all(plain) {
        Ok(text.to_owned())
    } else {
        Err("use 1 to 128 characters of A-Z a-z 0-9 - _ . ~".to_owned())
    }
}

fn grant(text: &str) -> Result<GrantType, String> {
    GrantType::parse(text).ok_or_else(|| "there is one grant so far: client_credentials".to_owned())
}

/// RFC 6749 3.3.
fn scope(text: &str) -> Result<String, String> {
    if !text.is_empty() && text.bytes().all(|b| matches!(b, 0x21 | 0x23..=0x5b | 0x5d..=0x7e)) {
        Ok(text.to_owned())
    } else {
        Err("a scope is printable ASCII without blanks, quotes and backslashes; repeat --scope for more".to_owned())
    }
}

fn uri(text: &str) -> Result<String, String> {
    match url::Url::parse(text) {
        Ok(url) if url.fragment().is_none() => Ok(text.to_owned()),
        _ => Err("expected an absolute URI without fragment, such as https://api.example.com".to_owned()),
    }
}

/// RFC 9700 2.1, RFC 8252 7: https, a loopback address, or an application's own scheme with a dot.
fn redirect_uri(text: &str) -> Result<String, String> {
    let url = url::Url::parse(text).map_err(|_| "expected an absolute URI".to_owned())?;
    let loopback = matches!(url.host_str(), Some("127.0.0.1" | "[::1]" | "localhost"));
    match url.scheme() {
        _ if url.fragment().is_some() => Err("a redirect URI has no fragment".to_owned()),
        "https" => Ok(text.to_owned()),
        "http" if loopback => Ok(text.to_owned()),
        scheme if scheme.contains('.') => Ok(text.to_owned()),
        _ => Err("use https, http on a loopback address, or a scheme of your own with a dot in it".to_owned()),
    }
}

fn alg(text: &str) -> Result<Algorithm, String> {
    Algorithm::parse(text).ok_or_else(|| "choose ES256, EdDSA or RS256".to_owned())
}

fn ttl(text: &str) -> Result<Duration, String> {
    let ttl = text::duration(text)?;
    if (Duration::from_secs(5)..=Duration::from_secs(86_400)).contains(&ttl) {
        Ok(ttl)
    } else {
        Err("choose between 5s and 24h".to_owned())
    }
}
