//! `/api/v1/clients`.

use std::time::Duration;

use axum::extract::{Path, RawQuery, State};
use axum::response::Response;
use http::{HeaderMap, StatusCode, header};
use serde_json::Value;

use super::page::Asked;
use super::permissions::{
    CreateClient, DeleteClient, DisableClient, EnableClient, ListClients, RotateClient, ShowClient, UpdateClient,
};
use super::{Ctx, Shared};
use crate::accounts::{self, Occasion, Why};
use crate::base::Timestamp;
use crate::http::change::{self, Answer, Begun, Change, broken};
use crate::http::sent::{Sent, changed, invalid};
use crate::http::{Kind, May, Permission, Problem};
use crate::model::{Client, Event, event};
use crate::registry::{Mistake, client};
use crate::store::clients::{self, Stored};
use crate::store::grants::Of;
use crate::store::{Handle, StoreError, Tx, consents};

/// How long the last secret works beside a new one, unless it is said.
const OVERLAP: Duration = Duration::from_secs(86_400);
/// And at most.
const LONGEST_OVERLAP: u64 = 30 * 86_400;

/// A tag that no other state has, not even of a client made again under the same id.
fn etag(stored: &Stored) -> String {
    format!("\"{}-{:x}\"", stored.version, stored.client.created_at.as_micros())
}

async fn find(handle: &mut impl Handle, id: &str) -> Result<Stored, Problem> {
    let found = clients::find(handle, id).await.map_err(broken)?;
    found.ok_or_else(|| Problem::new(Kind::NotFound).detail(format!("there is no client `{id}`")))
}

fn name(id: &str) -> String {
    format!("Client::{id:?}")
}

fn event_of<P: Permission>(ctx: &Ctx, may: &May<P>, id: &str, what: &str) -> Event {
    change::event(ctx, may, event::kind::CLIENT_CHANGED, &name(id)).with("change", what).with("client_id", id)
}

/// `GET /api/v1/clients`.
pub(super) async fn list(
    may: May<ListClients>,
    State(Shared(ctx)): State<Shared>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let asked = Asked::read(&ctx, &may.caller, "clients", query.as_deref())?;
    // `MICROSECONDS:ID`, which we wrote ourselves.
    let before = asked.after.as_deref().and_then(|at| at.split_once(':'));
    let before = before.and_then(|(at, id)| Some((Timestamp::from_micros(at.parse().ok()?), id)));
    let mut reader = ctx.store.read().await.map_err(broken)?;
    let rows = clients::newest(&mut reader, before, asked.limit + 1).await.map_err(broken)?;
    drop(reader);
    let position = |row: &Stored| format!("{}:{}", row.client.created_at.as_micros(), row.client.client_id);
    let (response, items) = asked.answer(&ctx, rows, position, |row| client::view(&row.client));
    change::read(&ctx, &may, &ListClients::resource().name(), items);
    Ok(response)
}

/// `GET /api/v1/clients/{id}`.
pub(super) async fn show(
    may: May<ShowClient>,
    State(Shared(ctx)): State<Shared>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let stored = find(&mut ctx.store.read().await.map_err(broken)?, &id).await?;
    change::read(&ctx, &may, &name(&id), 1);
    let tag = etag(&stored);
    let known = headers.get_all(header::IF_NONE_MATCH).iter().any(|list| list.as_bytes() == tag.as_bytes());
    let mut response = Answer::ok(client::view(&stored.client)).tagged(tag).response();
    if known {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        *response.body_mut() = axum::body::Body::empty();
        response.headers_mut().remove(header::CONTENT_TYPE);
    }
    Ok(response)
}

