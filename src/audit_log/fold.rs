//! Floods of refusals that anyone can cause are folded: one event for each (kind, reason, who or where) and second, with
//! a count. A stranger cannot fill the disk, and nothing is left out of the sum.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::IpAddr;
use std::sync::Arc;

use crate::model::{Event, PrincipalRef};

/// How many different folds one second may hold; more are summed by kind and reason alone.
const MOST: usize = 1024;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    kind: &'static str,
    reason: Option<Arc<str>>,
    principal: Option<PrincipalRef>,
    prefix: Option<IpAddr>,
}

/// The folds of the running second.
#[derive(Debug, Default)]
pub struct Folds(HashMap<Key, Event>);

/// IPv4 whole, IPv6 by /64: what one stranger can vary at will stands for one stranger.
pub(super) fn prefix(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(v4) => IpAddr::V4(v4),
        IpAddr::V6(v6) => IpAddr::V6((u128::from(v6) & !u128::from(u64::MAX)).into()),
    }
}

impl Folds {
    /// Counts `event` in.
    pub fn add(&mut self, mut event: Event) {
        event.address = event.address.map(prefix);
        let mut key = Key {
            kind: event.kind,
            reason: event.reason.clone(),
            principal: event.principal.clone(),
            prefix: if event.principal.is_some() { None } else { event.address },
        };
        if self.0.len() >= MOST && !self.0.contains_key(&key) {
            key.principal = None;
            key.prefix = None;
            event.principal = None;
            event.address = None;
        }
        match self.0.entry(key) {
            Entry::Occupied(mut first) => first.get_mut().count += event.count,
            Entry::Vacant(slot) => {
                slot.insert(event);
            }
        }
    }

    /// Counts one more of `kind` for `reason` by `principal`; `make` makes the event when it is the first of its second.
    pub fn count(
        &mut self,
        kind: &'static str,
        reason: Option<Arc<str>>,
        principal: &PrincipalRef,
        make: impl FnOnce() -> Event,
    ) {
        let key = Key { kind, reason, principal: Some(principal.clone()), prefix: None };
        match self.0.get_mut(&key) {
            Some(first) => first.count += 1,
            None => self.add(make()),
        }
    }

    /// Takes every fold out.
    pub fn take(&mut self) -> Vec<Event> {
        self.0.drain().map(|(_, event)| event).collect()
    }

    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{SeededRng, Timestamp};
    use crate::model::{Outcome, event::kind};

    fn refusal(address: IpAddr) -> Event {
        let mut event = Event::new(kind::UNAUTHENTICATED, Outcome::Denied, Timestamp::default(), &SeededRng::new(1));
        event.reason = Some("invalid_token".into());
        event.address = Some(address);
        event
    }

    #[test]
    fn one_slash_64_is_one_event_with_a_count() {
        let mut folds = Folds::default();
        for i in 0..5_000_u128 {
            folds.add(refusal(IpAddr::V6(((0x2001_0db8 << 96) | i).into())));
        }
        let events = folds.take();
        assert_eq!(events.len(), 1);
        assert_eq!(events[0].count, 5_000);
    }

    #[test]
    fn what_is_counted_by_key_joins_the_event_that_was_added() {
        let mut folds = Folds::default();
        let ada = PrincipalRef::new("User", "ada");
        let mut made = 0;
        let mut by_ada = || {
            made += 1;
            Event { principal: Some(ada.clone()), ..refusal(IpAddr::V4(1.into())) }
        };
        folds.add(by_ada());
        for _ in 0..3 {
            folds.count(kind::UNAUTHENTICATED, Some("invalid_token".into()), &ada, &mut by_ada);
        }
        folds.count(kind::UNAUTHENTICATED, None, &ada, || Event { reason: None, ..by_ada() });
        let mut counts: Vec<_> = folds.take().iter().map(|event| event.count).collect();
        counts.sort_unstable();
        assert_eq!((counts, made), (vec![1, 4], 2));
    }

    #[test]
    fn a_flood_from_everywhere_stays_bounded_and_whole() {
        let mut folds = Folds::default();
        for i in 0..50_000_u32 {
            folds.add(refusal(IpAddr::V4(i.into())));
        }
        let events = folds.take();
        assert!(events.len() <= MOST + 1, "{}", events.len());
        assert_eq!(events.iter().map(|e| e.count).sum::<u64>(), 50_000);
    }
}
