//! The authorization code (RFC 6749 4.1.2): a family of tokens is made, and a code that opens it once, within a minute.

use std::time::Duration;

use axum::response::Response;

use super::answer::location;
use super::{Allowed, NO_FLOW, Pending, Stop, Visit};
use crate::accounts::LONGEST_TOKEN;
use crate::base::{Timestamp, id};
use crate::crypto::secret_text::{self, Kind};
use crate::crypto::sha256;
use crate::http::session::SignedIn;
use crate::model::event::kind;
use crate::model::{AuthorizationCode, Grant, Outcome};
use crate::store::{codes, events, grants, pushed_requests};

/// How long a code may be on its way.
const LIFETIME: Duration = Duration::from_secs(60);

impl Visit<'_> {
    /// Family, code, the end of the pushed request and the event are one commit; then the browser goes back to the client.
    pub(super) async fn issue_code(
        &self,
        pending: &Pending,
        signed: &SignedIn,
        allowed: Allowed,
    ) -> Result<Response, Stop> {
        let ctx = &self.asked.server.ctx;
        let now = self.asked.now;
        let grant = self.family(pending, signed, allowed.scopes);
        let text = secret_text::generate(Kind::AuthorizationCode, &*ctx.rng);
        let code = AuthorizationCode {
            grant_id: grant.grant_id.clone(),
            client_id: grant.client_id.clone(),
            redirect_uri: pending.authorization.redirect_uri.clone(),
            code_challenge: pending.authorization.code_challenge.clone(),
            dpop_jkt: pending.authorization.dpop_jkt.clone(),
            resources: pending.authorization.resources.clone(),
            expires_at: now.plus(LIFETIME),
        };
        let mut event = self.asked.event(kind::AUTHORIZATION_GRANTED, Outcome::Allowed, None);
        event = event.decided(&allowed.decision);
        event.principal = Some(signed.user.principal.reference().clone());
        event.resource = grant.resources.first().map(|uri| uri.as_str().into());
        let event = event.with("client_id", grant.client_id.as_str()).with("gid", grant.grant_id.as_str());
        let event = event.with("sid", signed.session.session_id.as_str()).with("scope", grant.scopes.join(" "));

        let mut tx = ctx.store.begin().await?;
        if let Some(uri) = &pending.pushed
            && !pushed_requests::use_up(&mut tx, &sha256(uri.as_bytes()), now).await?
        {
            return Err(NO_FLOW);
        }
        grants::insert(&mut tx, &grant).await?;
        codes::insert(&mut tx, &secret_text::digest(text.expose()), &code).await?;
        events::intake(&mut tx, &event).await?;
        tx.commit().await?;

        let state = pending.authorization.state.as_deref();
        let location = location(&code.redirect_uri, &ctx.issuer, state, &[("code", text.expose())]);
        let cookies = pending.flow.iter().flat_map(|flow| ctx.flows.end(flow)).collect();
        Ok(self.leave(&location, cookies))
    }

    fn family(&self, pending: &Pending, signed: &SignedIn, scopes: Vec<String>) -> Grant {
        let ctx = &self.asked.server.ctx;
        let now = self.asked.now;
        let session = &signed.session;
        let grant = Grant {
            grant_id: id::new("gr", now, &*ctx.rng),
            client_id: pending.client.client.client_id.clone(),
            user_id: session.user_id.clone(),
            session_id: Some(session.session_id.clone()),
            scopes,
            resources: pending.authorization.resources.clone(),
            acr: session.acr,
            amr: session.amr.clone(),
            auth_time: session.auth_time,
            nonce: pending.authorization.nonce.clone(),
            dpop_jkt: None,
            created_at: now,
            expires_at: now,
            revoked_at: None,
        };
        Grant { expires_at: ends(&grant, session.expires_at, now, ctx.settings.grant_lifetime), ..grant }
    }
}

/// When the last of a family dies: with its session, or what outlives it after its own time; never before the access tokens.
fn ends(grant: &Grant, session: Timestamp, now: Timestamp, lifetime: Duration) -> Timestamp {
    let own = if grant.is_offline() { now.plus(lifetime) } else { session };
    own.max(session).max(now.plus(LIFETIME + LONGEST_TOKEN))
}
