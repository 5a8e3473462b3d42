//! `stockade user`: people in the store.

use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;

use clap::Subcommand;
use serde_json::{Value, json};

use super::erase;
use super::failure::Failure;
use super::local::Local;
use super::output::{self, Format, Output};
use crate::accounts::{self, Occasion, Why};
use crate::base::{Clock as _, Rng, Secret, SystemClock, id, rng};
use crate::crypto::base32;
use crate::crypto::password::{self, Password};
use crate::live::{self, Live};
use crate::model::{Credential, CredentialKind, Decision, Event, Outcome, User, event, user};
use crate::policy::Resource;
use crate::store::{Tx, credentials, users};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Add a person; prints a password once, unless one is given
    Create(CreateArgs),
    /// List the people
    List(Output),
    /// Show one person
    Show(OneArgs),
    /// Give a person a new password and end everything they had; printed once, unless one is given
    SetPassword(PasswordArgs),
    /// Refuse a person and everything they hold
    Disable(OneArgs),
    /// Let a disabled person in again
    Enable(OneArgs),
    /// Delete a person
    Delete(OneArgs),
    /// Delete a person and take them out of the audit log, which still verifies
    Erase(erase::EraseArgs),
}

#[derive(Debug, clap::Args)]
pub(super) struct CreateArgs {
    /// What the person types to sign in
    #[arg(value_name = "USERNAME")]
    username: String,
    /// The full name
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// The mail address
    #[arg(long, value_name = "ADDRESS")]
    email: Option<String>,
    /// A role, such as admin or auditor; may be repeated
    #[arg(long = "role", value_name = "ROLE")]
    roles: Vec<String>,
    #[command(flatten)]
    given: GivenPassword,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, clap::Args)]
struct GivenPassword {
    /// Read the password from standard input instead of making one
    #[arg(long)]
    password_stdin: bool,
}

#[derive(Debug, clap::Args)]
pub(super) struct PasswordArgs {
    /// What the person types to sign in
    #[arg(value_name = "USERNAME")]
    username: String,
    #[command(flatten)]
    given: GivenPassword,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, clap::Args)]
pub(super) struct OneArgs {
    /// What the person types to sign in
    #[arg(value_name = "USERNAME")]
    username: String,
    #[command(flatten)]
    output: Output,
}

pub(super) async fn run(command: Command, config: Option<&Path>) -> Result<(), Failure> {
    let local = Local::open(config).await?;
    let done = match command {
        Command::Create(args) => create(&local, args).await,
        Command::List(output) => list(&local, output.output).await,
        Command::Show(args) => show(&local, &args).await,
        Command::SetPassword(args) => set_password(&local, &args).await,
        Command::Disable(args) => set_disabled(&local, &args, true).await,
        Command::Enable(args) => set_disabled(&local, &args, false).await,
        Command::Delete(args) => delete(&local, &args).await,
        Command::Erase(args) => erase::run(&local, &args).await,
    };
    local.store.close().await;
    done
}

/// A password that nobody chose: 120 random bits in groups for the eye.
pub(super) fn generated(random: &dyn Rng) -> Secret<String> {
    let text = Secret::new(base32::encode(base32::CROCKFORD, &rng::bytes::<15>(random)));
    let groups: Vec<&str> = (0..4).filter_map(|at| text.expose().get(at * 6..at * 6 + 6)).collect();
    Secret::new(groups.join("-"))
}

