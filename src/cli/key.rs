//! `stockade key`: the keys that sign tokens.

use std::path::Path;
use std::time::Duration;

use clap::Subcommand;
use serde::Serialize;

use super::failure::Failure;
use super::local::Local;
use super::output::{self, Format, Output};
use crate::base::{Clock as _, Timestamp};
use crate::config::Oauth;
use crate::crypto::{keys, rotation};
use crate::model::{Algorithm, KeyState, Outcome, SigningKey, event};
use crate::policy::Resource;
use crate::store;

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

#[derive(Serialize)]
struct Row {
    kid: String,
    alg: Algorithm,
    state: KeyState,
    created_at: Timestamp,
    activates_at: Timestamp,
    retired_at: Option<Timestamp>,
    expires_at: Option<Timestamp>,
}

pub(super) async fn run(command: &Command, config: Option<&Path>) -> Result<(), Failure> {
    let local = Local::open(config).await?;
    let done = match command {
        Command::List(output) => {
            local.permit(event::kind::KEY_CHANGED, "key:list", &Resource::key_store()).await?;
            print(&local, output.output).await
        }
        Command::Rotate(args) => rotate(&local, args).await,
        Command::Retire(args) => retire(&local, args).await,
    };
    local.store.close().await;
    done
}

async fn print(local: &Local, format: Format) -> Result<(), Failure> {
    let now = local.clock.now();
    let mut rows: Vec<Row> = store::keys::all(&mut local.store.read().await?)
        .await?
        .into_iter()
        .map(|key| Row {
            state: key.state(now),
            kid: key.kid,
            alg: key.alg,
            created_at: key.created_at,
            activates_at: key.activates_at,
            retired_at: key.retired_at,
            expires_at: key.expires_at,
        })
        .collect();
    rows.sort_by(|a, b| (a.alg, b.activates_at).cmp(&(b.alg, a.activates_at)));
    let or_none = |time: Option<Timestamp>| time.map_or_else(|| "-".to_owned(), |time| time.to_string());
    output::list(format, &["kid", "alg", "state", "activates_at", "retired_at", "expires_at"], &rows, |row| {
        let state = serde_json::to_value(row.state).unwrap_or_default();
        vec![
            row.kid.clone(),
            row.alg.as_str().to_owned(),
            state.as_str().unwrap_or_default().to_owned(),
            row.activates_at.to_string(),
            or_none(row.retired_at),
            or_none(row.expires_at),
        ]
    })
}

async fn rotate(local: &Local, args: &RotateArgs) -> Result<(), Failure> {
    let decision = local.permit(event::kind::KEY_CHANGED, "key:rotate", &Resource::key_store()).await?;
    let settings = settings(&local.config.oauth);
    let (sealer, now) = (local.sealer()?, local.clock.now());
    let mut tx = local.store.begin().await?;
    let existing = store::keys::all(&mut tx).await?;
    let algs: Vec<Algorithm> = match args.alg {
        Some(alg) => vec![alg],
        None => Algorithm::ALL.into_iter().filter(|alg| living(&existing, *alg).next().is_some()).collect(),
    };
    let algs = if algs.is_empty() { settings.algs.clone() } else { algs };
    for alg in algs {
        let signs = living(&existing, alg).any(|key| key.state(now) == KeyState::Active);
        if let Some(waiting) = living(&existing, alg).find(|key| key.state(now) == KeyState::Published) {
            let message = format!("{} follows already: it signs from {}", waiting.kid, waiting.activates_at);
            return Err(Failure::failed(message));
        }
        // Where nothing signs, waiting would refuse every token.
        let activates_at = if signs { rotation::activation(&settings, now) } else { now };
        let key = keys::generate(alg, &sealer, &local.rng, now, activates_at)?;
        store::keys::insert(&mut tx, &key).await?;
        let action = local.event(event::kind::KEY_CHANGED, Outcome::Allowed, "key:rotate", &name(&key.kid));
        let event = action.decided(&decision).with("change", "published").with("kid", key.kid.clone());
        store::events::intake(&mut tx, &event.with("alg", alg.as_str())).await?;
        for old in living(&existing, alg) {
            store::keys::set_retired(&mut tx, &old.kid, activates_at, activates_at.plus(settings.keep)).await?;
        }
    }
    tx.commit().await?;
    print(local, args.output.output).await
}

/// How keys live. A client's own lifetime of tokens may be as long as a day, so a key is kept a day and an hour.
fn settings(oauth: &Oauth) -> rotation::Settings {
    rotation::Settings {
        algs: oauth.signing_algs.clone(),
        period: oauth.key_lifetime,
        publish_ahead: oauth.jwks_max_age,
        keep: Duration::from_secs(25 * 3600),
    }
}

fn living(keys: &[SigningKey], alg: Algorithm) -> impl Iterator<Item = &SigningKey> {
    keys.iter().filter(move |key| key.alg == alg && key.retired_at.is_none())
}

fn name(kid: &str) -> String {
    format!("Key::{kid:?}")
}

async fn retire(local: &Local, args: &RetireArgs) -> Result<(), Failure> {
    let decision = local.permit(event::kind::KEY_CHANGED, "key:retire", &Resource::key_store()).await?;
    let settings = settings(&local.config.oauth);
    let now = local.clock.now();
    let mut tx = local.store.begin().await?;
    let existing = store::keys::all(&mut tx).await?;
    let Some(key) = existing.iter().find(|key| key.kid == args.kid) else {
        let kid = &args.kid;
        return Err(Failure::failed(format!("there is no key `{kid}`: `stockade key list` shows those there are")));
    };
    let successor = existing
        .iter()
        .any(|other| other.kid != key.kid && other.alg == key.alg && other.state(now) == KeyState::Active);
    if key.state(now) == KeyState::Active && !successor {
        if !args.compromised {
            let alg = key.alg.as_str();
            let message = format!("nothing else signs {alg} now: `stockade key rotate --alg {alg}` first");
            return Err(Failure::failed(message));
        }
        // A stolen key must go now: its successor signs at once.
        let heir = keys::generate(key.alg, &local.sealer()?, &local.rng, now, now)?;
        store::keys::insert(&mut tx, &heir).await?;
        let event = local.event(event::kind::KEY_CHANGED, Outcome::Allowed, "key:rotate", &name(&heir.kid));
        let event = event.decided(&decision).with("change", "published").with("kid", heir.kid.clone());
        store::events::intake(&mut tx, &event.with("alg", heir.alg.as_str())).await?;
    }
    let keep = if args.compromised { Duration::ZERO } else { settings.keep };
    store::keys::set_retired(&mut tx, &key.kid, now, now.plus(keep)).await?;
    let event = local.event(event::kind::KEY_CHANGED, Outcome::Allowed, "key:retire", &name(&key.kid));
    let change = if args.compromised { "compromised" } else { "retired" };
    let event = event.decided(&decision).with("change", change).with("kid", key.kid.clone());
    local.commit(tx, &event).await?;
    print(local, args.output.output).await
}

fn alg(text: &str) -> Result<Algorithm, String> {
    Algorithm::parse(text).ok_or_else(|| "choose ES256, EdDSA or RS256".to_owned())
}
