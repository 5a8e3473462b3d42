//! `/login/with/{provider}`: the way there.

use axum::extract::Path;
use axum::response::Response;

use super::attempt::{Attempt, Purpose};
use super::provider::Provider;
use super::refusal::Asked;
use crate::base::Timestamp;
use crate::http::browser::see_other;
use crate::login::entry::freshness;
use crate::login::trouble::Trouble;
use crate::login::visit::Visit;

/// `GET /login/with/{provider}`: a link of our sign-in page. Links of other sites lead to that page.
pub(super) async fn show(Path(id): Path<String>, visit: Visit) -> Result<Response, Trouble> {
    let next = visit.next()?;
    let provider = visit.ctx().providers.get(&id).ok_or(Trouble::NotFound)?;
    if !visit.is_from_here() {
        return Err(Trouble::Elsewhere(visit.site().path(&format!("/login{}", next.query()))));
    }
    begin(&visit, provider, freshness(&visit, &next), Purpose::SignIn(next.query())).await
}

/// Sends the browser to `provider`, where its person must have proven themselves after `since`.
pub(in crate::login) async fn begin(
    visit: &Visit,
    provider: &Provider,
    since: Option<Timestamp>,
    purpose: Purpose,
) -> Result<Response, Trouble> {
    let attempt = Attempt::new(visit, &provider.id, since, purpose);
    match provider.way(&attempt).await {
        Ok(way) => Ok(see_other(&way, [visit.keep(&attempt)?])),
        Err(failure) => {
            let asked = Asked { visit, provider, purpose: Some(&attempt.purpose) };
            Ok(asked.refuse(failure.into()))
        }
    }
}
