//! `/login/logout`: the end of a session, of everything that was granted in it, and a word to the clients that want to be told.

use axum::response::{IntoResponse as _, Response};

use super::pages::{Confirm, Done};
use super::trouble::Trouble;
use super::visit::{Posted, Visit};
use crate::accounts::{self, Why};
use crate::http::browser::page::Page;
use crate::http::browser::see_other;

/// `GET /login/logout`: asks first, because a link to here may stand anywhere.
pub(super) async fn show(visit: Visit) -> Result<Response, Trouble> {
    let site = visit.site();
    let Some(signed) = visit.signed_in().await? else { return Ok(see_other(&site.path("/login/out"), [])) };
    let given = visit.given();
    let message = format!(
        "You are signed in as {}. Apps that you signed in to from this browser lose their access.",
        signed.user.user.username
    );
    let template = Confirm {
        frame: visit.frame(),
        csrf: given.token,
        action: site.path("/login/logout"),
        title: "Sign out?",
        message: &message,
        act: "Sign out",
        refuse: site.path("/account"),
        stay: "Stay signed in",
    };
    Ok(Page::new(site, &template).cookie(given.cookie).into_response())
}

/// `POST /login/logout`.
pub(super) async fn submit(posted: Posted) -> Result<Response, Trouble> {
    let Posted { visit, .. } = posted;
    let ctx = visit.ctx();
    if let Some(signed) = visit.signed_in().await? {
        let event = |kind, outcome| visit.event(kind, outcome, Some(&signed.session.user_id));
        let mut tx = ctx.store.begin().await?;
        let on = visit.occasion(&event, Why::Logout);
        let ended = accounts::end_session(&mut tx, &ctx.live, &signed.session, &on).await?;
        tx.commit().await?;
        ended.announce(&ctx.live);
    }
    Ok(see_other(&visit.site().path("/login/out"), ctx.sessions.forget()))
}

/// `GET /login/out`.
pub(super) async fn out(visit: Visit) -> Result<Response, Trouble> {
    let site = visit.site();
    let template = Done {
        frame: visit.frame(),
        title: "You are signed out",
        message: "You can close this window.",
        next: Some(("Sign in again", site.path("/login"))),
    };
    Ok(Page::new(site, &template).into_response())
}
