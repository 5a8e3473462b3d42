//! `stockade policy`: check, test and explain policies.

use std::path::{Path, PathBuf};

use clap::Subcommand;

use super::failure::Failure;
use super::output;
use crate::policy;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Report every problem of a policy tree as FILE:LINE:COLUMN
    Check(CheckArgs),
}

#[derive(Debug, clap::Args)]
pub(super) struct CheckArgs {
    /// The directory of the policies
    #[arg(value_name = "DIR")]
    dir: PathBuf,
}

pub(super) fn run(command: &Command, _config: Option<&Path>) -> Result<(), Failure> {
    match command {
        Command::Check(args) => check(&args.dir),
    }
}

fn check(dir: &Path) -> Result<(), Failure> {
    if !dir.is_dir() {
        return Err(Failure::usage(format!(
            "{} is not a directory: name the one that holds the policies",
            dir.display()
        )));
    }
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
