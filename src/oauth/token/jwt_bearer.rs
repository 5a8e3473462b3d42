//! The JWT bearer grant (RFC 7523 2.1): a workload shows what its cluster or CI system issued it, in place of a secret.
//!
//! The client is the registered one that the workload acts as, public or not; the assertion is the proof. Nothing is
//! accepted that a policy does not permit (`assertion:accept`) by the assertion's claims, and the token does not outlive
//! the assertion.

use std::sync::Arc;

use axum::response::Response;

use super::own;
use crate::crypto::foreign::{self, ForeignToken};
use crate::crypto::verify::TokenError;
use crate::live::LiveClient;
use crate::model::{Decision, DenyReason, GrantType};
use crate::oauth::error::Error;
use crate::oauth::form::Form;
use crate::oauth::record::{Asked, Refusal};
use crate::oauth::trusted::TrustedIssuer;
use crate::policy::{Facts, claims};

const ACCEPT: &str = "assertion:accept";

pub(super) async fn grant(asked: &Asked<'_>, client: &Arc<LiveClient>, form: &Form<'_>) -> Result<Response, Refusal> {
    let wrong = |what: &'static str| Error::InvalidAssertion(what).to(client);
    let jwt = form.get("assertion").ok_or_else(|| Error::InvalidRequest("assertion is missing").to(client))?;
    let (issuer, kid) = foreign::claimed(jwt).ok_or_else(|| wrong("the assertion is no JWT"))?;
    let issuer =
        asked.server.ctx.issuers.get(&*issuer).ok_or_else(|| wrong("nobody trusts the issuer of the assertion"))?;
    let assertion = issuer.verify(jwt, kid.as_deref(), asked.now).await.map_err(|why| match why {
        TokenError::Unavailable => Error::Unavailable.to(client),
        TokenError::Expired => wrong("the assertion has expired"),
        _ => wrong("the assertion does not verify; check its audience, its key and its claims"),
    })?;
    let accepted = accept(asked, client, issuer, &assertion);
    if let Some(reason) = accepted.denied {
        let error = match reason {
            DenyReason::NoSnapshot => Error::Unavailable,
            _ => Error::InvalidAssertion("no policy accepts this assertion for this client"),
        };
        return Err(Refusal {
            decision: Some(accepted),
            resource: Some(issuer.entity().name().into()),
            ..error.to(client)
        });
    }
    own::token(asked, client, form, GrantType::JwtBearer, Some(assertion.exp), |event| {
        event.with("assertion_issuer", &*issuer.issuer).with("assertion_subject", assertion.sub.as_str())
    })
    .await
}

/// Whether the client may speak by this assertion.
fn accept(asked: &Asked<'_>, client: &LiveClient, issuer: &TrustedIssuer, assertion: &ForeignToken) -> Decision {
    let facts = Facts::at(asked.now).client(&client.client.client_id).address(asked.info.address);
    let said = claims::context(&assertion.sub, &assertion.claims);
    asked.decide(&client.principal, ACCEPT, &issuer.entity(), &facts, &said)
}
