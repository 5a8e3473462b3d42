//! Adding and removing passkeys.

use axum::response::{IntoResponse as _, Response};
use http::StatusCode;

use super::{changed, recently};
use crate::http::browser::page::Page;
use crate::http::browser::see_other;
use crate::http::session::SignedIn;
use crate::login::held::{Held, ways_in};
use crate::login::pages::{AddPasskey, Alert};
use crate::login::trouble::Trouble;
use crate::login::visit::{Posted, Visit};
use crate::login::words::browser;
use crate::model::CredentialKind;
use crate::store::{credentials, upstream_links, users};

/// Most passkeys of one person.
const MOST: usize = 20;
/// Longest name of one.
const NAME: usize = 64;

const REFUSED: Alert =
    Alert::new("No passkey was added", "Your browser's answer could not be used. Try it once more.", "");
const LAST: Alert = Alert::new(
    "No passkey was removed",
    "It is the last way in that you have. Set a password or add another first.",
    "",
);
const ENOUGH: Alert = Alert::new("No passkey was added", "You have as many as can be kept. Remove one first.", "");

/// `GET /account/passkeys`.
pub(in crate::login) async fn show(visit: Visit) -> Result<Response, Trouble> {
    let signed = recently(&visit, "passkeys").await?;
    Ok(page(&visit, &signed, None).await?.into_response())
}

async fn page(visit: &Visit, signed: &SignedIn, alert: Option<Alert>) -> Result<Page, Trouble> {
    let ctx = visit.ctx();
    let site = visit.site();
    let held = Held::of(&mut ctx.store.read().await?, &signed.session.user_id).await?;
    let known = held.passkeys(&ctx.sealer).iter().map(|(_, passkey)| passkey.cred_id().clone()).collect();
    let passkey = match &visit.server.passkeys {
        Some(passkeys) => Some(passkeys.offer(ctx, &signed.user.user, known, site.path("/account/passkeys"))?),
        None => None,
    };
    let given = visit.given();
    let template = AddPasskey { frame: visit.frame(), csrf: given.token, alert, passkey, back: site.path("/account") };
    Ok(Page::new(site, &template).with_script(site).cookie(given.cookie))
}

/// `POST /account/passkeys`.
pub(in crate::login) async fn submit(posted: Posted) -> Result<Response, Trouble> {
    let Posted { visit, form } = posted;
    let signed = recently(&visit, "passkeys").await?;
    let ctx = visit.ctx();
    let user_id = &signed.session.user_id;
    let refuse = async |alert| {
        let page = page(&visit, &signed, Some(alert)).await?;
        Ok(page.status(StatusCode::BAD_REQUEST).into_response())
    };
    let held = Held::of(&mut ctx.store.read().await?, user_id).await?;
    if held.all(CredentialKind::Passkey).count() >= MOST {
        return refuse(ENOUGH).await;
    }
    let Some(passkeys) = &visit.server.passkeys else { return Err(Trouble::NotFound) };
    let Ok((passkey, answered)) = passkeys.made(ctx, user_id, form.get("state"), form.get("answer")) else {
        return refuse(REFUSED).await;
    };
    let label: String = form.get("label").trim().chars().filter(|c| !c.is_control()).take(NAME).collect();
    let label = if label.is_empty() { browser(signed.session.user_agent.as_deref()) } else { label };
    let plain = serde_json::to_vec(&passkey).map_err(|_| crate::crypto::CryptoError::Refused)?;
    let credential = ctx.credential(user_id, CredentialKind::Passkey, &label, &plain)?;
    let mut tx = ctx.store.begin().await?;
    if !answered.use_up(&mut tx).await? {
        drop(tx);
        return refuse(REFUSED).await;
    }
    credentials::insert(&mut tx, &credential).await?;
    let event = changed(&visit, &signed, CredentialKind::Passkey, "added");
    visit.commit(tx, &[event.with("credential_id", credential.credential_id.as_str())]).await?;
    Ok(see_other(&visit.site().path("/account?done=passkey"), []))
}

/// `POST /account/passkeys/remove`.
pub(in crate::login) async fn remove(posted: Posted) -> Result<Response, Trouble> {
    let Posted { visit, form } = posted;
    let signed = recently(&visit, "passkeys").await?;
    let id = form.get("id");
    let ctx = visit.ctx();
    let mut tx = ctx.store.begin().await?;
    users::hold(&mut tx, &signed.session.user_id).await?;
    // Passkeys alone go this way, and only the person's own.
    let held = Held::of(&mut tx, &signed.session.user_id).await?;
    let is_passkey = held.all(CredentialKind::Passkey).any(|credential| credential.credential_id == id);
    if !is_passkey || !credentials::delete(&mut tx, &signed.session.user_id, id).await? {
        return Err(Trouble::NotFound);
    }
    let links = upstream_links::of_user(&mut tx, &signed.session.user_id).await?;
    if ways_in(&held, &links, &ctx.providers) == 1 {
        drop(tx);
        return Ok(page(&visit, &signed, Some(LAST)).await?.status(StatusCode::CONFLICT).into_response());
    }
    let event = changed(&visit, &signed, CredentialKind::Passkey, "removed").with("credential_id", id);
    visit.commit(tx, &[event]).await?;
    Ok(see_other(&visit.site().path("/account?done=passkey-off"), []))
}
