//! `/login`: who is here already, the password, the passkey.

use std::time::Duration;

use axum::response::{IntoResponse as _, Response};
use http::{HeaderValue, StatusCode};

use super::held::{Held, place};
use super::next::Next;
use super::pages::{Alert, Login, Stronger};
use super::trouble::Trouble;
use super::visit::{Posted, Visit};
use crate::base::Timestamp;
use crate::crypto::hasher::HasherError;
use crate::crypto::password::{Password, Verified};
use crate::http::browser::page::Page;
use crate::http::browser::see_other;
use crate::http::session::{Proof, SignedIn};
use crate::model::event::kind;
use crate::model::{Acr, CredentialKind, Outcome, user};
use crate::store::{credentials, users};
use crate::telemetry::labels::Factor;

/// How long ago a person may have signed in for what concerns their credentials.
pub(super) const RECENT: Duration = Duration::from_secs(900);

const WRONG: Alert = Alert::new(
    "You could not be signed in",
    "The username and the password do not belong together. Check both.",
    "username",
);
const TOO_OFTEN: Alert =
    Alert::new("Too many tries", "Wait a while before you try a password again. A passkey still signs you in.", "");
const NO_PASSKEY: Alert = Alert::new(
    "You could not be signed in",
    "That passkey does not sign anybody in here. Use another, or a password.",
    "",
);

/// Characters of a username that the form takes.
const LONGEST_NAME: usize = 128;

/// Whether there is anything left to prove.
enum Standing {
    /// Go on.
    Enough,
    /// Signed in lately, not strongly enough for the flow.
    Stronger(SignedIn, Acr),
    /// Prove everything.
    SignIn(Option<SignedIn>),
}

fn standing(visit: &Visit, next: &Next, signed: Option<SignedIn>) -> Standing {
    let Some(signed) = signed else { return Standing::SignIn(None) };
    let session = &signed.session;
    match &next.flow {
        Some(flow) if flow.needs.are_met(session.acr, session.auth_time) => Standing::Enough,
        Some(flow) if flow.needs.is_recent(session.auth_time) => {
            let wanted = flow.needs.acr.unwrap_or(Acr::One);
            Standing::Stronger(signed, wanted)
        }
        Some(_) => Standing::SignIn(Some(signed)),
        None if next.wants_recent() && session.auth_time.plus(RECENT) <= visit.now() => Standing::SignIn(Some(signed)),
        None => Standing::Enough,
    }
}

/// Since when a person must have proven themselves for what comes next, wherever they do it.
pub(super) fn freshness(visit: &Visit, next: &Next) -> Option<Timestamp> {
    match &next.flow {
        Some(flow) => flow.needs.since,
        None => next.wants_recent().then(|| visit.now()),
    }
}

/// `GET /login`.
pub(super) async fn show(visit: Visit) -> Result<Response, Trouble> {
    let next = visit.next()?;
    match standing(&visit, &next, visit.signed_in().await?) {
        Standing::Enough => Ok(see_other(&next.path(visit.site()), [])),
        Standing::Stronger(signed, wanted) => stronger(&visit, &next, &signed, wanted).await,
        Standing::SignIn(signed) => {
            let hint = hint(&visit, &next).await?;
            let username = signed.as_ref().map_or(hint.as_str(), |signed| &signed.user.user.username);
            let note = signed.as_ref().map(|_| "Sign in again to go on: this needs to be sure that it is still you.");
            form(&visit, &next, username, note, None).map(Page::into_response)
        }
    }
}

/// Who the client thinks will sign in (OpenID Connect Core 3.1.2.1, `login_hint`); empty when it does not say.
async fn hint(visit: &Visit, next: &Next) -> Result<String, Trouble> {
    let asked = match &next.flow {
        Some(flow) => flow.authorization(&visit.ctx().store).await?,
        None => None,
    };
    let hint = asked.and_then(|asked| asked.login_hint).filter(|hint| hint.chars().count() <= LONGEST_NAME);
    Ok(hint.unwrap_or_default())
}

