//! `stockade try`: a test client that plays a grant against a server and prints each step. It is a client like any other: it
//! knows the server by its metadata, and uses the `oauth2` library. No token, code or secret is printed; of a token its header
//! and claims are.

mod cc;
mod code;
mod device;
mod id_token;
mod loopback;
mod party;
mod shown;

use clap::Subcommand;

use super::api::At;
use super::failure::Failure;
use party::Party;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Authorization code with PKCE, and PAR where it is offered: a person signs in in a browser
    Code(code::Args),
    /// The device flow (RFC 8628): a person types a code on another device
    Device(Asked),
    /// Client credentials
    Cc(Asked),
}

/// What is asked for.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Asked {
    /// A scope to ask for [default: what the client may have]
    #[arg(long = "scope", value_name = "SCOPE")]
    scopes: Vec<String>,
    /// The API to ask a token for (RFC 8707) [default: the client's]
    #[arg(long, value_name = "URI")]
    resource: Option<String>,
}

pub(super) async fn run(command: &Command, at: &At) -> Result<(), Failure> {
    match command {
        Command::Code(args) => code::run(&mut Party::with_a_person(at).await?, args).await,
        Command::Device(asked) => device::run(&mut Party::with_a_person(at).await?, asked).await,
        Command::Cc(asked) => cc::run(&mut Party::by_itself(at).await?, asked).await,
    }
}
