//! `/api/v1/users`: people, their roles, their password, their sessions. Whoever loses what they prove themselves with, or is
//! disabled, loses everything they have in the same transaction.

use std::sync::Arc;

use axum::extract::{Path, RawQuery, State};
use axum::response::Response;
use serde_json::{Value, json};

use super::page::Asked;
use super::permissions::{
    AssignRoles, CreateUser, DeleteUser, DisableUser, EnableUser, ListSessions, ListUsers, RevokeSessions, SetPassword,
    ShowUser, UpdateUser,
};
use super::{Ctx, Shared};
use crate::accounts::{self, Ended, Occasion, Why};
use crate::base::{Secret, id, rng};
use crate::crypto::base32;
use crate::crypto::password::{self, Password};
use crate::http::change::{self, Answer, Begun, Change, broken};
use crate::http::query::Query;
use crate::http::sent::{Sent, changed, invalid};
use crate::http::{Kind, May, Permission, Problem};
use crate::model::{Credential, CredentialKind, Event, Outcome, Session, User, event};
use crate::registry::{Mistake, user};
use crate::store::users::{self, Stored};
use crate::store::{Handle, StoreError, Tx, credentials, sessions};

fn etag(stored: &Stored) -> String {
    format!("\"{}-{:x}\"", stored.version, stored.user.created_at.as_micros())
}

fn view(user: &User) -> Value {
    serde_json::to_value(user).unwrap_or_default()
}

fn name(user_id: &str) -> String {
    format!("User::{user_id:?}")
}

async fn find(handle: &mut impl Handle, user_id: &str) -> Result<Stored, Problem> {
    let found = users::find(handle, user_id).await.map_err(broken)?;
    found.ok_or_else(|| Problem::new(Kind::NotFound).detail(format!("there is no person `{user_id}`")))
}

fn event_of<P: Permission>(ctx: &Ctx, may: &May<P>, user_id: &str, what: &str) -> Event {
    let event = change::event(ctx, may, event::kind::USER_CHANGED, &name(user_id));
    event.with("change", what).with("user_id", user_id)
}

/// `GET /api/v1/users`, or the one called `username`.
pub(super) async fn list(
    may: May<ListUsers>,
    State(Shared(ctx)): State<Shared>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let mut query = Query::read(query.as_deref(), &["limit", "cursor", "username"]);
    let username = query.take("username", |text| {
        crate::model::user::fold(text).ok_or("a username has 1 to 128 characters, none of them a control character")
    });
    let asked = Asked::of(&ctx, &may.caller, "users", query)?;
    let mut reader = ctx.store.read().await.map_err(broken)?;
    let rows = match username {
        Some(username) => {
            users::find_by_username(&mut reader, &username).await.map(|found| found.into_iter().collect())
        }
        None => users::newest(&mut reader, asked.after.as_deref(), asked.limit + 1).await,
    };
    let rows: Vec<Stored> = rows.map_err(broken)?;
    drop(reader);
    let (response, items) = asked.answer(&ctx, rows, |row| row.user.user_id.clone(), |row| view(&row.user));
    change::read(&ctx, &may, &ListUsers::resource().name(), items);
    Ok(response)
}

/// `GET /api/v1/users/{id}`.
pub(super) async fn show(
    may: May<ShowUser>,
    State(Shared(ctx)): State<Shared>,
    Path(user_id): Path<String>,
) -> Result<Response, Problem> {
    let stored = find(&mut ctx.store.read().await.map_err(broken)?, &user_id).await?;
    change::read(&ctx, &may, &name(&user_id), 1);
    Ok(Answer::ok(view(&stored.user)).tagged(etag(&stored)).response())
}

/// A password, and its text when nobody chose it.
struct Chosen {
    password: Password,
    made: Option<Secret<String>>,
}

/// The password that was sent, or a new one of 120 random bits in groups for the eye.
fn chosen(ctx: &Ctx, sent: Option<&Value>, username: &str) -> Result<Chosen, Problem> {
    let wrong = |detail: String| invalid(&[Mistake::of("password", detail)]);
    let Some(sent) = sent else {
        let text = Secret::new(base32::encode(base32::CROCKFORD, &rng::bytes::<15>(&*ctx.guard.rng)));
        let groups: Vec<&str> = (0..4).filter_map(|at| text.expose().get(at * 6..at * 6 + 6)).collect();
        let made = Secret::new(groups.join("-"));
        let password = Password::new(made.expose().clone()).map_err(|error| wrong(error.to_string()))?;
        return Ok(Chosen { password, made: Some(made) });
    };
    let text = sent.as_str().ok_or_else(|| wrong("expected text, or leave it out for one that is made".to_owned()))?;
    let password = Password::new(text).map_err(|error| wrong(error.to_string()))?;
    if !password.may_be_chosen(username) {
        return Err(wrong(format!("choose at least {} characters, not the username", password::SHORTEST)));
    }
    Ok(Chosen { password, made: None })
}

