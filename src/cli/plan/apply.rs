//! Makes a deployment as declared.

use std::io::{IsTerminal as _, Write as _};

use serde_json::{Map, Value};

use super::super::api::{Api, segment};
use super::super::failure::Failure;
use super::super::output::{self, Format};
use super::change::{Act, Change};
use super::{ApplyArgs, Plan};

pub(super) async fn run(api: &Api, args: &ApplyArgs) -> Result<(), Failure> {
    let plan = Plan::of(api, &args.files).await?;
    if let Some(digest) = &args.plan
        && *digest != plan.digest()
    {
        let now = plan.digest();
        return Err(Failure::failed(format!(
            "the plan was {digest} and is now {now}: look at it again with `stockade plan`"
        )));
    }
    let format = args.output.output;
    if format == Format::Table || plan.changes.is_empty() {
        plan.print(format)?;
    }
    if plan.changes.is_empty() {
        return Ok(());
    }
    if !args.yes {
        if format == Format::Json {
            plan.print(Format::Table)?;
        }
        confirmed()?;
        // Somebody took their time to say yes.
        if Plan::of(api, &args.files).await?.digest() != plan.digest() {
            return Err(Failure::failed("something changed meanwhile: nothing was done; look at the plan again"));
        }
    }
    let mut done = Vec::new();
    for change in &plan.changes {
        match one(api, change).await {
            Ok(row) => {
                if format == Format::Table {
                    tell(change, &row)?;
                }
                done.push(Value::Object(row));
            }
            Err(failure) => {
                // What was made is told all the same: its secrets are shown this once.
                if format == Format::Json {
                    output::json(&done)?;
                }
                output::note(format!("{} of {} changes were made", done.len(), plan.changes.len()));
                return Err(failure);
            }
        }
    }
    if format == Format::Json { output::json(&done) } else { Ok(()) }
}

fn confirmed() -> Result<(), Failure> {
    if !std::io::stdin().is_terminal() {
        return Err(Failure::usage("nobody can be asked here: look at `stockade plan`, then say --yes"));
    }
    let mut out = std::io::stderr().lock();
    let asked = write!(out, "apply? [y/N] ").and_then(|()| out.flush());
    asked.map_err(|e| Failure::failed(format!("cannot ask: {e}")))?;
    let mut answer = String::new();
    let read = std::io::stdin().read_line(&mut answer);
    read.map_err(|e| Failure::failed(format!("cannot read the answer: {e}")))?;
    if matches!(answer.trim(), "y" | "yes") { Ok(()) } else { Err(Failure::failed("nothing was done")) }
}

/// Makes one change; what there is to tell of it.
async fn one(api: &Api, change: &Change) -> Result<Map<String, Value>, Failure> {
    let mut row = Map::from_iter([
        ("act".to_owned(), serde_json::to_value(change.act).unwrap_or_default()),
        ("kind".to_owned(), change.kind.into()),
        ("id".to_owned(), change.id.clone().into()),
    ]);
    let (mut etag, mut id) = (change.etag.clone(), String::new());
    for call in &change.calls {
        let path = call.path.replace("{id}", &segment(&id));
        let answer = api.ask(call.method.clone(), &path, call.body.as_ref(), etag.as_deref()).await?;
        if answer.status == 409 || answer.status == 412 {
            let told = answer.body.get("detail").and_then(Value::as_str).unwrap_or_default();
            let (kind, name) = (change.kind, &change.id);
            return Err(Failure::failed(format!("{kind} `{name}` changed meanwhile: plan again ({told})")));
        }
        let answer = answer.accepted()?;
        etag = answer.etag;
        for name in ["client_secret", "password"] {
            row.extend(answer.body.get(name).map(|secret| (name.to_owned(), secret.clone())));
        }
        if let Some(user_id) = answer.body.get("user_id").and_then(Value::as_str) {
            user_id.clone_into(&mut id);
        }
    }
    Ok(row)
}

fn tell(change: &Change, row: &Map<String, Value>) -> Result<(), Failure> {
    let what = match change.act {
        Act::Create => "created",
        Act::Update => "updated",
        Act::Delete => "deleted",
    };
    output::line(format!("{what} {} {}", change.kind, change.id))?;
    for name in ["client_secret", "password"] {
        if let Some(secret) = row.get(name).and_then(Value::as_str) {
            output::line(format!("    {name}: {secret}"))?;
            output::note(format!("the {} is shown this once: keep it now", name.replace('_', " ")));
        }
    }
    Ok(())
}
