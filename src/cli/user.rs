//! `stockade user`: the people of a deployment.

use std::io::Read as _;

use clap::Subcommand;
use http::Method;
use serde_json::{Map, Value, json};

use super::api::{Api, At, segment};
use super::erase;
use super::failure::Failure;
use super::output::{self, Format, Output};
use crate::base::Secret;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Add a person; prints a password once, unless one is given
    Create(CreateArgs),
    /// List the people
    List(Output),
    /// Show one person
    Show(OneArgs),
    /// Give a person these roles and no others
    AssignRoles(RolesArgs),
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
pub(super) struct RolesArgs {
    /// What the person types to sign in
    #[arg(value_name = "USERNAME")]
    username: String,
    /// A role, such as admin or auditor; may be repeated [default: none]
    #[arg(long = "role", value_name = "ROLE")]
    roles: Vec<String>,
    #[command(flatten)]
    output: Output,
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

pub(super) async fn run(command: Command, at: &At) -> Result<(), Failure> {
    // Before anything is opened: what it waits for is a person.
    let password = match &command {
        Command::Create(CreateArgs { given, .. }) | Command::SetPassword(PasswordArgs { given, .. }) => given.read()?,
        _ => None,
    };
    let api = Api::open(at).await?;
    let done = match command {
        Command::Create(args) => add(&api, &args, password).await,
        Command::List(output) => list(&api, output.output).await,
        Command::Show(args) => show(&api, &args).await,
        Command::AssignRoles(args) => assign_roles(&api, &args).await,
        Command::SetPassword(args) => reset(&api, &args, password).await,
        Command::Disable(args) => act(&api, &args, Method::POST, "/disable").await,
        Command::Enable(args) => act(&api, &args, Method::POST, "/enable").await,
        Command::Delete(args) => act(&api, &args, Method::DELETE, "").await,
        Command::Erase(args) => erase::run(&api, &args).await,
    };
    api.close(done).await
}

impl GivenPassword {
    /// What stands on standard input, when it is to be read.
    fn read(&self) -> Result<Option<Secret<String>>, Failure> {
        if !self.password_stdin {
            return Ok(None);
        }
        let mut text = String::new();
        let read = std::io::stdin().take(4096).read_to_string(&mut text);
        read.map_err(|e| Failure::failed(format!("cannot read the password: {e}")))?;
        Ok(Some(Secret::new(text.trim_end_matches(['\r', '\n']).to_owned())))
    }
}

/// Gives somebody a password that is made; who is not there is added first.
pub(super) async fn with_new_password(api: &Api, username: &str, is_there: bool) -> Result<Secret<String>, Failure> {
    let answer = match is_there {
        true => set_password(api, &find(api, username).await?, None).await?,
        false => api.post("/api/v1/users", &json!({ "username": username })).await?.body,
    };
    let made = answer.get("password").and_then(Value::as_str).map(|text| Secret::new(text.to_owned()));
    made.ok_or_else(|| Failure::failed("no password was made"))
}

/// Sets the password that is given, or one that is made, which is in the answer.
async fn set_password(api: &Api, person: &str, given: Option<&Secret<String>>) -> Result<Value, Failure> {
    let body = given.map_or_else(|| json!({}), |given| json!({ "password": given.expose() }));
    Ok(api.post(&format!("{person}/password"), &body).await?.body)
}

pub(super) fn path(user_id: &str) -> String {
    format!("/api/v1/users/{}", segment(user_id))
}

/// The path of the person with this name.
async fn find(api: &Api, username: &str) -> Result<String, Failure> {
    let found = api.get(&format!("/api/v1/users?username={}", segment(username))).await?.body;
    found.pointer("/items/0/user_id").and_then(Value::as_str).map(path).ok_or_else(|| {
        Failure::failed(format!("there is nobody called `{username}`: `stockade user list` shows those there are"))
    })
}

/// Prints a person, and the password that nobody will see again.
fn print(format: Format, person: &Value) -> Result<(), Failure> {
    let rows = ["user_id", "username", "name", "email", "roles", "disabled", "created_at"];
    let mut rows: Vec<_> =
        rows.into_iter().map(|name| (name, person.get(name).map(output::cell).unwrap_or_default())).collect();
    if let Some(password) = person.get("password").and_then(Value::as_str) {
        rows.insert(2, ("password", password.to_owned()));
        output::note("the password is shown this once: keep it now");
    }
    output::record(format, person, &rows)
}

async fn add(api: &Api, args: &CreateArgs, password: Option<Secret<String>>) -> Result<(), Failure> {
    let mut members = Map::from_iter([("username".to_owned(), Value::from(args.username.as_str()))]);
    let optional = [
        ("name", args.name.as_deref().map(Value::from)),
        ("email", args.email.as_deref().map(Value::from)),
        ("roles", (!args.roles.is_empty()).then(|| args.roles.as_slice().into())),
        ("password", password.map(|password| password.expose().as_str().into())),
    ];
    members.extend(optional.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))));
    print(args.output.output, &api.post("/api/v1/users", &Value::Object(members)).await?.body)
}

async fn list(api: &Api, format: Format) -> Result<(), Failure> {
    let all = api.all("/api/v1/users").await?;
    output::list(format, &["user_id", "username", "name", "roles", "state"], &all, |person| {
        let cell = |name: &str| person.get(name).map(output::cell).unwrap_or_default();
        let disabled = person.get("disabled").and_then(Value::as_bool).unwrap_or_default();
        let state = if disabled { "disabled" } else { "enabled" };
        vec![cell("user_id"), cell("username"), cell("name"), cell("roles"), state.to_owned()]
    })
}

async fn show(api: &Api, args: &OneArgs) -> Result<(), Failure> {
    let person = find(api, &args.username).await?;
    print(args.output.output, &api.get(&person).await?.body)
}

async fn assign_roles(api: &Api, args: &RolesArgs) -> Result<(), Failure> {
    let person = find(api, &args.username).await?;
    let body = json!({ "roles": args.roles });
    print(args.output.output, &api.send(Method::PUT, &format!("{person}/roles"), Some(&body)).await?.body)
}

async fn reset(api: &Api, args: &PasswordArgs, password: Option<Secret<String>>) -> Result<(), Failure> {
    let person = find(api, &args.username).await?;
    print(args.output.output, &set_password(api, &person, password.as_ref()).await?)
}

async fn act(api: &Api, args: &OneArgs, method: Method, what: &str) -> Result<(), Failure> {
    let person = find(api, &args.username).await?;
    let body = (method == Method::POST).then(|| json!({}));
    let path = format!("{person}{what}");
    print(args.output.output, &api.send(method, &path, body.as_ref()).await?.body)
}