/// Hashed beside the requests and before a transaction: it takes its time by design.
async fn hashed(ctx: &Ctx, password: Password) -> Result<String, Problem> {
    let random = Arc::clone(&ctx.guard.rng);
    let hashed = tokio::task::spawn_blocking(move || password::hash(&password, &*random)).await;
    hashed
        .ok()
        .and_then(Result::ok)
        .ok_or_else(|| Problem::new(Kind::Unavailable).detail("the password was not hashed: try again"))
}

async fn set(ctx: &Ctx, tx: &mut Tx, user_id: &str, hash: String) -> Result<(), Problem> {
    let now = ctx.guard.clock.now();
    let credential = Credential {
        credential_id: id::new("cred", now, &*ctx.guard.rng),
        user_id: user_id.to_owned(),
        kind: CredentialKind::Password,
        label: String::new(),
        body: hash.into_bytes(),
        last_step: None,
        created_at: now,
        last_used_at: None,
    };
    credentials::delete_kind(tx, user_id, CredentialKind::Password).await.map_err(broken)?;
    credentials::insert(tx, &credential).await.map_err(broken)
}

fn shown(mut body: Value, made: Option<&Secret<String>>, dry_run: bool) -> Value {
    if let (Some(members), Some(made), false) = (body.as_object_mut(), made, dry_run) {
        members.insert("password".to_owned(), made.expose().as_str().into());
    }
    body
}

fn taken(error: StoreError) -> Problem {
    match error {
        StoreError::Conflict(_) => Problem::new(Kind::Conflict).detail("somebody has this username: choose another"),
        error => broken(error),
    }
}

/// `POST /api/v1/users`. Without `password` one is made and shown this once. Roles need the permission to give them.
pub(super) async fn create(
    may: May<CreateUser>,
    State(Shared(ctx)): State<Shared>,
    sent: Sent,
) -> Result<Response, Problem> {
    let sent_members = sent.object()?;
    let password = sent_members.get("password");
    let members = sent_members.iter().filter(|(name, _)| *name != "password");
    let members = members.map(|(name, value)| (name.clone(), value.clone())).collect();
    let person = user::create(&members, ctx.guard.clock.now(), &*ctx.guard.rng).map_err(|wrong| invalid(&wrong))?;
    if !person.roles.is_empty() {
        ctx.guard.decide::<AssignRoles>(&may.caller, &may.info).await?;
    }
    let Chosen { password, made } = chosen(&ctx, password, &person.username)?;
    let hash = hashed(&ctx, password).await?;
    let mut change = match Change::begin(&ctx, &may, &sent).await? {
        Begun::Work(change) => change,
        Begun::Done(response) => return Ok(response),
    };
    users::insert(&mut change.tx, &person).await.map_err(taken)?;
    set(&ctx, &mut change.tx, &person.user_id, hash).await?;
    let event = event_of(&ctx, &may, &person.user_id, "created").with("roles", person.roles.clone());
    let stored = Stored { version: 1, user: person };
    let location = format!("/api/v1/users/{}", stored.user.user_id);
    let body = shown(view(&stored.user), made.as_ref(), sent.dry_run);
    change.commit(&[event], Answer::created(location, body).tagged(etag(&stored))).await
}

/// Ends everything that a person has, with its events, in the caller's transaction.
async fn end_everything<P: Permission>(
    ctx: &Ctx,
    may: &May<P>,
    tx: &mut Tx,
    user_id: &str,
    why: Why,
) -> Result<Ended, Problem> {
    let live = ctx.live().await?;
    let own = |kind, _: Outcome| change::event(ctx, may, kind, &name(user_id));
    let on = Occasion { event: &own, why, now: ctx.guard.clock.now(), rng: &*ctx.guard.rng };
    accounts::end_everything(tx, live, user_id, &on).await.map_err(broken)
}

