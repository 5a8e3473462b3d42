//! The refresh token grant (RFC 6749 6, RFC 9700 4.14): a client that can prove itself, or a key, keeps its token; another is
//! given a new one each time, and of an old one that comes again it matters whether the new one was used.
//!
//! ```text
//! active                     -> rotated, with a child                          one conditional statement
//! rotated, child not used    -> the answer was lost: the child is replaced, its access token revoked (a while long)
//! rotated, child used        -> somebody else has it: the family ends
//! replaced                   -> the same
//! ```

use std::sync::Arc;

use axum::response::Response;

use super::person::{self, Asks, Made};
use crate::accounts::{self, Occasion, Why};
use crate::base::Secret;
use crate::crypto::secret_text::{self, Kind};
use crate::live::LiveClient;
use crate::model::event::kind;
use crate::model::{Event, Grant, GrantType, Outcome, RefreshState, TokenDigest};
use crate::oauth::error::Error;
use crate::oauth::form::Form;
use crate::oauth::issue::{self, Beside};
use crate::oauth::record::{Asked, Refusal};
use crate::store::grants::Of;
use crate::store::{StoreError, Tx, consents, events, grants, refresh_tokens, revocations, sessions};
use crate::telemetry::labels::Replayed;

const GRANT: GrantType = GrantType::RefreshToken;
const WRONG: Error = Error::InvalidGrant("the refresh token is unknown, expired, revoked or of another client");

/// What became of a refresh token that was brought.
enum Turn {
    /// A new one in its place, or `None`: it stays.
    Used(Option<Secret<String>>),
    /// It does not count.
    Refused,
    /// It came again: the family has ended.
    Replayed,
}

pub(super) async fn grant(asked: &Asked<'_>, client: &Arc<LiveClient>, form: &Form<'_>) -> Result<Response, Refusal> {
    let refused = |error: Error| error.to(client);
    let unavailable = |error| refused(person::unavailable(&error));
    let text = form.get("refresh_token").ok_or(refused(Error::InvalidRequest("refresh_token is missing")))?;
    if secret_text::check(text) != Some(Kind::RefreshToken) {
        return Err(refused(WRONG));
    }
    let digest = secret_text::digest(text);
    let grant = family(asked, client, &digest).await.map_err(unavailable)?.ok_or(refused(WRONG))?;
    let asks = Asks::of(form, &grant.resources, &grant.scopes).map_err(refused)?;
    let made = person::mint(asked, client, &grant, GRANT, &asks).await?;
    let id_token = issue::id_token(asked, client, &grant, &made.minted, None).map_err(refused)?;
    match turn(asked, client, &grant, &digest, &made).await.map_err(unavailable)? {
        Turn::Refused => Err(refused(WRONG)),
        Turn::Replayed => {
            Err(refused(Error::InvalidGrant("the refresh token was used before: everything it led to is revoked")))
        }
        Turn::Used(next) => {
            made.minted.issued(asked, GRANT);
            Ok(made.minted.answer(&Beside {
                refresh_token: next.as_ref().map(|text| text.expose().as_str()),
                id_token: id_token.as_deref(),
                issued_token_type: None,
            }))
        }
    }
}

/// The family of a refresh token of this client, if it still stands: what it was made of is still so.
async fn family(asked: &Asked<'_>, client: &LiveClient, digest: &TokenDigest) -> Result<Option<Grant>, StoreError> {
    let mut reader = asked.server.ctx.store.read().await?;
    let Some(token) = refresh_tokens::find(&mut reader, digest).await? else { return Ok(None) };
    let Some(grant) = grants::find(&mut reader, &token.grant_id).await? else { return Ok(None) };
    let registered = &client.client;
    let own = grant.client_id == registered.client_id && grant.created_at >= registered.created_at;
    if !own || !grant.is_live(asked.now) {
        return Ok(None);
    }
    if grant.is_offline() {
        // The client may no longer stay when the person has left, or the person took back what they agreed to.
        let offline = |scopes: &[String]| scopes.iter().any(|scope| scope == "offline_access");
        let consent = consents::find(&mut reader, &grant.user_id, &grant.client_id).await?;
        if !offline(&registered.scopes) || consent.is_some_and(|consent| !offline(&consent.scopes)) {
            return Ok(None);
        }
    } else if let Some(session_id) = &grant.session_id {
        let session = sessions::by_id(&mut reader, session_id).await?;
        if session.is_none_or(|session| session.expires_at <= asked.now) {
            return Ok(None);
        }
    }
    Ok(Some(grant))
}

