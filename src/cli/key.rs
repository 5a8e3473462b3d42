//! `stockade key`: the keys that sign tokens.

use clap::Subcommand;
use serde_json::{Value, json};

use super::api::{Api, At, segment};
use super::failure::Failure;
use super::output::{self, Format, Output};
use crate::model::Algorithm;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// List the signing keys
    List(Output),
    /// Publish a new key, which signs once verifiers can know it
    Rotate(RotateArgs),
    /// Stop signing with a key; it verifies until the last of its tokens has died
    Retire(RetireArgs),
}

#[derive(Debug, clap::Args)]
pub(super) struct RotateArgs {
    /// Which kind of key [default: every kind in use]
    #[arg(long, value_name = "ALG", value_parser = alg)]
    alg: Option<Algorithm>,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, clap::Args)]
pub(super) struct RetireArgs {
    /// The key's id
    #[arg(value_name = "KID", allow_hyphen_values = true)]
    kid: String,
    /// It is in the wrong hands: it verifies nothing from now on, and its tokens are worthless
    #[arg(long)]
    compromised: bool,
    #[command(flatten)]
    output: Output,
}

pub(super) async fn run(command: &Command, at: &At) -> Result<(), Failure> {
    let api = Api::open(at).await?;
    let done = match command {
        Command::List(output) => api.get("/api/v1/keys").await.map(|answer| (answer, output.output)),
        Command::Rotate(args) => {
            let body = args.alg.map_or_else(|| json!({}), |alg| json!({ "alg": alg }));
            api.post("/api/v1/keys/rotate", &body).await.map(|answer| (answer, args.output.output))
        }
        Command::Retire(args) => {
            let path = format!("/api/v1/keys/{}/retire", segment(&args.kid));
            let answer = api.post(&path, &json!({ "compromised": args.compromised })).await;
            answer.map(|answer| (answer, args.output.output))
        }
    };
    let done = done.and_then(|(answer, format)| print(&answer.body, format));
    api.close(done).await
}

fn print(body: &Value, format: Format) -> Result<(), Failure> {
    let none = Vec::new();
    let keys = body.get("items").and_then(Value::as_array).unwrap_or(&none);
    let header = ["kid", "alg", "state", "activates_at", "retired_at", "expires_at"];
    output::list(format, &header, keys, |key| {
        header.iter().map(|name| key.get(name).map(output::cell).unwrap_or_default()).collect()
    })
}

fn alg(text: &str) -> Result<Algorithm, String> {
    Algorithm::parse(text).ok_or_else(|| "choose ES256, EdDSA or RS256".to_owned())
}