/// A person is signed in, and the flow wants more: the second step, a passkey, or the way to set one up.
async fn stronger(visit: &Visit, next: &Next, signed: &SignedIn, wanted: Acr) -> Result<Response, Trouble> {
    let ctx = visit.ctx();
    let user = &signed.user.user;
    let held = Held::of(&mut ctx.store.read().await?, &user.user_id).await?;
    if wanted == Acr::Two && held.totp(&ctx.sealer).is_some() {
        // The code proves the second factor; the first stays as old as it is.
        let at = Some(signed.session.auth_time);
        let proof = Proof { at, ..Proof::here(signed.session.acr, signed.session.amr.clone()) };
        let cookie = visit.remember(&user.user_id, proof)?;
        return Ok(see_other(&visit.site().path(&format!("/login/second{}", next.query())), [cookie]));
    }
    let passkey = match &visit.server.passkeys {
        Some(passkeys) if held.has(CredentialKind::Passkey) => {
            Some(passkeys.ask(ctx, action(visit, next, "/login/passkey"))?)
        }
        _ => None,
    };
    let given = visit.given();
    let site = visit.site();
    let template = Stronger {
        frame: visit.frame(),
        csrf: given.token,
        client: &client_name(visit, next).unwrap_or_default(),
        username: &user.username,
        wants_passkey: wanted == Acr::Three,
        passkey,
        set_up: site.path(if wanted == Acr::Three { "/account/passkeys" } else { "/account/totp" }),
        cancel: next.refusal(site).unwrap_or_else(|| site.path("/account")),
    };
    let page = Page::new(site, &template).with_script(site).cookie(given.cookie);
    Ok(leading(page, visit, next).into_response())
}

/// The sign-in form.
fn form(visit: &Visit, next: &Next, username: &str, note: Option<&str>, alert: Option<Alert>) -> Result<Page, Trouble> {
    let given = visit.given();
    let passkey = match &visit.server.passkeys {
        Some(passkeys) => Some(passkeys.ask(visit.ctx(), action(visit, next, "/login/passkey"))?),
        None => None,
    };
    let client = client_name(visit, next);
    let site = visit.site();
    let template = Login {
        frame: visit.frame(),
        csrf: given.token,
        action: action(visit, next, "/login"),
        client: client.as_deref(),
        note,
        alert,
        username,
        passkey,
        providers: visit
            .ctx()
            .providers
            .iter()
            .map(|provider| (provider.name.clone(), action(visit, next, &format!("/login/with/{}", provider.id))))
            .collect(),
        cancel: next.refusal(site),
    };
    Ok(leading(Page::new(site, &template).with_script(site).cookie(given.cookie), visit, next))
}

fn action(visit: &Visit, next: &Next, path: &str) -> String {
    format!("{}{}", visit.site().path(path), next.query())
}

/// What people are shown of the client whose flow this is.
pub(super) fn client_name(visit: &Visit, next: &Next) -> Option<String> {
    let client = visit.ctx().live.client(&next.flow.as_ref()?.client_id)?;
    Some(client.client.display_name().to_owned())
}

/// A page whose form may end at one of the client's redirect URIs.
pub(super) fn leading(page: Page, visit: &Visit, next: &Next) -> Page {
    let client = next.flow.as_ref().and_then(|flow| visit.ctx().live.client(&flow.client_id));
    let uris = client.iter().flat_map(|client| &client.client.redirect_uris);
    uris.fold(page, |page, uri| page.leading_to(uri))
}

/// `POST /login`.
pub(super) async fn submit(posted: Posted) -> Result<Response, Trouble> {
    let Posted { visit, form: sent } = posted;
    let next = visit.next()?;
    let ctx = visit.ctx();
    let typed = sent.get("username");
    // Whatever was typed can be guessed for, also what is nobody's name.
    let name = user::fold(typed);
    let guessed = name.clone().unwrap_or_else(|| typed.chars().take(128).collect());
    let taken = match visit.guess_password(&guessed) {
        Ok(taken) => taken,
        Err(wait) => {
            visit.refused(kind::RATE_LIMITED, None, "password");
            let page = form(&visit, &next, typed, None, Some(TOO_OFTEN))?;
            return Ok(page.status(StatusCode::TOO_MANY_REQUESTS).retry_after(wait).into_response());
        }
    };
    let mut reader = ctx.store.read().await?;
    let found = users::find_by_username(&mut reader, &name.unwrap_or_default()).await?.map(|stored| stored.user);
    let user_id = found.as_ref().map_or("", |user| &user.user_id);
    let held = Held::of(&mut reader, user_id).await?;
    drop(reader);
    let verified = match Password::new(sent.get("password")) {
        Ok(password) => match ctx.hasher.verify(password.clone(), held.password_hash()).await {
            Ok(verified) => verified,
            Err(error) => {
                visit.give_back(&taken);
                if error == HasherError::Busy {
                    ctx.metrics.logins.add((Factor::Password, Outcome::Failed));
                }
                return Err(error.into());
            }
        },
        Err(_) => Verified::No,
    };
    let Some(user) = found.as_ref().filter(|user| verified.fits() && !user.disabled) else {
        ctx.metrics.logins.add((Factor::Password, Outcome::Denied));
        let reason = if verified.fits() { "disabled" } else { "password" };
        visit.refused(kind::LOGIN_FAILED, found.as_ref().map(|user| user.user_id.as_str()), reason);
        return Ok(form(&visit, &next, typed, None, Some(WRONG))?.status(StatusCode::FORBIDDEN).into_response());
    };
    visit.give_back(&taken);
    ctx.metrics.logins.add((Factor::Password, Outcome::Allowed));
    if verified == Verified::FitsOutdated {
        rehash(&visit, &held, sent.get("password")).await;
    }
    let amr = vec!["pwd".to_owned()];
    if held.has(CredentialKind::Totp) {
        let cookie = visit.remember(&user.user_id, Proof::here(Acr::One, amr))?;
        return Ok(see_other(&action(&visit, &next, "/login/second"), [cookie]));
    }
    let before = visit.signed_in().await?;
    let mut tx = ctx.store.begin().await?;
    if let Some(password) = held.password() {
        credentials::touch(&mut tx, &password.credential_id, visit.now()).await?;
    }
    let cookies = visit.sign_in(tx, before, &user.user_id, &Proof::here(Acr::One, amr), None).await?;
    Ok(see_other(&next.path(visit.site()), cookies))
}

