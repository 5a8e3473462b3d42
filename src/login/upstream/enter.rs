//! Somebody whom a provider knows comes in: who they are here, what policy says, how strong and how old their proof is.

use std::time::Duration;

use axum::response::{IntoResponse as _, Response};
use http::HeaderValue;
use serde_json::{Map, Value};

use super::attempt::Attempt;
use super::identity::Identity;
use super::provider::Provider;
use super::refusal::{Asked, Refusal};
use crate::base::Timestamp;
use crate::http::browser::page::Page;
use crate::http::browser::see_other;
use crate::http::session::Proof;
use crate::login::held::Held;
use crate::login::next::Next;
use crate::login::pages::Onward;
use crate::login::trouble::Trouble;
use crate::login::visit::Visit;
use crate::model::event::kind;
use crate::model::{Acr, CredentialKind, Decision, DenyReason, Outcome, UpstreamLink, User};
use crate::policy::{Facts, Principal, WireContext, claims};
use crate::registry;
use crate::store::{StoreError, Tx, events, upstream_links, users};
use crate::telemetry::labels::{Factor, Point};

/// What policies are asked.
const ACTION: &str = "login:upstream";
/// How far the clocks of two machines may differ.
const SKEW: Duration = Duration::from_secs(10);

/// Signs in whoever has this account, and goes on with `query`.
pub(super) async fn enter(
    asked: &Asked<'_>,
    attempt: &Attempt,
    who: Identity,
    query: &str,
) -> Result<Response, Trouble> {
    let (visit, provider) = (asked.visit, asked.provider);
    let next = visit.next_of(query)?;
    let ctx = visit.ctx();
    let link = upstream_links::find(&mut ctx.store.read().await?, &provider.issuer, &who.subject).await?;
    let (user_id, principal, new) = match &link {
        Some(link) => {
            let user_id = link.user_id.clone();
            match ctx.live.user(&user_id).await?.filter(|user| !user.user.disabled) {
                Some(user) => (user_id, user.principal.clone(), None),
                None => return Ok(asked.refuse_of(Some(&user_id), None, Refusal::Disabled)),
            }
        }
        None if provider.create => match newcomer(visit, provider, &who) {
            Some(user) => (user.user_id.clone(), Principal::user(&user.user_id, &user.roles, false), Some(user)),
            None => return Ok(asked.refuse(Refusal::Unknown("username"))),
        },
        None => return Ok(asked.refuse(Refusal::Unknown("unknown"))),
    };
    let known = link.as_ref().map(|_| user_id.as_str());
    let (acr, decision) = match level(visit, &principal, provider, &who, link.is_some()) {
        Ok(allowed) => allowed,
        Err(decision) => return Ok(asked.refuse_of(known, Some(&decision), Refusal::Policy)),
    };
    let Some(at) = proven_at(visit, attempt, &who) else {
        return Ok(asked.refuse_of(known, None, Refusal::Stale));
    };
    let proof = Proof { acr, amr: amr(acr, &who), at: Some(at), provider: Some(provider.id.clone()) };
    let mut tx = ctx.store.begin().await?;
    if let Some(user) = &new {
        let link = link_of(visit, provider, &who, &user_id);
        match create(&mut tx, user, &link).await {
            Ok(()) => {}
            // The name is somebody's, or the account just became somebody: neither is taken over.
            Err(StoreError::Conflict(_)) => return Ok(asked.refuse(Refusal::Unknown("username_taken"))),
            Err(error) => return Err(error.into()),
        }
        let created = visit.event(kind::USER_CHANGED, Outcome::Allowed, Some(&user_id)).decided(&decision);
        let created = created.with("change", "created").with("user_id", user_id.as_str());
        events::intake(&mut tx, &created.with("provider", provider.id.as_str())).await?;
    }
    upstream_links::touch(&mut tx, &provider.issuer, &who.subject, visit.now()).await?;
    let held = Held::of(&mut tx, &user_id).await?;
    ctx.metrics.logins.add((Factor::Upstream, Outcome::Allowed));
    let mut cookies: Vec<_> = visit.forget_attempt().into_iter().collect();
    if acr == Acr::One && held.has(CredentialKind::Totp) {
        tx.commit().await?;
        cookies.push(visit.remember(&user_id, proof)?);
        return Ok(see_other(&visit.site().path(&format!("/login/second{}", next.query())), cookies));
    }
    let before = visit.signed_in().await?;
    cookies.extend(visit.sign_in(tx, before, &user_id, &proof, Some(&decision)).await?);
    Ok(onward(visit, &next, cookies))
}

