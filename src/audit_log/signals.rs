//! What refusals say together: a burst of denials of one caller, a flood of refused requests, one address that tries many
//! names. Counted from the events that are recorded anyway, in a table of one size; a caller who is allowed costs nothing.

use std::hash::{BuildHasher as _, RandomState};
use std::net::IpAddr;
use std::time::Duration;

use super::fold::prefix;
use crate::base::Timestamp;
use crate::model::event::kind;
use crate::model::{Event, Outcome, PrincipalRef};
use crate::telemetry::labels::Noticed;

/// How many subjects are counted at once.
const SLOTS: usize = 8192;
/// How many slots a subject may be in.
const WAYS: usize = 8;
/// Signals that wait to be taken; more are left out, and come again with the next refusal.
const WAITING: usize = 256;
/// A signal that goes on is given again after this.
const AGAIN: Duration = Duration::from_secs(60);

/// Whom it is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// A caller who is known.
    Caller(PrincipalRef),
    /// An address; of IPv6 its /64.
    Address(IpAddr),
}

/// Something was noticed about somebody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signal {
    /// What.
    pub noticed: Noticed,
    /// About whom.
    pub subject: Subject,
    /// How often, or how many names were tried.
    pub count: u64,
    /// Since when it was counted.
    pub since: Timestamp,
    /// When it was noticed.
    pub at: Timestamp,
}

/// From how many on something is noticed; 0: never.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Thresholds {
    /// Whether refresh tokens that come again are noticed.
    pub replays: bool,
    /// Denials of one caller in a minute.
    pub denials: u32,
    /// Names tried from one address in ten minutes.
    pub names: u32,
    /// Requests over a limit in a minute.
    pub limited: u32,
}

#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    key: u64,
    since: i64,
    count: u64,
    /// Which names were tried, a bit each.
    names: u64,
    given_at: i64,
}

/// The counts.
#[derive(Debug)]
pub(super) struct Signals {
    thresholds: Thresholds,
    slots: Vec<Slot>,
    hasher: RandomState,
    waiting: Vec<Signal>,
}

impl Signals {
    pub(super) fn new(thresholds: Thresholds) -> Self {
        let slots = vec![Slot::default(); SLOTS];
        Self { thresholds, slots, hasher: RandomState::new(), waiting: Vec::new() }
    }

    /// Counts a refusal in.
    pub(super) fn see(&mut self, event: &Event) {
        if event.outcome != Outcome::Denied {
            return;
        }
        let caller = event.principal.as_ref().filter(|who| matches!(&*who.kind, "User" | "Client"));
        let address = event.address.map(prefix);
        let minute = Duration::from_secs(60);
        match (event.kind, caller, address) {
            // What risk itself denies, and what somebody else asked about the caller, says nothing new about the caller.
            (kind::DECISION, Some(who), _) if event.data.get("asked_by").is_none() && !is_by_risk(event) => {
                let most = self.thresholds.denials;
                self.count(Noticed::DenyBurst, Subject::Caller(who.clone()), most, minute, event, None);
            }
            (kind::RATE_LIMITED, Some(who), _) => {
                let most = self.thresholds.limited;
                self.count(Noticed::LimitFlood, Subject::Caller(who.clone()), most, minute, event, None);
            }
            (kind::RATE_LIMITED, None, Some(address)) => {
                let most = self.thresholds.limited;
                self.count(Noticed::LimitFlood, Subject::Address(address), most, minute, event, None);
            }
            (kind::LOGIN_FAILED, _, Some(address)) => {
                let (most, name) = (self.thresholds.names, event.principal.as_ref().map(|who| &*who.id));
                let subject = Subject::Address(address);
                self.count(Noticed::PasswordSpraying, subject, most, 10 * minute, event, Some(name));
            }
            _ => {}
        }
    }

    /// A refresh token of this person came again after its successor was used.
    pub(super) fn replayed(&mut self, user_id: &str, at: Timestamp) {
        if self.thresholds.replays {
            let subject = Subject::Caller(PrincipalRef::new("User", user_id));
            self.give(Signal { noticed: Noticed::RefreshReplay, subject, count: 1, since: at, at });
        }
    }

    fn give(&mut self, signal: Signal) {
        if self.waiting.len() < WAITING {
            self.waiting.push(signal);
        }
    }

    /// Takes what was noticed since the last time.
    pub(super) fn take(&mut self) -> Vec<Signal> {
        std::mem::take(&mut self.waiting)
    }

    /// `name`: of things that are told apart by one, which one; those without are told apart by nothing.
    fn count(
        &mut self,
        noticed: Noticed,
        subject: Subject,
        most: u32,
        window: Duration,
        event: &Event,
        name: Option<Option<&str>>,
    ) {
        if most == 0 {
            return;
        }
        let bit = name.flatten().map(|name| 1_u64 << (self.hasher.hash_one(name) % 64));
        let key = match &subject {
            Subject::Caller(who) => self.hasher.hash_one((noticed, who)),
            Subject::Address(address) => self.hasher.hash_one((noticed, address)),
        };
        let (now, window) = (event.time.as_micros(), i64::try_from(window.as_micros()).unwrap_or(i64::MAX));
        let Some(slot) = self.slot(key) else { return };
        if slot.key != key {
            *slot = Slot { key, since: now, ..Slot::default() };
        } else if now.saturating_sub(slot.since) >= window {
            *slot = Slot { since: now, count: 0, names: 0, ..*slot };
        }
        match (name, bit) {
            (Some(_), Some(bit)) => slot.names |= bit,
            _ => slot.count = slot.count.saturating_add(event.count),
        }
        let count = slot.count.saturating_add(u64::from(slot.names.count_ones()));
        let again = i64::try_from(AGAIN.as_micros()).unwrap_or(i64::MAX);
        if count < u64::from(most) || (slot.given_at != 0 && now.saturating_sub(slot.given_at) < again) {
            return;
        }
        slot.given_at = now;
        let since = Timestamp::from_micros(slot.since);
        self.give(Signal { noticed, subject, count, since, at: event.time });
    }

