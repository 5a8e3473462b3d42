//! `stockade doctor`: gathers the facts of a deployment, has them checked, and prints what came out. The checks are in
//! [`crate::doctor`].

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use reqwest::header;
use serde_json::Value;

use super::api::{self, place};
use super::failure::Failure;
use super::local::{self, Local};
use super::output::{self, Output};
use crate::audit_log::verify;
use crate::base::{Clock as _, SystemClock, Timestamp};
use crate::config::Config;
use crate::crypto::keyring::KeyRing;
use crate::crypto::seal::Sealer;
use crate::doctor::{self, Finding, Verdict, bcp, deployment};
use crate::http::Tls;
use crate::model::{Client, Outcome, SigningKey, event};
use crate::oauth;
use crate::policy::Resource;
use crate::registry::Site;
use crate::store::{Store, clients, keys};
use crate::{live, policy};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Walk RFC 9700, the OAuth 2.0 Security Best Current Practice, over the configuration and its clients
    #[arg(long)]
    bcp: bool,
    #[command(flatten)]
    output: Output,
}

pub(super) async fn run(args: &Args, path: Option<&Path>) -> Result<(), Failure> {
    let config = local::configured(path)?;
    let findings = if args.bcp { practice(path).await? } else { deployed(&config, path).await? };
    output::list(args.output.output, &["state", "section", "required", "found", "to do"], &findings, |finding| {
        vec![
            finding.verdict.as_str().to_owned(),
            finding.section.to_owned(),
            finding.required.to_owned(),
            finding.found.clone(),
            finding.todo.clone().unwrap_or_default(),
        ]
    })?;
    if doctor::worst(&findings) == Verdict::Failed { Err(Failure::No) } else { Ok(()) }
}

/// Reads what the store holds, decided by policy and recorded.
async fn read(local: &Local) -> Result<(Vec<Client>, Vec<SigningKey>), Failure> {
    for (action, resource) in [("client:list", Resource::client_registry()), ("key:list", Resource::key_store())] {
        let decision = local.permit(event::kind::DECISION, action, &resource).await?;
        let event = local.event(event::kind::DECISION, Outcome::Allowed, action, &resource.name());
        local.record(&event.decided(&decision).with("by", "doctor")).await?;
    }
    let mut reader = local.store.read().await?;
    let mut all: Vec<Client> = Vec::new();
    loop {
        let after = all.last().map(|client| client.client_id.clone()).unwrap_or_default();
        let page = clients::page(&mut reader, &after, 500).await?;
        if page.is_empty() {
            break;
        }
        all.extend(page.into_iter().map(|stored| stored.client));
    }
    Ok((all, keys::all(&mut reader).await?))
}

fn published(config: &Config) -> Result<Value, Failure> {
    oauth::published(config).map_err(|error| Failure::chain(&error))
}

async fn practice(path: Option<&Path>) -> Result<Vec<Finding>, Failure> {
    let local = Local::open(path).await?;
    let (clients, keys) = read(&local).await?;
    let metadata = published(&local.config)?;
    let facts = bcp::Facts {
        config: &local.config,
        clients: &clients,
        keys: &keys,
        metadata: &metadata,
        now: local.clock.now(),
    };
    let findings = bcp::walk(&facts);
    local.store.close().await;
    Ok(findings)
}

/// What needs no store first; what needs one only when it answers.
async fn deployed(config: &Config, path: Option<&Path>) -> Result<Vec<Finding>, Failure> {
    let loaded = match &config.policy.dir {
        Some(dir) => policy::Snapshot::load(dir),
        None => policy::Snapshot::embedded(),
    };
    let loaded = loaded.map(|snapshot| snapshot.policy_ids().len());
    let loaded = loaded.map_err(|problems| problems.iter().map(ToString::to_string).collect());
    let certificate = config.http.tls.as_ref().map(|files| Tls::load(files).map(drop).map_err(|e| e.to_string()));
    let mut findings = vec![
        deployment::listeners(config, certificate),
        deployment::policies(loaded),
        deployment::disk(config.database.sqlite_file().and_then(|file| space(&file))),
    ];
    let (answered, of_server) = ask(&config.server.issuer).await?;
    findings.push(deployment::metadata(&published(config)?, answered));
    let (store, held) = stored(config, path).await?;
    findings.push(deployment::clock(&held, of_server, SystemClock.now()));
    findings.splice(0..0, store);
    Ok(findings)
}

