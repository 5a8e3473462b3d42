//! The device grant (RFC 8628 3.4, 3.5): a device polls until a person has decided at `/device`, and is served once.

use std::sync::Arc;

use axum::response::Response;

use super::person::{self, Asks};
use crate::crypto::secret_text::{self, Kind};
use crate::live::LiveClient;
use crate::model::{DeviceCode, DeviceState, Grant, GrantType, TokenDigest};
use crate::oauth::error::Error;
use crate::oauth::form::Form;
use crate::oauth::issue::{self, Beside};
use crate::oauth::record::{Asked, Refusal};
use crate::store::{StoreError, device_codes, events, grants};

const GRANT: GrantType = GrantType::DeviceCode;
const WRONG: Error = Error::InvalidGrant("the device_code is unknown, used or of another client");

pub(super) async fn grant(asked: &Asked<'_>, client: &Arc<LiveClient>, form: &Form<'_>) -> Result<Response, Refusal> {
    let refused = |error: Error| error.to(client);
    let unavailable = |error| refused(person::unavailable(&error));
    let text = form.get("device_code").ok_or(refused(Error::InvalidRequest("device_code is missing")))?;
    if secret_text::check(text) != Some(Kind::DeviceCode) {
        return Err(refused(WRONG));
    }
    let digest = secret_text::digest(text);
    let polled = poll(asked, client, &digest).await.map_err(unavailable)?;
    let Some((code, too_fast)) = polled else { return Err(refused(WRONG)) };
    if code.expires_at <= asked.now {
        return Err(refused(Error::ExpiredToken));
    }
    match code.state {
        DeviceState::Pending if too_fast => return Err(refused(Error::SlowDown)),
        DeviceState::Pending => return Err(refused(Error::AuthorizationPending)),
        DeviceState::Denied => return Err(refused(Error::DeniedByPerson)),
        DeviceState::Used => return Err(refused(WRONG)),
        DeviceState::Approved => {}
    }
    if code.dpop_jkt.as_deref().is_some_and(|jkt| asked.jkt() != Some(jkt)) {
        return Err(refused(Error::InvalidGrant("the device_code is bound to another key")));
    }
    let Some(grant) = family(asked, &code).await.map_err(unavailable)? else { return Err(refused(WRONG)) };
    let asks = Asks::of(form, &code.resources, &grant.scopes).map_err(refused)?;
    let made = person::mint(asked, client, &grant, GRANT, &asks).await?;
    let id_token = issue::id_token(asked, client, &grant, &made.minted, None).map_err(refused)?;

    let store = async {
        let mut tx = asked.server.ctx.store.begin().await?;
        // Of two polls at once one is served.
        let first = device_codes::use_up(&mut tx, &digest, &client.client.client_id, asked.now).await?.is_some();
        if !first || !person::bind(asked, &mut tx, client, &grant).await? {
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

/// One poll, and whether it came too early: then the device must wait five seconds longer from now on.
async fn poll(
    asked: &Asked<'_>,
    client: &LiveClient,
    digest: &TokenDigest,
) -> Result<Option<(DeviceCode, bool)>, StoreError> {
    let mut tx = asked.server.ctx.store.begin().await?;
    let before = device_codes::find(&mut tx, digest).await?;
    let after = device_codes::poll(&mut tx, digest, &client.client.client_id, asked.now).await?;
    tx.commit().await?;
    let waited = before.map_or(0, |code| code.interval_secs);
    Ok(after.map(|code| {
        let too_fast = code.interval_secs > waited;
        (code, too_fast)
    }))
}

async fn family(asked: &Asked<'_>, code: &DeviceCode) -> Result<Option<Grant>, StoreError> {
    let Some(id) = &code.grant_id else { return Ok(None) };
    let found = grants::find(&mut asked.server.ctx.store.read().await?, id).await?;
    Ok(found.filter(|grant| grant.is_live(asked.now)))
}
