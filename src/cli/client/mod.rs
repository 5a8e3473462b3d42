//! `stockade client`: OAuth clients of a deployment.

mod create;

use std::time::Duration;

use clap::Subcommand;
use http::Method;
use serde_json::{Value, json};

use super::api::{Api, At, segment};
use super::failure::Failure;
use super::output::{self, Format, Output};
use crate::config::text;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Register a client; prints its secret once
    Create(Box<create::Args>),
    /// List the clients
    List(Output),
    /// Show one client
    Show(OneArgs),
    /// Give a client a new secret, printed once; the last one keeps working for a while
    RotateSecret(RotateArgs),
    /// Refuse a client and everything it holds
    Disable(OneArgs),
    /// Let a disabled client in again
    Enable(OneArgs),
    /// Delete a client
    Delete(OneArgs),
}

#[derive(Debug, clap::Args)]
pub(super) struct OneArgs {
    /// The client's id
    #[arg(value_name = "ID")]
    id: String,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, clap::Args)]
pub(super) struct RotateArgs {
    /// The client's id
    #[arg(value_name = "ID")]
    id: String,
    /// How long the last secret keeps working; "0s" ends it now
    #[arg(long, value_name = "DURATION", default_value = "24h", value_parser = text::duration)]
    overlap: Duration,
    #[command(flatten)]
    output: Output,
}

pub(super) async fn run(command: Command, at: &At) -> Result<(), Failure> {
    let api = Api::open(at).await?;
    let done = match command {
        Command::Create(args) => create::run(&api, &args).await,
        Command::List(output) => list(&api, output.output).await,
        Command::Show(args) => show(&api, &args).await,
        Command::RotateSecret(args) => {
            let body = json!({ "overlap_secs": args.overlap.as_secs() });
            act(&api, &args.id, "rotate-secret", &body, args.output.output).await
        }
        Command::Disable(args) => act(&api, &args.id, "disable", &json!({}), args.output.output).await,
        Command::Enable(args) => act(&api, &args.id, "enable", &json!({}), args.output.output).await,
        Command::Delete(args) => delete(&api, &args).await,
    };
    api.close(done).await
}

fn path(id: &str) -> String {
    format!("/api/v1/clients/{}", segment(id))
}

/// The members that a table shows, in this order; those that say nothing are left out.
const ROWS: [&str; 20] = [
    "client_id",
    "client_name",
    "kind",
    "auth_method",
    "grants",
    "scopes",
    "resources",
    "default_resource",
    "serves",
    "redirect_uris",
    "post_logout_redirect_uris",
    "backchannel_logout_uri",
    "require_pkce",
    "require_par",
    "dpop_bound",
    "cors_origins",
    "id_token_alg",
    "access_token_alg",
    "roles",
    "disabled",
];

fn rows(client: &Value) -> Vec<(&'static str, String)> {
    let mut rows: Vec<_> = ROWS.iter().filter_map(|name| Some((*name, output::cell(client.get(name)?)))).collect();
    if let Some(secs) = client.get("access_token_ttl_secs").and_then(Value::as_u64) {
        rows.push(("access_token_ttl", text::duration_text(Duration::from_secs(secs))));
    }
    rows.extend(client.get("created_at").map(|at| ("created_at", output::cell(at))));
    for secret in client.get("secrets").and_then(Value::as_array).into_iter().flatten() {
        let time = |name: &str| secret.get(name).and_then(Value::as_str);
        let until = time("expires_at").map_or_else(|| "no end".to_owned(), |end| format!("until {end}"));
        rows.push(("secret", format!("made {}, {until}", time("created_at").unwrap_or_default())));
    }
    rows
}

/// Prints a client, and the secret that nobody will see again.
fn print(format: Format, client: &Value) -> Result<(), Failure> {
    let mut table = rows(client);
    if let Some(secret) = client.get("client_secret").and_then(Value::as_str) {
        table.insert(1, ("client_secret", secret.to_owned()));
        output::note("the secret is shown this once: keep it now");
    }
    output::record(format, client, &table)
}

async fn list(api: &Api, format: Format) -> Result<(), Failure> {
    let all = api.all("/api/v1/clients").await?;
    output::list(format, &["client_id", "auth_method", "scopes", "default_resource", "state"], &all, |client| {
        let cell = |name: &str| client.get(name).map(output::cell).unwrap_or_default();
        let disabled = client.get("disabled").and_then(Value::as_bool).unwrap_or_default();
        let state = if disabled { "disabled" } else { "enabled" };
        vec![cell("client_id"), cell("auth_method"), cell("scopes"), cell("default_resource"), state.to_owned()]
    })
}

async fn show(api: &Api, args: &OneArgs) -> Result<(), Failure> {
    print(args.output.output, &api.get(&path(&args.id)).await?.body)
}

async fn act(api: &Api, id: &str, what: &str, body: &Value, format: Format) -> Result<(), Failure> {
    print(format, &api.post(&format!("{}/{what}", path(id)), body).await?.body)
}

async fn delete(api: &Api, args: &OneArgs) -> Result<(), Failure> {
    let gone = api.send(Method::DELETE, &path(&args.id), None).await?;
    print(args.output.output, &gone.body)
}
