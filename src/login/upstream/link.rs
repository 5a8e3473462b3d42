//! Linking an account elsewhere to a person here: the answer is shown to them first, and counts once they agree.

use std::time::Duration;

use axum::response::{IntoResponse as _, Response};
use serde::{Deserialize, Serialize};

use super::enter;
use super::identity::Identity;
use super::refusal::{Asked, Refusal};
use crate::base::Timestamp;
use crate::crypto::{CryptoError, b64url};
use crate::http::browser::page::Page;
use crate::http::browser::see_other;
use crate::login::account::recently;
use crate::login::pages::LinkAccount;
use crate::login::trouble::Trouble;
use crate::login::visit::Visit;
use crate::model::UpstreamLink;
use crate::store::upstream_links;

/// How long an offer may lie on a page.
const LIFETIME: Duration = Duration::from_secs(300);

/// An account that somebody has shown to be theirs, sealed for the person who is to agree.
#[derive(Serialize, Deserialize)]
pub(in crate::login) struct Offer {
    at: Timestamp,
    link: UpstreamLink,
}

fn place(visit: &Visit, provider: &str, user_id: &str) -> String {
    format!("upstream-link:{}:{provider}:{user_id}", visit.site().issuer())
}

impl Offer {
    fn seal(self, visit: &Visit, provider: &str, user_id: &str) -> Result<String, Trouble> {
        let plain = serde_json::to_vec(&self).map_err(|_| CryptoError::Refused)?;
        let place = place(visit, provider, user_id);
        let sealed = visit.ctx().sealer.seal_often(place.as_bytes(), &plain, &*visit.ctx().rng)?;
        Ok(b64url::encode(&sealed))
    }

    /// What was offered to `user_id`, in time.
    pub(in crate::login) fn open(visit: &Visit, provider: &str, user_id: &str, text: &str) -> Option<UpstreamLink> {
        let place = place(visit, provider, user_id);
        let plain = visit.ctx().sealer.open(place.as_bytes(), &b64url::decode_strict(text)?).ok()?;
        let offer: Self = serde_json::from_slice(plain.expose()).ok()?;
        (visit.now() < offer.at.plus(LIFETIME)).then_some(offer.link)
    }
}

/// Asks the person whether this account is to sign them in. They must be the one who began it, and have signed in lately (E8).
pub(super) async fn offer(asked: &Asked<'_>, who: Identity, user_id: &str) -> Result<Response, Trouble> {
    let (visit, provider) = (asked.visit, asked.provider);
    let signed = recently(visit, "elsewhere").await?;
    if signed.session.user_id != user_id {
        return Ok(asked.refuse(Refusal::Over));
    }
    if let Err(decision) = enter::level(visit, &signed.user.principal, provider, &who, false) {
        return Ok(asked.refuse_of(Some(user_id), Some(&decision), Refusal::Policy));
    }
    let site = visit.site();
    let found = upstream_links::find(&mut visit.ctx().store.read().await?, &provider.issuer, &who.subject).await?;
    match found {
        Some(link) if link.user_id == user_id => {
            return Ok(see_other(&site.path("/account/elsewhere"), visit.forget_attempt()));
        }
        Some(_) => return Ok(asked.refuse_of(Some(user_id), None, Refusal::Taken)),
        None => {}
    }
    let link = enter::link_of(visit, provider, &who, user_id);
    let label = link.label.clone();
    let offer = Offer { at: visit.now(), link }.seal(visit, &provider.id, user_id)?;
    let given = visit.given();
    let template = LinkAccount {
        frame: visit.frame(),
        csrf: given.token,
        action: site.path(&format!("/account/elsewhere/{}", provider.id)),
        provider: &provider.name,
        label: &label,
        username: &signed.user.user.username,
        offer: &offer,
        back: site.path("/account/elsewhere"),
    };
    Ok(Page::new(site, &template).cookie(given.cookie).cookie(visit.forget_attempt()).into_response())
}
