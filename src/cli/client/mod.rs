//! `stockade client`: OAuth clients in the store.

mod create;

use std::path::Path;
use std::time::Duration;

use clap::Subcommand;

use super::failure::Failure;
use super::local::Local;
use super::output::{self, Format, Output};
use crate::base::{Clock as _, Secret};
use crate::config::text;
use crate::model::{Client, Event, Outcome, event};
use crate::policy::Resource;
use crate::registry::client::{new_secret, rotated, uses_secrets, view};
use crate::store::clients;

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

pub(super) async fn run(command: Command, config: Option<&Path>) -> Result<(), Failure> {
    let local = Local::open(config).await?;
    let done = match command {
        Command::Create(args) => create::run(&local, &args).await,
        Command::List(output) => list(&local, output.output).await,
        Command::Show(args) => show(&local, &args).await,
        Command::RotateSecret(args) => rotate(&local, &args).await,
        Command::Disable(args) => set_disabled(&local, &args, true).await,
        Command::Enable(args) => set_disabled(&local, &args, false).await,
        Command::Delete(args) => delete(&local, &args).await,
    };
    local.store.close().await;
    done
}

/// The name that a value has on the wire.
fn wire_name(value: impl serde::Serialize) -> String {
    let value = serde_json::to_value(value).unwrap_or_default();
    value.as_str().unwrap_or_default().to_owned()
}

fn rows(client: &Client) -> Vec<(&'static str, String)> {
    let grants: Vec<_> = client.grants.iter().map(|grant| grant.as_str()).collect();
    let mut rows = vec![
        ("client_id", client.client_id.clone()),
        ("kind", wire_name(client.kind)),
        ("auth_method", wire_name(client.auth_method)),
        ("grants", grants.join(" ")),
        ("scopes", client.scopes.join(" ")),
        ("resources", client.resources.join(" ")),
        ("default_resource", client.default_resource.clone()),
        ("serves", client.serves.join(" ")),
        ("redirect_uris", client.redirect_uris.join(" ")),
        ("roles", client.roles.join(" ")),
        ("disabled", client.disabled.to_string()),
        ("created_at", client.created_at.to_string()),
    ];
    if let Some(alg) = client.access_token_alg {
        rows.push(("access_token_alg", alg.as_str().to_owned()));
    }
    if let Some(secs) = client.access_token_ttl_secs {
        rows.push(("access_token_ttl", text::duration_text(Duration::from_secs(secs))));
    }
    for secret in &client.secrets {
        let until = secret.expires_at.map_or_else(|| "no end".to_owned(), |end| format!("until {end}"));
        rows.push(("secret", format!("made {}, {until}", secret.created_at)));
    }
    rows
}

/// Prints a client, and the secret that nobody will see again.
pub(super) fn print(format: Format, client: &Client, secret: Option<&Secret<String>>) -> Result<(), Failure> {
    let mut json = view(client);
    let mut table = rows(client);
    if let (Some(secret), Some(fields)) = (secret, json.as_object_mut()) {
        fields.insert("client_secret".to_owned(), secret.expose().as_str().into());
        table.insert(1, ("client_secret", secret.expose().clone()));
        output::note("the secret is shown this once: keep it now");
    }
    output::record(format, &json, &table)
}

/// What is recorded of a change.
fn changed(local: &Local, action: &str, client_id: &str, change: &str) -> Event {
    local
        .event(event::kind::CLIENT_CHANGED, Outcome::Allowed, action, &format!("Client::{client_id:?}"))
        .with("change", change)
        .with("client_id", client_id)
}

async fn find(local: &Local, id: &str) -> Result<clients::Stored, Failure> {
    let found = clients::find(&mut local.store.read().await?, id).await?;
    found.ok_or_else(|| {
        Failure::failed(format!("there is no client `{id}`: `stockade client list` shows those there are"))
    })
}

async fn list(local: &Local, format: Format) -> Result<(), Failure> {
    local.permit(event::kind::CLIENT_CHANGED, "client:list", &Resource::client_registry()).await?;
    let mut all: Vec<Client> = Vec::new();
    loop {
        let after = all.last().map(|client| client.client_id.clone()).unwrap_or_default();
        let page = clients::page(&mut local.store.read().await?, &after, 500).await?;
        if page.is_empty() {
            break;
        }
        all.extend(page.into_iter().map(|stored| stored.client));
    }
    if format == Format::Json {
        return output::json(&all.iter().map(view).collect::<Vec<_>>());
    }
    output::list(format, &["client_id", "auth_method", "scopes", "default_resource", "state"], &all, |client| {
        let state = if client.disabled { "disabled" } else { "enabled" };
        vec![
            client.client_id.clone(),
            wire_name(client.auth_method),
            client.scopes.join(" "),
            client.default_resource.clone(),
            state.to_owned(),
        ]
    })
}

async fn show(local: &Local, args: &OneArgs) -> Result<(), Failure> {
    local.permit(event::kind::CLIENT_CHANGED, "client:show", &Resource::client_registry()).await?;
    print(args.output.output, &find(local, &args.id).await?.client, None)
}

async fn rotate(local: &Local, args: &RotateArgs) -> Result<(), Failure> {
    let decision = local.permit(event::kind::CLIENT_CHANGED, "client:update", &Resource::client_registry()).await?;
    let mut stored = find(local, &args.id).await?;
    let client = &mut stored.client;
    if !uses_secrets(client) {
        return Err(Failure::failed(format!("`{}` has no secret: it authenticates otherwise", args.id)));
    }
    let (secret, kept) = new_secret(local.clock.now(), &local.rng);
    let now = local.clock.now();
    client.secrets = rotated(&client.secrets, kept, now, args.overlap);
    let mut tx = local.store.begin().await?;
    clients::update(&mut tx, client, stored.version).await?;
    local.commit(tx, &changed(local, "client:update", &args.id, "secret_rotated").decided(&decision)).await?;
    print(args.output.output, &stored.client, Some(&secret))
}

async fn set_disabled(local: &Local, args: &OneArgs, disabled: bool) -> Result<(), Failure> {
    let decision = local.permit(event::kind::CLIENT_CHANGED, "client:update", &Resource::client_registry()).await?;
    let mut stored = find(local, &args.id).await?;
    stored.client.disabled = disabled;
    let change = if disabled { "disabled" } else { "enabled" };
    let mut tx = local.store.begin().await?;
    clients::update(&mut tx, &stored.client, stored.version).await?;
    local.commit(tx, &changed(local, "client:update", &args.id, change).decided(&decision)).await?;
    print(args.output.output, &stored.client, None)
}

async fn delete(local: &Local, args: &OneArgs) -> Result<(), Failure> {
    let decision = local.permit(event::kind::CLIENT_CHANGED, "client:delete", &Resource::client_registry()).await?;
    let client = find(local, &args.id).await?.client;
    let mut tx = local.store.begin().await?;
    if !clients::delete(&mut tx, &args.id).await? {
        return Err(Failure::failed(format!("`{}` was deleted by someone else meanwhile", args.id)));
    }
    local.commit(tx, &changed(local, "client:delete", &args.id, "deleted").decided(&decision)).await?;
    print(args.output.output, &client, None)
}
