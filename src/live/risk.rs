//! Who is at risk, from the findings in the store: read again whenever a finding, a person or a client changed, and shown to
//! the policies as one picture. Every process comes to the same picture by itself, because it follows from the rows alone.
//!
//! A flood of findings must not lock everybody out: only so many names become new in a minute, the earliest first; the
//! others are held back until there is room. People and clients that are to get in whatever happens are spared, and so is
//! whoever would be the last to administer.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;

use super::{Live, LiveClient};
use crate::base::Timestamp;
use crate::config::{Ours, Risk as Settings, RiskMode};
use crate::model::user::fold;
use crate::model::{EntityKind, GrantType, Standing};
use crate::policy::{Engine, Known, Standings, place};
use crate::store::risk::{self, Named};
use crate::store::{Handle, StoreError, users};
use crate::telemetry::labels::Subject;

/// How many names are looked at, the worst first.
const MOST: i64 = 50_000;
/// How many people are looked at for the role `admin`.
const MOST_ADMINS: i64 = 10_000;
/// The scope and the role of those who administer.
const ADMIN: &str = "admin";
const MINUTE: i64 = 60_000_000;

/// Where the picture goes and how it is made.
#[derive(Debug)]
pub(super) struct Feed {
    pub(super) engine: Arc<Engine>,
    pub(super) settings: Settings,
    /// Since when this process waits for findings that it fetches; `None`: it fetches none.
    pub(super) fetches_since: Option<Timestamp>,
}

/// What became of the names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Names whose risk counts.
    pub at_risk: usize,
    /// Names that wait for room.
    pub held_back: usize,
    /// People and clients that findings name and do not touch.
    pub spared: usize,
}

impl Live {
    /// Shows `engine` who is at risk, now and whenever it changes.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn tell_risk(&self, engine: Arc<Engine>, settings: Settings, fetches: bool) -> Result<(), StoreError> {
        if !fetches && settings.mode == RiskMode::On {
            tracing::info!(
                "no source of findings is configured: none grows stale, `context.risk.feedAgeSeconds` stays 0"
            );
        }
        let fetches_since = fetches.then(|| self.clock.now());
        // The first stays: one engine a process.
        self.risk.set(Feed { engine, settings, fetches_since }).ok();
        self.look_at_risk(&mut self.store.read().await?).await
    }

    /// What became of the names that active findings have.
    pub fn risk_tally(&self) -> Tally {
        *self.risk_tally.lock()
    }

    /// Whether findings name anybody: only then it matters who people and clients are.
    pub(super) fn is_anyone_named(&self) -> bool {
        *self.risk_tally.lock() != Tally::default()
    }

    /// Whether names wait and a minute has passed.
    pub(super) fn is_room_for_risk(&self) -> bool {
        self.risk_due.lock().is_some_and(|due| due <= self.clock.now())
    }

    /// Reads whom findings name, and shows it.
    pub(super) async fn look_at_risk(&self, handle: &mut impl Handle) -> Result<(), StoreError> {
        let Some(feed) = self.risk.get().filter(|feed| feed.settings.mode != RiskMode::Off) else { return Ok(()) };
        let now = self.clock.now();
        let named = risk::named(handle, MOST).await?;
        if i64::try_from(named.len()).unwrap_or(MOST) >= MOST {
            tracing::warn!(MOST, "findings name more than are looked at; the least bad are left out");
        }
        let ours = Aliases::read(&feed.settings, handle).await?;
        let (admitted, held_back, due) = admit(named, feed.settings.new_a_minute, now);
        let (at_risk, clients) = (admitted.len(), self.clients.load_full());
        let mut picture = Picture::default();
        for one in admitted {
            picture.add(&one, &feed.settings, &ours);
        }
        let Picture { mut known, since } = picture;
        known.spared_users.clone_from(&ours.spared);
        known.spared_clients = ours.spared;
        if !known.users.is_empty() {
            let admins = risk::admins(handle, MOST_ADMINS).await?;
            let last = last_of(admins.iter().map(String::as_str), &known.users, &known.spared_users, &since);
            known.spared_users.extend(last);
        }
        let admins = clients.values().filter(|live| administers(live)).map(|live| live.client.client_id.as_str());
        let last = last_of(admins, &known.clients, &known.spared_clients, &since);
        known.spared_clients.extend(last);
        let touched = |ids: &HashSet<Box<str>>, at_risk: &Standings<Box<str>>| {
            ids.iter().filter(|id| at_risk.get(&***id).is_some()).count()
        };
        let spared = touched(&known.spared_users, &known.users) + touched(&known.spared_clients, &known.clients);
        let read = risk::read_at(handle).await?;
        known.read_at = feed.fetches_since.map(|since| read.unwrap_or(since));
        known.dry_run = feed.settings.mode == RiskMode::DryRun;
        feed.engine.risk().show(known);
        self.note(Tally { at_risk, held_back, spared });
        *self.risk_due.lock() = due;
        Ok(())
    }

    fn note(&self, tally: Tally) {
        let before = std::mem::replace(&mut *self.risk_tally.lock(), tally);
        if tally.held_back > 0 && before.held_back == 0 {
            let Tally { at_risk, held_back, .. } = tally;
            tracing::warn!(at_risk, held_back, "findings name more at once than `findings.risk.new_a_minute`");
        }
        if let Some(metrics) = self.metrics.get() {
            let count = |subject, count: usize| metrics.risk_subjects.set(subject, u64::try_from(count).unwrap_or(0));
            count(Subject::AtRisk, tally.at_risk);
            count(Subject::HeldBack, tally.held_back);
            count(Subject::Spared, tally.spared);
        }
    }
}

