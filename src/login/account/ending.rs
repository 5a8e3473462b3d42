//! Ending a session somewhere else; taking back what an app was allowed.

use axum::response::Response;

use super::person;
use crate::accounts::{self, Why};
use crate::http::browser::see_other;
use crate::login::trouble::Trouble;
use crate::login::visit::Posted;
use crate::model::event::kind;
use crate::store::grants::Of;
use crate::store::{consents, sessions};

/// `POST /account/sessions/end`.
pub(super) async fn session(posted: Posted) -> Result<Response, Trouble> {
    let Posted { visit, form } = posted;
    let signed = person(&visit).await?;
    let ctx = visit.ctx();
    let user_id = &signed.session.user_id;
    let event = |kind, outcome| visit.event(kind, outcome, Some(user_id));
    let on = visit.occasion(&event, Why::Ended);
    let mut tx = ctx.store.begin().await?;
    // Only the person's own.
    let found = sessions::by_id(&mut tx, form.get("id")).await?.filter(|session| &session.user_id == user_id);
    let session = found.ok_or(Trouble::NotFound)?;
    let ended = accounts::end_session(&mut tx, &ctx.live, &session, &on).await?;
    tx.commit().await?;
    ended.announce(&ctx.live);
    if session.session_id == signed.session.session_id {
        return Ok(see_other(&visit.site().path("/login/out"), ctx.sessions.forget()));
    }
    Ok(see_other(&visit.site().path("/account?done=session"), []))
}

/// `POST /account/apps/withdraw`.
pub(super) async fn app(posted: Posted) -> Result<Response, Trouble> {
    let Posted { visit, form } = posted;
    let signed = person(&visit).await?;
    let ctx = visit.ctx();
    let (user_id, client_id) = (signed.session.user_id.as_str(), form.get("id"));
    let event = |kind, outcome| visit.event(kind, outcome, Some(user_id));
    let on = visit.occasion(&event, Why::Withdrawn);
    let mut tx = ctx.store.begin().await?;
    if !consents::withdraw(&mut tx, user_id, client_id).await? {
        return Err(Trouble::NotFound);
    }
    let ended = accounts::revoke(&mut tx, Of::Pair { user_id, client_id }, &on).await?;
    let withdrawn = visit.done(kind::CONSENT_WITHDRAWN, &signed).with("client_id", client_id);
    visit.commit(tx, &[withdrawn]).await?;
    ended.announce(&ctx.live);
    Ok(see_other(&visit.site().path("/account?done=app"), []))
}
