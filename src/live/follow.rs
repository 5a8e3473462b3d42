//! Keeping the memory fresh: what changed is read again, topic by topic.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::watch;

use super::{Keys, Live, LiveClient, LiveError, POLL};
use crate::crypto::keyring::KeyRing;
use crate::policy::Principal;
use crate::store::changes::{self, Topic, Watch};
use crate::store::{StoreError, clients, keys, revocations};
use crate::telemetry::labels::KeyChange;

/// Where the follower of the denylist stands, kept beside the versions.
const REVOCATION_SEQ: &str = "revocations.seq";
const PAGE: i64 = 1000;

impl Live {
    /// Reads what changed since the last time, here or in another process.
    ///
    /// # Errors
    /// When the database or a key cannot be read; what is in memory stays, and the next call tries again.
    pub async fn refresh(&self) -> Result<(), LiveError> {
        let mut seen = self.seen.lock().await;
        let mut reader = self.store.read().await?;
        let versions = changes::versions(&mut reader).await?;
        // A first load reads everything, whatever the versions say.
        let first = seen.is_empty();
        let changed = |topic: Topic| first || versions.get(topic.as_str()) != seen.get(topic.as_str());
        if changed(Topic::Clients) {
            let mut all = HashMap::new();
            let mut after = String::new();
            loop {
                let page = clients::page(&mut reader, &after, PAGE).await?;
                let Some(last) = page.last() else { break };
                after.clone_from(&last.client.client_id);
                for stored in page {
                    let principal = Principal::client(&stored.client);
                    let id = stored.client.client_id.as_str().into();
                    let live = LiveClient { client: stored.client, version: stored.version, principal };
                    all.insert(id, Arc::new(live));
                }
            }
            // `null` is what sandboxed pages of anyone send.
            let enabled = all.values().filter(|live: &&Arc<LiveClient>| !live.client.disabled);
            let origins = enabled.flat_map(|live| &live.client.cors_origins).filter(|origin| *origin != "null");
            self.origins.store(Arc::new(origins.map(|origin| origin.as_str().into()).collect()));
            self.clients.store(Arc::new(all));
        }
        if changed(Topic::Users) {
            self.users.forget();
        }
        if changed(Topic::Keys) {
            let stored = keys::all(&mut reader).await?;
            let ring = Arc::new(KeyRing::build(&stored, &self.sealer)?);
            self.count_key_changes(&ring);
            self.show(ring);
        }
        let mut seq = seen.get(REVOCATION_SEQ).copied().unwrap_or(0);
        if changed(Topic::Revocations) {
            loop {
                let page = revocations::since(&mut reader, seq, PAGE).await?;
                let Some(last) = page.last() else { break };
                seq = last.seq;
                for revocation in &page {
                    self.denylist.insert(&revocation.jti, revocation.exp);
                }
            }
        }
        // Last: of all that is followed it may wait, and costs the most.
        let is_ours = self.is_anyone_named() && (changed(Topic::Users) || changed(Topic::Clients));
        if changed(Topic::Findings) || is_ours || self.is_room_for_risk() {
            self.look_at_risk(&mut reader).await?;
        }
        *seen = versions;
        seen.insert(REVOCATION_SEQ.to_owned(), seq);
        Ok(())
    }

    /// Counts what a new ring changes, whoever made the change.
    fn count_key_changes(&self, next: &KeyRing) {
        let Some(metrics) = self.metrics.get() else { return };
        let now = self.key_ring();
        for key in next.stored() {
            let before = now.stored().find(|before| before.kid == key.kid);
            if before.is_none() {
                metrics.key_changes.add(KeyChange::Published);
            }
            if key.retired_at.is_some() && before.is_none_or(|before| before.retired_at.is_none()) {
                let at_once = key.expires_at == key.retired_at;
                metrics.key_changes.add(if at_once { KeyChange::Compromised } else { KeyChange::Retired });
            }
        }
        for _ in now.stored().filter(|before| !next.stored().any(|key| key.kid == before.kid)) {
            metrics.key_changes.add(KeyChange::Deleted);
        }
    }

    /// Publishes what the ring shows now.
    fn show(&self, ring: Arc<KeyRing>) {
        let now = self.clock.now();
        self.verifier.set_keys(ring.public(now));
        let (jwks, next_change) = (ring.jwks(now), ring.next_change(now));
        self.keys.store(Arc::new(Keys { ring, jwks, next_change }));
    }

    /// Follows changes until `stop` turns true. One a process.
    pub async fn follow(&self, mut stop: watch::Receiver<bool>) {
        let mut watch = Watch::new(self.store.clone());
        let mut failing = false;
        while !*stop.borrow() {
            tokio::select! {
                () = watch.wait(POLL) => {}
                _ = stop.changed() => return,
            }
            let now = self.clock.now();
            if self.keys.load().next_change.is_some_and(|at| at <= now) {
                self.show(self.key_ring());
            }
            self.denylist.sweep(now);
            match self.refresh().await {
                Ok(()) => failing = false,
                Err(error) if failing => tracing::debug!(error = %crate::telemetry::chain(&error), "still no news"),
                Err(error) => {
                    failing = true;
                    tracing::warn!(
                        error = %crate::telemetry::chain(&error),
                        "changes by other processes are not seen until the database answers again"
                    );
                }
            }
        }
    }

    /// Whether the database that is followed answers.
    ///
    /// # Errors
    /// When it does not.
    pub async fn ping(&self) -> Result<(), StoreError> {
        self.store.ping().await
    }
}
