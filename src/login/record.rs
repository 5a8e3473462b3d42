//! What this room records with the change it belongs to.

use std::sync::Arc;

use http::HeaderValue;

use super::trouble::Trouble;
use super::visit::Visit;
use crate::accounts::{Occasion, Why};
use crate::http::session::{Fresh, Proof, SignedIn};
use crate::model::event::kind;
use crate::model::{Decision, Event, Outcome};
use crate::store::{Tx, events};

impl Visit {
    /// An event of a person who is signed in.
    pub(super) fn done(&self, kind: &'static str, signed: &SignedIn) -> Event {
        let event = self.event(kind, Outcome::Allowed, Some(&signed.session.user_id));
        event.with("sid", signed.session.session_id.as_str())
    }

    /// Records `events` with what `tx` changes, and commits both.
    pub(super) async fn commit(&self, mut tx: Tx, events: &[Event]) -> Result<(), Trouble> {
        for event in events {
            events::intake(&mut tx, event).await?;
        }
        Ok(tx.commit().await?)
    }

    /// Signs `user_id` in within `tx`, over `before`, records and commits it, with the decision that allowed it where there was
    /// one: the cookies to set.
    pub(super) async fn sign_in(
        &self,
        mut tx: Tx,
        before: Option<SignedIn>,
        user_id: &str,
        proof: &Proof,
        decision: Option<&Decision>,
    ) -> Result<Vec<HeaderValue>, Trouble> {
        let event = |kind, outcome| self.event(kind, outcome, Some(user_id));
        let on = self.occasion(&event, Why::Ended);
        let from = (&*self.info, &self.headers);
        let sessions = &self.ctx().sessions;
        let (fresh, ended) = sessions.start(&mut tx, (user_id, proof), from, before.as_ref(), &on).await?;
        let started = self.started(user_id, proof, &fresh);
        let started = match decision {
            Some(decision) => started.decided(decision),
            None => started,
        };
        self.commit(tx, &[started]).await?;
        ended.announce(&self.ctx().live);
        Ok(fresh.cookies)
    }

    /// On what occasion something ends; `event` makes its events.
    pub(super) fn occasion<'a>(
        &'a self,
        event: &'a (dyn Fn(&'static str, Outcome) -> Event + Send + Sync),
        why: Why,
    ) -> Occasion<'a> {
        Occasion { event, why, now: self.now(), rng: &*self.ctx().rng }
    }

    fn started(&self, user_id: &str, proof: &Proof, fresh: &Fresh) -> Event {
        let mut event = self.event(kind::SESSION_STARTED, Outcome::Allowed, Some(user_id));
        event.action = Some(Arc::from("login"));
        let event = event.with("sid", fresh.session_id.as_str()).with("acr", proof.acr.as_str());
        let event = event.with("amr", proof.amr.clone());
        match &proof.provider {
            Some(provider) => event.with("provider", provider.as_str()),
            None => event,
        }
    }
}
