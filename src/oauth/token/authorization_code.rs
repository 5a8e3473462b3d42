//! The authorization code grant (RFC 6749 4.1.3, RFC 7636 4.5): a code opens its family once. Whatever else is wrong with the
//! request that brings it, the code is used up; one that comes a second time ends the family (4.1.2).

use std::sync::Arc;

use axum::response::Response;

use super::person::{self, Asks};
use crate::accounts::{self, Occasion, Why};
use crate::base::Timestamp;
use crate::crypto::secret_text::{self, Kind};
use crate::crypto::{b64url, compare, sha256};
use crate::live::LiveClient;
use crate::model::event::kind;
use crate::model::{AuthorizationCode, Event, Grant, GrantType, Outcome, TokenDigest};
use crate::oauth::error::Error;
use crate::oauth::form::Form;
use crate::oauth::issue::{self, Beside};
use crate::oauth::record::{Asked, Refusal};
use crate::store::grants::Of;
use crate::store::{StoreError, codes, events, grants};
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
    let Some((code, grant)) = open(asked, client, &digest).await.map_err(unavailable)? else {
        return Err(match replayed(asked, client, &digest).await.map_err(unavailable)? {
            true => refused(Error::InvalidGrant("the code was used before: everything it led to is revoked")),
            false => refused(WRONG),
        });
    };
    check(asked, &code, form).map_err(refused)?;
    if !grant.is_live(asked.now) || grant.created_at < client.client.created_at {
        return Err(refused(WRONG));
    }
    let asks = Asks::of(form, &code.resources, &grant.scopes).map_err(refused)?;
    let made = person::mint(asked, client, &grant, GRANT, &asks).await?;
    let id_token = issue::id_token(asked, client, &grant, &made.minted, grant.nonce.as_deref()).map_err(refused)?;

    let store = async {
        let mut tx = asked.server.ctx.store.begin().await?;
        if !person::bind(asked, &mut tx, client, &grant).await? {
            return Ok(None);
        }
        made.minted.keep(&mut tx).await?;
        let refresh = match issue::is_refreshable(client) {
            true => Some(issue::refresh_token(asked, &mut tx, &grant, None, &made.minted.token).await?),
            false => None,
        };
        events::intake(&mut tx, &made.event).await?;
        tx.commit().await?;
        Ok(Some(refresh))
    };
    let Some(refresh) = store.await.map_err(unavailable)? else { return Err(refused(WRONG)) };
    made.minted.issued(asked, GRANT);
    Ok(made.minted.answer(&Beside {
        refresh_token: refresh.as_ref().map(|text| text.expose().as_str()),
        id_token: id_token.as_deref(),
        issued_token_type: None,
    }))
}

/// Uses the code up: for the first of however many, and for good.
async fn open(
    asked: &Asked<'_>,
    client: &LiveClient,
    digest: &TokenDigest,
) -> Result<Option<(AuthorizationCode, Grant)>, StoreError> {
    let mut tx = asked.server.ctx.store.begin().await?;
    let Some(code) = codes::use_up(&mut tx, digest, &client.client.client_id, asked.now).await? else {
        return Ok(None);
    };
    let grant = grants::find(&mut tx, &code.grant_id).await?;
    tx.commit().await?;
    Ok(grant.map(|grant| (code, grant)))
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
