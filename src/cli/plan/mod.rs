//! `stockade plan`, `apply`, `drift`: clients and people as declared in files, against a deployment. A plan is what the
//! management API answers to dry runs of the calls that would be made, so rules and permissions are those of every other way.

mod apply;
mod change;
mod files;
mod survey;

use std::path::PathBuf;

use serde_json::json;

use super::api::{Api, At};
use super::failure::Failure;
use super::output::{self, Format, Output};
use change::{Act, Change};

#[derive(Debug, clap::Args)]
struct Files {
    /// A TOML file, or a directory of them
    #[arg(value_name = "PATH", required = true)]
    paths: Vec<PathBuf>,
    /// Also delete the clients and people that no file declares
    #[arg(long)]
    prune: bool,
}

#[derive(Debug, clap::Args)]
pub(super) struct PlanArgs {
    #[command(flatten)]
    files: Files,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, clap::Args)]
pub(super) struct ApplyArgs {
    #[command(flatten)]
    files: Files,
    /// Do it without asking
    #[arg(long)]
    yes: bool,
    /// Do it only when the plan is the one with this digest
    #[arg(long, value_name = "DIGEST")]
    plan: Option<String>,
    #[command(flatten)]
    output: Output,
}

/// What is to be done, and what nobody declared.
#[derive(Debug)]
struct Plan {
    changes: Vec<Change>,
    undeclared: Vec<String>,
}

impl Plan {
    async fn of(api: &Api, files: &Files) -> Result<Self, Failure> {
        let (declared, mistakes) = files::read(&files.paths)?;
        survey::survey(api, &declared, mistakes, files.prune).await
    }

    /// Names this plan over this state of the deployment.
    fn digest(&self) -> String {
        let whole: Vec<_> = self.changes.iter().map(Change::identity).collect();
        let digest = crate::crypto::sha256(json!(whole).to_string().as_bytes());
        crate::crypto::b64url::encode(digest.first_chunk::<12>().map_or(&digest[..], |short| short.as_slice()))
    }

    fn count(&self, act: Act) -> usize {
        self.changes.iter().filter(|change| change.act == act).count()
    }

    fn print(&self, format: Format) -> Result<(), Failure> {
        if format == Format::Json {
            return output::json(
                &json!({ "changes": self.changes, "undeclared": self.undeclared, "digest": self.digest() }),
            );
        }
        for change in &self.changes {
            change.print()?;
        }
        if !self.undeclared.is_empty() {
            output::note(format!("not declared, and left as it is: {}", self.undeclared.join(", ")));
        }
        if self.changes.is_empty() {
            return output::line("nothing to do: everything is as declared");
        }
        let [create, update, delete] = [Act::Create, Act::Update, Act::Delete].map(|act| self.count(act));
        output::line(format!("{create} to create, {update} to update, {delete} to delete; plan {}", self.digest()))
    }
}

/// Prints the difference.
pub(super) async fn plan(args: &PlanArgs, at: &At) -> Result<(), Failure> {
    let api = Api::open(at).await?;
    let done = async { Plan::of(&api, &args.files).await?.print(args.output.output) }.await;
    api.close(done).await
}

/// The same, as a question: exit 1 when there is one.
pub(super) async fn drift(args: &PlanArgs, at: &At) -> Result<(), Failure> {
    let api = Api::open(at).await?;
    let done = async {
        let plan = Plan::of(&api, &args.files).await?;
        plan.print(args.output.output)?;
        if plan.changes.is_empty() { Ok(()) } else { Err(Failure::No) }
    };
    let done = done.await;
    api.close(done).await
}

/// Makes it so.
pub(super) async fn apply(args: &ApplyArgs, at: &At) -> Result<(), Failure> {
    let api = Api::open(at).await?;
    let done = apply::run(&api, args).await;
    api.close(done).await
}