/// Stores the password at today's cost. A convenience: when there is no room for it now, the next sign-in does it.
async fn rehash(visit: &Visit, held: &Held, password: &str) {
    let ctx = visit.ctx();
    let (Some(old), Ok(password)) = (held.password(), Password::new(password)) else { return };
    let Ok(new) = ctx.hasher.hash(password).await else { return };
    let stored = async {
        let mut tx = ctx.store.begin().await?;
        credentials::replace_body(&mut tx, &old.credential_id, &old.body, new.as_bytes(), visit.now()).await?;
        tx.commit().await
    };
    if let Err(error) = stored.await {
        tracing::warn!(error = %crate::telemetry::chain(&error), "a password stays hashed at its old cost");
    }
}

/// `POST /login/passkey`.
pub(super) async fn passkey(posted: Posted) -> Result<Response, Trouble> {
    let Posted { visit, form: sent } = posted;
    let next = visit.next()?;
    match by_passkey(&visit, sent.get("state"), sent.get("answer")).await? {
        Ok(cookies) => Ok(see_other(&next.path(visit.site()), cookies)),
        Err(user_id) => {
            visit.ctx().metrics.logins.add((Factor::Passkey, Outcome::Denied));
            visit.refused(kind::LOGIN_FAILED, user_id.as_deref(), "passkey");
            Ok(form(&visit, &next, "", None, Some(NO_PASSKEY))?.status(StatusCode::FORBIDDEN).into_response())
        }
    }
}

/// Signs in by passkey: the cookies, or whose passkey it was not.
async fn by_passkey(
    visit: &Visit,
    state: &str,
    answer: &str,
) -> Result<Result<Vec<HeaderValue>, Option<String>>, Trouble> {
    let ctx = visit.ctx();
    let Some(passkeys) = &visit.server.passkeys else { return Ok(Err(None)) };
    let Ok(claimed) = passkeys.claimed(ctx, state, answer) else { return Ok(Err(None)) };
    let user_id = claimed.user_id.clone();
    let known = ctx.live.user(&user_id).await?.filter(|user| !user.user.disabled);
    if known.is_none() {
        return Ok(Err(None));
    }
    let held = Held::of(&mut ctx.store.read().await?, &user_id).await?;
    let mut all = held.passkeys(&ctx.sealer);
    let challenge = passkeys.check(claimed, all.iter().enumerate().map(|(at, (_, passkey))| (at, passkey)));
    let Ok((at, result, answered)) = challenge else { return Ok(Err(Some(user_id))) };
    let Some((credential, passkey)) = all.get_mut(at) else { return Ok(Err(Some(user_id))) };
    let before = visit.signed_in().await?;
    let mut tx = ctx.store.begin().await?;
    if !answered.use_up(&mut tx).await? {
        return Ok(Err(Some(user_id)));
    }
    if passkey.update_credential(&result) == Some(true) {
        let plain = serde_json::to_vec(passkey).map_err(|_| crate::crypto::CryptoError::Refused)?;
        let place = place(credential.kind, &credential.credential_id);
        let sealed = ctx.sealer.seal(place.as_bytes(), &plain, &*ctx.rng)?;
        let id = &credential.credential_id;
        if !credentials::replace_body(&mut tx, id, &credential.body, &sealed, visit.now()).await? {
            return Ok(Err(Some(user_id)));
        }
    } else {
        credentials::touch(&mut tx, &credential.credential_id, visit.now()).await?;
    }
    let key = if result.backup_eligible() { "swk" } else { "hwk" };
    let amr = [key, "user", "mfa"].map(str::to_owned).to_vec();
    let cookies = visit.sign_in(tx, before, &user_id, &Proof::here(Acr::Three, amr), None).await?;
    ctx.metrics.logins.add((Factor::Passkey, Outcome::Allowed));
    Ok(Ok(cookies))
}