    /// The slot of a key, or the one that may be taken for it: the emptiest of its ways.
    fn slot(&mut self, key: u64) -> Option<&mut Slot> {
        let ways = self.slots.chunks_exact_mut(WAYS);
        let set = usize::try_from(key % u64::try_from(SLOTS / WAYS).unwrap_or(1)).unwrap_or(0);
        let ways = ways.into_iter().nth(set)?;
        let at = ways.iter().position(|slot| slot.key == key);
        let at = at.or_else(|| {
            let emptiest =
                ways.iter().enumerate().min_by_key(|(_, slot)| (slot.count, slot.names.count_ones(), slot.since));
            emptiest.map(|(at, _)| at)
        })?;
        ways.get_mut(at)
    }
}

/// Whether a policy said no to a caller who is at risk.
fn is_by_risk(event: &Event) -> bool {
    event.data.get("risk").is_some() && event.reason.as_deref() == Some("forbidden")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::SeededRng;

    const FEW: Thresholds = Thresholds { replays: true, denials: 3, names: 3, limited: 3 };

    fn event(kind: &'static str, at: i64, who: Option<(&str, &str)>, address: &str) -> Event {
        let mut event = Event::new(kind, Outcome::Denied, Timestamp::from_secs(at), &SeededRng::new(1));
        event.principal = who.map(|(kind, id)| PrincipalRef::new(kind, id));
        event.address = address.parse().ok();
        event
    }

    #[test]
    fn a_burst_is_noticed_once_a_minute_and_only_within_its_window() {
        let mut signals = Signals::new(FEW);
        let denied = |at| event(kind::DECISION, at, Some(("Client", "c")), "192.0.2.1");
        for at in [100, 130, 161, 190] {
            signals.see(&denied(at));
        }
        assert_eq!(signals.take(), [], "never three in a minute");
        for at in [200, 210, 215, 219] {
            signals.see(&denied(at));
        }
        let given = signals.take();
        assert_eq!(given.len(), 1, "{given:?}");
        assert_eq!((given[0].noticed, given[0].count), (Noticed::DenyBurst, 3));
        assert_eq!(given[0].subject, Subject::Caller(PrincipalRef::new("Client", "c")));
        for at in 280..400 {
            signals.see(&denied(at));
        }
        assert_eq!(signals.take().len(), 2, "it goes on: once a minute");
    }

    #[test]
    fn what_is_no_fault_of_the_caller_does_not_count() {
        let mut signals = Signals::new(FEW);
        let denied = || event(kind::DECISION, 100, Some(("User", "usr_a")), "192.0.2.1");
        for _ in 0..9 {
            signals.see(&denied().with("asked_by", "gateway"));
            signals.see(&Event { reason: Some("forbidden".into()), ..denied().with("risk", 4) });
            signals.see(&Event { outcome: Outcome::Allowed, ..denied() });
            signals.see(&event(kind::DECISION, 100, Some(("Operator", "local")), ""));
        }
        assert_eq!(signals.take(), []);
        let mut none = Signals::new(Thresholds { replays: false, denials: 0, names: 0, limited: 0 });
        (0..9).for_each(|_| none.see(&denied()));
        none.replayed("usr_a", Timestamp::from_secs(100));
        assert_eq!(none.take(), []);
    }

    #[test]
    fn one_who_mistypes_is_no_sprayer_and_one_address_with_many_names_is() {
        let mut signals = Signals::new(FEW);
        for _ in 0..9 {
            signals.see(&event(kind::LOGIN_FAILED, 100, Some(("User", "usr_a")), "192.0.2.1"));
        }
        assert_eq!(signals.take(), []);
        for name in ["usr_a", "usr_b", "usr_c", "usr_d", "usr_e", "usr_f"] {
            signals.see(&event(kind::LOGIN_FAILED, 100, Some(("User", name)), "2001:db8::1"));
        }
        let given = signals.take();
        assert_eq!(given.len(), 1);
        assert_eq!(given[0].subject, Subject::Address("2001:db8::".parse().unwrap()));
        for _ in 0..3 {
            signals.see(&event(kind::LOGIN_FAILED, 100, None, "192.0.2.2"));
        }
        assert_eq!(signals.take().len(), 1, "names of nobody here");
    }

    #[test]
    fn folded_refusals_count_as_many_and_a_flood_of_subjects_takes_no_more_room() {
        let mut signals = Signals::new(FEW);
        signals.see(&Event { count: 5, ..event(kind::RATE_LIMITED, 100, None, "192.0.2.1") });
        assert_eq!(signals.take().len(), 1);
        for at in 0..100_000_u32 {
            let mut one = event(kind::RATE_LIMITED, 100, None, "");
            one.address = Some(IpAddr::V4(at.into()));
            signals.see(&Event { count: 3, ..one });
        }
        assert_eq!((signals.slots.len(), signals.take().len()), (SLOTS, WAITING));
    }
}
