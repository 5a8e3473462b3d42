//! `/device` (RFC 8628 3.3): a person types the code that a device shows, sees what asks, and decides once.

use axum::response::{IntoResponse as _, Response};
use http::StatusCode;

use super::pages::{Alert, Device, DeviceConfirm, Done};
use super::trouble::Trouble;
use super::visit::{Posted, Visit};
use crate::base::id;
use crate::http::browser::page::Page;
use crate::http::session::SignedIn;
use crate::model::event::kind;
use crate::model::{Consent, DeviceCode, DeviceState, Event, Grant, Outcome};
use crate::store::{consents, device_codes, grants};

const UNKNOWN: Alert = Alert::new(
    "That code does not fit",
    "Check it against the one on your device. Codes end after a few minutes: your device may show a new one.",
    "user_code",
);
const TOO_OFTEN: Alert = Alert::new("Too many tries", "Wait a while before you try another code.", "");

/// The one spelling of a user code: upper case, without dashes and spaces.
fn fold(typed: &str) -> String {
    typed.chars().filter(char::is_ascii_alphanumeric).take(32).map(|c| c.to_ascii_uppercase()).collect()
}

/// As the device shows it: in two halves.
fn shown(user_code: &str) -> String {
    match user_code.split_at_checked(user_code.len() / 2) {
        Some((first, second)) if user_code.len() >= 6 => format!("{first}-{second}"),
        _ => user_code.to_owned(),
    }
}

async fn person(visit: &Visit, user_code: &str) -> Result<SignedIn, Trouble> {
    let code = fold(user_code);
    let code = if code.is_empty() { String::new() } else { format!("&user_code={code}") };
    let first = || Trouble::Elsewhere(visit.site().path(&format!("/login?again=device{code}")));
    visit.signed_in().await?.ok_or_else(first)
}

/// `GET /device`: the empty form, or, with the code in the link (RFC 8628 3.3.1), what asks.
pub(super) async fn show(visit: Visit) -> Result<Response, Trouble> {
    let typed = visit.query("user_code").unwrap_or_default().to_owned();
    let signed = person(&visit, &typed).await?;
    if typed.is_empty() {
        return Ok(form(&visit, "", None).into_response());
    }
    ask(&visit, &signed, &typed).await
}

/// `POST /device`.
pub(super) async fn submit(posted: Posted) -> Result<Response, Trouble> {
    let Posted { visit, form } = posted;
    let typed = form.get("user_code");
    let signed = person(&visit, typed).await?;
    ask(&visit, &signed, typed).await
}

fn form(visit: &Visit, user_code: &str, alert: Option<Alert>) -> Page {
    let given = visit.given();
    let site = visit.site();
    let template = Device { frame: visit.frame(), csrf: given.token, action: site.path("/device"), alert, user_code };
    Page::new(site, &template).cookie(given.cookie)
}

/// The authorization that waits under this code; a wrong code is a guess.
async fn waiting(visit: &Visit, signed: &SignedIn, typed: &str) -> Result<Result<DeviceCode, Response>, Trouble> {
    let taken = match visit.guess_device(&signed.session.session_id) {
        Ok(taken) => taken,
        Err(wait) => {
            visit.refused(kind::RATE_LIMITED, Some(&signed.session.user_id), "user_code");
            let page = form(visit, typed, Some(TOO_OFTEN)).status(StatusCode::TOO_MANY_REQUESTS).retry_after(wait);
            return Ok(Err(page.into_response()));
        }
    };
    let ctx = visit.ctx();
    let found = device_codes::by_user_code(&mut ctx.store.read().await?, &fold(typed)).await?;
    let waits = |code: &DeviceCode| code.state == DeviceState::Pending && code.expires_at > visit.now();
    match found.filter(waits) {
        Some(code) => {
            visit.give_back(&taken);
            Ok(Ok(code))
        }
        None => Ok(Err(form(visit, typed, Some(UNKNOWN)).status(StatusCode::BAD_REQUEST).into_response())),
    }
}

async fn ask(visit: &Visit, signed: &SignedIn, typed: &str) -> Result<Response, Trouble> {
    let code = match waiting(visit, signed, typed).await? {
        Ok(code) => code,
        Err(page) => return Ok(page),
    };
    let ctx = visit.ctx();
    let client = ctx.live.client(&code.client_id).filter(|client| !client.client.disabled).ok_or(Trouble::NotFound)?;
    let given = visit.given();
    let site = visit.site();
    let template = DeviceConfirm {
        frame: visit.frame(),
        csrf: given.token,
        action: site.path("/device/allow"),
        client: client.client.display_name(),
        username: &signed.user.user.username,
        user_code: &shown(&code.user_code),
        scopes: code.scopes.iter().map(|scope| ctx.words(scope)).collect(),
        refuse: site.path(&format!("/device/refuse?user_code={}", code.user_code)),
    };
    Ok(Page::new(site, &template).cookie(given.cookie).into_response())
}

