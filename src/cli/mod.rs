//! The command line: one file per command, each with its `Args` and its `run`. Data goes to stdout, everything else to
//! stderr; exit 0 is done or allowed, 1 failed or refused, 2 wrong usage or cannot tell. A command that opens the store
//! does so as `Operator::"local"`, decided by policy and recorded like any other principal.

mod api;
mod audit;
mod backup;
mod check;
mod client;
mod config_show;
mod dev;
mod doctor;
mod erase;
mod failure;
mod findings;
mod generate;
mod healthcheck;
mod init;
mod key;
mod local;
mod login;
mod migrate;
mod output;
mod plan;
mod policy;
mod progress;
mod serve;
mod token;
mod trial;
mod user;
mod wire;

use std::process::ExitCode;

use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

use api::At;
use failure::Failure;

/// Fences an API: who is calling, whether they may, how often, and what happened.
#[derive(Debug, Parser)]
#[command(name = "stockade", version, arg_required_else_help = true, max_term_width = 100)]
struct Cli {
    #[command(flatten)]
    at: At,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run everything embedded on loopback, with demo clients and a guarded demo API
    Dev(dev::Args),
    /// Run the service
    Serve(serve::Args),
    /// Write a starter configuration and policies to edit
    Init(init::Args),
    /// Check configuration and policies, and report every mistake at once
    Check(check::Args),
    /// Look at the configuration
    #[command(subcommand)]
    Config(config_show::Command),
    /// Bring the database to this version's schema
    Migrate(migrate::Args),
    /// Copy the database while it is in use
    Backup(backup::Args),
    /// Register and manage OAuth clients
    #[command(subcommand)]
    Client(client::Command),
    /// Add and manage the people who sign in
    #[command(subcommand)]
    User(user::Command),
    /// Show what would change to make clients and people as declared in files
    Plan(plan::PlanArgs),
    /// Make clients and people as declared in files
    Apply(plan::ApplyArgs),
    /// Ask whether clients and people are as declared in files; exit 1 when not
    Drift(plan::PlanArgs),
    /// Look after the keys that sign tokens
    #[command(subcommand)]
    Key(key::Command),
    /// Sign in to a server in a browser; other commands with --server then ask as you
    Login(login::Args),
    /// End the sign-in at a server: forgotten here, revoked there
    Logout(login::LogoutArgs),
    /// Issue, look at and revoke access tokens
    #[command(subcommand)]
    Token(token::Command),
    /// Play a client against a server, and print each step
    #[command(subcommand)]
    Try(trial::Command),
    /// Check, test and explain policies
    #[command(subcommand)]
    Policy(policy::Command),
    /// Search, export and verify the audit log
    #[command(subcommand)]
    Audit(audit::Command),
    /// Check the deployment, or with --bcp the configuration and its clients against RFC 9700
    Doctor(doctor::Args),
    /// Bring in and read what GuardDuty and Security Hub found
    #[command(subcommand)]
    Findings(findings::Command),
    /// Ask the running service whether it is ready: the container's probe
    Healthcheck(healthcheck::Args),
    /// Print a completion script for a shell
    Completions(generate::CompletionArgs),
    /// Print the manual page, or write those of all commands
    Man(generate::ManArgs),
}

/// Parses the arguments of this process, runs the command and gives its exit code.
pub fn run() -> ExitCode {
    small_pages();
    let matches = definition().get_matches();
    let done = match Cli::from_arg_matches(&matches) {
        Ok(cli) => dispatch(cli, &matches),
        Err(error) => error.exit(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

/// Memory comes a page at a time, before there is much of it: the allocator's regions by 2 MiB pages cost a process that
/// does little some 15 MiB, and one that does much gains nothing that `make bench` can see.
fn small_pages() {
    #[cfg(target_os = "linux")]
    // Where it is refused, memory is larger and nothing else.
    let _ = rustix::thread::disable_transparent_huge_pages(true);
}

fn dispatch(cli: Cli, matches: &clap::ArgMatches) -> Result<(), Failure> {
    if let Command::Findings(command) = &cli.command {
        return block_on(findings::run(command, cli.at.clone(), matches));
    }
    // These work on a deployment, wherever it is.
    let command = match cli.command {
        Command::Client(command) => return block_on(client::run(command, &cli.at.settled(matches)?)),
        Command::User(command) => return block_on(user::run(command, &cli.at.settled(matches)?)),
        Command::Key(command) => return block_on(key::run(&command, &cli.at.settled(matches)?)),
        Command::Token(command) => return block_on(token::run(command, &cli.at.settled(matches)?)),
        Command::Audit(audit::Command::Verify(args)) => {
            cli.at.store_only(matches, "audit verify")?;
            return block_on(audit::run(&audit::Command::Verify(args), &At { server: None, ..cli.at }));
        }
        Command::Audit(command) => return block_on(audit::run(&command, &cli.at.settled(matches)?)),
        Command::Plan(args) => return block_on(plan::plan(&args, &cli.at.settled(matches)?)),
        Command::Apply(args) => return block_on(plan::apply(&args, &cli.at.settled(matches)?)),
        Command::Drift(args) => return block_on(plan::drift(&args, &cli.at.settled(matches)?)),
        Command::Try(command) => return block_on(trial::run(&command, &cli.at.settled(matches)?)),
        Command::Login(args) => return block_on(login::run(&args, &cli.at.settled(matches)?)),
        Command::Logout(args) => return block_on(login::logout(&args, &cli.at.settled(matches)?)),
        command => command,
    };
    cli.at.store_only(matches, matches.subcommand_name().unwrap_or_default())?;
    let config = cli.at.config.as_deref();
    match command {
        Command::Client(_) | Command::User(_) | Command::Key(_) | Command::Token(_) | Command::Audit(_) => Ok(()),
        Command::Login(_) | Command::Logout(_) => Ok(()),
        Command::Plan(_) | Command::Apply(_) | Command::Drift(_) | Command::Try(_) => Ok(()),
        Command::Dev(args) => dev::run(&args),
        Command::Serve(args) => serve::run(&args, config),
        Command::Init(args) => init::run(&args),
        Command::Check(args) => check::run(&args, config),
        Command::Config(command) => config_show::run(&command, config),
        Command::Migrate(args) => block_on(migrate::run(&args, config)),
        Command::Backup(args) => block_on(backup::run(&args, config)),
        Command::Policy(command) => policy::run(&command, config),
        Command::Doctor(args) => block_on(doctor::run(&args, config)),
        Command::Healthcheck(args) => block_on(healthcheck::run(&args, config)),
        Command::Findings(_) => Ok(()),
        Command::Completions(args) => generate::completions(&args),
        Command::Man(args) => generate::man(&args),
    }
}

/// The command line's definition: completions, the manual and the README's list come from it.
pub fn definition() -> clap::Command {
    Cli::command()
}

fn block_on(work: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|e| Failure::failed(format!("no runtime: {e}")))?.block_on(work)
}
