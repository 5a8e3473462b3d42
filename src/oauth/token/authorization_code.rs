//! The authorization code grant (RFC 6749 4.1.3, RFC 7636 4.5): a code opens its family once. Whatever else is wrong with the
//! request that brings it, the code is used up; one that comes a second time ends the family (4.1.2).

use std::sync::Arc;

use axum::response::Response;

use super::person::{self, Asks};
use crate::accounts::{self, Occasion, Why};
use crate::base::{Secret, Timestamp};
use crate::crypto::secret_text::{self, Kind};
use crate::crypto::{b64url, compare, sha256};
use crate::live::LiveClient;
use crate::model::event::kind;
use crate::model::{AuthorizationCode, Event, Grant, GrantType, Outcome, TokenDigest};
use crate::oauth::error::Error;
use crate::oauth::form::Form;
use crate::oauth::issue::{self, Beside, Minted};
use crate::oauth::record::{Asked, Refusal};
use crate::store::grants::Of;
use crate::store::{StoreError, Tx, codes, events};
use crate::telemetry::labels::Replayed;

const GRANT: GrantType = GrantType::AuthorizationCode;
const WRONG: Error = Error::InvalidGrant("the code is unknown, expired, used or of another client");

pub(super) async fn grant(asked: &Asked<'_>, client: &Arc<LiveClient>, form: &Form<'_>) -> Result<Response, Refusal> {
    let refused = |error: Error| error.to(client);
    let unavailable = |error| refused(person::unavailable(&error));
    let text = form.get("code").ok_or(refused(Error::InvalidRequest("code is missing")))?;
    if secret_text::check(text) != Some(Kind::AuthorizationCode) {
        return Err(refused(WRONG));
    }
    let digest = secret_text::digest(text);
    let mut tx = asked.server.ctx.store.begin().await.map_err(unavailable)?;
    // One transaction from the code to the tokens. What is wrong with the request uses the code up all the same; what is
    // wrong with the database leaves everything as it was.
    let used = codes::use_up(&mut tx, &digest, &client.client.client_id, asked.now).await.map_err(unavailable)?;
    let Some((code, grant)) = used else {
        drop(tx);
        return Err(match replayed(asked, client, &digest).await.map_err(unavailable)? {
            true => refused(Error::InvalidGrant("the code was used before: everything it led to is revoked")),
            false => refused(WRONG),
        });
    };
    let ready = open(asked, client, form, &mut tx, &code, grant).await.map_err(unavailable)?;
    tx.commit().await.map_err(unavailable)?;
    let Ready { minted, id_token, refresh } = ready?;
    minted.issued(asked, GRANT);
    Ok(minted.answer(&Beside {
        refresh_token: refresh.as_ref().map(|text| text.expose().as_str()),
        id_token: id_token.as_deref(),
        issued_token_type: None,
    }))
}

/// What a code leads to, once its transaction is committed.
struct Ready {
    minted: Minted,
    id_token: Option<String>,
    refresh: Option<Secret<String>>,
}

/// Opens the family of a code that was just used up. Writes nothing before the last reason to refuse.
async fn open(
    asked: &Asked<'_>,
    client: &Arc<LiveClient>,
    form: &Form<'_>,
    tx: &mut Tx,
    code: &AuthorizationCode,
    grant: Option<Grant>,
) -> Result<Result<Ready, Refusal>, StoreError> {
    let refused = |error: Error| error.to(client);
    if let Err(error) = check(asked, code, form) {
        return Ok(Err(refused(error)));
    }
    let live = |grant: &Grant| grant.is_live(asked.now) && grant.created_at >= client.client.created_at;
    let Some(grant) = grant.filter(live) else { return Ok(Err(refused(WRONG))) };
    asked.speaks_for(&grant.user_id);
    let user = asked.server.ctx.live.user_in(tx, &grant.user_id).await?;
    let asks = match Asks::of(form, &code.resources, &grant.scopes) {
        Ok(asks) => asks,
        Err(error) => return Ok(Err(refused(error))),
    };
    let made = match person::make(asked, client, &grant, GRANT, &asks, user) {
        Ok(made) => made,
        Err(refusal) => return Ok(Err(*refusal)),
    };
    let id_token = match issue::id_token(asked, client, &grant, &made.minted, grant.nonce.as_deref()) {
        Ok(id_token) => id_token,
        Err(error) => return Ok(Err(refused(error))),
    };
    if !person::bind(asked, tx, client, &grant).await? {
        return Ok(Err(refused(WRONG)));
    }
    made.minted.keep(tx).await?;
    let refresh = match issue::is_refreshable(client) {
        true => Some(issue::refresh_token(asked, tx, &grant, None, &made.minted.token).await?),
        false => None,
    };
    events::intake(tx, &made.event).await?;
    Ok(Ok(Ready { minted: made.minted, id_token, refresh }))
}