/// What the store says, and the keys in it.
async fn stored(config: &Config, path: Option<&Path>) -> Result<(Vec<Finding>, Vec<SigningKey>), Failure> {
    let opened = async {
        let store = Store::open(config.database.url.expose()).await?;
        if !store.is_shared() {
            store.migrate().await?;
        }
        let status = store.migration_status().await;
        store.close().await;
        status
    };
    let status = opened.await.map_err(|error| crate::telemetry::chain(&error).to_string());
    let whole = status.as_ref().is_ok_and(|status| status.iter().all(|one| one.applied));
    let first = deployment::store(status.as_deref().map_err(Clone::clone));
    if !whole {
        return Ok((vec![first], Vec::new()));
    }
    let local = Local::open(path).await?;
    let (clients, keys) = read(&local).await?;
    let sealer = Sealer::new(&config.crypto.seal_keys).map_err(|error| error.to_string());
    let opened = sealer.and_then(|sealer| KeyRing::build(&keys, &sealer).map(drop).map_err(|error| error.to_string()));
    let settings = live::keys::settings_of(&config.oauth);
    let mut findings = vec![
        first,
        deployment::keys(&keys, &settings, opened, local.clock.now()),
        deployment::clients(&clients, &Site::of(config)),
    ];
    // Without its key the log says nothing; that the key does not open is told already.
    if let Ok(key) = local.log_key().await {
        let decision = local.permit(event::kind::AUDIT_READ, "audit:verify", &Resource::audit_log()).await?;
        let name = Resource::audit_log().name();
        let event = local.event(event::kind::AUDIT_READ, Outcome::Allowed, "audit:verify", &name);
        local.record(&event.decided(&decision).with("by", "doctor")).await?;
        local.sequence().await?;
        findings.push(deployment::audit_log(&verify::store(&local.store, &key.public()).await));
    }
    local.store.close().await;
    Ok((findings, keys))
}

/// Asks the issuer for its metadata; what it answers, and its time.
async fn ask(issuer: &str) -> Result<(Result<Value, String>, Option<Timestamp>), Failure> {
    let http = api::http_client()?;
    let url = place(issuer);
    let response = match http.get(&url).timeout(Duration::from_secs(5)).send().await {
        Ok(response) => response,
        Err(error) => return Ok((Err(format!("{url} cannot be asked: {}", api::plain(&error))), None)),
    };
    let date = response.headers().get(header::DATE).and_then(|date| date.to_str().ok());
    let date = date.and_then(|text| jiff::fmt::rfc2822::parse(text).ok());
    let date = date.map(|date| Timestamp::from_secs(date.timestamp().as_second()));
    let status = response.status();
    if !status.is_success() {
        return Ok((Err(format!("{url} answers {}", status.as_u16())), date));
    }
    let body = response.json().await.map_err(|_| format!("{url} answers no metadata"));
    Ok((body, date))
}

/// Free and whole bytes where a file is or will be, as `df` tells them.
fn space(file: &Path) -> Option<(u64, u64)> {
    let dir = file.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let said = Command::new("df").arg("-Pk").arg(dir).env("LC_ALL", "C").output().ok()?;
    let text = String::from_utf8(said.stdout).ok()?;
    // Filesystem, 1024-blocks, used, available, and what may have blanks.
    let mut columns = text.lines().nth(1)?.split_whitespace().skip(1);
    let whole: u64 = columns.next()?.parse().ok()?;
    let free: u64 = columns.nth(1)?.parse().ok()?;
    Some((free.saturating_mul(1024), whole.saturating_mul(1024)))
}
