//! Clients that registered themselves and never came for a token leave again.

use std::sync::Arc;
use std::time::Duration;

use crate::base::{Clock, Rng};
use crate::model::event::kind;
use crate::model::{Event, Outcome};
use crate::store::grants::{self, Of};
use crate::store::{Store, StoreError, clients, consents, events, registrations};

/// How many leave in one transaction.
const BATCH: i64 = 100;

/// Removes them.
#[derive(Debug)]
pub struct Unused {
    /// Where they are.
    pub store: Store,
    /// How long they may stay.
    pub after: Duration,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Ids of events.
    pub rng: Arc<dyn Rng>,
}

impl Unused {
    /// Removes those whose time is over, with an event each; how many there were. One that was adopted stays.
    ///
    /// # Errors
    /// When the database fails; what left until then stays gone.
    pub async fn forget(&self) -> Result<u64, StoreError> {
        let now = self.clock.now();
        let mut all = 0;
        loop {
            let due = registrations::unused(&mut self.store.read().await?, now.minus(self.after), BATCH).await?;
            if due.is_empty() {
                return Ok(all);
            }
            let mut tx = self.store.begin().await?;
            for client_id in &due {
                let found = clients::find(&mut tx, client_id).await?;
                if found.is_some_and(|stored| !stored.client.is_dynamic()) {
                    registrations::used(&mut tx, client_id, now).await?;
                    continue;
                }
                // Nothing was issued, but somebody may have agreed to it.
                grants::revoke(&mut tx, Of::Client(client_id), now, now).await?;
                consents::forget_client(&mut tx, client_id).await?;
                clients::delete(&mut tx, client_id).await?;
                let mut event = Event::new(kind::CLIENT_CHANGED, Outcome::Allowed, now, &*self.rng);
                event.resource = Some(format!("Client::{client_id:?}").into());
                let event = event.with("change", "expired").with("client_id", client_id.as_str());
                events::intake(&mut tx, &event).await?;
                all += 1;
            }
            tx.commit().await?;
        }
    }
}
