//! `/api/v1/keys`: the keys that sign tokens.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, RawQuery, State};
use axum::response::Response;
use serde_json::{Value, json};

use super::permissions::{ListKeys, RetireKey, RotateKeys};
use super::{Ctx, Shared};
use crate::base::Timestamp;
use crate::crypto::{CryptoError, keys as material, rotation};
use crate::http::change::{self, Answer, Begun, Change, broken};
use crate::http::query::Query;
use crate::http::sent::{Sent, invalid};
use crate::http::{Kind, May, Permission, Problem};
use crate::model::{Algorithm, Event, KeyState, SigningKey, event};
use crate::registry::Mistake;
use crate::store::{Handle, Tx, changes, keys};

/// A key as it is shown: nothing of its private half.
fn view(key: &SigningKey, now: Timestamp) -> Value {
    json!({
        "kid": key.kid, "alg": key.alg, "state": key.state(now), "created_at": key.created_at,
        "activates_at": key.activates_at, "retired_at": key.retired_at, "expires_at": key.expires_at,
    })
}

/// All of them, there are a handful: by algorithm, newest first.
async fn all(handle: &mut impl Handle, now: Timestamp) -> Result<Value, Problem> {
    let mut found = keys::all(handle).await.map_err(broken)?;
    found.sort_by(|a, b| (a.alg, b.activates_at).cmp(&(b.alg, a.activates_at)));
    let items: Vec<_> = found.iter().map(|key| view(key, now)).collect();
    Ok(json!({ "items": items, "next_cursor": null }))
}

fn name(kid: &str) -> String {
    format!("Key::{kid:?}")
}

fn event_of<P: Permission>(ctx: &Ctx, may: &May<P>, kid: &str, what: &str, alg: Algorithm) -> Event {
    let event = change::event(ctx, may, event::kind::KEY_CHANGED, &name(kid));
    event.with("change", what).with("kid", kid).with("alg", alg.as_str())
}

/// `GET /api/v1/keys`.
pub(super) async fn list(
    may: May<ListKeys>,
    State(Shared(ctx)): State<Shared>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    Query::read(query.as_deref(), &[]).finish()?;
    let body = all(&mut ctx.store.read().await.map_err(broken)?, ctx.guard.clock.now()).await?;
    let count = body.get("items").and_then(Value::as_array).map_or(0, Vec::len);
    change::read(&ctx, &may, &ListKeys::resource().name(), count);
    Ok(Answer::ok(body).response())
}

fn living(keys: &[SigningKey], alg: Algorithm) -> impl Iterator<Item = &SigningKey> {
    keys.iter().filter(move |key| key.alg == alg && key.retired_at.is_none())
}

async fn begin<'a, P: Permission>(ctx: &'a Ctx, may: &May<P>, sent: &Sent) -> Result<Begun<'a>, Problem> {
    let mut begun = Change::begin(ctx, may, sent).await?;
    if let Begun::Work(change) = &mut begun {
        // Locks the topic's row until the commit: of two that rotate at once the second sees what the first did.
        changes::bump(&mut change.tx, changes::Topic::Keys).await.map_err(broken)?;
    }
    Ok(begun)
}

/// Fresh keys, made beside the requests and before a transaction: an RSA key takes its time.
async fn fresh(ctx: &Ctx, algs: Vec<Algorithm>) -> Result<Vec<SigningKey>, Problem> {
    let (sealer, random, now) = (Arc::clone(&ctx.sealer), Arc::clone(&ctx.guard.rng), ctx.guard.clock.now());
    let make = move || algs.into_iter().map(|alg| material::generate(alg, &sealer, &*random, now, now)).collect();
    let made: Result<Vec<_>, CryptoError> = tokio::task::spawn_blocking(make).await.map_err(|error| {
        tracing::error!(%error, "making a signing key ended badly");
        Problem::new(Kind::Internal)
    })?;
    made.map_err(|error| {
        tracing::error!(%error, "a signing key could not be made");
        Problem::new(Kind::Internal)
    })
}

/// Which algorithms a rotation is about.
fn concerned(ctx: &Ctx, existing: &[SigningKey], wanted: Option<Algorithm>) -> Vec<Algorithm> {
    let in_use = || Algorithm::ALL.into_iter().filter(|alg| living(existing, *alg).next().is_some());
    let algs: Vec<_> = wanted.map_or_else(|| in_use().collect(), |alg| vec![alg]);
    if algs.is_empty() { ctx.rotation.algs.clone() } else { algs }
}

/// Puts a fresh key of `alg` among the others; its id.
async fn publish(
    tx: &mut Tx,
    ready: &mut Vec<SigningKey>,
    alg: Algorithm,
    activates_at: Timestamp,
) -> Result<String, Problem> {
    // Between the look and the transaction somebody began or ended an algorithm.
    let place = ready.iter().position(|key| key.alg == alg);
    let place = place.ok_or_else(|| Problem::new(Kind::Conflict).detail("the keys changed meanwhile: try again"))?;
    let key = SigningKey { activates_at, ..ready.swap_remove(place) };
    keys::insert(tx, &key).await.map_err(broken)?;
    Ok(key.kid)
}