/// The password to set: from standard input, or a new one that is to be printed.
fn password_of(
    given: &GivenPassword,
    username: &str,
    random: &dyn Rng,
) -> Result<(Password, Option<Secret<String>>), Failure> {
    if !given.password_stdin {
        let made = generated(random);
        let password = Password::new(made.expose().clone()).map_err(|e| Failure::failed(e.to_string()))?;
        return Ok((password, Some(made)));
    }
    let mut text = String::new();
    let read = std::io::stdin().take(4096).read_to_string(&mut text);
    read.map_err(|e| Failure::failed(format!("cannot read the password: {e}")))?;
    let password = Password::new(text.trim_end_matches(['\r', '\n'])).map_err(|e| Failure::failed(e.to_string()))?;
    if !password.may_be_chosen(username) {
        let shortest = password::SHORTEST;
        return Err(Failure::failed(format!("choose a password of at least {shortest} characters, not the username")));
    }
    Ok((password, None))
}

/// The credential that holds `password`.
pub(super) fn credential(local: &Local, user_id: &str, password: &Password) -> Result<Credential, Failure> {
    let hash = password::hash(password, &local.rng).map_err(|e| Failure::failed(e.to_string()))?;
    let now = local.clock.now();
    Ok(Credential {
        credential_id: id::new("cred", now, &local.rng),
        user_id: user_id.to_owned(),
        kind: CredentialKind::Password,
        label: String::new(),
        body: hash.into_bytes(),
        last_step: None,
        created_at: now,
        last_used_at: None,
    })
}

fn print(format: Format, user: &User, password: Option<&Secret<String>>) -> Result<(), Failure> {
    let mut json = serde_json::to_value(user).unwrap_or(Value::Null);
    let mut rows = vec![
        ("user_id", user.user_id.clone()),
        ("username", user.username.clone()),
        ("name", user.name.clone().unwrap_or_default()),
        ("email", user.email.clone().unwrap_or_default()),
        ("roles", user.roles.join(" ")),
        ("disabled", user.disabled.to_string()),
        ("created_at", user.created_at.to_string()),
    ];
    if let (Some(password), Some(fields)) = (password, json.as_object_mut()) {
        fields.insert("password".to_owned(), json!(password.expose()));
        rows.insert(2, ("password", password.expose().clone()));
        output::note("the password is shown this once: keep it now");
    }
    output::record(format, &json, &rows)
}

/// What is recorded of a change.
pub(super) fn changed(local: &Local, action: &str, user_id: &str, change: &str, decision: &Decision) -> Event {
    local
        .event(event::kind::USER_CHANGED, Outcome::Allowed, action, &format!("User::{user_id:?}"))
        .decided(decision)
        .with("change", change)
        .with("user_id", user_id)
}

async fn permit(local: &Local, action: &str) -> Result<Decision, Failure> {
    local.permit(event::kind::USER_CHANGED, action, &Resource::user_registry()).await
}

async fn find(local: &Local, username: &str) -> Result<users::Stored, Failure> {
    let name = user::fold(username).unwrap_or_default();
    let found = users::find_by_username(&mut local.store.read().await?, &name).await?;
    found.ok_or_else(|| {
        Failure::failed(format!("there is nobody called `{username}`: `stockade user list` shows those there are"))
    })
}

async fn create(local: &Local, args: CreateArgs) -> Result<(), Failure> {
    let decision = permit(local, "user:create").await?;
    let name = user::fold(&args.username)
        .ok_or_else(|| Failure::usage("a username has 1 to 128 characters and no control characters"))?;
    let (password, made) = password_of(&args.given, &name, &local.rng)?;
    let now = local.clock.now();
    let person = User {
        name: args.name,
        email: args.email,
        roles: args.roles,
        ..User::new(id::new("usr", now, &local.rng), name, now)
    };
    let credential = credential(local, &person.user_id, &password)?;
    let mut tx = local.store.begin().await?;
    users::insert(&mut tx, &person).await?;
    credentials::insert(&mut tx, &credential).await?;
    local.commit(tx, &changed(local, "user:create", &person.user_id, "created", &decision)).await?;
    print(args.output.output, &person, made.as_ref())
}

