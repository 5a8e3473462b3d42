//! The one writer of tokens: access tokens of clients and of people, ID tokens, refresh tokens, and the answer that carries
//! them. Grants say what is to be issued; they record it and store what must be stored.

use std::sync::Arc;

use axum::response::Response;
use http::StatusCode;

use super::error::{Error, json};
use super::issuance::Target;
use super::record::Asked;
use crate::base::{Secret, Timestamp, id};
use crate::config::{Issuance, TokenFormat};
use crate::crypto::id_token::{self, IdClaims};
use crate::crypto::keyring::{KeyRing, Signer};
use crate::crypto::secret_text::{self, Kind};
use crate::crypto::verify::AccessClaims;
use crate::crypto::{jws, sha256};
use crate::live::LiveClient;
use crate::model::event::kind;
use crate::model::{
    AccessToken, Actor, Algorithm, Decision, Event, Grant, GrantType, Outcome, RefreshState, RefreshToken, TokenDigest,
};
use crate::store::{StoreError, Tx, events, refresh_tokens, tokens};
use crate::telemetry::labels;

/// An access token that was made and is recorded and stored by whoever asked for it.
#[derive(Debug)]
pub(super) struct Minted {
    /// The token itself.
    pub(super) text: Secret<String>,
    /// What it says.
    pub(super) token: AccessToken,
    /// Its signature; `None` of an opaque one, whose row is to be stored.
    alg: Option<Algorithm>,
}

/// For whom a token speaks.
#[derive(Clone, Copy, Debug)]
pub(super) enum Subject<'a> {
    /// The client itself.
    Client,
    /// The person of a family.
    Person(&'a Grant),
    /// Whoever the other token speaks for, through the actor (RFC 8693).
    Of(&'a AccessToken, &'a Actor),
}

/// Makes an access token of `client` for `target` with `scope`, bound to the key that the request proved. It ends with what
/// it rests on, `until`, at the latest.
pub(super) fn mint(
    asked: &Asked<'_>,
    client: &LiveClient,
    target: &Target,
    subject: Subject<'_>,
    scope: &str,
    until: Option<Timestamp>,
) -> Result<Minted, Error> {
    let ctx = &asked.server.ctx;
    let iat = asked.now.as_secs();
    let left = until.map_or(i64::MAX, |until| until.as_secs().saturating_sub(iat).max(1));
    let exp = Timestamp::from_secs(iat.saturating_add(target.ttl_secs(client, &ctx.settings).min(left)));
    let jti = id::new("at", asked.now, &*ctx.rng);
    let own = AccessToken::of_client(&client.client.client_id, jti, &target.uri, Timestamp::from_secs(iat), exp);
    let mut token = AccessToken { scope: scope.to_owned(), cnf_jkt: asked.jkt().map(str::to_owned), ..own };
    match subject {
        Subject::Client => {}
        Subject::Person(grant) => {
            token.sub.clone_from(&grant.user_id);
            token.gid = Some(grant.grant_id.clone());
            token.sid.clone_from(&grant.session_id);
            token.acr = Some(grant.acr.level());
            token.auth_time = Some(Timestamp::from_secs(grant.auth_time.as_secs()));
        }
        Subject::Of(other, actor) => {
            token.sub.clone_from(&other.sub);
            token.gid.clone_from(&other.gid);
            token.sid.clone_from(&other.sid);
            (token.acr, token.auth_time) = (other.acr, other.auth_time);
            token.act = Some(actor.clone());
        }
    }
    if target.tokens == TokenFormat::Opaque {
        return Ok(Minted { text: secret_text::generate(Kind::AccessToken, &*ctx.rng), token, alg: None });
    }
    let alg = target.alg(client, &ctx.settings);
    let ring = ctx.live.key_ring();
    let signer = signer(&ring, alg, asked.now)?;
    let text = jws::sign(signer, jws::ACCESS_TOKEN, &AccessClaims::of(&ctx.issuer, &token)).map_err(unsigned)?;
    Ok(Minted { text: Secret::new(text), token, alg: Some(alg) })
}

