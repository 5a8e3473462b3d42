//! `POST /oauth/device_authorization` (RFC 8628 3.1): a device that cannot show a page is given a code to poll with, and
//! one for a person to type at `/device`.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use http::StatusCode;
use serde_json::json;

use super::error::{Error, json as answered};
use super::form::{self, Form};
use super::record::{Asked, Refusal};
use super::{Shared, client_auth, dpop, limit, scope};
use crate::base::{Rng, rng};
use crate::crypto::secret_text::{self, Kind};
use crate::http::Info;
use crate::live::LiveClient;
use crate::model::event::kind;
use crate::model::{DeviceCode, DeviceState, GrantType};
use crate::store::{StoreError, device_codes};

/// How long a person has to type the code.
const LIFETIME: Duration = Duration::from_secs(600);
/// Seconds between two polls, to begin with (RFC 8628 3.2).
const INTERVAL_SECS: i64 = 5;
/// Letters that make no words and are not taken for one another (RFC 8628 6.1): eight of them are 34.5 bits.
const LETTERS: &[u8; 20] = b"BCDFGHJKLMNPQRSTVWXZ";
const HALF: usize = 4;
/// Two of 2^34 codes rarely meet; three times in a row something else is wrong.
const TRIES: usize = 3;

pub(super) async fn endpoint(State(server): State<Shared>, info: Info, request: Request) -> Response {
    let asked = Asked::new(&server, info, "authorize");
    let mut response = match answer(&asked, request).await {
        Ok(response) => response,
        Err(refusal) => refusal.record(&asked, kind::AUTHORIZATION_REFUSED).await.into_response(),
    };
    dpop::hand_out(&asked, &mut response);
    response
}

async fn answer(asked: &Asked<'_>, request: Request) -> Result<Response, Refusal> {
    let server = asked.server;
    limit::address(server, "device", server.ctx.settings.token_address, &asked.info).map_err(Error::RateLimited)?;
    let path = dpop::path(&request);
    let (headers, body) = form::read(request).await?;
    let form = Form::parse(&body)?;
    let client = client_auth::identify(asked, &headers, &form).await?;
    limit::client(server, &client.client.client_id).map_err(|secs| Error::RateLimited(secs).to(&client))?;
    if !client.client.grants.contains(&GrantType::DeviceCode) {
        return Err(Error::UnauthorizedClient.to(&client));
    }
    // What is proven here is what the tokens will be bound to; without a proof nothing is yet.
    if path.is_some() {
        dpop::prove(asked, &client, &headers, path.as_deref()).await?;
    }
    let scopes = scopes(&client, &form).map_err(|error| error.to(&client))?;
    let resources = resources(&client, &form).map_err(|error| error.to(&client))?;
    let (device_code, user_code) = keep(asked, &client, &scopes, &resources).await.map_err(|error| {
        tracing::warn!(error = %crate::telemetry::chain(&error), "a device authorization could not be stored");
        Error::Unavailable.to(&client)
    })?;
    let (first, second) = user_code.split_at_checked(HALF).unwrap_or((&user_code, ""));
    let issuer = &server.ctx.issuer;
    let body = json!({
        "device_code": device_code.expose(),
        "user_code": format!("{first}-{second}"),
        "verification_uri": format!("{issuer}/device"),
        "verification_uri_complete": format!("{issuer}/device?user_code={user_code}"),
        "expires_in": LIFETIME.as_secs(),
        "interval": INTERVAL_SECS,
    });
    Ok(answered(StatusCode::OK, body.to_string()))
}

/// Registered ones; without any, all that are.
fn scopes(client: &LiveClient, form: &Form<'_>) -> Result<Vec<String>, Error> {
    let registered = &client.client.scopes;
    match scope::requested(form.get("scope"))? {
        None => Ok(registered.clone()),
        Some(asked) if asked.iter().all(|scope| registered.iter().any(|known| known == scope)) => {
            Ok(asked.into_iter().map(str::to_owned).collect())
        }
        Some(_) => Err(Error::InvalidScope("this client is not registered for one of the scopes")),
    }
}

/// Registered ones (RFC 8707 2); without any, the client's default.
fn resources(client: &LiveClient, form: &Form<'_>) -> Result<Vec<String>, Error> {
    let own = &client.client;
    let mut named: Vec<String> = form.all("resource").map(str::to_owned).collect();
    if named.is_empty() {
        named.push(own.default_resource.clone());
    }
    match named.iter().all(|uri| *uri == own.default_resource || own.resources.contains(uri)) {
        true => Ok(named),
        false => Err(Error::InvalidTarget("this client is not registered for this resource")),
    }
}

async fn keep(
    asked: &Asked<'_>,
    client: &Arc<LiveClient>,
    scopes: &[String],
    resources: &[String],
) -> Result<(crate::base::Secret<String>, String), StoreError> {
    let ctx = &asked.server.ctx;
    let text = secret_text::generate(Kind::DeviceCode, &*ctx.rng);
    let mut tries = 0;
    loop {
        tries += 1;
        let user_code = user_code(&*ctx.rng);
        let code = DeviceCode {
            digest: secret_text::digest(text.expose()),
            user_code: user_code.clone(),
            client_id: client.client.client_id.clone(),
            scopes: scopes.to_vec(),
            resources: resources.to_vec(),
            dpop_jkt: asked.jkt().map(str::to_owned),
            state: DeviceState::Pending,
            grant_id: None,
            interval_secs: INTERVAL_SECS,
            polled_at: None,
            created_at: asked.now,
            expires_at: asked.now.plus(LIFETIME),
        };
        let mut tx = ctx.store.begin().await?;
        match device_codes::insert(&mut tx, &code).await {
            Ok(()) => {
                tx.commit().await?;
                return Ok((text, user_code));
            }
            Err(StoreError::Conflict(_)) if tries < TRIES => {}
            Err(error) => return Err(error),
        }
    }
}

/// Eight letters, each as likely as any other: bytes past the last whole multiple of twenty are thrown away.
fn user_code(random: &dyn Rng) -> String {
    let mut out = String::with_capacity(2 * HALF);
    while out.len() < 2 * HALF {
        let [byte] = rng::bytes::<1>(random);
        if byte < 240
            && let Some(letter) = LETTERS.get(usize::from(byte % 20))
        {
            out.push(char::from(*letter));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::SeededRng;

    #[test]
    fn b22_user_codes_are_eight_letters_of_twenty_each_as_likely() {
        let random = SeededRng::new(7);
        let mut counts = std::collections::BTreeMap::new();
        for _ in 0..5000 {
            let code = user_code(&random);
            assert_eq!(code.len(), 8);
            code.bytes().for_each(|letter| *counts.entry(letter).or_insert(0_u32) += 1);
        }
        assert_eq!(counts.keys().copied().collect::<Vec<_>>(), LETTERS.to_vec());
        assert!(counts.values().all(|count| (1700..2300).contains(count)), "{counts:?}");
        assert!(8.0 * 20_f64.log2() >= 34.0);
    }
}
