//! `stockade token`: issue, look at, revoke and explain access tokens.

use std::io::Read as _;

use clap::Subcommand;
use serde_json::{Map, Value, json};

use super::api::{Api, At};
use super::failure::Failure;
use super::output::{self, Format, Output};
use crate::base::{Secret, Timestamp, id};
use crate::crypto::secret_text;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Issue an access token for a client, as the policies allow that client; printed once
    Issue(IssueArgs),
    /// Say what a token says, if it is alive; exit 1 when it is not
    Introspect(TokenArgs),
    /// Revoke a token, everywhere within a second
    Revoke(RevokeArgs),
    /// Say why a token was issued or refused: which policies, which snapshot, which facts
    Explain(ExplainArgs),
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

#[derive(Debug, clap::Args)]
pub(super) struct RevokeArgs {
    /// The token, or its id (`at_…`) when the token itself is not at hand; read from stdin when it is not given
    #[arg(value_name = "TOKEN|JTI")]
    token: Option<String>,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, clap::Args)]
pub(super) struct ExplainArgs {
    /// A token's id (`at_…`), the X-Request-ID of a request that was refused, or a token; read from stdin when it is not
    /// given
    #[arg(value_name = "JTI|REQUEST-ID")]
    of: Option<String>,
    #[command(flatten)]
    output: Output,
}

pub(super) async fn run(command: Command, at: &At) -> Result<(), Failure> {
    let api = Api::open(at).await?;
    let done = match &command {
        Command::Issue(args) => issue(&api, args).await,
        Command::Introspect(args) => introspect(&api, args).await,
        Command::Revoke(args) => revoke(&api, args).await,
        Command::Explain(args) => explain(&api, args).await,
    };
    api.close(done).await
}

/// What was given, or stands on stdin.
fn given(argument: Option<&String>) -> Result<Secret<String>, Failure> {
    let mut text = argument.cloned().unwrap_or_default();
    if argument.is_none() {
        let read = std::io::stdin().lock().take(64 * 1024).read_to_string(&mut text);
        read.map_err(|e| Failure::usage(format!("cannot read the token from stdin: {e}")))?;
    }
    match text.trim() {
        "" => Err(Failure::usage("there is no token: give it on stdin")),
        token => Ok(Secret::new(token.to_owned())),
    }
}

fn is_jti(text: &str) -> bool {
    id::number("at", text).is_some()
}

/// Rows of what an answer says, under these names.
fn rows(body: &Value, names: &[&'static str]) -> Vec<(&'static str, String)> {
    names.iter().filter_map(|name| Some((*name, output::cell(body.get(name)?)))).collect()
}

async fn issue(api: &Api, args: &IssueArgs) -> Result<(), Failure> {
    let mut asked = Map::from_iter([("client_id".to_owned(), Value::from(args.client.as_str()))]);
    asked.extend(args.resource.as_deref().map(|uri| ("resource".to_owned(), uri.into())));
    asked.extend((!args.scopes.is_empty()).then(|| ("scopes".to_owned(), args.scopes.as_slice().into())));
    let body = api.post("/api/v1/tokens", &Value::Object(asked)).await?.body;
    output::record(args.output.output, &body, &rows(&body, &["access_token", "expires_in", "scope", "aud", "jti"]))
}

async fn introspect(api: &Api, args: &TokenArgs) -> Result<(), Failure> {
    let (token, format) = (given(args.token.as_ref())?, args.output.output);
    let mut body = api.post("/api/v1/tokens/introspect", &json!({ "token": token.expose() })).await?.body;
    let active = body.get("active").and_then(Value::as_bool).unwrap_or_default();
    let mut table = vec![("active", if active { "yes" } else { "no" }.to_owned())];
    if active {
        table.extend(rows(&body, &["client_id", "sub", "aud", "scope"]));
        for name in ["iat", "exp"] {
            let at = body.get(name).and_then(Value::as_i64).unwrap_or_default();
            table.push((name, Timestamp::from_secs(at).to_string()));
        }
        table.extend(rows(&body, &["jti"]));
        return output::record(format, &body, &table);
    }
    let why = body.as_object_mut().and_then(|members| members.remove("reason"));
    output::record(format, &body, &table)?;
    output::note(format!("the token is not alive: {}", why.as_ref().map(output::cell).unwrap_or_default()));
    Err(Failure::No)
}

async fn revoke(api: &Api, args: &RevokeArgs) -> Result<(), Failure> {
    let (given, format) = (given(args.token.as_ref())?, args.output.output);
    let given = given.expose();
    let asked = if is_jti(given) { json!({ "jti": given }) } else { json!({ "token": given }) };
    let body = api.post("/api/v1/tokens/revoke", &asked).await?.body;
    let table = [("revoked", "yes".to_owned()), ("jti", body.get("jti").map(output::cell).unwrap_or_default())];
    output::record(format, &body, &table)
}

/// How a table names and orders what an explanation says.
const EXPLAINED: [(&str, &str); 26] = [
    ("verdict", "verdict"),
    ("time", "time"),
    ("reason", "reason"),
    ("error", "error"),
    ("detail", "detail"),
    ("client_id", "client"),
    ("principal", "for"),
    ("sub", "person"),
    ("grant", "grant"),
    ("resource", "resource"),
    ("requested_resource", "asked for resource"),
    ("requested_scope", "asked for scopes"),
    ("scope", "given scopes"),
    ("acr", "acr"),
    ("auth_age_secs", "authenticated secs ago"),
    ("address", "address"),
    ("risk", "risk"),
    ("finding_id", "by finding"),
    ("risk_would", "would be, if risk counted"),
    ("assertion_issuer", "assertion of"),
    ("assertion_subject", "assertion for"),
    ("subject_jti", "in exchange for"),
    ("gid", "family"),
    ("jti", "jti"),
    ("expires_in", "expires in"),
    ("request_id", "request"),
];

async fn explain(api: &Api, args: &ExplainArgs) -> Result<(), Failure> {
    let (given, format) = (given(args.of.as_ref())?, args.output.output);
    let given = given.expose();
    let asked = if is_jti(given) {
        json!({ "jti": given })
    } else if given.split('.').count() == 3 || secret_text::check(given).is_some() {
        json!({ "token": given })
    } else {
        json!({ "request_id": given })
    };
    let body = api.post("/api/v1/tokens/explain", &asked).await?.body;
    let items = body.get("items").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    if format == Format::Json {
        return output::json(&items);
    }
    for (at, item) in items.iter().enumerate() {
        if at > 0 {
            output::line("")?;
        }
        output::record(format, item, &explained(item))?;
    }
    Ok(())
}

fn explained(item: &Value) -> Vec<(&'static str, String)> {
    let named = EXPLAINED.iter().filter_map(|(name, told)| Some((*told, output::cell(item.get(name)?))));
    let mut rows: Vec<_> = named.collect();
    let policies = item.get("policies").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    for policy in policies {
        let text = |name: &str| policy.get(name).and_then(Value::as_str);
        let words = text("description").map(|words| format!(": {words}")).unwrap_or_default();
        rows.push(("policy", format!("{}{words}", text("id").unwrap_or_default())));
    }
    if policies.is_empty() {
        rows.push(("policy", "none".to_owned()));
    }
    if let Some(snapshot) = item.get("snapshot").and_then(Value::as_str) {
        let now = item.get("snapshot_in_force").and_then(Value::as_bool).unwrap_or_default();
        rows.push(("snapshot", format!("{snapshot} ({})", if now { "in force" } else { "no longer in force" })));
    }
    rows
}