/// `POST /api/v1/clients`.
pub(super) async fn create(
    may: May<CreateClient>,
    State(Shared(ctx)): State<Shared>,
    sent: Sent,
) -> Result<Response, Problem> {
    let (now, random) = (ctx.guard.clock.now(), &*ctx.guard.rng);
    let made = client::create(&sent.object()?, &ctx.site, now, random);
    let mut made = made.map_err(|mistakes| invalid(&mistakes))?;
    let mut change = match Change::begin(&ctx, &may, &sent).await? {
        Begun::Work(change) => change,
        Begun::Done(response) => return Ok(response),
    };
    let secret = client::uses_secrets(&made).then(|| client::new_secret(now, random));
    let (secret, kept) = secret.unzip();
    made.secrets.extend(kept);
    let id = made.client_id.clone();
    clients::insert(&mut change.tx, &made).await.map_err(|error| match error {
        StoreError::Conflict(_) => {
            let detail = format!("there is a client `{id}` already: choose another id, or delete that one first");
            Problem::new(Kind::Conflict).detail(detail)
        }
        error => broken(error),
    })?;
    let mut body = client::view(&made);
    if !sent.dry_run {
        show_secret(&mut body, secret.as_ref().map(|secret| secret.expose().as_str()));
    }
    let event = event_of(&ctx, &may, &id, "created").with("scope", made.scopes.join(" "));
    let stored = Stored { version: 1, client: made };
    let answer = Answer::created(format!("/api/v1/clients/{id}"), body).tagged(etag(&stored));
    change.commit(&[event], answer).await
}

fn show_secret(body: &mut Value, secret: Option<&str>) {
    if let (Some(members), Some(secret)) = (body.as_object_mut(), secret) {
        members.insert("client_secret".to_owned(), secret.into());
    }
}

/// Changes one client: `alter` gives what becomes of it.
async fn alter<P: Permission>(
    ctx: &Ctx,
    may: &May<P>,
    sent: &Sent,
    id: &str,
    what: &str,
    alter: impl FnOnce(&Client) -> Result<Client, Vec<Mistake>>,
) -> Result<Response, Problem> {
    let mut change = match Change::begin(ctx, may, sent).await? {
        Begun::Work(change) => change,
        Begun::Done(response) => return Ok(response),
    };
    let before = find(&mut change.tx, id).await?;
    sent.matches(&etag(&before))?;
    let after = alter(&before.client).map_err(|mistakes| invalid(&mistakes))?;
    let (version, after) = (before.version, after);
    let stored = put(&mut change.tx, after, version, sent).await?;
    let event = event_of(ctx, may, id, what).with("members", differing(&before.client, &stored.client));
    change.commit(&[event], Answer::ok(client::view(&stored.client)).tagged(etag(&stored))).await
}

async fn put(tx: &mut Tx, after: Client, version: i64, sent: &Sent) -> Result<Stored, Problem> {
    let version = clients::update(tx, &after, version).await.map_err(|error| match error {
        StoreError::Conflict(_) if sent.is_conditional() => changed(),
        StoreError::Conflict(_) => Problem::new(Kind::Conflict).detail("someone changed it meanwhile: try again"),
        error => broken(error),
    })?;
    Ok(Stored { version, client: after })
}

/// The names of what is no longer as it was; never the values.
fn differing(before: &Client, after: &Client) -> Vec<String> {
    let (before, after) = (client::view(before), client::view(after));
    let names = client::MEMBERS.iter().filter(|name| before.get(name) != after.get(name));
    names.map(|name| (*name).to_owned()).collect()
}

/// `PUT /api/v1/clients/{id}`.
pub(super) async fn replace(
    may: May<UpdateClient>,
    State(Shared(ctx)): State<Shared>,
    Path(id): Path<String>,
    sent: Sent,
) -> Result<Response, Problem> {
    sent.must_be_conditional()?;
    let members = sent.object()?;
    alter(&ctx, &may, &sent, &id, "replaced", |before| client::replace(before, &members, &ctx.site)).await
}

/// `PATCH /api/v1/clients/{id}`.
pub(super) async fn patch(
    may: May<UpdateClient>,
    State(Shared(ctx)): State<Shared>,
    Path(id): Path<String>,
    sent: Sent,
) -> Result<Response, Problem> {
    let members = sent.patch()?;
    alter(&ctx, &may, &sent, &id, "changed", |before| client::patch(before, &members, &ctx.site)).await
}