/// `POST /device/allow`: a family of tokens that the device will fetch.
pub(super) async fn allow(posted: Posted) -> Result<Response, Trouble> {
    let Posted { visit, form } = posted;
    let typed = form.get("user_code");
    let signed = person(&visit, typed).await?;
    let code = match waiting(&visit, &signed, typed).await? {
        Ok(code) => code,
        Err(page) => return Ok(page),
    };
    let ctx = visit.ctx();
    let now = visit.now();
    let session = &signed.session;
    let grant = Grant {
        grant_id: id::new("gr", now, &*ctx.rng),
        client_id: code.client_id.clone(),
        user_id: session.user_id.clone(),
        // It lives on when the person leaves this browser.
        session_id: None,
        scopes: code.scopes.clone(),
        resources: code.resources.clone(),
        acr: session.acr,
        amr: session.amr.clone(),
        auth_time: session.auth_time,
        nonce: None,
        dpop_jkt: code.dpop_jkt.clone(),
        created_at: now,
        expires_at: now.plus(ctx.settings.grant_lifetime),
        revoked_at: None,
    };
    let consent = Consent {
        user_id: session.user_id.clone(),
        client_id: code.client_id.clone(),
        scopes: code.scopes.clone(),
        resources: code.resources.clone(),
        given_at: now,
    };
    let mut tx = ctx.store.begin().await?;
    grants::insert(&mut tx, &grant).await?;
    consents::give(&mut tx, &consent).await?;
    if !device_codes::approve(&mut tx, &code.user_code, &grant.grant_id, now).await? {
        drop(tx);
        return Ok(self::form(&visit, "", Some(UNKNOWN)).status(StatusCode::BAD_REQUEST).into_response());
    }
    let event = decided(&visit, &signed, &code, Outcome::Allowed).with("gid", grant.grant_id.as_str());
    visit.commit(tx, &[event]).await?;
    done(&visit, "Your device is connected", "It will go on by itself in a moment. You can close this window.")
}

/// `GET /device/refuse`: the link beside the button. What it does to whom is in the code that only they have seen.
pub(super) async fn refuse(visit: Visit) -> Result<Response, Trouble> {
    let typed = visit.query("user_code").unwrap_or_default().to_owned();
    let signed = person(&visit, &typed).await?;
    if visit.headers.get("sec-fetch-site").is_some_and(|site| site != "same-origin" && site != "none") {
        return ask(&visit, &signed, &typed).await;
    }
    let code = match waiting(&visit, &signed, &typed).await? {
        Ok(code) => code,
        Err(page) => return Ok(page),
    };
    let mut tx = visit.ctx().store.begin().await?;
    if device_codes::deny(&mut tx, &code.user_code, visit.now()).await? {
        let event = decided(&visit, &signed, &code, Outcome::Denied);
        visit.commit(tx, &[event]).await?;
    }
    done(
        &visit,
        "Nothing was allowed",
        "The device was told. If you did not ask it to connect, somebody else may have: ignore their request.",
    )
}

fn decided(visit: &Visit, signed: &SignedIn, code: &DeviceCode, outcome: Outcome) -> Event {
    let mut event = visit.done(kind::DEVICE_DECIDED, signed);
    event.outcome = outcome;
    event.with("client_id", code.client_id.as_str()).with("scope", code.scopes.join(" "))
}

fn done(visit: &Visit, title: &str, message: &str) -> Result<Response, Trouble> {
    let site = visit.site();
    let next = Some(("Go to your account", site.path("/account")));
    Ok(Page::new(site, &Done { frame: visit.frame(), title, message, next }).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_has_one_spelling_however_it_is_typed() {
        for typed in ["WDJB-MJHT", "wdjbmjht", " wdjb mjht ", "W-D-J-B-M-J-H-T"] {
            assert_eq!(fold(typed), "WDJBMJHT", "{typed}");
        }
        assert_eq!((shown("WDJBMJHT"), shown("AB")), ("WDJB-MJHT".to_owned(), "AB".to_owned()));
    }
}