/// Changes one person: `alter` gives what becomes of it; `why` everything it has ends.
async fn alter<P: Permission>(
    ctx: &Ctx,
    may: &May<P>,
    sent: &Sent,
    user_id: &str,
    what: &str,
    why: Option<Why>,
    alter: impl FnOnce(&User) -> Result<User, Vec<Mistake>>,
) -> Result<Response, Problem> {
    let mut change = match Change::begin(ctx, may, sent).await? {
        Begun::Work(change) => change,
        Begun::Done(response) => return Ok(response),
    };
    let before = find(&mut change.tx, user_id).await?;
    sent.matches(&etag(&before))?;
    let after = alter(&before.user).map_err(|mistakes| invalid(&mistakes))?;
    let version = users::update(&mut change.tx, &after, before.version).await.map_err(|error| match error {
        StoreError::Conflict(_) if after.username == before.user.username && sent.is_conditional() => changed(),
        StoreError::Conflict(_) if after.username == before.user.username => {
            Problem::new(Kind::Conflict).detail("someone changed it meanwhile: try again")
        }
        error => taken(error),
    })?;
    if let Some(why) = why {
        drop(end_everything(ctx, may, &mut change.tx, user_id, why).await?);
    }
    let names: Vec<_> = differing(&before.user, &after);
    let stored = Stored { version, user: after };
    let event = event_of(ctx, may, user_id, what).with("members", names);
    change.commit(&[event], Answer::ok(view(&stored.user)).tagged(etag(&stored))).await
}

/// The names of what is no longer as it was; never the values, which are personal.
fn differing(before: &User, after: &User) -> Vec<String> {
    let (before, after) = (view(before), view(after));
    let names = ["username", "name", "email", "email_verified", "roles", "disabled"];
    names.into_iter().filter(|name| before.get(name) != after.get(name)).map(str::to_owned).collect()
}

/// `PATCH /api/v1/users/{id}`.
pub(super) async fn patch(
    may: May<UpdateUser>,
    State(Shared(ctx)): State<Shared>,
    Path(user_id): Path<String>,
    sent: Sent,
) -> Result<Response, Problem> {
    let (members, now) = (sent.patch()?, ctx.guard.clock.now());
    alter(&ctx, &may, &sent, &user_id, "changed", None, |before| user::patch(before, &members, now)).await
}

/// `PUT /api/v1/users/{id}/roles`: these, and no others.
pub(super) async fn roles(
    may: May<AssignRoles>,
    State(Shared(ctx)): State<Shared>,
    Path(user_id): Path<String>,
    sent: Sent,
) -> Result<Response, Problem> {
    let options = sent.options(&["roles"])?;
    let roles = options.get("roles").map(|roles| serde_json::from_value::<Vec<String>>(roles.clone()));
    let Some(Ok(roles)) = roles else {
        return Err(invalid(&[Mistake::of("roles", "expected a list of names")]));
    };
    let now = ctx.guard.clock.now();
    alter(&ctx, &may, &sent, &user_id, "roles_set", None, |before| user::with_roles(before, roles, now)).await
}

/// `POST /api/v1/users/{id}/disable`: refused from now on, with everything they have.
pub(super) async fn disable(
    may: May<DisableUser>,
    State(Shared(ctx)): State<Shared>,
    Path(user_id): Path<String>,
    sent: Sent,
) -> Result<Response, Problem> {
    sent.options(&[])?;
    let updated_at = ctx.guard.clock.now();
    let disabled = |before: &User| Ok(User { disabled: true, updated_at, ..before.clone() });
    alter(&ctx, &may, &sent, &user_id, "disabled", Some(Why::Disabled), disabled).await
}

/// `POST /api/v1/users/{id}/enable`.
pub(super) async fn enable(
    may: May<EnableUser>,
    State(Shared(ctx)): State<Shared>,
    Path(user_id): Path<String>,
    sent: Sent,
) -> Result<Response, Problem> {
    sent.options(&[])?;
    let updated_at = ctx.guard.clock.now();
    let enabled = |before: &User| Ok(User { disabled: false, updated_at, ..before.clone() });
    alter(&ctx, &may, &sent, &user_id, "enabled", None, enabled).await
}

/// `POST /api/v1/users/{id}/password`: the one sent, or one that is made and shown this once. Everything they have ends.
pub(super) async fn set_password(
    may: May<SetPassword>,
    State(Shared(ctx)): State<Shared>,
    Path(user_id): Path<String>,
    sent: Sent,
) -> Result<Response, Problem> {
    let options = sent.options(&["password"])?;
    let known = find(&mut ctx.store.read().await.map_err(broken)?, &user_id).await?;
    let Chosen { password, made } = chosen(&ctx, options.get("password"), &known.user.username)?;
    let hash = hashed(&ctx, password).await?;
    let mut change = match Change::begin(&ctx, &may, &sent).await? {
        Begun::Work(change) => change,
        Begun::Done(response) => return Ok(response),
    };
    let stored = find(&mut change.tx, &user_id).await?;
    sent.matches(&etag(&stored))?;
    set(&ctx, &mut change.tx, &user_id, hash).await?;
    drop(end_everything(&ctx, &may, &mut change.tx, &user_id, Why::Reset).await?);
    let body = shown(view(&stored.user), made.as_ref(), sent.dry_run);
    change.commit(&[event_of(&ctx, &may, &user_id, "password_set")], Answer::ok(body).tagged(etag(&stored))).await
}