async fn list(local: &Local, format: Format) -> Result<(), Failure> {
    permit(local, "user:list").await?;
    let mut all: Vec<User> = Vec::new();
    loop {
        let after = all.last().map(|user| user.user_id.clone()).unwrap_or_default();
        let page = users::page(&mut local.store.read().await?, &after, 500).await?;
        if page.is_empty() {
            break;
        }
        all.extend(page.into_iter().map(|stored| stored.user));
    }
    output::list(format, &["user_id", "username", "name", "roles", "state"], &all, |user| {
        let state = if user.disabled { "disabled" } else { "enabled" };
        let name = user.name.clone().unwrap_or_default();
        vec![user.user_id.clone(), user.username.clone(), name, user.roles.join(" "), state.to_owned()]
    })
}

async fn show(local: &Local, args: &OneArgs) -> Result<(), Failure> {
    permit(local, "user:show").await?;
    print(args.output.output, &find(local, &args.username).await?.user, None)
}

/// Ends everything that a person has, in the caller's transaction. Processes that serve follow within a second.
pub(super) async fn end_everything(
    local: &Local,
    tx: &mut Tx,
    user_id: &str,
    action: &str,
    why: Why,
) -> Result<(), Failure> {
    let sealer = live::sealer(&local.config.crypto.seal_keys).map_err(|e| Failure::failed(e.to_string()))?;
    let issuer = &local.config.server.issuer;
    let live = Live::load(local.store.clone(), sealer, issuer, Arc::new(SystemClock)).await;
    let live = live.map_err(|e| Failure::chain(&e))?;
    let event = |kind, outcome| local.event(kind, outcome, action, &format!("User::{user_id:?}"));
    let on = Occasion { event: &event, why, now: local.clock.now(), rng: &local.rng };
    accounts::end_everything(tx, &live, user_id, &on).await?.announce(&live);
    Ok(())
}

async fn set_password(local: &Local, args: &PasswordArgs) -> Result<(), Failure> {
    let decision = permit(local, "user:update").await?;
    let person = find(local, &args.username).await?.user;
    let (password, made) = password_of(&args.given, &person.username, &local.rng)?;
    let credential = credential(local, &person.user_id, &password)?;
    let mut tx = local.store.begin().await?;
    credentials::delete_kind(&mut tx, &person.user_id, CredentialKind::Password).await?;
    credentials::insert(&mut tx, &credential).await?;
    end_everything(local, &mut tx, &person.user_id, "user:update", Why::Reset).await?;
    local.commit(tx, &changed(local, "user:update", &person.user_id, "password_set", &decision)).await?;
    print(args.output.output, &person, made.as_ref())
}

async fn set_disabled(local: &Local, args: &OneArgs, disabled: bool) -> Result<(), Failure> {
    let decision = permit(local, "user:update").await?;
    let mut stored = find(local, &args.username).await?;
    stored.user.disabled = disabled;
    stored.user.updated_at = local.clock.now();
    let change = if disabled { "disabled" } else { "enabled" };
    let mut tx = local.store.begin().await?;
    users::update(&mut tx, &stored.user, stored.version).await?;
    if disabled {
        end_everything(local, &mut tx, &stored.user.user_id, "user:update", Why::Disabled).await?;
    }
    local.commit(tx, &changed(local, "user:update", &stored.user.user_id, change, &decision)).await?;
    print(args.output.output, &stored.user, None)
}

async fn delete(local: &Local, args: &OneArgs) -> Result<(), Failure> {
    let decision = permit(local, "user:delete").await?;
    let person = find(local, &args.username).await?.user;
    let mut tx = local.store.begin().await?;
    end_everything(local, &mut tx, &person.user_id, "user:delete", Why::Deleted).await?;
    if !users::delete(&mut tx, &person.user_id).await? {
        return Err(Failure::failed(format!("`{}` was deleted by someone else meanwhile", args.username)));
    }
    local.commit(tx, &changed(local, "user:delete", &person.user_id, "deleted", &decision)).await?;
    print(args.output.output, &person, None)
}
