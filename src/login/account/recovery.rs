//! Recovery codes: made in one go, shown once, each good once.

use axum::response::{IntoResponse as _, Response};

use super::{changed, recently};
use crate::crypto::CryptoError;
use crate::crypto::recovery::{COUNT, digest, generate};
use crate::http::browser::page::Page;
use crate::login::held::Held;
use crate::login::pages::{Confirm, RecoveryCodes};
use crate::login::trouble::Trouble;
use crate::login::visit::{Posted, Visit};
use crate::model::CredentialKind;
use crate::store::credentials;

/// `GET /account/recovery`.
pub(in crate::login) async fn show(visit: Visit) -> Result<Response, Trouble> {
    let signed = recently(&visit, "recovery").await?;
    let held = Held::of(&mut visit.ctx().store.read().await?, &signed.session.user_id).await?;
    let given = visit.given();
    let site = visit.site();
    let message = if held.has(CredentialKind::Recovery) {
        "You get ten new codes, and the old ones stop working. They are shown once: keep them where your phone is not."
    } else {
        "You get ten codes for when your authenticator app is lost. They are shown once: keep them where your phone is not."
    };
    let template = Confirm {
        frame: visit.frame(),
        csrf: given.token,
        action: site.path("/account/recovery"),
        title: "Make recovery codes?",
        message,
        act: "Make codes",
        refuse: site.path("/account"),
        stay: "Not now",
    };
    Ok(Page::new(site, &template).cookie(given.cookie).into_response())
}

/// `POST /account/recovery`: the one answer that holds them.
pub(in crate::login) async fn submit(posted: Posted) -> Result<Response, Trouble> {
    let Posted { visit, .. } = posted;
    let signed = recently(&visit, "recovery").await?;
    let ctx = visit.ctx();
    let user_id = &signed.session.user_id;
    let codes: Vec<_> = (0..COUNT).map(|_| generate(&*ctx.rng)).collect();
    let mut tx = ctx.store.begin().await?;
    credentials::delete_kind(&mut tx, user_id, CredentialKind::Recovery).await?;
    for code in &codes {
        let digest = digest(code.expose()).ok_or(CryptoError::Refused)?;
        let credential = ctx.credential(user_id, CredentialKind::Recovery, "", &digest)?;
        credentials::insert(&mut tx, &credential).await?;
    }
    visit.commit(tx, &[changed(&visit, &signed, CredentialKind::Recovery, "replaced")]).await?;
    let site = visit.site();
    let template = RecoveryCodes {
        frame: visit.frame(),
        codes: codes.iter().map(|code| code.expose().clone()).collect(),
        back: site.path("/account?done=recovery"),
    };
    Ok(Page::new(site, &template).into_response())
}