fn signer(ring: &KeyRing, alg: Algorithm, now: Timestamp) -> Result<&Signer, Error> {
    ring.signer(alg, now).ok_or_else(|| {
        let alg = alg.as_str();
        tracing::error!(alg, "there is no active signing key; add the algorithm to `oauth.signing_algs`");
        Error::Server
    })
}

fn unsigned(error: crate::crypto::CryptoError) -> Error {
    tracing::error!(error = %crate::telemetry::chain(&error), "a token could not be signed");
    Error::Server
}

impl Minted {
    /// Whether there is a row to store.
    pub(super) fn is_opaque(&self) -> bool {
        self.alg.is_none()
    }

    /// Stores the row of an opaque token; of a self-contained one there is none.
    pub(super) async fn keep(&self, tx: &mut Tx) -> Result<(), StoreError> {
        match self.is_opaque() {
            true => tokens::insert(tx, &self.digest(), &self.token).await,
            false => Ok(()),
        }
    }

    /// Records and stores what stands alone, with no family to open or go on, and gives the answer.
    pub(super) async fn give(
        &self,
        asked: &Asked<'_>,
        grant: GrantType,
        event: Event,
        with: &Beside<'_>,
    ) -> Result<Response, Error> {
        let ctx = &asked.server.ctx;
        match (self.is_opaque(), ctx.settings.issuance) {
            // The row and its event are one commit.
            (true, _) => {
                let stored = async {
                    let mut tx = ctx.store.begin().await?;
                    self.keep(&mut tx).await?;
                    events::intake(&mut tx, &event).await?;
                    tx.commit().await
                };
                stored.await.map_err(|error: StoreError| {
                    tracing::warn!(error = %crate::telemetry::chain(&error), "an opaque token could not be stored");
                    Error::Unavailable
                })?;
            }
            (false, Issuance::Before) => ctx.audit.record(event).await.map_err(|_| Error::Unavailable)?,
            (false, Issuance::Queued) => ctx.audit.queue(event),
        }
        self.issued(asked, grant);
        Ok(self.answer(with))
    }

    /// Counts it, and remembers an opaque one in this process, once it is stored.
    pub(super) fn issued(&self, asked: &Asked<'_>, grant: GrantType) {
        let ctx = &asked.server.ctx;
        let format = match self.is_opaque() {
            true => {
                ctx.live.remember_opaque(self.digest(), Arc::new(self.token.clone()));
                labels::TokenFormat::Opaque
            }
            false => labels::TokenFormat::Jwt,
        };
        ctx.metrics.tokens_issued.add((grant, format));
    }

    /// The event of its issuance.
    pub(super) fn event(
        &self,
        asked: &Asked<'_>,
        client: &LiveClient,
        grant: GrantType,
        target: &Target,
        decision: &Decision,
    ) -> Event {
        let token = &self.token;
        let mut event = asked.event(kind::TOKEN_ISSUED, Outcome::Allowed, Some(client)).decided(decision);
        event.resource = Some(Arc::clone(&target.uri));
        let mut event = event.with("jti", token.jti.as_str()).with("grant", grant.as_str());
        event = event.with("scope", token.scope.as_str()).with("expires_in", self.ttl());
        if let Some(alg) = self.alg {
            event = event.with("alg", alg.as_str());
        }
        event = asked.explained(event.with("client_id", token.client_id.as_str()));
        // Who acts through others is the principal itself; a person is where a client acts for them.
        if token.act.is_some() {
            event = event.with("sub", token.sub.as_str());
        } else if !token.is_client() {
            event.principal = Some(crate::model::PrincipalRef::new("User", token.sub.as_str()));
        }
        match &token.gid {
            Some(gid) => event.with("gid", gid.as_str()),
            None => event,
        }
    }

    fn digest(&self) -> TokenDigest {
        sha256(self.text.expose().as_bytes())
    }