/// `POST /api/v1/keys/rotate`: publishes a successor for `alg`, or for every kind in use. It signs once verifiers can know it.
pub(super) async fn rotate(
    may: May<RotateKeys>,
    State(Shared(ctx)): State<Shared>,
    sent: Sent,
) -> Result<Response, Problem> {
    let options = sent.options(&["alg"])?;
    let wanted = match options.get("alg").map(|alg| alg.as_str().and_then(Algorithm::parse)) {
        None => None,
        Some(Some(alg)) => Some(alg),
        Some(None) => return Err(invalid(&[Mistake::of("alg", "choose ES256, EdDSA or RS256")])),
    };
    let known = keys::all(&mut ctx.store.read().await.map_err(broken)?).await.map_err(broken)?;
    let mut ready = fresh(&ctx, concerned(&ctx, &known, wanted)).await?;
    let mut change = match begin(&ctx, &may, &sent).await? {
        Begun::Work(change) => change,
        Begun::Done(response) => return Ok(response),
    };
    let now = ctx.guard.clock.now();
    let existing = keys::all(&mut change.tx).await.map_err(broken)?;
    let mut events = Vec::new();
    for alg in concerned(&ctx, &existing, wanted) {
        if let Some(waiting) = living(&existing, alg).find(|key| key.state(now) == KeyState::Published) {
            let detail = format!("{} follows already: it signs from {}", waiting.kid, waiting.activates_at);
            return Err(Problem::new(Kind::Conflict).detail(detail));
        }
        let signs = living(&existing, alg).any(|key| key.state(now) == KeyState::Active);
        // Where nothing signs, waiting would refuse every token.
        let activates_at = if signs { rotation::activation(&ctx.rotation, now) } else { now };
        let kid = publish(&mut change.tx, &mut ready, alg, activates_at).await?;
        events.push(event_of(&ctx, &may, &kid, "published", alg));
        for old in living(&existing, alg) {
            let expires_at = activates_at.plus(ctx.rotation.keep);
            keys::set_retired(&mut change.tx, &old.kid, activates_at, expires_at).await.map_err(broken)?;
        }
    }
    let body = all(&mut change.tx, now).await?;
    change.commit(&events, Answer::ok(body)).await
}

/// `POST /api/v1/keys/{kid}/retire`: it signs no more; with `compromised` it verifies nothing either, from now on.
pub(super) async fn retire(
    may: May<RetireKey>,
    State(Shared(ctx)): State<Shared>,
    Path(kid): Path<String>,
    sent: Sent,
) -> Result<Response, Problem> {
    let options = sent.options(&["compromised"])?;
    let compromised = match options.get("compromised").map(Value::as_bool) {
        None => false,
        Some(Some(compromised)) => compromised,
        Some(None) => return Err(invalid(&[Mistake::of("compromised", "write true or false")])),
    };
    let now = ctx.guard.clock.now();
    let known = keys::all(&mut ctx.store.read().await.map_err(broken)?).await.map_err(broken)?;
    let mut ready = match known.iter().find(|key| key.kid == kid) {
        Some(key) if compromised && is_alone(&known, key, now) => fresh(&ctx, vec![key.alg]).await?,
        _ => Vec::new(),
    };
    let mut change = match begin(&ctx, &may, &sent).await? {
        Begun::Work(change) => change,
        Begun::Done(response) => return Ok(response),
    };
    let existing = keys::all(&mut change.tx).await.map_err(broken)?;
    let Some(key) = existing.iter().find(|key| key.kid == kid) else {
        return Err(Problem::new(Kind::NotFound).detail(format!("there is no key `{kid}`")));
    };
    let mut events = Vec::new();
    if is_alone(&existing, key, now) {
        if !compromised {
            let detail = format!("nothing else signs {} now: rotate it first", key.alg.as_str());
            return Err(Problem::new(Kind::Conflict).detail(detail));
        }
        // A stolen key must go now: its successor signs at once.
        let kid = publish(&mut change.tx, &mut ready, key.alg, now).await?;
        events.push(event_of(&ctx, &may, &kid, "published", key.alg));
    }
    let keep = if compromised { Duration::ZERO } else { ctx.rotation.keep };
    keys::set_retired(&mut change.tx, &key.kid, now, now.plus(keep)).await.map_err(broken)?;
    events.push(event_of(&ctx, &may, &kid, if compromised { "compromised" } else { "retired" }, key.alg));
    let body = all(&mut change.tx, now).await?;
    change.commit(&events, Answer::ok(body)).await
}

/// Whether nothing else signs what this key signs.
fn is_alone(all: &[SigningKey], key: &SigningKey, now: Timestamp) -> bool {
    let signs = |other: &SigningKey| other.alg == key.alg && other.state(now) == KeyState::Active;
    signs(key) && !all.iter().any(|other| other.kid != key.kid && signs(other))
}