/// Whether a client administers by itself.
fn administers(live: &LiveClient) -> bool {
    let client = &live.client;
    !client.disabled
        && client.scopes.iter().any(|scope| scope == ADMIN)
        && client.grants.contains(&GrantType::ClientCredentials)
}

/// The names whose risk counts at `now`, how many wait, and when the next of them has room. In each minute there is room for
/// `room` names that are new or grew worse; what comes first is let in first, whatever came later.
fn admit(mut named: Vec<Named>, room: u32, now: Timestamp) -> (Vec<Named>, usize, Option<Timestamp>) {
    named.sort_by(|a, b| (a.since, b.level, a.kind, &a.value).cmp(&(b.since, a.level, b.kind, &b.value)));
    let (mut minute, mut taken) = (i64::MIN, 0);
    let mut worst: HashMap<(EntityKind, String), u8> = HashMap::new();
    let (mut admitted, mut held_back, mut due) = (Vec::new(), 0, None);
    for one in named {
        let known = worst.entry((one.kind, one.value.clone())).or_default();
        if one.level <= *known {
            continue;
        }
        *known = one.level;
        let own = one.since.as_micros().div_euclid(MINUTE);
        if own > minute {
            (minute, taken) = (own, 0);
        }
        if taken == room {
            (minute, taken) = (minute + 1, 0);
        }
        taken += 1;
        let from = Timestamp::from_micros(minute.saturating_mul(MINUTE));
        if minute == own || from <= now {
            admitted.push(one);
        } else {
            held_back += 1;
            due = due.or(Some(from));
        }
    }
    (admitted, held_back, due)
}

/// Of those who administer the one that is least at risk, or came to it last, when all of them are at risk.
fn last_of<'a>(
    admins: impl Iterator<Item = &'a str>,
    at_risk: &Standings<Box<str>>,
    spared: &HashSet<Box<str>>,
    since: &HashMap<Box<str>, Timestamp>,
) -> Option<Box<str>> {
    let mut last = None;
    for id in admins {
        let standing = at_risk.get(id).filter(|_| !spared.contains(id))?;
        let rank = (standing.level, std::cmp::Reverse(since.get(id).copied().unwrap_or_default()), id);
        if last.is_none_or(|last| rank < last) {
            last = Some(rank);
        }
    }
    last.map(|(.., id)| id.into())
}

/// What the configuration calls people and clients, as ids.
#[derive(Debug, Default)]
struct Aliases {
    spared: HashSet<Box<str>>,
    known_as: HashMap<String, Ours>,
}

impl Aliases {
    async fn read(settings: &Settings, handle: &mut impl Handle) -> Result<Self, StoreError> {
        let mut aliases = Self::default();
        for name in &settings.break_glass {
            aliases.spared.extend([name.as_str().into(), id_of(handle, name).await?.into()]);
        }
        for (theirs, ours) in &settings.known_as {
            let ours = match ours {
                Ours::User(name) => Ours::User(id_of(handle, name).await?),
                Ours::Client(id) => Ours::Client(id.clone()),
            };
            aliases.known_as.insert(theirs.clone(), ours);
        }
        Ok(aliases)
    }
}

/// The id of the person with this name, or the name itself.
async fn id_of(handle: &mut impl Handle, name: &str) -> Result<String, StoreError> {
    let Some(folded) = fold(name) else { return Ok(name.to_owned()) };
    let found = users::find_by_username(handle, &folded).await?;
    Ok(found.map_or_else(|| name.to_owned(), |stored| stored.user.user_id))
}

/// The picture as it grows.
#[derive(Debug, Default)]
struct Picture {
    known: Known,
    /// Since when somebody is at risk, by id.
    since: HashMap<Box<str>, Timestamp>,
}

