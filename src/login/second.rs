//! `/login/second`: the authenticator app or a recovery code, after the right password.

use axum::response::{IntoResponse as _, Response};
use http::StatusCode;

use super::entry::leading;
use super::held::Held;
use super::next::Next;
use super::pages::{Alert, Second};
use super::pending::Pending;
use super::trouble::Trouble;
use super::visit::{Posted, Visit};
use crate::crypto::{recovery, totp};
use crate::http::browser::page::Page;
use crate::http::browser::see_other;
use crate::http::session::Proof;
use crate::model::event::kind;
use crate::model::{Acr, CredentialKind, Outcome};
use crate::store::{Tx, credentials};
use crate::telemetry::labels::Factor;

const WRONG_CODE: Alert = Alert::new(
    "That was not it",
    "The code does not fit, or was used before. Wait for the next one and type that.",
    "code",
);
const WRONG_RECOVERY: Alert =
    Alert::new("That was not it", "The recovery code does not fit, or was used before.", "code");
const TOO_OFTEN: Alert =
    Alert::new("Too many tries", "Wait a while before you try a code again. A passkey still signs you in.", "");

/// `GET /login/second`.
pub(super) async fn show(visit: Visit) -> Result<Response, Trouble> {
    let next = visit.next()?;
    let (_, held) = first_step(&visit, &next).await?;
    Ok(page(&visit, &next, &held, visit.query("with") == Some("recovery"), None).into_response())
}

/// Who has taken the first step in this browser, and may still take the second.
async fn first_step(visit: &Visit, next: &Next) -> Result<(Pending, Held), Trouble> {
    let again = || Trouble::Elsewhere(visit.site().path(&format!("/login{}", next.query())));
    let pending = visit.pending().ok_or_else(again)?;
    let user = visit.ctx().live.user(&pending.user_id).await?.filter(|user| !user.user.disabled);
    let held = Held::of(&mut visit.ctx().store.read().await?, &pending.user_id).await?;
    // A password that was changed since then was another one.
    let outdated = held.password().is_some_and(|password| password.created_at > pending.at);
    if user.is_none() || outdated || !held.has(CredentialKind::Totp) { Err(again()) } else { Ok((pending, held)) }
}

fn page(visit: &Visit, next: &Next, held: &Held, recovery: bool, alert: Option<Alert>) -> Page {
    let given = visit.given();
    let site = visit.site();
    let query = next.query();
    let join = if query.is_empty() { "?" } else { "&" };
    let here = site.path(&format!("/login/second{query}"));
    let with = format!("{here}{join}with=recovery");
    let template = Second {
        frame: visit.frame(),
        csrf: given.token,
        action: if recovery { with.clone() } else { here.clone() },
        alert,
        recovery,
        has_recovery: held.has(CredentialKind::Recovery),
        other: if recovery { here } else { with },
        restart: site.path(&format!("/login{query}")),
    };
    leading(Page::new(site, &template).cookie(given.cookie), visit, next)
}

/// `POST /login/second`.
pub(super) async fn submit(posted: Posted) -> Result<Response, Trouble> {
    let Posted { visit, form } = posted;
    let next = visit.next()?;
    let (pending, held) = first_step(&visit, &next).await?;
    let ctx = visit.ctx();
    let by_recovery = visit.query("with") == Some("recovery");
    let user_id = pending.user_id.as_str();
    let taken = match visit.guess_code(user_id) {
        Ok(taken) => taken,
        Err(wait) => {
            visit.refused(kind::RATE_LIMITED, Some(user_id), "code");
            let page = page(&visit, &next, &held, by_recovery, Some(TOO_OFTEN));
            return Ok(page.status(StatusCode::TOO_MANY_REQUESTS).retry_after(wait).into_response());
        }
    };
    let factor = if by_recovery { Factor::Recovery } else { Factor::Totp };
    let before = visit.signed_in().await?;
    let mut tx = ctx.store.begin().await?;
    let fits = if by_recovery {
        recovery_fits(&mut tx, user_id, form.get("recovery_code")).await?
    } else {
        code_fits(&visit, &mut tx, &held, form.get("code")).await?
    };
    if !fits {
        drop(tx);
        ctx.metrics.logins.add((factor, Outcome::Denied));
        visit.refused(kind::LOGIN_FAILED, Some(user_id), factor_name(factor));
        let alert = if by_recovery { WRONG_RECOVERY } else { WRONG_CODE };
        let page = page(&visit, &next, &held, by_recovery, Some(alert));
        return Ok(page.status(StatusCode::FORBIDDEN).into_response());
    }
    let mut amr = pending.amr.clone();
    for method in ["otp", "mfa"] {
        if !amr.iter().any(|known| known == method) {
            amr.push(method.to_owned());
        }
    }
    let proof = Proof { acr: Acr::Two, amr, at: pending.proven_at, provider: pending.provider.clone() };
    let mut cookies = visit.sign_in(tx, before, user_id, &proof, None).await?;
    visit.give_back(&taken);
    ctx.metrics.logins.add((factor, Outcome::Allowed));
    cookies.extend(visit.forget_pending());
    Ok(see_other(&next.path(visit.site()), cookies))
}

const fn factor_name(factor: Factor) -> &'static str {
    match factor {
        Factor::Recovery => "recovery",
        _ => "totp",
    }
}

/// Whether the code is right, and uses its step up.
async fn code_fits(visit: &Visit, tx: &mut Tx, held: &Held, typed: &str) -> Result<bool, Trouble> {
    let Some((credential, seed)) = held.totp(&visit.ctx().sealer) else { return Ok(false) };
    match totp::check(&seed, typed, visit.now(), credential.last_step) {
        Some(step) => Ok(credentials::use_step(tx, &credential.credential_id, step, visit.now()).await?),
        None => Ok(false),
    }
}

/// Whether the recovery code is right, and uses it up.
async fn recovery_fits(tx: &mut Tx, user_id: &str, typed: &str) -> Result<bool, Trouble> {
    match recovery::digest(typed) {
        Some(digest) => Ok(credentials::use_recovery(tx, user_id, &digest).await?),
        None => Ok(false),
    }
}