/// `DELETE /api/v1/users/{id}`: the person, and everything they have. Answers what it was.
pub(super) async fn delete(
    may: May<DeleteUser>,
    State(Shared(ctx)): State<Shared>,
    Path(user_id): Path<String>,
    sent: Sent,
) -> Result<Response, Problem> {
    let mut change = match Change::begin(&ctx, &may, &sent).await? {
        Begun::Work(change) => change,
        Begun::Done(response) => return Ok(response),
    };
    let before = find(&mut change.tx, &user_id).await?;
    sent.matches(&etag(&before))?;
    drop(end_everything(&ctx, &may, &mut change.tx, &user_id, Why::Deleted).await?);
    users::delete(&mut change.tx, &user_id).await.map_err(broken)?;
    change.commit(&[event_of(&ctx, &may, &user_id, "deleted")], Answer::ok(view(&before.user))).await
}

/// A session as it is shown.
fn session(session: &Session) -> Value {
    json!({
        "session_id": session.session_id, "acr": session.acr.as_str(), "amr": session.amr,
        "auth_time": session.auth_time, "created_at": session.created_at, "last_seen_at": session.last_seen_at,
        "expires_at": session.expires_at, "address": session.address, "user_agent": session.user_agent,
    })
}

/// `GET /api/v1/users/{id}/sessions`.
pub(super) async fn list_sessions(
    may: May<ListSessions>,
    State(Shared(ctx)): State<Shared>,
    Path(user_id): Path<String>,
) -> Result<Response, Problem> {
    let mut reader = ctx.store.read().await.map_err(broken)?;
    find(&mut reader, &user_id).await?;
    let all = sessions::of_user(&mut reader, &user_id).await.map_err(broken)?;
    drop(reader);
    let now = ctx.guard.clock.now();
    let items: Vec<_> = all.iter().filter(|session| session.expires_at > now).map(session).collect();
    change::read(&ctx, &may, &name(&user_id), items.len());
    Ok(Answer::ok(json!({ "items": items, "next_cursor": null })).response())
}

/// `DELETE /api/v1/users/{id}/sessions`: all of them, with what was granted in them.
pub(super) async fn end_sessions(
    may: May<RevokeSessions>,
    State(Shared(ctx)): State<Shared>,
    Path(user_id): Path<String>,
    sent: Sent,
) -> Result<Response, Problem> {
    end(&ctx, &may, &sent, &user_id, None).await
}

/// `DELETE /api/v1/users/{id}/sessions/{session_id}`.
pub(super) async fn end_session(
    may: May<RevokeSessions>,
    State(Shared(ctx)): State<Shared>,
    Path((user_id, session_id)): Path<(String, String)>,
    sent: Sent,
) -> Result<Response, Problem> {
    end(&ctx, &may, &sent, &user_id, Some(&session_id)).await
}

async fn end(
    ctx: &Ctx,
    may: &May<RevokeSessions>,
    sent: &Sent,
    user_id: &str,
    which: Option<&str>,
) -> Result<Response, Problem> {
    let mut change = match Change::begin(ctx, may, sent).await? {
        Begun::Work(change) => change,
        Begun::Done(response) => return Ok(response),
    };
    find(&mut change.tx, user_id).await?;
    let live = ctx.live().await?;
    let own = |kind, _: Outcome| change::event(ctx, may, kind, &name(user_id));
    let on = Occasion { event: &own, why: Why::Ended, now: ctx.guard.clock.now(), rng: &*ctx.guard.rng };
    let ended = match which {
        None => accounts::end_sessions(&mut change.tx, live, user_id, None, &on).await,
        Some(session_id) => {
            let found = sessions::by_id(&mut change.tx, session_id).await.map_err(broken)?;
            let missing = || Problem::new(Kind::NotFound).detail(format!("`{user_id}` has no session `{session_id}`"));
            let found = found.filter(|session| session.user_id == user_id).ok_or_else(missing)?;
            accounts::end_session(&mut change.tx, live, &found, &on).await
        }
    };
    let ended = ended.map_err(broken)?;
    let event = event_of(ctx, may, user_id, "sessions_ended").with("sessions", ended.sessions.len());
    let body = json!({ "sessions_ended": ended.sessions, "grants_revoked": ended.revoked.len() });
    change.commit(&[event], Answer::ok(body)).await
}
