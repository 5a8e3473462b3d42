//! `/callback/{provider}`: the answer of a provider, which anybody may have sent here.

use axum::extract::Path;
use axum::response::Response;

use super::attempt::{Attempt, Purpose};
use super::identity::Identity;
use super::provider::Provider;
use super::refusal::{Asked, Refusal};
use super::{enter, link};
use crate::crypto::compare;
use crate::login::trouble::Trouble;
use crate::login::visit::Visit;

/// Longest code that is sent on.
const CODE: usize = 4096;

/// `GET /callback/{provider}`.
pub(super) async fn show(Path(id): Path<String>, visit: Visit) -> Result<Response, Trouble> {
    let provider = visit.ctx().providers.get(&id).ok_or(Trouble::NotFound)?;
    let attempt = visit.attempt();
    let purpose = attempt.as_ref().map(|attempt| &attempt.purpose);
    let asked = Asked { visit: &visit, provider, purpose };
    let Some(attempt) = &attempt else { return Ok(asked.refuse(Refusal::Over)) };
    match judge(&visit, provider, attempt).await? {
        Err(refusal) => Ok(asked.refuse(refusal)),
        Ok(who) => match &attempt.purpose {
            Purpose::SignIn(query) => enter::enter(&asked, attempt, who, query).await,
            Purpose::Link(user_id) => link::offer(&asked, who, user_id).await,
        },
    }
}

/// Who the answer stands for. In this order: is it to our question, for the first time, from whom we asked; only then does
/// anything go out.
async fn judge(visit: &Visit, provider: &Provider, attempt: &Attempt) -> Result<Result<Identity, Refusal>, Trouble> {
    let state = visit.only("state").unwrap_or_default();
    if !compare::equal(state.as_bytes(), attempt.state.as_bytes()) {
        return Ok(Err(Refusal::Over));
    }
    if attempt.provider != provider.id {
        return Ok(Err(Refusal::MixUp));
    }
    if !attempt.use_up(visit).await? {
        return Ok(Err(Refusal::Over));
    }
    let iss = visit.only("iss");
    if visit.has("iss") && iss.is_none() {
        return Ok(Err(Refusal::MixUp));
    }
    match provider.sent(iss).await {
        Ok(true) => {}
        Ok(false) => return Ok(Err(Refusal::MixUp)),
        Err(failure) => return Ok(Err(failure.into())),
    }
    if visit.has("error") {
        return Ok(Err(Refusal::Declined));
    }
    let Some(code) = visit.only("code").filter(|code| code.len() <= CODE) else { return Ok(Err(Refusal::Declined)) };
    let taken = match visit.guess_upstream() {
        Ok(taken) => taken,
        Err(wait) => return Ok(Err(Refusal::TooOften(wait))),
    };
    match provider.identify(attempt, code, visit.now()).await {
        Ok(who) => {
            visit.give_back(&taken);
            Ok(Ok(who))
        }
        Err(failure) => Ok(Err(failure.into())),
    }
}
