//! Who is at risk: what `context.risk` of every decision is looked up in. Whoever reads findings shows a whole picture at a
//! time; decisions read it without a lock, and while nobody is at risk that is one load and a branch.

use std::borrow::Borrow;
use std::collections::{HashMap, HashSet};
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::ArcSwap;

use super::ambient::Ambient;
use super::facts::Facts;
use crate::base::Timestamp;
use crate::model::{PrincipalRef, Standing};

/// Standings by name; of two the worse stays.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standings<K: Hash + Eq>(HashMap<K, Standing>);

impl<K: Hash + Eq> Default for Standings<K> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<K: Hash + Eq> Standings<K> {
    /// Notes one.
    pub fn add(&mut self, key: K, standing: &Standing) {
        let known = self.0.entry(key).or_insert_with(|| standing.clone());
        if standing.level > known.level {
            known.clone_from(standing);
        }
    }

    /// The standing of one.
    pub fn get<Q: Hash + Eq + ?Sized>(&self, key: &Q) -> Option<&Standing>
    where
        K: Borrow<Q>,
    {
        if self.0.is_empty() { None } else { self.0.get(key) }
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = (&K, &Standing)> {
        self.0.iter()
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether nobody is at risk.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Everything that is known at one time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Known {
    /// People, by id.
    pub users: Standings<Box<str>>,
    /// Clients, by id.
    pub clients: Standings<Box<str>>,
    /// Callers of other kinds that somebody asks about, by id: access keys, roles, workloads.
    pub others: Standings<Box<str>>,
    /// Addresses as [`place`] gives them.
    pub addresses: Standings<IpAddr>,
    /// People whom no finding touches.
    pub spared_users: HashSet<Box<str>>,
    /// Clients that no finding touches.
    pub spared_clients: HashSet<Box<str>>,
    /// When all of what is fetched had been read last; `None` where nothing is fetched.
    pub read_at: Option<Timestamp>,
    /// Nothing of this counts, it is only noted.
    pub dry_run: bool,
}

impl Known {
    /// Whether nobody is at risk and nothing can grow stale.
    fn is_empty(&self) -> bool {
        self.users.is_empty()
            && self.clients.is_empty()
            && self.others.is_empty()
            && self.addresses.is_empty()
            && self.read_at.is_none()
    }

    /// The worst of caller, client and address. `None` when there is none, or the caller is spared.
    fn worst(&self, caller: &PrincipalRef, client: &str, address: Option<IpAddr>) -> Option<&Standing> {
        let own = match &*caller.kind {
            "User" => self.users.get(&*caller.id),
            "Client" => self.clients.get(&*caller.id),
            _ => self.others.get(&*caller.id),
        };
        let client = self.clients.get(client);
        let address = address.and_then(|address| self.addresses.get(&place(address)));
        [own, client, address].into_iter().flatten().max_by_key(|standing| standing.level)
    }

    fn spares(&self, caller: &PrincipalRef) -> bool {
        match &*caller.kind {
            // Whoever stands at the machine is how a mistake is undone.
            "Operator" => true,
            "User" => self.spared_users.contains(&*caller.id),
            "Client" => self.spared_clients.contains(&*caller.id),
            _ => false,
        }
    }
}

/// What an address counts as: of IPv6 its /64, which is what one host has, as limits count it.
pub fn place(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64)),
        v4 @ IpAddr::V4(_) => v4,
    }
}

/// The picture in force.
#[derive(Debug, Default)]
pub struct Risk {
    any: AtomicBool,
    known: ArcSwap<Known>,
}

impl Risk {
    /// Puts a picture in force for every decision that begins after this.
    pub fn show(&self, known: Known) {
        let any = !known.is_empty();
        self.known.store(Arc::new(known));
        self.any.store(any, Ordering::Release);
    }