/// Uses the token, and stores what it leads to: one commit, whatever comes of it.
async fn turn(
    asked: &Asked<'_>,
    client: &LiveClient,
    grant: &Grant,
    digest: &TokenDigest,
    made: &Made,
) -> Result<Turn, StoreError> {
    let ctx = &asked.server.ctx;
    let now = asked.now;
    let mut tx = ctx.store.begin().await?;
    if !person::bind(asked, &mut tx, client, grant).await? {
        return Ok(Turn::Refused);
    }
    let access = &made.minted.token;
    let next = if is_kept(asked, client) {
        let until = now.plus(ctx.settings.refresh_token_ttl).min(grant.expires_at);
        let with = (access.jti.as_str(), access.exp);
        if refresh_tokens::keep(&mut tx, digest, now, until, with).await?.is_none() {
            return Ok(Turn::Refused);
        }
        None
    } else {
        let mut lost = None;
        if refresh_tokens::rotate(&mut tx, digest, now).await?.is_none() {
            match again(asked, &mut tx, digest).await? {
                Again::Lost(jti, exp) => lost = Some((jti, exp)),
                Again::Refused => return Ok(Turn::Refused),
                Again::Replayed => return replayed(asked, client, grant, tx).await,
            }
        }
        let next = issue::refresh_token(asked, &mut tx, grant, Some(*digest), access).await?;
        if let Some((jti, exp)) = &lost {
            revocations::insert(&mut tx, jti, *exp, now).await?;
        }
        made.minted.keep(&mut tx).await?;
        events::intake(&mut tx, &made.event).await?;
        tx.commit().await?;
        if let Some((jti, exp)) = lost {
            ctx.live.revoke(&jti, exp);
        }
        return Ok(Turn::Used(Some(next)));
    };
    made.minted.keep(&mut tx).await?;
    events::intake(&mut tx, &made.event).await?;
    tx.commit().await?;
    Ok(Turn::Used(next))
}

/// Whether the token stays: it is worth nothing to anyone who cannot prove to be the client, or to hold its key.
fn is_kept(asked: &Asked<'_>, client: &LiveClient) -> bool {
    !person::is_public(client) || asked.jkt().is_some()
}

/// What it means that a token which is not active comes.
enum Again {
    /// Its answer was lost: the access token that went with the child, which is replaced now.
    Lost(String, crate::base::Timestamp),
    /// It has died, or its family.
    Refused,
    /// Somebody has used what it led to, or it was replaced itself.
    Replayed,
}

async fn again(asked: &Asked<'_>, tx: &mut Tx, digest: &TokenDigest) -> Result<Again, StoreError> {
    // Locked: of two that come at once, the second sees what the first did.
    let Some(token) = refresh_tokens::lock(tx, digest).await? else { return Ok(Again::Refused) };
    match (token.state, token.used_at) {
        // It was active when it could not be rotated: it has expired, or the family ended in between.
        (RefreshState::Active, _) => return Ok(Again::Refused),
        (RefreshState::Rotated, Some(used_at))
            if asked.now.since(used_at) <= asked.server.ctx.settings.refresh_grace =>
        {
            // The family may have ended while this waited.
            let live = grants::find(tx, &token.grant_id).await?.is_some_and(|grant| grant.is_live(asked.now));
            if !live {
                return Ok(Again::Refused);
            }
        }
        (RefreshState::Rotated | RefreshState::Replaced, _) => return Ok(Again::Replayed),
    }
    Ok(match refresh_tokens::replace_child(tx, digest).await? {
        Some(child) => Again::Lost(child.access_jti, child.access_exp),
        None => Again::Replayed,
    })
}

/// The family ends, with the events of both.
async fn replayed(asked: &Asked<'_>, client: &LiveClient, grant: &Grant, mut tx: Tx) -> Result<Turn, StoreError> {
    let ctx = &asked.server.ctx;
    let make = |kind: &'static str, outcome: Outcome| -> Event { asked.event(kind, outcome, Some(client)) };
    let on = Occasion { event: &make, why: Why::RefreshReplayed, now: asked.now, rng: &*ctx.rng };
    let ended = accounts::revoke(&mut tx, Of::Grant(&grant.grant_id), &on).await?;
    let event = make(kind::REFRESH_REPLAYED, Outcome::Denied).with("gid", grant.grant_id.as_str());
    events::intake(&mut tx, &event.with("user_id", grant.user_id.as_str())).await?;
    tx.commit().await?;
    ended.announce(&ctx.live);
    ctx.metrics.replays.add(Replayed::Refresh);
    ctx.audit.replayed(&grant.user_id, asked.now);
    Ok(Turn::Replayed)
}