/// `POST /api/v1/clients/{id}/disable`.
pub(super) async fn disable(
    may: May<DisableClient>,
    State(Shared(ctx)): State<Shared>,
    Path(id): Path<String>,
    sent: Sent,
) -> Result<Response, Problem> {
    sent.options(&[])?;
    alter(&ctx, &may, &sent, &id, "disabled", |before| Ok(Client { disabled: true, ..before.clone() })).await
}

/// `POST /api/v1/clients/{id}/enable`.
pub(super) async fn enable(
    may: May<EnableClient>,
    State(Shared(ctx)): State<Shared>,
    Path(id): Path<String>,
    sent: Sent,
) -> Result<Response, Problem> {
    sent.options(&[])?;
    alter(&ctx, &may, &sent, &id, "enabled", |before| Ok(Client { disabled: false, ..before.clone() })).await
}

/// `POST /api/v1/clients/{id}/rotate-secret`: a new secret; the last one works for `overlap_secs` more.
pub(super) async fn rotate(
    may: May<RotateClient>,
    State(Shared(ctx)): State<Shared>,
    Path(id): Path<String>,
    sent: Sent,
) -> Result<Response, Problem> {
    let options = sent.options(&["overlap_secs"])?;
    let overlap = match options.get("overlap_secs").map(Value::as_u64) {
        None => OVERLAP,
        Some(Some(secs)) if secs <= LONGEST_OVERLAP => Duration::from_secs(secs),
        Some(_) => return Err(invalid(&[Mistake::of("overlap_secs", "write seconds, from 0 to 2592000 (30 days)")])),
    };
    let mut change = match Change::begin(&ctx, &may, &sent).await? {
        Begun::Work(change) => change,
        Begun::Done(response) => return Ok(response),
    };
    let mut stored = find(&mut change.tx, &id).await?;
    sent.matches(&etag(&stored))?;
    if !client::uses_secrets(&stored.client) {
        let detail = format!("`{id}` has no secret: it authenticates otherwise");
        return Err(Problem::new(Kind::Conflict).detail(detail));
    }
    let now = ctx.guard.clock.now();
    let (secret, kept) = client::new_secret(now, &*ctx.guard.rng);
    stored.client.secrets = client::rotated(&stored.client.secrets, kept, now, overlap);
    let stored = put(&mut change.tx, stored.client, stored.version, &sent).await?;
    let mut body = client::view(&stored.client);
    if !sent.dry_run {
        show_secret(&mut body, Some(secret.expose()));
    }
    let event = event_of(&ctx, &may, &id, "secret_rotated").with("overlap_secs", overlap.as_secs());
    change.commit(&[event], Answer::ok(body).tagged(etag(&stored))).await
}

/// `DELETE /api/v1/clients/{id}`: the client, and what people granted it. Answers what it was.
pub(super) async fn delete(
    may: May<DeleteClient>,
    State(Shared(ctx)): State<Shared>,
    Path(id): Path<String>,
    sent: Sent,
) -> Result<Response, Problem> {
    let mut change = match Change::begin(&ctx, &may, &sent).await? {
        Begun::Work(change) => change,
        Begun::Done(response) => return Ok(response),
    };
    let before = find(&mut change.tx, &id).await?;
    sent.matches(&etag(&before))?;
    let now = ctx.guard.clock.now();
    // What it holds is dead with it; what it could refresh must stay dead when another client takes the id.
    let own = |kind, _| change::event(&ctx, &may, kind, &name(&id));
    let occasion = Occasion { event: &own, why: Why::Deleted, now, rng: &*ctx.guard.rng };
    let ended = accounts::revoke(&mut change.tx, Of::Client(&id), &occasion).await.map_err(broken)?;
    consents::forget_client(&mut change.tx, &id).await.map_err(broken)?;
    clients::delete(&mut change.tx, &id).await.map_err(broken)?;
    let event = event_of(&ctx, &may, &id, "deleted").with("grants_revoked", ended.revoked.len());
    change.commit(&[event], Answer::ok(client::view(&before.client))).await
}