/// Whether the code was used before; then its family ends, with the events of both.
async fn replayed(asked: &Asked<'_>, client: &LiveClient, digest: &TokenDigest) -> Result<bool, StoreError> {
    let ctx = &asked.server.ctx;
    let mut tx = ctx.store.begin().await?;
    let Some(code) = codes::used(&mut tx, digest, &client.client.client_id).await? else { return Ok(false) };
    let make = |kind: &'static str, outcome: Outcome| -> Event { asked.event(kind, outcome, Some(client)) };
    let on = Occasion { event: &make, why: Why::CodeReplayed, now: asked.now, rng: &*ctx.rng };
    let ended = accounts::revoke(&mut tx, Of::Grant(&code.grant_id), &on).await?;
    let event = make(kind::CODE_REPLAYED, Outcome::Denied).with("gid", code.grant_id.as_str());
    events::intake(&mut tx, &event).await?;
    tx.commit().await?;
    ended.announce(&ctx.live);
    ctx.metrics.replays.add(Replayed::Code);
    Ok(true)
}

/// What was agreed when the code was asked for (RFC 6749 4.1.3, RFC 7636 4.6, RFC 9449 10).
fn check(asked: &Asked<'_>, code: &AuthorizationCode, form: &Form<'_>) -> Result<(), Error> {
    if expired(code, asked.now) {
        return Err(WRONG);
    }
    // OAuth 2.1 leaves it out; who sends it must mean the same place.
    if form.get("redirect_uri").is_some_and(|uri| uri != code.redirect_uri) {
        return Err(Error::InvalidGrant("the redirect_uri is not the one that the code was sent to"));
    }
    match (&code.code_challenge, form.get("code_verifier")) {
        (None, None) => {}
        (None, Some(_)) => {
            return Err(Error::InvalidGrant("there is a code_verifier, but there was no code_challenge"));
        }
        (Some(_), None) => return Err(Error::InvalidGrant("the code_verifier is missing")),
        (Some(challenge), Some(verifier)) => {
            if !is_verified(challenge, verifier) {
                return Err(Error::InvalidGrant("the code_verifier does not fit"));
            }
        }
    }
    match &code.dpop_jkt {
        Some(jkt) if asked.jkt() != Some(jkt) => Err(Error::InvalidGrant("the code is bound to another key")),
        _ => Ok(()),
    }
}

fn expired(code: &AuthorizationCode, now: Timestamp) -> bool {
    code.expires_at <= now
}

/// RFC 7636 4.1, 4.6.
fn is_verified(challenge: &str, verifier: &str) -> bool {
    let unreserved = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~');
    let well_formed = (43..=128).contains(&verifier.len()) && verifier.bytes().all(unreserved);
    let digest = b64url::encode(&sha256(verifier.as_bytes()));
    well_formed & compare::equal(digest.as_bytes(), challenge.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::is_verified;

    #[test]
    fn the_verifier_of_rfc_7636_appendix_b_fits_its_challenge() {
        let challenge = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
        assert!(is_verified(challenge, "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"));
        for wrong in ["", "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXK", challenge] {
            assert!(!is_verified(challenge, wrong), "{wrong}");
        }
    }
}
