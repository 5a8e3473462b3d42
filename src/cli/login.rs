//! `stockade login`: signs a person in to a server by the device flow (RFC 8628), and keeps the sign-in for other commands;
//! `stockade logout` ends it.

use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};

use super::api::{Api, At, Kept, Metadata, OauthError, ask_for_token, http_client, server_url, signed_in};
use super::failure::Failure;
use super::output;
use crate::base::{Clock as _, SystemClock};

const GRANT: &str = "urn:ietf:params:oauth:grant-type:device_code";
/// The client that the command line is, unless --client-id names another.
pub(super) const CLIENT: &str = "stockade-cli";
/// What it asks for: who signs in gives what is theirs to give.
const SCOPES: [&str; 5] = ["admin", "audit:read", "findings:read", "findings:write", "offline_access"];

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// A scope to ask for; people give what their roles let them
    #[arg(long = "scope", value_name = "SCOPE", default_values = SCOPES)]
    scopes: Vec<String>,
    /// Register the client that this command is, once for a deployment: in the store, or at a server with --client-id
    #[arg(long, conflicts_with = "scopes")]
    register: bool,
}

#[derive(Debug, clap::Args)]
pub(super) struct LogoutArgs {}

/// What the client of this command registers where tokens are for this issuer.
pub(super) fn registration(issuer: &str) -> Value {
    json!({
        "client_id": CLIENT, "client_name": "Stockade command line", "kind": "public", "auth_method": "none",
        "grants": [GRANT, "refresh_token"], "scopes": SCOPES, "resources": [issuer], "default_resource": issuer,
    })
}

/// RFC 8628 3.2.
#[derive(Deserialize)]
struct Device {
    device_code: String,
    user_code: String,
    verification_uri: String,
    #[serde(default)]
    verification_uri_complete: Option<String>,
    expires_in: u64,
    #[serde(default = "five")]
    interval: u64,
}

const fn five() -> u64 {
    5
}

fn server_of(at: &At) -> Result<String, Failure> {
    let missing = || Failure::usage("name the server: --server https://auth.example.com");
    server_url(at.server.as_deref().ok_or_else(missing)?)
}

async fn register(at: &At) -> Result<(), Failure> {
    let api = Api::open(at).await?;
    let done = api.post("/api/v1/clients", &registration(api.issuer())).await.map(drop);
    api.close(done).await?;
    output::note(format!("registered `{CLIENT}`: `stockade login` works, for people with the role admin or auditor"));
    Ok(())
}

pub(super) async fn run(args: &Args, at: &At) -> Result<(), Failure> {
    if args.register {
        return register(at).await;
    }
    let (server, http) = (server_of(at)?, http_client()?);
    let client_id = at.client_id.as_deref().unwrap_or(CLIENT);
    let metadata = Metadata::fetch(&http, &server).await?;
    let missing = || Failure::failed(format!("{server} has no device flow: ask as a client, with --client-id"));
    let endpoint = metadata.device_authorization_endpoint.as_ref().ok_or_else(missing)?;
    let form = [("client_id", client_id), ("scope", &args.scopes.join(" ")), ("resource", &server)];
    let device = authorize(&http, endpoint, &form).await?;
    output::note(format!("open {} and enter {}", device.verification_uri, device.user_code));
    if let Some(complete) = &device.verification_uri_complete {
        output::note(format!("or open {complete}"));
    }
    let issued = poll(&http, &metadata.token_endpoint, client_id, &device).await?;
    // RFC 6749 5.1: without a word, everything that was asked for.
    let given = issued.scope.clone().unwrap_or_else(|| args.scopes.join(" "));
    let given: Vec<&str> = given.split(' ').collect();
    let missing: Vec<&str> = args.scopes.iter().map(String::as_str).filter(|scope| !given.contains(scope)).collect();
    signed_in(&server, client_id, issued, None).write()?;
    output::note(format!("signed in at {server}, for {}", given.join(", ")));
    if !missing.is_empty() {
        output::note(format!("not given: {}; the policies let a role give it", missing.join(", ")));
    }
    Ok(())
}

async fn authorize(http: &reqwest::Client, endpoint: &str, form: &[(&str, &str)]) -> Result<Device, Failure> {
    let unreachable = |e: reqwest::Error| Failure::usage(format!("{endpoint} cannot be asked: {e}"));
    let response = http.post(endpoint).form(form).send().await.map_err(unreachable)?;
    let status = response.status();
    let body = response.bytes().await.map_err(unreachable)?;
    if status.is_success() {
        let device = serde_json::from_slice(&body);
        return device.map_err(|_| Failure::usage(format!("{endpoint} does not answer as RFC 8628 says")));
    }
    match serde_json::from_slice::<OauthError>(&body) {
        Ok(error) => Err(Failure::failed(format!("the server refuses to begin: {error}"))),
        Err(_) => Err(Failure::usage(format!("{endpoint} answered {}", status.as_u16()))),
    }
}

/// RFC 8628 3.4 and 3.5: as often as the server allows, until somebody has decided.
async fn poll(
    http: &reqwest::Client,
    endpoint: &str,
    client_id: &str,
    device: &Device,
) -> Result<super::api::Issued, Failure> {
    let form = [
        ("grant_type", GRANT.to_owned()),
        ("device_code", device.device_code.clone()),
        ("client_id", client_id.to_owned()),
    ];
    let end = SystemClock.now().plus(Duration::from_secs(device.expires_in));
    let mut interval = device.interval.max(1);
    while SystemClock.now() < end {
        tokio::time::sleep(Duration::from_secs(interval)).await;
        match ask_for_token(http.post(endpoint), &form).await? {
            Ok(issued) => return Ok(issued),
            Err(error) => match error.error.as_str() {
                "authorization_pending" => {}
                "slow_down" => interval = interval.saturating_add(5),
                "access_denied" => return Err(Failure::failed("the sign-in was refused")),
                "expired_token" => break,
                _ => return Err(Failure::failed(format!("the sign-in failed: {error}"))),
            },
        }
    }
    Err(Failure::failed("nobody confirmed the code in time: begin again"))
}

pub(super) async fn logout(_: &LogoutArgs, at: &At) -> Result<(), Failure> {
    forget(&http_client()?, &server_of(at)?).await
}

/// The file goes whatever the server says; what the server does not revoke dies by itself.
async fn forget(http: &reqwest::Client, server: &str) -> Result<(), Failure> {
    let kept = Kept::read(server)?;
    if !Kept::forget(server)? {
        output::note(format!("nobody is signed in at {server}"));
        return Ok(());
    }
    let Some((refresh, client_id)) = kept.and_then(|kept| Some((kept.refresh_token?, kept.client_id))) else {
        return Ok(());
    };
    let revoked = async {
        let endpoint = Metadata::fetch(http, server).await?.revocation_endpoint;
        let endpoint = endpoint.ok_or_else(|| Failure::failed("it has no revocation endpoint"))?;
        let form = [("token", refresh.as_str()), ("client_id", &client_id), ("token_type_hint", "refresh_token")];
        let answer = http.post(&endpoint).form(&form).send().await;
        let answer = answer.map_err(|e| Failure::failed(e.to_string()))?;
        let status = answer.status();
        if status.is_success() { Ok(()) } else { Err(Failure::failed(format!("it answered {}", status.as_u16()))) }
    };
    if let Err(failure) = revoked.await {
        output::note(format!("warning: forgotten here, not revoked at {server}: {failure}"));
    }
    Ok(())
}
