//! `/consent`: a person allows a client what it asks for. Written down once; the authorization endpoint asks again only for
//! more.

use std::sync::Arc;

use axum::response::{IntoResponse as _, Response};

use super::entry::leading;
use super::next::Next;
use super::pages;
use super::trouble::Trouble;
use super::visit::{Posted, Visit};
use crate::http::browser::page::Page;
use crate::http::browser::see_other;
use crate::http::flow::{Authorization, Flow};
use crate::http::session::SignedIn;
use crate::live::LiveClient;
use crate::model::Consent;
use crate::model::event::kind;
use crate::store::consents;

/// A flow whose person is signed in.
struct Asking {
    next: Next,
    flow: Flow,
    signed: SignedIn,
    client: Arc<LiveClient>,
    asked: Authorization,
}

async fn asking(visit: &Visit) -> Result<Asking, Trouble> {
    let next = visit.next()?;
    let flow = next.flow.clone().ok_or(Trouble::NoFlow)?;
    let ctx = visit.ctx();
    let again = || Trouble::Elsewhere(visit.site().path(&format!("/login{}", next.query())));
    let signed = visit.signed_in().await?.ok_or_else(again)?;
    if !flow.needs.are_met(signed.session.acr, signed.session.auth_time) {
        return Err(again());
    }
    let client = ctx.live.client(&flow.client_id).filter(|client| !client.client.disabled).ok_or(Trouble::NoFlow)?;
    let mut asked = flow.authorization(&ctx.store).await?.ok_or(Trouble::NoFlow)?;
    if asked.resources.is_empty() {
        asked.resources.push(client.client.default_resource.clone());
    }
    Ok(Asking { next, flow, signed, client, asked })
}

/// `GET /consent`.
pub(super) async fn show(visit: Visit) -> Result<Response, Trouble> {
    let Asking { next, flow, signed, client, asked } = asking(&visit).await?;
    let given = visit.given();
    let site = visit.site();
    let host = |uri: &str| uri.strip_prefix("https://").and_then(|rest| rest.split('/').next()).map(str::to_owned);
    let template = pages::Consent {
        frame: visit.frame(),
        csrf: given.token,
        action: site.path(&format!("/consent{}", next.query())),
        client: client.client.display_name(),
        client_host: host(&asked.redirect_uri),
        unchecked: client.client.is_dynamic(),
        described_at: host(&client.client.client_id),
        username: &signed.user.user.username,
        scopes: asked.scopes.iter().map(|scope| visit.ctx().words(scope)).collect(),
        resources: asked.resources.into_iter().filter(|resource| resource != site.issuer()).collect(),
        refuse: site.path(&flow.refuse_path()),
        account: site.path("/account"),
    };
    Ok(leading(Page::new(site, &template).cookie(given.cookie), &visit, &next).into_response())
}

/// `POST /consent`.
pub(super) async fn submit(posted: Posted) -> Result<Response, Trouble> {
    let Posted { visit, .. } = posted;
    let Asking { flow, signed, client, asked, .. } = asking(&visit).await?;
    let consent = Consent {
        user_id: signed.session.user_id.clone(),
        client_id: client.client.client_id.clone(),
        scopes: asked.scopes,
        resources: asked.resources,
        given_at: visit.now(),
    };
    let mut tx = visit.ctx().store.begin().await?;
    consents::give(&mut tx, &consent).await?;
    let event = visit.done(kind::CONSENT_GIVEN, &signed).with("client_id", consent.client_id.as_str());
    let event = event.with("scope", consent.scopes.join(" ")).with("resources", consent.resources.clone());
    visit.commit(tx, &[event]).await?;
    Ok(see_other(&visit.site().path(&flow.continue_path()), []))
}
