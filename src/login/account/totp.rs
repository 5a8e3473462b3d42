//! The authenticator app: a seed is shown, and kept only once a code of it came back.

use std::time::Duration;

use axum::response::{IntoResponse as _, Response};
use http::StatusCode;
use serde::{Deserialize, Serialize};

use super::{changed, recently};
use crate::base::Timestamp;
use crate::crypto::totp::{self, Seed};
use crate::crypto::{CryptoError, b64url};
use crate::http::browser::page::Page;
use crate::http::browser::see_other;
use crate::http::session::SignedIn;
use crate::login::held::Held;
use crate::login::pages::{Alert, Confirm, SetUpTotp};
use crate::login::qr;
use crate::login::trouble::Trouble;
use crate::login::visit::{Posted, Visit};
use crate::model::CredentialKind;
use crate::store::credentials;

/// How long a seed that was shown may still be taken.
const LIFETIME: Duration = Duration::from_secs(900);

const WRONG: Alert = Alert::new(
    "That was not it",
    "The code does not fit. Check that the secret arrived in your app and that the clocks agree, then type the next code.",
    "code",
);

/// A seed on its way to an app and back, sealed for one person.
#[derive(Serialize, Deserialize)]
struct Setup {
    at: Timestamp,
    seed: String,
}

fn place(visit: &Visit, signed: &SignedIn) -> String {
    format!("totp-setup:{}:{}", visit.site().issuer(), signed.session.user_id)
}

fn seal(visit: &Visit, signed: &SignedIn, seed: &Seed) -> Result<String, Trouble> {
    let setup = Setup { at: visit.now(), seed: b64url::encode(seed.expose()) };
    let plain = zeroize::Zeroizing::new(serde_json::to_vec(&setup).map_err(|_| CryptoError::Refused)?);
    let sealed = visit.ctx().sealer.seal_often(place(visit, signed).as_bytes(), &plain, &*visit.ctx().rng)?;
    Ok(b64url::encode(&sealed))
}

fn open(visit: &Visit, signed: &SignedIn, setup: &str) -> Option<Seed> {
    let plain = visit.ctx().sealer.open(place(visit, signed).as_bytes(), &b64url::decode_strict(setup)?).ok()?;
    let setup: Setup = serde_json::from_slice(plain.expose()).ok()?;
    let seed = Seed::from_bytes(b64url::decode_strict(&setup.seed)?);
    (visit.now() < setup.at.plus(LIFETIME)).then_some(seed)
}

/// `GET /account/totp`.
pub(in crate::login) async fn show(visit: Visit) -> Result<Response, Trouble> {
    let signed = recently(&visit, "totp").await?;
    let seed = Seed::generate(&*visit.ctx().rng);
    Ok(page(&visit, &signed, &seed, None).await?.into_response())
}

async fn page(visit: &Visit, signed: &SignedIn, seed: &Seed, alert: Option<Alert>) -> Result<Page, Trouble> {
    let held = Held::of(&mut visit.ctx().store.read().await?, &signed.session.user_id).await?;
    let given = visit.given();
    let site = visit.site();
    let text = seed.text();
    // In groups of four, for whoever types it.
    let grouped: Vec<String> =
        text.expose().chars().collect::<Vec<_>>().chunks(4).map(|c| c.iter().collect()).collect();
    let uri = seed.uri(site.host(), &signed.user.user.username);
    let template = SetUpTotp {
        frame: visit.frame(),
        csrf: given.token,
        action: site.path("/account/totp"),
        alert,
        replaces: held.has(CredentialKind::Totp),
        secret: &grouped.join(" "),
        uri: uri.expose(),
        qr: qr::draw(uri.expose()),
        setup: seal(visit, signed, seed)?,
        back: site.path("/account"),
    };
    Ok(Page::new(site, &template).cookie(given.cookie))
}

/// `POST /account/totp`.
pub(in crate::login) async fn submit(posted: Posted) -> Result<Response, Trouble> {
    let Posted { visit, form } = posted;
    let signed = recently(&visit, "totp").await?;
    let ctx = visit.ctx();
    let Some(seed) = open(&visit, &signed, form.get("setup")) else {
        return Err(Trouble::Elsewhere(visit.site().path("/account/totp")));
    };
    let Some(step) = totp::check(&seed, form.get("code"), visit.now(), None) else {
        return Ok(page(&visit, &signed, &seed, Some(WRONG)).await?.status(StatusCode::FORBIDDEN).into_response());
    };
    let user_id = &signed.session.user_id;
    let mut credential = ctx.credential(user_id, CredentialKind::Totp, "", seed.expose())?;
    credential.last_step = Some(step);
    let mut tx = ctx.store.begin().await?;
    credentials::delete_kind(&mut tx, user_id, CredentialKind::Totp).await?;
    credentials::insert(&mut tx, &credential).await?;
    visit.commit(tx, &[changed(&visit, &signed, CredentialKind::Totp, "set up")]).await?;
    Ok(see_other(&visit.site().path("/account?done=totp"), []))
}

/// `GET /account/totp/remove`.
pub(in crate::login) async fn ask_removal(visit: Visit) -> Result<Response, Trouble> {
    recently(&visit, "totp").await?;
    let given = visit.given();
    let site = visit.site();
    let template = Confirm {
        frame: visit.frame(),
        csrf: given.token,
        action: site.path("/account/totp/remove"),
        title: "Turn the second step off?",
        message: "Your password alone will sign you in from then on, and your recovery codes are thrown away.",
        act: "Turn it off",
        refuse: site.path("/account"),
        stay: "Keep it on",
    };
    Ok(Page::new(site, &template).cookie(given.cookie).into_response())
}

/// `POST /account/totp/remove`.
pub(in crate::login) async fn remove(posted: Posted) -> Result<Response, Trouble> {
    let Posted { visit, .. } = posted;
    let signed = recently(&visit, "totp").await?;
    let user_id = &signed.session.user_id;
    let mut tx = visit.ctx().store.begin().await?;
    credentials::delete_kind(&mut tx, user_id, CredentialKind::Totp).await?;
    credentials::delete_kind(&mut tx, user_id, CredentialKind::Recovery).await?;
    visit.commit(tx, &[changed(&visit, &signed, CredentialKind::Totp, "removed")]).await?;
    Ok(see_other(&visit.site().path("/account?done=totp-off"), []))
}