    /// `facts` with the risk of `caller`, of the client and of the address in them.
    pub fn told<'a>(&self, caller: &PrincipalRef, facts: Facts<'a>) -> Facts<'a> {
        if self.any.load(Ordering::Acquire) { Facts { ambient: self.look_up(caller, &facts), ..facts } } else { facts }
    }

    #[inline(never)]
    fn look_up(&self, caller: &PrincipalRef, facts: &Facts<'_>) -> Ambient {
        let known = self.known.load();
        if known.spares(caller) {
            return facts.ambient;
        }
        let age = known.read_at.map_or(0, |at| facts.now.since(at).as_secs() / 60 * 60);
        let risk_level = known.worst(caller, facts.client, facts.address).map_or(0, |worst| worst.level);
        let feed_age_secs = u32::try_from(age).unwrap_or(u32::MAX);
        let dry_run = known.dry_run && (risk_level > 0 || feed_age_secs > 0);
        Ambient { risk_level, feed_age_secs, dry_run, ..facts.ambient }
    }

    /// What gave `facts` their risk, for the event that tells of it.
    pub fn because(&self, caller: &PrincipalRef, facts: &Facts<'_>) -> Option<Standing> {
        if facts.ambient.risk_level == 0 {
            return None;
        }
        self.known.load().worst(caller, facts.client, facts.address).cloned()
    }

    /// The picture.
    pub fn known(&self) -> Arc<Known> {
        self.known.load_full()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn standing(level: u8, finding_id: &str) -> Standing {
        Standing { level, finding_id: finding_id.into() }
    }

    fn someone(kind: &str, id: &str) -> PrincipalRef {
        PrincipalRef::new(kind, id)
    }

    fn facts(client: &'static str, address: &str) -> Facts<'static> {
        Facts::at(Timestamp::from_secs(1_800_000_000)).client(client).address(address.parse().ok())
    }

    fn shown(change: impl FnOnce(&mut Known)) -> Risk {
        let mut known = Known::default();
        known.users.add("usr_a".into(), &standing(2, "fnd_user"));
        known.clients.add("app".into(), &standing(3, "fnd_client"));
        known.others.add("AKIA1".into(), &standing(1, "fnd_key"));
        known.addresses.add(place("192.0.2.7".parse().unwrap()), &standing(4, "fnd_address"));
        known.addresses.add(place("2001:db8::1".parse().unwrap()), &standing(4, "fnd_v6"));
        change(&mut known);
        let risk = Risk::default();
        risk.show(known);
        risk
    }

    #[test]
    fn the_worst_of_caller_client_and_address_counts() {
        let risk = shown(|_| {});
        let level = |kind, id, client, address| {
            let facts = risk.told(&someone(kind, id), facts(client, address));
            (facts.ambient.risk_level, risk.because(&someone(kind, id), &facts).map(|one| one.finding_id.to_string()))
        };
        let told = |level, finding: &str| (level, Some(finding.to_owned()));
        assert_eq!(level("User", "usr_a", "", ""), told(2, "fnd_user"));
        assert_eq!(level("User", "usr_a", "app", ""), told(3, "fnd_client"));
        assert_eq!(level("User", "usr_a", "app", "192.0.2.7"), told(4, "fnd_address"));
        assert_eq!(level("Client", "app", "", "192.0.2.8"), told(3, "fnd_client"));
        assert_eq!(level("User", "usr_b", "other", "192.0.2.8"), (0, None));
        assert_eq!(level("Client", "usr_a", "", ""), (0, None), "a client is no person");
        assert_eq!(level("Key", "AKIA1", "", ""), told(1, "fnd_key"));
        assert_eq!(level("User", "usr_b", "", "2001:db8::ffff"), told(4, "fnd_v6"), "one host has a /64");
        assert_eq!(level("User", "usr_b", "", "2001:db8:0:1::1"), (0, None));
        assert_eq!(level("User", "usr_b", "", "::ffff:192.0.2.7"), told(4, "fnd_address"));
    }

    #[test]
    fn who_is_spared_is_at_no_risk_whatever_client_and_address() {
        let risk = shown(|known| {
            known.spared_users.insert("usr_a".into());
            known.read_at = Some(Timestamp::from_secs(0));
        });
        for (kind, id) in [("User", "usr_a"), ("Operator", "local")] {
            let facts = risk.told(&someone(kind, id), facts("app", "192.0.2.7"));
            assert_eq!(facts.ambient, Ambient::default(), "{id}");
        }
    }

    #[test]
    fn the_age_of_the_feed_is_told_in_whole_minutes_and_only_where_something_is_fetched() {
        let age = |read_at: Option<i64>| {
            let risk = shown(|known| known.read_at = read_at.map(Timestamp::from_secs));
            risk.told(&someone("User", "usr_b"), facts("", "")).ambient.feed_age_secs
        };
        assert_eq!(age(None), 0);
        assert_eq!(age(Some(1_800_000_000 - 59)), 0);
        assert_eq!(age(Some(1_800_000_000 - 961)), 960);
        assert_eq!(age(Some(1_800_000_000 + 5)), 0, "a clock that went back");
    }

    #[test]
    fn a_dry_run_is_noted_and_not_shown() {
        let risk = shown(|known| known.dry_run = true);
        let caller = someone("User", "usr_a");
        let noted = risk.told(&caller, facts("", ""));
        assert_eq!(noted.ambient.shown(), Ambient::default());
        assert_eq!(noted.in_earnest().map(|facts| facts.ambient.risk_level), Some(2));
        let nobody = risk.told(&someone("User", "usr_b"), facts("", ""));
        assert_eq!(nobody.in_earnest(), None, "nothing is decided twice without need");
    }

    #[test]
    fn lifting_it_is_showing_nothing() {
        let risk = shown(|_| {});
        risk.show(Known::default());
        let facts = risk.told(&someone("User", "usr_a"), facts("app", "192.0.2.7"));
        assert_eq!(facts.ambient, Ambient::default());
    }
}