impl Picture {
    fn add(&mut self, one: &Named, settings: &Settings, aliases: &Aliases) {
        let standing = Standing { level: one.level, finding_id: one.finding_id.as_str().into() };
        let (name, known) = (one.value.as_str(), &mut self.known);
        let mut ids = vec![name];
        match one.kind {
            EntityKind::Address => {
                let address: Option<IpAddr> = name.parse().ok();
                // Where a finding says so, a machine talked to itself.
                let spared = |address: &IpAddr| {
                    address.is_loopback()
                        || address.is_unspecified()
                        || settings.spared_networks.iter().any(|net| net.contains(address))
                };
                if let Some(address) = address.filter(|address| !spared(address)) {
                    known.addresses.add(place(address), &standing);
                }
                return;
            }
            EntityKind::Client => known.clients.add(name.into(), &standing),
            // Names that an account's administrators gave.
            EntityKind::User | EntityKind::Principal => {
                known.users.add(name.into(), &standing);
                known.clients.add(name.into(), &standing);
            }
            // Whoever takes on a role calls the session as they like: nothing that can be guessed counts as one of ours.
            EntityKind::Session if name.starts_with("usr_") => known.users.add(name.into(), &standing),
            _ => {}
        }
        known.others.add(name.into(), &standing);
        if let Some(user_id) = &one.user_id {
            known.users.add(user_id.as_str().into(), &standing);
            ids.push(user_id);
        }
        match aliases.known_as.get(name) {
            Some(Ours::User(id)) => {
                known.users.add(id.as_str().into(), &standing);
                ids.push(id);
            }
            Some(Ours::Client(id)) => {
                known.clients.add(id.as_str().into(), &standing);
                ids.push(id);
            }
            None => {}
        }
        for id in ids {
            let since = self.since.entry(id.into()).or_insert(one.since);
            *since = one.since.max(*since);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(value: &str, level: u8, since_secs: i64) -> Named {
        Named {
            kind: EntityKind::User,
            value: value.to_owned(),
            level,
            since: Timestamp::from_secs(since_secs),
            finding_id: format!("fnd_{value}"),
            user_id: None,
        }
    }

    fn names(admitted: &[Named]) -> Vec<&str> {
        admitted.iter().map(|one| one.value.as_str()).collect()
    }

    #[test]
    fn a_flood_is_let_in_a_few_a_minute_and_whoever_came_first_stays_in() {
        let minute = 1_800_000_000 / 60 * 60;
        let now = Timestamp::from_secs(minute + 30);
        let all: Vec<Named> = [("early", 4, minute - 600), ("a", 1, minute), ("b", 4, minute), ("c", 4, minute + 20)]
            .map(|(name, level, since)| named(name, level, since))
            .into();
        let (admitted, held_back, due) = admit(all.clone(), 2, now);
        assert_eq!((names(&admitted), held_back), (vec!["early", "b", "a"], 1));
        assert_eq!(due, Some(Timestamp::from_secs(minute + 60)), "there is room in the next minute");
        let (admitted, held_back, due) = admit(all, 2, Timestamp::from_secs(minute + 60));
        assert_eq!((names(&admitted), held_back, due), (vec!["early", "b", "a", "c"], 0, None));
    }

    #[test]
    fn what_was_named_long_ago_takes_no_room_and_what_grew_worse_does() {
        let minute = 1_800_000_000 / 60 * 60;
        let now = Timestamp::from_secs(minute);
        let all = vec![named("a", 1, 0), named("a", 4, minute), named("b", 4, minute), named("a", 2, minute)];
        let (admitted, held_back, _) = admit(all, 1, now);
        assert_eq!(admitted.iter().map(|one| (&*one.value, one.level)).collect::<Vec<_>>(), [("a", 1), ("a", 4)]);
        assert_eq!(held_back, 1, "b; that a is low and medium as well is nothing new");
    }

    #[test]
    fn a_machine_that_talked_to_itself_is_nobody() {
        let mut picture = Picture::default();
        for address in ["127.0.0.1", "::1", "0.0.0.0", "192.0.2.7"] {
            let one = Named { kind: EntityKind::Address, ..named(address, 4, 0) };
            picture.add(&one, &Settings::default(), &Aliases::default());
        }
        let at_risk: Vec<String> = picture.known.addresses.iter().map(|(address, _)| address.to_string()).collect();
        assert_eq!(at_risk, ["192.0.2.7"]);
    }

    #[test]
    fn the_last_of_several_is_the_one_least_at_risk_and_nobody_while_one_is_not() {
        let mut at_risk = Standings::default();
        for (id, level) in [("a", 4), ("b", 3), ("c", 3)] {
            at_risk.add(id.into(), &Standing { level, finding_id: "fnd_1".into() });
        }
        let since = HashMap::from([("b".into(), Timestamp::from_secs(5)), ("c".into(), Timestamp::from_secs(9))]);
        let last = |ids: &[&str], spared: &[&str]| {
            let spared = spared.iter().map(|id| (*id).into()).collect();
            last_of(ids.iter().copied(), &at_risk, &spared, &since)
        };
        assert_eq!(last(&["a", "b", "c"], &[]).as_deref(), Some("c"), "the one that came last");
        assert_eq!(last(&["a"], &[]).as_deref(), Some("a"));
        assert_eq!(last(&["a", "b", "fine"], &[]), None);
        assert_eq!(last(&["a", "b"], &["b"]), None, "one of them gets in anyway");
        assert_eq!(last(&[], &[]), None);
    }
}
