//! `stockade policy`: check, test and explain policies.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use clap::Subcommand;
use serde_json::{Map, Value};

use super::failure::Failure;
use super::local;
use super::output::{self, Format, Output};
use crate::base::{Clock as _, SystemClock, Timestamp};
use crate::policy::explain::{self, Spelled};
use crate::policy::{self, Facts, Snapshot, testing};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Report every problem of a policy tree as FILE:LINE:COLUMN
    Check(CheckArgs),
    /// Run the tests beside the policies (tests/*.test.yaml)
    Test(TestArgs),
    /// Decide one question and say why; exit 1 when it is denied
    Explain(ExplainArgs),
}

#[derive(Debug, clap::Args)]
pub(super) struct CheckArgs {
    /// The directory of the policies
    #[arg(value_name = "DIR")]
    dir: PathBuf,
}

#[derive(Debug, clap::Args)]
pub(super) struct TestArgs {
    /// The directory of the policies
    #[arg(value_name = "DIR")]
    dir: PathBuf,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, clap::Args)]
pub(super) struct ExplainArgs {
    /// Who asks: 'Client::"app"'
    #[arg(long, value_name = "ENTITY")]
    principal: String,
    /// What it asks to do: notes:write
    #[arg(long, value_name = "ACTION")]
    action: String,
    /// What it asks to do it to: 'Route::"POST /demo/notes"'
    #[arg(long, value_name = "ENTITY")]
    resource: String,
    /// A scope of its token
    #[arg(long = "scope", value_name = "SCOPE")]
    scopes: Vec<String>,
    /// A role or group it belongs to: 'Role::"writers"'
    #[arg(long = "in", value_name = "ENTITY")]
    parents: Vec<String>,
    /// Its address
    #[arg(long, value_name = "IP")]
    address: Option<IpAddr>,
    /// When it asks [default: now]
    #[arg(long, value_name = "TIME", value_parser = time)]
    now: Option<Timestamp>,
    /// Attributes of the principal, as a JSON object
    #[arg(long, value_name = "JSON", value_parser = object)]
    attributes: Option<Object>,
    /// More context, as a JSON object
    #[arg(long, value_name = "JSON", value_parser = object)]
    context: Option<Object>,
    /// The directory of the policies [default: the configured one]
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    #[command(flatten)]
    output: Output,
}

type Object = Map<String, Value>;

fn object(text: &str) -> Result<Object, String> {
    serde_json::from_str(text).map_err(|e| format!("not a JSON object: {e}"))
}

fn time(text: &str) -> Result<Timestamp, String> {
    Timestamp::parse(text).ok_or_else(|| "write an RFC 3339 time such as 2026-11-24T10:00:00Z".to_owned())
}

pub(super) fn run(command: &Command, config: Option<&Path>) -> Result<(), Failure> {
    match command {
        Command::Check(args) => check(&args.dir),
        Command::Test(args) => test(args),
        Command::Explain(args) => explain(args, config),
    }
}

fn directory(dir: &Path) -> Result<(), Failure> {
    if dir.is_dir() {
        return Ok(());
    }
    Err(Failure::usage(format!("{} is not a directory: name the one that holds the policies", dir.display())))
}

fn check(dir: &Path) -> Result<(), Failure> {
    directory(dir)?;
    let problems = policy::check(dir);
    for problem in &problems {
        output::note(format!("{}/{problem}", dir.display()));
    }
    let errors = problems.iter().filter(|problem| problem.is_error()).count();
    if errors > 0 {
        return Err(Failure::failed(format!("{errors} errors: the policies would not be loaded")));
    }
    output::line(format!("{}: nothing wrong, {} warnings", dir.display(), problems.len()))
}

fn test(args: &TestArgs) -> Result<(), Failure> {
    directory(&args.dir)?;
    let report = testing::run(&args.dir);
    for problem in &report.problems {
        output::note(format!("{}/{problem}", args.dir.display()));
    }
    let failed = report.cases.iter().filter(|case| !case.differences.is_empty()).count();
    if args.output.output == Format::Json {
        output::json(&report)?;
    } else {
        for case in report.cases.iter().filter(|case| !case.differences.is_empty()) {
            output::line(format!("FAILED {}: {}", case.file, case.name))?;
            for difference in &case.differences {
                output::line(format!("       {difference}"))?;
            }
        }
        for policy in report.untested() {
            output::note(format!("no case is decided by {policy}"));
        }
        output::line(format!("{} cases, {failed} failed", report.cases.len()))?;
    }
    if report.passed() { Ok(()) } else { Err(Failure::No) }
}

fn explain(args: &ExplainArgs, config: Option<&Path>) -> Result<(), Failure> {
    let snapshot = match &args.dir {
        Some(dir) => {
            directory(dir)?;
            Snapshot::load(dir).map_err(|problems| {
                let lines: Vec<_> = problems.iter().map(|problem| format!("{}/{problem}", dir.display())).collect();
                Failure::usage(lines.join("\nerror: "))
            })?
        }
        None => local::snapshot(&local::configured(config)?)?,
    };
    let scopes = args.scopes.join(" ");
    let parents: Vec<&str> = args.parents.iter().map(String::as_str).collect();
    let facts = Facts::at(args.now.unwrap_or_else(|| SystemClock.now())).scopes(&scopes).address(args.address);
    let spelled = Spelled {
        principal: &args.principal,
        attributes: args.attributes.clone().unwrap_or_default(),
        parents: &parents,
        action: &args.action,
        resource: &args.resource,
        context: args.context.clone().unwrap_or_default(),
        facts,
    };
    let explanation = explain::explain_spelled(&snapshot, &spelled).map_err(Failure::usage)?;
    match args.output.output {
        Format::Json => output::json(&explanation)?,
        Format::Table => output::line(&explanation)?,
    }
    if explanation.reason.is_none() { Ok(()) } else { Err(Failure::No) }
}
