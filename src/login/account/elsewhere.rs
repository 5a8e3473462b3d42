//! Accounts at other providers that sign this person in: which there are, one more, one less.

use axum::extract::Path;
use axum::response::{IntoResponse as _, Response};
use http::StatusCode;

use super::recently;
use crate::accounts::{self, Why};
use crate::http::browser::page::Page;
use crate::http::browser::see_other;
use crate::http::session::SignedIn;
use crate::login::held::{Held, ways_in};
use crate::login::pages::{Alert, Elsewhere, Row};
use crate::login::trouble::Trouble;
use crate::login::upstream::{Offer, Purpose, begin};
use crate::login::visit::{Posted, Visit};
use crate::login::words::time;
use crate::model::event::kind;
use crate::model::{Event, UpstreamLink};
use crate::store::{StoreError, upstream_links, users};

/// Most accounts of one person.
const MOST: usize = 20;

const LAST: Alert = Alert::new(
    "Nothing was changed",
    "That account is the last way in that you have. Set a password or add a passkey first.",
    "",
);
const TAKEN: Alert = Alert::new(
    "Nothing was changed",
    "That account belongs to somebody here already, or you have as many as can be kept.",
    "",
);
const TOO_LATE: Alert = Alert::new("Nothing was changed", "That took too long. Link the account once more.", "");

/// `GET /account/elsewhere`.
pub(in crate::login) async fn show(visit: Visit) -> Result<Response, Trouble> {
    let signed = recently(&visit, "elsewhere").await?;
    Ok(page(&visit, &signed, None).await?.into_response())
}

async fn page(visit: &Visit, signed: &SignedIn, alert: Option<Alert>) -> Result<Page, Trouble> {
    let (ctx, site) = (visit.ctx(), visit.site());
    let links = upstream_links::of_user(&mut ctx.store.read().await?, &signed.session.user_id).await?;
    let linked = |issuer: &str| links.iter().any(|link| link.issuer == issuer);
    let others = ctx.providers.iter().filter(|provider| !linked(&provider.issuer));
    let given = visit.given();
    let template = Elsewhere {
        frame: visit.frame(),
        csrf: given.token,
        alert,
        linked: links.iter().map(|link| row(visit, link)).collect(),
        others: others
            .map(|provider| (provider.name.clone(), site.path(&format!("/account/elsewhere/{}", provider.id))))
            .collect(),
        remove: site.path("/account/elsewhere"),
        back: site.path("/account"),
    };
    Ok(Page::new(site, &template).cookie(given.cookie))
}

fn row(visit: &Visit, link: &UpstreamLink) -> Row {
    let provider = visit.ctx().providers.by_issuer(&link.issuer);
    let used = link.last_used_at.map(|at| format!(", last used {}", time(at))).unwrap_or_default();
    Row {
        what: format!("{}: {}", provider.map_or(link.issuer.as_str(), |provider| &provider.name), link.label),
        more: format!("linked {}{used}", time(link.created_at)),
        tag: provider.is_none().then_some("not in use"),
        id: format!("{} {}", link.issuer, link.subject),
    }
}

/// `GET /account/elsewhere/{provider}`: on the way to one more.
pub(in crate::login) async fn go(Path(id): Path<String>, visit: Visit) -> Result<Response, Trouble> {
    let signed = recently(&visit, "elsewhere").await?;
    let provider = visit.ctx().providers.get(&id).ok_or(Trouble::NotFound)?;
    if !visit.is_from_here() {
        return Err(Trouble::Elsewhere(visit.site().path("/account/elsewhere")));
    }
    begin(&visit, provider, None, Purpose::Link(signed.session.user_id)).await
}

/// `POST /account/elsewhere/{provider}`: the person agrees.
pub(in crate::login) async fn add(Path(id): Path<String>, posted: Posted) -> Result<Response, Trouble> {
    let Posted { visit, form } = posted;
    let signed = recently(&visit, "elsewhere").await?;
    let refuse = async |alert, status| Ok(page(&visit, &signed, Some(alert)).await?.status(status).into_response());
    let user_id = &signed.session.user_id;
    let provider = visit.ctx().providers.get(&id).ok_or(Trouble::NotFound)?;
    let Some(link) = Offer::open(&visit, &id, user_id, form.get("offer")).filter(|l| l.issuer == provider.issuer)
    else {
        return refuse(TOO_LATE, StatusCode::BAD_REQUEST).await;
    };
    let mut tx = visit.ctx().store.begin().await?;
    users::hold(&mut tx, user_id).await?;
    if upstream_links::of_user(&mut tx, user_id).await?.len() >= MOST {
        drop(tx);
        return refuse(TAKEN, StatusCode::CONFLICT).await;
    }
    match upstream_links::insert(&mut tx, &link).await {
        Ok(()) => {}
        Err(StoreError::Conflict(_)) => {
            drop(tx);
            return refuse(TAKEN, StatusCode::CONFLICT).await;
        }
        Err(error) => return Err(error.into()),
    }
    visit.commit(tx, &[changed(&visit, &signed, &link.issuer, "linked")]).await?;
    Ok(see_other(&visit.site().path("/account?done=linked"), []))
}

/// `POST /account/elsewhere`: one less, never the last way in. Whoever came in by it is out.
pub(in crate::login) async fn remove(posted: Posted) -> Result<Response, Trouble> {
    let Posted { visit, form } = posted;
    let signed = recently(&visit, "elsewhere").await?;
    let ctx = visit.ctx();
    let user_id = &signed.session.user_id;
    let (issuer, subject) = form.get("id").split_once(' ').ok_or(Trouble::NotFound)?;
    let mut tx = ctx.store.begin().await?;
    users::hold(&mut tx, user_id).await?;
    if !upstream_links::delete(&mut tx, user_id, issuer, subject).await? {
        return Err(Trouble::NotFound);
    }
    let held = Held::of(&mut tx, user_id).await?;
    if ways_in(&held, &upstream_links::of_user(&mut tx, user_id).await?, &ctx.providers) == 0 {
        drop(tx);
        return Ok(page(&visit, &signed, Some(LAST)).await?.status(StatusCode::CONFLICT).into_response());
    }
    let event = |kind, outcome| visit.event(kind, outcome, Some(user_id));
    let on = visit.occasion(&event, Why::Reset);
    let ended = accounts::end_sessions(&mut tx, &ctx.live, user_id, Some(&signed.session.session_id), &on).await?;
    visit.commit(tx, &[changed(&visit, &signed, issuer, "unlinked")]).await?;
    ended.announce(&ctx.live);
    Ok(see_other(&visit.site().path("/account?done=unlinked"), []))
}

fn changed(visit: &Visit, signed: &SignedIn, issuer: &str, change: &str) -> Event {
    let event = visit.done(kind::CREDENTIAL_CHANGED, signed).with("credential", "upstream").with("change", change);
    match visit.ctx().providers.by_issuer(issuer) {
        Some(provider) => event.with("provider", provider.id.as_str()),
        None => event.with("issuer", issuer),
    }
}
