//! Back-channel logout (OpenID Connect Back-Channel Logout 1.0): clients are told when a session ends. The deliveries are rows
//! of the transaction that ended it, so none is lost; they go out one after the other from a tick, again and later each time,
//! until the client takes one or its hour is over. How each ended is an event.

use std::sync::Arc;
use std::time::Duration;

use http::{Request, StatusCode, header};

use super::Settings;
use crate::base::{Clock, Rng, id};
use crate::crypto::logout_token::{self, Events, LogoutClaims};
use crate::http::fetch::Fetcher;
use crate::live::Live;
use crate::model::event::kind;
use crate::model::{Event, LogoutDelivery, Outcome, PrincipalRef};
use crate::store::{Store, StoreError, events, logout_deliveries};

/// How long a logout token counts (2.4 wants two minutes at most).
const LIFETIME_SECS: i64 = 120;
/// Deliveries of one run.
const AT_ONCE: i64 = 16;
/// For how long a delivery is this process's; longer than a run can take.
const HELD: Duration = Duration::from_secs(120);
/// The first pause, doubled each time.
const PAUSE: Duration = Duration::from_secs(5);
const LONGEST_PAUSE: Duration = Duration::from_secs(600);

/// Delivers logout tokens.
#[derive(Debug)]
pub struct BackChannel {
    /// The issuer.
    pub issuer: Arc<str>,
    /// Clients and keys.
    pub live: Arc<Live>,
    /// The deliveries.
    pub store: Store,
    /// Makes the requests: https, no redirects, nowhere inside.
    pub fetcher: Fetcher,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Ids of tokens.
    pub rng: Arc<dyn Rng>,
    /// From the configuration.
    pub settings: Settings,
}

impl BackChannel {
    /// Delivers what is due; how many there were. No transaction is open while a client is asked.
    ///
    /// # Errors
    /// When the database fails; what was taken is tried again later.
    pub async fn deliver(&self) -> Result<usize, StoreError> {
        let now = self.clock.now();
        let mut tx = self.store.begin().await?;
        let due = logout_deliveries::take(&mut tx, now, now.plus(HELD), AT_ONCE).await?;
        tx.commit().await?;
        for delivery in &due {
            let sent = self.send(delivery).await;
            self.settle(delivery, sent).await?;
        }
        Ok(due.len())
    }

    /// `Err` says what went wrong, in words of ours.
    async fn send(&self, delivery: &LogoutDelivery) -> Result<(), String> {
        let client = self.live.client(&delivery.client_id).ok_or("the client is gone")?;
        let uri = client.client.backchannel_logout_uri.as_deref().ok_or("the client wants none any more")?;
        let now = self.clock.now();
        let ring = self.live.key_ring();
        let signer = ring.signer(self.settings.id_token_alg(&client.client), now).ok_or("no key signs")?;
        let claims = LogoutClaims {
            iss: &self.issuer,
            aud: &delivery.client_id,
            iat: now.as_secs(),
            exp: now.as_secs().saturating_add(LIFETIME_SECS),
            jti: &id::new("lgt", now, &*self.rng),
            sub: &delivery.user_id,
            sid: delivery.session_id.as_deref(),
            events: Events::default(),
        };
        let token = logout_token::sign(signer, &claims).map_err(|error| error.to_string())?;
        // Every character of a compact JWS stands in a form as it is.
        let request = Request::post(uri)
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(format!("logout_token={token}").into_bytes());
        let answer = self.fetcher.send(request.map_err(|_| "the URI is none")?).await.map_err(|e| e.to_string())?;
        match answer.status() {
            StatusCode::OK | StatusCode::NO_CONTENT => Ok(()),
            status => Err(format!("the answer was {}", status.as_u16())),
        }
    }

    /// Done, given up, or later again.
    async fn settle(&self, delivery: &LogoutDelivery, sent: Result<(), String>) -> Result<(), StoreError> {
        let now = self.clock.now();
        let next = now.plus(pause(delivery.attempts));
        let mut tx = self.store.begin().await?;
        match sent {
            Err(_) if next < delivery.expires_at => {
                logout_deliveries::retry_at(&mut tx, &delivery.delivery_id, next).await?;
            }
            ended => {
                logout_deliveries::done(&mut tx, &delivery.delivery_id).await?;
                events::intake(&mut tx, &self.event(delivery, &ended)).await?;
            }
        }
        tx.commit().await
    }

    fn event(&self, delivery: &LogoutDelivery, ended: &Result<(), String>) -> Event {
        let outcome = if ended.is_ok() { Outcome::Allowed } else { Outcome::Failed };
        let mut event = Event::new(kind::LOGOUT_DELIVERED, outcome, self.clock.now(), &*self.rng);
        event.principal = Some(PrincipalRef::new("Client", delivery.client_id.as_str()));
        event.resource = delivery.session_id.as_ref().map(|sid| format!("Session::{sid:?}").into());
        if let Err(why) = ended {
            event.reason = Some(why.as_str().into());
        }
        event.with("user_id", delivery.user_id.as_str()).with("attempts", delivery.attempts)
    }
}

fn pause(attempts: i64) -> Duration {
    let doublings = u32::try_from(attempts.saturating_sub(1)).unwrap_or(0).min(16);
    PAUSE.saturating_mul(1 << doublings).min(LONGEST_PAUSE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn e12_each_pause_is_longer_until_ten_minutes() {
        let secs: Vec<u64> = (0..10).map(|attempts| pause(attempts).as_secs()).collect();
        assert_eq!(secs, [5, 5, 10, 20, 40, 80, 160, 320, 600, 600]);
    }
}
