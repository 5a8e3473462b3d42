//! `stockade client create`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Map, Value};

use super::super::api::Api;
use super::super::failure::Failure;
use super::super::output::Output;
use super::print;
use crate::config::text;

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// Its id: up to 128 characters of A-Z a-z 0-9 - _ . ~
    #[arg(long, value_name = "ID")]
    id: String,
    /// What people are shown instead of the id
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// It cannot keep a secret
    #[arg(long, conflicts_with = "jwks")]
    public: bool,
    /// A grant it may use: authorization_code, refresh_token, client_credentials, device_code, token-exchange, jwt-bearer
    #[arg(long = "grant", value_name = "GRANT")]
    grants: Vec<String>,
    /// A scope it may ask for
    #[arg(long = "scope", value_name = "SCOPE")]
    scopes: Vec<String>,
    /// Where authorization answers may go, compared as an exact string
    #[arg(long = "redirect-uri", value_name = "URI")]
    redirect_uris: Vec<String>,
    /// An API it may ask tokens for [default: `oauth.default_resource`, or the issuer]
    #[arg(long = "resource", value_name = "URI")]
    resources: Vec<String>,
    /// The API of a request that names none [default: the first --resource]
    #[arg(long, value_name = "URI")]
    default_resource: Option<String>,
    /// An API it is the resource server of: it may introspect that API's tokens
    #[arg(long = "serves", value_name = "URI")]
    serves: Vec<String>,
    /// A role: policies see it as a parent of the client
    #[arg(long = "role", value_name = "ROLE")]
    roles: Vec<String>,
    /// Where a browser may go after logout, compared as an exact string
    #[arg(long = "post-logout-redirect-uri", value_name = "URI")]
    post_logout_redirect_uris: Vec<String>,
    /// Where it is told that a person signed out
    #[arg(long, value_name = "URI")]
    backchannel_logout_uri: Option<String>,
    /// An origin whose pages may call the token endpoint for it
    #[arg(long = "cors-origin", value_name = "ORIGIN")]
    cors_origins: Vec<String>,
    /// Let it ask without a code challenge; never a public client
    #[arg(long)]
    no_pkce: bool,
    /// It must push its authorization requests (RFC 9126)
    #[arg(long)]
    require_par: bool,
    /// Its access tokens are always bound to a key (RFC 9449)
    #[arg(long)]
    dpop_bound: bool,
    /// What its ID tokens are signed with [default: RS256]
    #[arg(long, value_name = "ALG")]
    id_token_alg: Option<String>,
    /// What its access tokens are signed with [default: the resource's, or the first of `oauth.signing_algs`]
    #[arg(long, value_name = "ALG")]
    alg: Option<String>,
    /// How long its access tokens live [default: the resource's, or `oauth.access_token_ttl`]
    #[arg(long, value_name = "DURATION", value_parser = text::duration)]
    ttl: Option<Duration>,
    /// A JWK Set of its public keys: it signs its requests (private_key_jwt) and has no secret
    #[arg(long, value_name = "FILE")]
    jwks: Option<PathBuf>,
    #[command(flatten)]
    output: Output,
}

pub(super) async fn run(api: &Api, args: &Args) -> Result<(), Failure> {
    let made = api.post("/api/v1/clients", &Value::Object(members(args)?)).await?;
    print(args.output.output, &made.body)
}

/// What is said of the client; the rules of all clients are the API's.
fn members(args: &Args) -> Result<Map<String, Value>, Failure> {
    let mut sent = Map::from_iter([
        ("client_id".to_owned(), args.id.as_str().into()),
        ("grants".to_owned(), args.grants.as_slice().into()),
        ("scopes".to_owned(), args.scopes.as_slice().into()),
        ("resources".to_owned(), args.resources.as_slice().into()),
        ("serves".to_owned(), args.serves.as_slice().into()),
        ("redirect_uris".to_owned(), args.redirect_uris.as_slice().into()),
        ("roles".to_owned(), args.roles.as_slice().into()),
        ("post_logout_redirect_uris".to_owned(), args.post_logout_redirect_uris.as_slice().into()),
        ("cors_origins".to_owned(), args.cors_origins.as_slice().into()),
        ("require_pkce".to_owned(), (!args.no_pkce).into()),
        ("require_par".to_owned(), args.require_par.into()),
        ("dpop_bound".to_owned(), args.dpop_bound.into()),
    ]);
    let jwks = args.jwks.as_deref().map(read_jwks).transpose()?;
    let optional: [(&str, Option<Value>); 8] = [
        ("client_name", args.name.as_deref().map(Value::from)),
        ("backchannel_logout_uri", args.backchannel_logout_uri.as_deref().map(Value::from)),
        ("id_token_alg", args.id_token_alg.as_deref().map(Value::from)),
        ("kind", args.public.then(|| "public".into())),
        ("jwks", jwks),
        ("default_resource", args.default_resource.as_deref().map(Value::from)),
        ("access_token_alg", args.alg.as_deref().map(Value::from)),
        ("access_token_ttl_secs", args.ttl.map(|ttl| ttl.as_secs().into())),
    ];
    sent.extend(optional.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))));
    Ok(sent)
}

fn read_jwks(file: &Path) -> Result<Value, Failure> {
    let wrong = |why: String| Failure::usage(format!("{}: {why}", file.display()));
    let text = std::fs::read_to_string(file).map_err(|e| wrong(format!("cannot be read: {e}")))?;
    serde_json::from_str(&text).map_err(|e| wrong(format!("is not JSON: {e}")))
}