    fn ttl(&self) -> i64 {
        self.token.exp.as_secs() - self.token.iat.as_secs()
    }

    /// RFC 6749 5.1. Every character of token and scope stands in a JSON string as it is.
    pub(super) fn answer(&self, with: &Beside<'_>) -> Response {
        let text = self.text.expose();
        let mut body = String::with_capacity(text.len() + self.token.scope.len() + 96);
        body.push_str("{\"access_token\":\"");
        body.push_str(text);
        body.push_str("\",\"token_type\":\"");
        body.push_str(if self.token.cnf_jkt.is_some() { "DPoP" } else { "Bearer" });
        body.push_str("\",\"expires_in\":");
        body.push_str(&self.ttl().to_string());
        let scope = Some(self.token.scope.as_str()).filter(|scope| !scope.is_empty());
        for (name, value) in [
            ("scope", scope),
            ("refresh_token", with.refresh_token),
            ("id_token", with.id_token),
            ("issued_token_type", with.issued_token_type),
        ] {
            if let Some(value) = value {
                for part in [",\"", name, "\":\"", value, "\""] {
                    body.push_str(part);
                }
            }
        }
        body.push('}');
        json(StatusCode::OK, body)
    }
}

/// What stands beside an access token in an answer.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Beside<'a> {
    pub(super) refresh_token: Option<&'a str>,
    pub(super) id_token: Option<&'a str>,
    /// RFC 8693 2.2.1.
    pub(super) issued_token_type: Option<&'a str>,
}

/// The ID token of a family with the scope `openid` (OpenID Connect Core 2), to stand beside `access`.
pub(super) fn id_token(
    asked: &Asked<'_>,
    client: &LiveClient,
    grant: &Grant,
    access: &Minted,
    nonce: Option<&str>,
) -> Result<Option<String>, Error> {
    if !access.token.scopes().any(|scope| scope == "openid") {
        return Ok(None);
    }
    let ctx = &asked.server.ctx;
    let alg = ctx.settings.id_token_alg(&client.client);
    let ring = ctx.live.key_ring();
    let signer = signer(&ring, alg, asked.now)?;
    let iat = asked.now.as_secs();
    let ttl = i64::try_from(ctx.settings.access_token_ttl.as_secs()).unwrap_or(600);
    let claims = IdClaims {
        iss: &ctx.issuer,
        sub: &grant.user_id,
        aud: &client.client.client_id,
        exp: iat.saturating_add(ttl),
        iat,
        auth_time: grant.auth_time.as_secs(),
        nonce,
        acr: grant.acr.as_str(),
        amr: &grant.amr,
        sid: grant.session_id.as_deref(),
        at_hash: id_token::at_hash(alg, access.text.expose()),
    };
    id_token::sign(signer, &claims).map(Some).map_err(unsigned)
}

/// Makes and stores a refresh token of a family, issued beside `access`.
pub(super) async fn refresh_token(
    asked: &Asked<'_>,
    tx: &mut Tx,
    grant: &Grant,
    parent: Option<TokenDigest>,
    access: &AccessToken,
) -> Result<Secret<String>, StoreError> {
    let ctx = &asked.server.ctx;
    let text = secret_text::generate(Kind::RefreshToken, &*ctx.rng);
    let token = RefreshToken {
        digest: secret_text::digest(text.expose()),
        grant_id: grant.grant_id.clone(),
        parent,
        state: RefreshState::Active,
        issued_at: asked.now,
        used_at: None,
        expires_at: asked.now.plus(ctx.settings.refresh_token_ttl).min(grant.expires_at),
        access_jti: access.jti.clone(),
        access_exp: access.exp,
    };
    refresh_tokens::insert(tx, &token).await?;
    Ok(text)
}

/// Whether a refresh token goes with what `client` was granted: it registered for it, and so does the family.
pub(super) fn is_refreshable(client: &LiveClient) -> bool {
    client.client.grants.contains(&GrantType::RefreshToken)
}
