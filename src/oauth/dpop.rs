//! Proofs at the token endpoint (RFC 9449 5, 8): the key that a request proves is the one that its tokens are bound to.

use std::sync::Arc;

use http::{HeaderMap, HeaderValue, Response};

use super::error::Error;
use super::record::{Asked, Refusal};
use crate::crypto::dpop::{self, Wanted};
use crate::crypto::nonce::Worth;
use crate::http::dpop as header;
use crate::live::LiveClient;
use crate::store::{StoreError, assertions};

/// The path of a request that carries a proof: what the proof must name.
pub(super) fn path(request: &axum::extract::Request) -> Option<String> {
    request.headers().contains_key(header::PROOF).then(|| request.uri().path().to_owned())
}

/// Verifies the request's proof and uses it up; from then on [`Asked::jkt`] knows the key. Without a proof nothing happens,
/// unless the client must always bring one.
pub(super) async fn prove(
    asked: &Asked<'_>,
    client: &Arc<LiveClient>,
    headers: &HeaderMap,
    path: Option<&str>,
) -> Result<(), Refusal> {
    let ctx = &asked.server.ctx;
    let Some(path) = path else {
        return match client.client.dpop_bound {
            true => Err(Error::InvalidDpopProof("this client must send a DPoP proof").to(client)),
            false => Ok(()),
        };
    };
    let wrong = |what: &'static str| Error::InvalidDpopProof(what).to(client);
    let text = header::only(headers).map_err(wrong)?;
    let uri = [header::origin(&ctx.issuer).unwrap_or_default(), path].concat();
    let wanted = Wanted { method: "POST", uri: &uri, token: None };
    let proof = dpop::verify(text, &wanted, asked.now).map_err(|why| wrong(why.as_str()))?;
    if let Some(nonces) = &ctx.nonces {
        let worth = proof.nonce.as_deref().map_or(Worth::Nothing, |nonce| nonces.take(nonce, asked.now));
        if worth != Worth::Fresh
            && let Ok(next) = HeaderValue::try_from(nonces.give(asked.now))
        {
            asked.nonce.get_or_init(|| next);
        }
        if worth == Worth::Nothing {
            return Err(Error::UseDpopNonce.to(client));
        }
    }
    let first = use_up(asked, &proof).await.map_err(|error| {
        tracing::warn!(error = %crate::telemetry::chain(&error), "a DPoP proof could not be claimed");
        Error::Unavailable.to(client)
    })?;
    if !first {
        return Err(wrong("the DPoP proof was used before: make one for each request"));
    }
    asked.key.get_or_init(|| proof.jkt);
    Ok(())
}

/// A proof counts once, in whichever process.
async fn use_up(asked: &Asked<'_>, proof: &dpop::Proof) -> Result<bool, StoreError> {
    let mut tx = asked.server.ctx.store.begin().await?;
    // No client has a colon in its name that begins like this.
    let owner = format!("dpop:{}", proof.jkt);
    let first = assertions::claim(&mut tx, &owner, &proof.jti, proof.dies_at()).await?;
    tx.commit().await?;
    Ok(first)
}

/// Hands out the nonce for the next proof, when there is something to hand out.
pub(super) fn hand_out<B>(asked: &Asked<'_>, response: &mut Response<B>) {
    if let Some(nonce) = asked.nonce.get() {
        response.headers_mut().insert(header::NONCE, nonce.clone());
    }
}
