//! `/account`: what a person holds, where they are signed in, what they allowed; and the way to change each of it. What
//! concerns credentials asks for a recent sign-in.

mod elsewhere;
mod ending;
mod passkeys;
mod password;
mod recovery;
mod totp;

use axum::Router;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};

use super::Shared;
use super::entry::RECENT;
use super::held::Held;
use super::pages::{Account, Row};
use super::trouble::Trouble;
use super::visit::Visit;
use super::words::{browser, time};
use crate::http::browser::page::Page;
use crate::http::session::SignedIn;
use crate::model::event::kind;
use crate::model::{Credential, CredentialKind, Event};
use crate::store::{consents, sessions, upstream_links};

pub(super) fn router() -> Router<Shared> {
    Router::new()
        .route("/account", get(show))
        .route("/account/password", get(password::show).post(password::submit))
        .route("/account/totp", get(totp::show).post(totp::submit))
        .route("/account/totp/remove", get(totp::ask_removal).post(totp::remove))
        .route("/account/recovery", get(recovery::show).post(recovery::submit))
        .route("/account/passkeys", get(passkeys::show).post(passkeys::submit))
        .route("/account/passkeys/remove", post(passkeys::remove))
        .route("/account/elsewhere", get(elsewhere::show).post(elsewhere::remove))
        .route("/account/elsewhere/{provider}", get(elsewhere::go).post(elsewhere::add))
        .route("/account/sessions/end", post(ending::session))
        .route("/account/apps/withdraw", post(ending::app))
}

/// Who is signed in; else the sign-in page comes first.
async fn person(visit: &Visit) -> Result<SignedIn, Trouble> {
    visit.signed_in().await?.ok_or_else(|| Trouble::Elsewhere(visit.site().path("/login")))
}

/// Who signed in lately; else they do it again, and come back to the page called `page`.
pub(super) async fn recently(visit: &Visit, page: &str) -> Result<SignedIn, Trouble> {
    let again = || Trouble::Elsewhere(visit.site().path(&format!("/login?again={page}")));
    let signed = visit.signed_in().await?.ok_or_else(again)?;
    if signed.session.auth_time.plus(RECENT) > visit.now() { Ok(signed) } else { Err(again()) }
}

/// A change of one credential, for the log.
fn changed(visit: &Visit, signed: &SignedIn, kind: CredentialKind, change: &str) -> Event {
    visit.done(kind::CREDENTIAL_CHANGED, signed).with("credential", kind.as_str()).with("change", change)
}

/// What was just done, by its name in `?done=`.
const NOTES: [(&str, &str); 10] = [
    ("password", "Your password was changed. You were signed out everywhere else, and apps have to sign in again."),
    ("totp", "Your authenticator app is set up. Make recovery codes too, for when you lose it."),
    ("totp-off", "The second step is off."),
    ("passkey", "Your passkey was added."),
    ("passkey-off", "The passkey was removed."),
    ("linked", "Your account elsewhere is linked, and signs you in here from now on."),
    ("unlinked", "That account does not sign you in here any more. You were signed out everywhere else."),
    ("session", "That session was ended."),
    ("app", "The app has no access any more."),
    ("recovery", "Your recovery codes were made."),
];

/// `GET /account`.
async fn show(visit: Visit) -> Result<Response, Trouble> {
    let signed = person(&visit).await?;
    let ctx = visit.ctx();
    let user = &signed.user.user;
    let mut reader = ctx.store.read().await?;
    let held = Held::of(&mut reader, &user.user_id).await?;
    let mut all_sessions = sessions::of_user(&mut reader, &user.user_id).await?;
    let links = upstream_links::of_user(&mut reader, &user.user_id).await?;
    let all_consents = consents::of_user(&mut reader, &user.user_id).await?;
    drop(reader);
    all_sessions.retain(|session| ctx.sessions.lives(session, visit.now()));
    let since = |kind| held.all(kind).last().map(|credential: &Credential| time(credential.created_at));
    let given = visit.given();
    let site = visit.site();
    let template = Account {
        frame: visit.frame(),
        csrf: given.token,
        username: &user.username,
        name: user.name.as_deref(),
        email: user.email.as_deref(),
        note: NOTES.iter().find(|(name, _)| Some(*name) == visit.query("done")).map(|(_, note)| *note),
        password_since: since(CredentialKind::Password),
        totp_since: since(CredentialKind::Totp),
        recovery_codes: held.all(CredentialKind::Recovery).count(),
        passkeys: held.all(CredentialKind::Passkey).map(passkey_row).collect(),
        sessions: all_sessions
            .iter()
            .map(|session| Row {
                what: browser(session.user_agent.as_deref()),
                more: match &session.address {
                    Some(address) => format!("from {address}, last used {}", time(session.last_seen_at)),
                    None => format!("last used {}", time(session.last_seen_at)),
                },
                tag: (session.session_id == signed.session.session_id).then_some("this browser"),
                id: session.session_id.clone(),
            })
            .collect(),
        apps: all_consents
            .iter()
            .map(|consent| Row {
                what: ctx
                    .live
                    .client(&consent.client_id)
                    .map_or_else(|| consent.client_id.clone(), |client| client.client.display_name().to_owned()),
                more: consent.scopes.iter().map(|scope| ctx.words(scope).words).collect::<Vec<_>>().join("; "),
                tag: None,
                id: consent.client_id.clone(),
            })
            .collect(),
        elsewhere: (!links.is_empty() || ctx.providers.iter().next().is_some()).then(|| match links.len() {
            0 => "none linked".to_owned(),
            count => format!("{count} linked"),
        }),
        base: site.path("/account"),
        logout: site.path("/login/logout"),
    };
    Ok(Page::new(site, &template).cookie(given.cookie).into_response())
}

fn passkey_row(credential: &Credential) -> Row {
    let used = credential.last_used_at.map(|at| format!(", last used {}", time(at))).unwrap_or_default();
    Row {
        what: credential.label.clone(),
        more: format!("added {}{used}", time(credential.created_at)),
        tag: None,
        id: credential.credential_id.clone(),
    }
}
