//! A new password: the old one first, then everything that was reached with it ends.

use axum::response::{IntoResponse as _, Response};
use http::StatusCode;

use super::{changed, recently};
use crate::accounts::{self, Why};
use crate::crypto::password::{LONGEST, Password, SHORTEST};
use crate::http::browser::page::Page;
use crate::http::browser::see_other;
use crate::http::session::{Proof, SignedIn};
use crate::login::held::Held;
use crate::login::pages::{Alert, ChangePassword};
use crate::login::trouble::Trouble;
use crate::login::visit::{Posted, Visit};
use crate::model::CredentialKind;
use crate::model::event::kind;
use crate::store::credentials;
use crate::store::grants::Of;

const WRONG: Alert = Alert::new("Nothing was changed", "Your current password is not that. Type it again.", "current");
const UNEQUAL: Alert =
    Alert::new("Nothing was changed", "The two new passwords are not the same. Type both again.", "again");
const UNFIT: Alert = Alert::new(
    "Nothing was changed",
    "Choose a new password of 12 to 128 characters that is not your username or your current one.",
    "new",
);
const TOO_OFTEN: Alert = Alert::new("Too many tries", "Wait a while before you try again.", "");

/// `GET /account/password`.
pub(in crate::login) async fn show(visit: Visit) -> Result<Response, Trouble> {
    let signed = recently(&visit, "password").await?;
    let held = Held::of(&mut visit.ctx().store.read().await?, &signed.session.user_id).await?;
    Ok(page(&visit, &signed, &held, None).into_response())
}

fn page(visit: &Visit, signed: &SignedIn, held: &Held, alert: Option<Alert>) -> Page {
    let given = visit.given();
    let site = visit.site();
    let template = ChangePassword {
        frame: visit.frame(),
        csrf: given.token,
        action: site.path("/account/password"),
        alert,
        username: &signed.user.user.username,
        has_password: held.has(CredentialKind::Password),
        shortest: SHORTEST,
        longest: LONGEST,
        back: site.path("/account"),
    };
    Page::new(site, &template).cookie(given.cookie)
}

/// `POST /account/password`.
pub(in crate::login) async fn submit(posted: Posted) -> Result<Response, Trouble> {
    let Posted { visit, form } = posted;
    let signed = recently(&visit, "password").await?;
    let ctx = visit.ctx();
    let user = &signed.user.user;
    let held = Held::of(&mut ctx.store.read().await?, &user.user_id).await?;
    let refuse = |alert, status| Ok(page(&visit, &signed, &held, Some(alert)).status(status).into_response());
    if form.get("new") != form.get("again") {
        return refuse(UNEQUAL, StatusCode::BAD_REQUEST);
    }
    let new = Password::new(form.get("new")).ok().filter(|new| new.may_be_chosen(&user.username));
    let Some(new) = new.filter(|new| new.expose() != form.get("current")) else {
        return refuse(UNFIT, StatusCode::BAD_REQUEST);
    };
    if let Some(stored) = held.password_hash() {
        let taken = match visit.guess_password(&user.username) {
            Ok(taken) => taken,
            Err(_) => return refuse(TOO_OFTEN, StatusCode::TOO_MANY_REQUESTS),
        };
        let fits = match Password::new(form.get("current")) {
            Ok(current) => ctx.hasher.verify(current, Some(stored)).await?.fits(),
            Err(_) => false,
        };
        if !fits {
            visit.refused(kind::LOGIN_FAILED, Some(&user.user_id), "password");
            return refuse(WRONG, StatusCode::FORBIDDEN);
        }
        visit.give_back(&taken);
    }
    let hash = ctx.hasher.hash(new).await?;
    let credential = ctx.credential(&user.user_id, CredentialKind::Password, "", hash.as_bytes())?;
    let session = &signed.session;
    let mut tx = ctx.store.begin().await?;
    credentials::delete_kind(&mut tx, &user.user_id, CredentialKind::Password).await?;
    credentials::insert(&mut tx, &credential).await?;
    let event = |kind, outcome| visit.event(kind, outcome, Some(&user.user_id));
    let on = visit.occasion(&event, Why::Reset);
    let ended = accounts::end_sessions(&mut tx, &ctx.live, &user.user_id, Some(&session.session_id), &on).await?;
    let ended = ended.and(accounts::revoke(&mut tx, Of::User(&user.user_id), &on).await?);
    let proof = Proof::here(session.acr, session.amr.clone());
    let from = (&*visit.info, &visit.headers);
    let (fresh, _) = ctx.sessions.start(&mut tx, (&user.user_id, &proof), from, Some(&signed), &on).await?;
    visit.commit(tx, &[changed(&visit, &signed, CredentialKind::Password, "replaced")]).await?;
    ended.announce(&ctx.live);
    Ok(see_other(&visit.site().path("/account?done=password"), fresh.cookies))
}
