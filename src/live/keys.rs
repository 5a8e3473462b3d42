//! Signing keys by themselves: made on the first start, published before they sign, retired, removed. Every step is an
//! event of the transaction that takes it.

use std::time::Duration;

use super::LiveError;
use crate::base::{Clock, Rng};
use crate::config::Oauth;
use crate::crypto::log_key::LogKey;
use crate::crypto::rotation::{self, Settings, Step};
use crate::crypto::{keys as key_material, seal::Sealer};
use crate::model::event::kind;
use crate::model::{Algorithm, Event, Outcome, PrincipalRef, SigningKey};
use crate::store::{self, Store, Tx, changes, events, keys};

/// The name of the key that signs the audit log's heads.
const LOG_KEY: &str = "audit-log-key";

/// Takes the steps that are due; how many it took. Safe to call in every process at once: the first to lock wins, and the
/// others find nothing left to do.
///
/// # Errors
/// When the database or the key material fails; then no step was taken.
pub async fn keep(
    store: &Store,
    sealer: &Sealer,
    settings: &Settings,
    clock: &dyn Clock,
    rng: &dyn Rng,
) -> Result<usize, LiveError> {
    let now = clock.now();
    // Mostly there is nothing to do, and a look costs no write.
    let stored = keys::all(&mut store.read().await?).await?;
    let steps = rotation::plan(&stored, settings, now);
    if steps.is_empty() {
        return Ok(0);
    }
    // Made before the transaction: an RSA key takes its time, and a transaction holds its lock over everyone else.
    let mut made = Vec::new();
    for step in &steps {
        if let Step::Generate { alg, activates_at } = step {
            made.push(key_material::generate(*alg, sealer, rng, now, *activates_at)?);
        }
    }
    let mut tx = store.begin().await?;
    // Locks the topic's row until commit: of two processes the second plans with what the first made.
    changes::bump(&mut tx, changes::Topic::Keys).await?;
    let stored = keys::all(&mut tx).await?;
    let steps = rotation::plan(&stored, settings, now);
    for step in &steps {
        let ready = match step {
            Step::Generate { alg, .. } => made.iter().position(|key| key.alg == *alg).map(|at| made.swap_remove(at)),
            Step::Retire { .. } | Step::Delete { .. } => None,
        };
        take(&mut tx, step, ready, sealer, clock, rng).await?;
    }
    tx.commit().await?;
    Ok(steps.len())
}

/// Takes one step, with its event. `ready` is a key for a step that needs one.
async fn take(
    tx: &mut Tx,
    step: &Step,
    ready: Option<SigningKey>,
    sealer: &Sealer,
    clock: &dyn Clock,
    rng: &dyn Rng,
) -> Result<(), LiveError> {
    let now = clock.now();
    let mut event = Event::new(kind::KEY_CHANGED, Outcome::Allowed, now, rng);
    event.principal = Some(PrincipalRef::new("Operator", "rotation"));
    let (action, kid) = match step {
        Step::Generate { alg, activates_at } => {
            let key = match ready {
                Some(key) => SigningKey { created_at: now, activates_at: *activates_at, ..key },
                None => key_material::generate(*alg, sealer, rng, now, *activates_at)?,
            };
            keys::insert(tx, &key).await?;
            event = event.with("alg", alg.as_str()).with("activates_at", activates_at.to_string());
            ("key:generate", key.kid)
        }
        Step::Retire { kid, retired_at, expires_at } => {
            keys::set_retired(tx, kid, *retired_at, *expires_at).await?;
            event = event.with("retired_at", retired_at.to_string()).with("expires_at", expires_at.to_string());
            ("key:retire", kid.clone())
        }
        Step::Delete { kid } => {
            keys::delete(tx, kid).await?;
            ("key:delete", kid.clone())
        }
    };
    event.action = Some(action.into());
    event.resource = Some(format!("Key::{kid:?}").into());
    events::intake(tx, &event).await?;
    Ok(())
}

/// How keys live under this configuration.
pub fn settings(
    algs: &[Algorithm],
    key_lifetime: Duration,
    jwks_max_age: Duration,
    longest_token: Duration,
) -> Settings {
    Settings {
        algs: algs.to_vec(),
        period: key_lifetime,
        publish_ahead: jwks_max_age,
        keep: longest_token + Duration::from_secs(60),
    }
}

/// The same, of the section `[oauth]`. A client may have a lifetime of tokens of its own, at most a day (checked when it is
/// registered).
pub fn settings_of(oauth: &Oauth) -> Settings {
    let day = Duration::from_secs(86_400);
    let of_resources = oauth.resources.iter().filter_map(|resource| resource.ttl);
    let longest = of_resources.chain([oauth.access_token_ttl, day]).max().unwrap_or(day);
    settings(&oauth.signing_algs, oauth.key_lifetime, oauth.jwks_max_age, longest)
}

/// The key that signs the audit log's heads; made by the first process that asks.
///
/// # Errors
/// When the database fails, or the stored key was sealed with a key that is not in the list.
pub async fn log_key(store: &Store, sealer: &Sealer, rng: &dyn Rng) -> Result<LogKey, LiveError> {
    if let Some(sealed) = keys::find_sealed(&mut store.read().await?, LOG_KEY).await? {
        return Ok(LogKey::open(sealer, &sealed)?);
    }
    let mut tx = store.begin().await?;
    keys::insert_sealed(&mut tx, LOG_KEY, &LogKey::generate(sealer, rng)?).await?;
    tx.commit().await?;
    let sealed = keys::find_sealed(&mut store.read().await?, LOG_KEY).await?;
    let missing = || store::StoreError::Corrupt { table: "sealed_values", problem: format!("`{LOG_KEY}` is missing") };
    Ok(LogKey::open(sealer, &sealed.ok_or_else(missing)?)?)
}