/// Goes on. An authorization request may end at a client's, and browsers hold every redirect after a form against the
/// `form-action` of that form's page: here the provider's, which cannot know our clients. A page ends that chain.
fn onward(visit: &Visit, next: &Next, cookies: Vec<HeaderValue>) -> Response {
    let to = next.path(visit.site());
    if next.flow.is_none() {
        return see_other(&to, cookies);
    }
    let page = Page::new(visit.site(), &Onward { frame: visit.frame(), to });
    cookies.into_iter().fold(page, |page, cookie| page.cookie(Some(cookie))).into_response()
}

async fn create(tx: &mut Tx, user: &User, link: &UpstreamLink) -> Result<(), StoreError> {
    users::insert(tx, user).await?;
    upstream_links::insert(tx, link).await
}

/// The strongest level that policy lets this account count as.
pub(super) fn level(
    visit: &Visit,
    principal: &Principal,
    provider: &Provider,
    who: &Identity,
    known: bool,
) -> Result<(Acr, Decision), Decision> {
    let ctx = visit.ctx();
    let mut said = claims::context(&who.subject, &who.claims);
    said.insert("known".to_owned(), known.into());
    let mut decision = Decision::deny(DenyReason::NoSnapshot, "".into());
    if let Some(snapshot) = ctx.engine.snapshot() {
        for acr in [Acr::Three, Acr::Two, Acr::One] {
            let facts = Facts { acr: acr.level(), ..Facts::at(visit.now()).address(visit.info.address) };
            let facts = ctx.engine.risk().told(principal.reference(), facts);
            let context = snapshot.prepare(ACTION, None, &WireContext::new(&facts, Some(&said)));
            decision = snapshot.decide_prepared(principal, ACTION, &provider.resource, &context);
            if decision.denied.is_none() {
                ctx.metrics.decisions.add((Point::Login, None));
                return Ok((acr, decision));
            }
        }
    }
    ctx.metrics.decided(Point::Login, &decision);
    Err(decision)
}

/// When they proved it. A provider that does not say may have asked them as long ago as a session lives. `None` when it had to
/// be later than that.
fn proven_at(visit: &Visit, attempt: &Attempt, who: &Identity) -> Option<Timestamp> {
    match (who.auth_time, attempt.since) {
        (Some(at), Some(since)) if at >= since => Some(at),
        (Some(at), Some(since)) => (at.plus(SKEW) >= since).then_some(since),
        (None, Some(_)) => None,
        (Some(at), None) => Some(at),
        (None, None) => Some(visit.now().minus(visit.ctx().settings.session_lifetime)),
    }
}

/// `fed`, and the provider's own methods where policy believes it about more than one of them.
fn amr(acr: Acr, who: &Identity) -> Vec<String> {
    let theirs = if acr > Acr::One { who.amr() } else { Vec::new() };
    std::iter::once("fed".to_owned()).chain(theirs).collect()
}

/// Somebody new, with what the provider says about them; `None` when it gives no usable name.
fn newcomer(visit: &Visit, provider: &Provider, who: &Identity) -> Option<User> {
    let ctx = visit.ctx();
    let mut members = Map::new();
    members.insert("username".to_owned(), who.text(&provider.username)?.into());
    let plain = members.clone();
    for name in ["name", "email"] {
        members.extend(who.text(name).map(|text| (name.to_owned(), Value::from(text))));
    }
    if members.contains_key("email") && who.claims.get("email_verified") == Some(&Value::Bool(true)) {
        members.insert("email_verified".to_owned(), true.into());
    }
    let make = |members| registry::user::create(members, visit.now(), &*ctx.rng).ok();
    // What cannot be shown is left out.
    make(&members).or_else(|| make(&plain))
}

/// The link of a person to this account. The issuer stands in it: a provider may be renamed, and what its id meant before
/// must not be believed of another.
pub(super) fn link_of(visit: &Visit, provider: &Provider, who: &Identity, user_id: &str) -> UpstreamLink {
    UpstreamLink {
        issuer: provider.issuer.clone(),
        subject: who.subject.clone(),
        user_id: user_id.to_owned(),
        label: who.label(),
        created_at: visit.now(),
        last_used_at: None,
    }
}
