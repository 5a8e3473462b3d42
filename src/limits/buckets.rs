//! The table of buckets: several limits checked at once, all charged or none.

use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::{Mutex, MutexGuard};

use super::key::{Key, Keys, Space};
use super::rate::Limit;
use super::table::{Place, Shard};
use crate::base::Rng;

/// Most claims of one check; more are refused.
pub const MAX_CLAIMS: usize = 8;

/// How long after reading the clock a caller may come to its bucket: threads are preempted, and locks waited for.
const HELD_UP_NS: u64 = 1_000_000_000;

/// How large the table may grow.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Most slots, 24 bytes each; a power of two is kept. Default 2^20, which is 24 MiB.
    pub capacity: usize,
    /// The one bucket that all newcomers of a space share while every slot they could take holds a bucket that is not
    /// full. Default 1,000 a second, at most 2,000 at once.
    pub overflow: Limit,
}

impl Default for Settings {
    fn default() -> Self {
        Self { capacity: 1 << 20, overflow: Limit::OVERFLOW }
    }
}

/// One bucket to charge.
#[derive(Clone, Copy, Debug)]
pub struct Claim {
    /// Whose bucket.
    pub key: Key,
    /// Its rate and burst as they are now. They may change from one check to a later one (a reloaded file), and what was taken
    /// stays taken; but one bucket has one limit at a time. Two limits in turn on one key would forgive each other's debts, so
    /// a key's class names its limit (a tier's name, not only what the tier is for).
    pub limit: Limit,
    /// Units to take: 1 for most calls, 0 only looks.
    pub cost: u32,
    /// Counted and reported, never a reason to refuse.
    pub dry_run: bool,
}

impl Claim {
    /// One unit of `key`'s bucket.
    pub const fn new(key: Key, limit: Limit) -> Self {
        Self { key, limit, cost: 1, dry_run: false }
    }

    /// The same for `cost` units.
    #[must_use]
    pub const fn costing(mut self, cost: u32) -> Self {
        self.cost = cost;
        self
    }

    /// The same, never a reason to refuse.
    #[must_use]
    pub const fn dry_run(mut self, dry_run: bool) -> Self {
        self.dry_run = dry_run;
        self
    }
}

/// How one claim's bucket stands after the check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Which claim, by its place in the slice.
    pub index: usize,
    /// The limit it was checked under.
    pub limit: Limit,
    /// Nanoseconds until the same claim passes if nobody else takes units; 0 when it passed; `None` when its cost is above
    /// the burst, so that it never passes.
    pub wait_ns: Option<u64>,
    /// Whether the newcomers' shared bucket answered, because the table had no room for another.
    pub overflow: bool,
    /// Nanoseconds until the bucket is full.
    pub full_ns: u64,
    /// The limit of the bucket that answered.
    answered: Limit,
}

impl Standing {
    /// What is there, in nanoseconds of filling.
    const fn free_ns(&self) -> u64 {
        self.answered.fill_ns().saturating_sub(self.full_ns)
    }

    /// Units that could be taken now, rounded down.
    pub fn remaining(&self) -> u32 {
        u32::try_from(self.free_ns() / self.answered.interval_ns()).unwrap_or(u32::MAX)
    }

    /// Nanoseconds until one more unit is there; 0 when the bucket is full.
    pub const fn next_ns(&self) -> u64 {
        let interval = self.answered.interval_ns();
        if self.full_ns == 0 { 0 } else { interval - self.free_ns() % interval }
    }
}

/// The answer to one check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    violated: u8,
    would_violate: u8,
    allowed: bool,
    /// The claim with the least left, or, of a refusal, the one with the longest wait. `None` when nothing was claimed.
    pub tightest: Option<Standing>,
}

impl Verdict {
    /// Whether the call may proceed; every claim was charged if so, none if not.
    pub const fn is_allowed(&self) -> bool {
        self.allowed
    }

    /// Whether the claim at `index` refused the call.
    pub const fn is_violated(&self, index: usize) -> bool {
        index < MAX_CLAIMS && self.violated & (1 << index) != 0
    }

    /// Whether the claim at `index`, a dry run, would have refused the call.
    pub const fn would_violate(&self, index: usize) -> bool {
        index < MAX_CLAIMS && self.would_violate & (1 << index) != 0
    }

    /// Whether any dry run would have refused the call.
    pub const fn would_violate_any(&self) -> bool {
        self.would_violate != 0
    }

    /// Whole seconds to wait, rounded up, at least 1; `None` when the call was allowed or can never pass.
    pub fn retry_after_secs(&self) -> Option<u64> {
        if self.allowed {
            return None;
        }
        self.tightest.and_then(|t| t.wait_ns).map(|ns| ns.div_ceil(1_000_000_000).max(1))
    }
}

/// What the table holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stats {
    /// Buckets that are not full.
    pub live: usize,
    /// Slots that exist, 24 bytes each.
    pub slots: usize,
    /// Checks answered by an overflow bucket since the start.
    pub overflowed: u64,
}

/// Shards lie on cache lines of their own.
#[repr(align(64))]
struct Line(Mutex<Shard>);

/// Keyed token buckets in bounded memory. Share it in an `Arc`.
pub struct Buckets {
    shards: Box<[Line]>,
    /// TATs of the overflow buckets, by [`Space`].
    overflow: Mutex<[u64; Space::ALL.len()]>,
    overflow_limit: Limit,
    overflowed: AtomicU64,
    keys: Keys,
}

impl std::fmt::Debug for Buckets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Buckets").field("shards", &self.shards.len()).finish_non_exhaustive()
    }
}

/// One claim worked out against the TAT found.
#[derive(Clone, Copy)]
struct Sum {
    standing: Standing,
    /// The TAT after the charge, or as it was when the claim does not fit.
    tat: u64,
    fits: bool,
    /// The TAT to write when nothing is charged: `Some` where the one found was that of a slower limit.
    mended: Option<u64>,
}

impl Sum {
    /// The TAT to write, if any.
    const fn next_tat(&self, claim: &Claim, charge: bool) -> Option<u64> {
        if charge && self.fits && claim.cost > 0 { Some(self.tat) } else { self.mended }
    }
}

/// GCRA: the claim against a bucket that is full again at `tat`.
#[inline]
fn sum(claim: &Claim, limit: Limit, index: usize, tat: u64, now: u64, overflow: bool) -> Sum {
    let fill = limit.fill_ns();
    // A TAT much further away than an empty bucket's is one from a slower limit, or from before a clock went back: the bucket
    // is empty, no worse. That is written down even on a refusal, or it would be empty again a moment later. A little further
    // away is a caller that read the clock and was then held up: nothing is forgiven for that.
    let found = tat.saturating_sub(now);
    let is_foreign = found > fill.saturating_add(HELD_UP_NS);
    let debt = if is_foreign { fill } else { found };
    let wanted = debt.saturating_add(limit.cost_ns(claim.cost));
    let fits = wanted <= fill;
    let after = if fits { wanted } else { debt };
    let wait_ns = if fits {
        Some(0)
    } else if claim.cost > limit.burst() {
        None
    } else {
        Some(wanted - fill)
    };
    let standing = Standing { index, limit: claim.limit, wait_ns, overflow, full_ns: after, answered: limit };
    let mended = is_foreign.then(|| now.saturating_add(debt));
    Sum { standing, tat: now.saturating_add(after), fits, mended }
}

impl Buckets {
    /// An empty table; `random` keys its hash.
    pub fn new(settings: Settings, random: &dyn Rng) -> Self {
        let capacity = settings.capacity.max(8);
        let shards = (capacity / 64).clamp(1, 64).next_power_of_two().min(64);
        let shards = if shards * 8 > capacity { 1 } else { shards };
        Self {
            shards: (0..shards).map(|_| Line(Mutex::new(Shard::new(capacity / shards)))).collect(),
            overflow: Mutex::new([0; Space::ALL.len()]),
            overflow_limit: settings.overflow,
            overflowed: AtomicU64::new(0),
            keys: Keys::new(random),
        }
    }

    /// Makes this table's keys.
    pub const fn keys(&self) -> &Keys {
        &self.keys
    }

    /// Checks every claim at `now_ns` (`Clock::monotonic_ns`) and charges all of them, or none when one that is no dry run
    /// does not fit. A dry run that does not fit is not charged.
    #[inline]
    pub fn check(&self, claims: &[Claim], now_ns: u64) -> Verdict {
        match claims {
            [claim] => self.one(claim, now_ns, true),
            _ => self.several(claims, now_ns, true),
        }
    }

    /// Gives back what a check that was allowed took: what it was for turned out not to count, such as a password that was
    /// right. A bucket never holds more than its burst. What the shared overflow bucket took stays taken.
    pub fn give_back(&self, claims: &[Claim], now_ns: u64) {
        for claim in claims {
            let Some(line) = self.shards.get(self.shard_of(&claim.key)) else { continue };
            let mut shard = line.0.lock();
            if let Place::Found(at, tat) = shard.probe(claim.key.hash, now_ns) {
                shard.write(at, claim.key.hash, tat.saturating_sub(claim.limit.cost_ns(claim.cost)));
            }
        }
    }

    /// What [`Buckets::check`] would say, charging nothing.
    pub fn peek(&self, claims: &[Claim], now_ns: u64) -> Verdict {
        match claims {
            [claim] => self.one(claim, now_ns, false),
            _ => self.several(claims, now_ns, false),
        }
    }

    /// Gives memory back where most buckets are full again, one shard's lock at a time: for a periodic task.
    pub fn shrink(&self, now_ns: u64) {
        for line in &self.shards {
            line.0.lock().shrink(now_ns);
        }
    }

    /// What the table holds: a walk over all of it, for a periodic task.
    pub fn stats(&self, now_ns: u64) -> Stats {
        let mut stats = Stats { live: 0, slots: 0, overflowed: self.overflowed.load(Ordering::Relaxed) };
        for line in &self.shards {
            let shard = line.0.lock();
            stats.live += shard.live(now_ns);
            stats.slots += shard.slots();
        }
        stats
    }

    fn shard_of(&self, key: &Key) -> usize {
        let [_, high] = key.hash;
        // The number of shards is a power of two.
        usize::try_from(high & (self.shards.len() as u64 - 1)).unwrap_or(0)
    }

    fn one(&self, claim: &Claim, now: u64, charge: bool) -> Verdict {
        let Some(line) = self.shards.get(self.shard_of(&claim.key)) else { return refuse_all() };
        let mut shard = line.0.lock();
        let place = if charge { shard.place(claim.key.hash, now) } else { shard.probe(claim.key.hash, now) };
        let sum = match place {
            Place::Found(at, _) | Place::Free(at) => {
                let sum = sum(claim, claim.limit, 0, found(&place).unwrap_or(0), now, false);
                if charge && let Some(tat) = sum.next_tat(claim, true) {
                    shard.write(at, claim.key.hash, tat);
                }
                sum
            }
            Place::NoRoom => {
                drop(shard);
                let mut overflow = self.overflow.lock();
                let sum = self.overflow_sum(claim, 0, &overflow, now);
                if charge
                    && let Some(new) = sum.next_tat(claim, true)
                    && let Some(tat) = overflow.get_mut(claim.key.space.index())
                {
                    *tat = new;
                }
                sum
            }
        };
        let refused = !sum.fits && !claim.dry_run;
        Verdict {
            violated: u8::from(refused),
            would_violate: u8::from(!sum.fits && claim.dry_run),
            allowed: !refused,
            tightest: Some(sum.standing),
        }
    }

    fn overflow_sum(&self, claim: &Claim, index: usize, tats: &[u64; Space::ALL.len()], now: u64) -> Sum {
        self.overflowed.fetch_add(1, Ordering::Relaxed);
        let tat = tats.get(claim.key.space.index()).copied().unwrap_or(u64::MAX);
        sum(claim, self.overflow_limit, index, tat, now, true)
    }

    fn several(&self, claims: &[Claim], now: u64, charge: bool) -> Verdict {
        if claims.is_empty() {
            return Verdict { violated: 0, would_violate: 0, allowed: true, tightest: None };
        }
        if claims.len() > MAX_CLAIMS {
            return refuse_all();
        }
        // Every shard concerned, locked in one order for all callers.
        let mut order = [usize::MAX; MAX_CLAIMS];
        for (to, claim) in order.iter_mut().zip(claims) {
            *to = self.shard_of(&claim.key);
        }
        order.sort_unstable();
        let mut held: [Option<(usize, MutexGuard<'_, Shard>)>; MAX_CLAIMS] = [const { None }; MAX_CLAIMS];
        let mut last = usize::MAX;
        for (slot, number) in held.iter_mut().zip(order) {
            if number != last
                && let Some(line) = self.shards.get(number)
            {
                *slot = Some((number, line.0.lock()));
                last = number;
            }
        }
        let mut overflow = None;
        let mut sums: [Option<Sum>; MAX_CLAIMS] = [None; MAX_CLAIMS];
        let (mut violated, mut would_violate) = (0, 0);
        for (index, claim) in claims.iter().enumerate() {
            let number = self.shard_of(&claim.key);
            let earlier = claims.iter().zip(&sums).take(index).rev().find(|(other, _)| other.key == claim.key);
            let tat = match earlier {
                Some((_, Some(sum))) if !sum.standing.overflow => Some(sum.tat),
                _ => match shard_in(&mut held, number) {
                    Some(shard) if charge => found(&shard.place(claim.key.hash, now)),
                    Some(shard) => found(&shard.probe(claim.key.hash, now)),
                    None => None,
                },
            };
            let sum = match tat {
                Some(tat) => sum(claim, claim.limit, index, tat, now, false),
                None => {
                    let tats: &mut MutexGuard<'_, _> = overflow.get_or_insert_with(|| self.overflow.lock());
                    self.overflow_sum(claim, index, tats, now)
                }
            };
            if !sum.fits && claim.dry_run {
                would_violate |= 1 << index;
            } else if !sum.fits {
                violated |= 1 << index;
            }
            if let Some(slot) = sums.get_mut(index) {
                *slot = Some(sum);
            }
        }
        let allowed = violated == 0;
        if charge {
            for (claim, sum) in claims.iter().zip(sums.iter().flatten()) {
                let Some(tat) = sum.next_tat(claim, allowed) else { continue };
                let shard = shard_in(&mut held, self.shard_of(&claim.key));
                let place = shard.map(|shard| (shard.place(claim.key.hash, now), shard));
                match place {
                    Some((Place::Found(at, _) | Place::Free(at), shard)) if !sum.standing.overflow => {
                        shard.write(at, claim.key.hash, tat);
                    }
                    _ if allowed => {
                        // The overflow bucket is charged even past its end: what passed is paid for by whoever comes next.
                        let tats = overflow.get_or_insert_with(|| self.overflow.lock());
                        if let Some(tat) = tats.get_mut(claim.key.space.index()) {
                            *tat = (*tat).max(now).saturating_add(self.overflow_limit.cost_ns(claim.cost));
                        }
                    }
                    _ => {}
                }
            }
        }
        let standings = sums.iter().flatten().map(|sum| sum.standing);
        let tightest = if allowed {
            standings.filter(|s| would_violate & (1 << s.index) == 0).min_by_key(Standing::remaining)
        } else {
            standings.filter(|s| violated & (1 << s.index) != 0).max_by_key(|s| s.wait_ns.unwrap_or(u64::MAX))
        };
        Verdict { violated, would_violate, allowed, tightest }
    }
}

/// The TAT of an entry that is or could be in the table; `None` when there is no room for it.
const fn found(place: &Place) -> Option<u64> {
    match place {
        Place::Found(_, tat) => Some(*tat),
        Place::Free(_) => Some(0),
        Place::NoRoom => None,
    }
}

fn shard_in<'a>(
    held: &'a mut [Option<(usize, MutexGuard<'_, Shard>)>; MAX_CLAIMS],
    number: usize,
) -> Option<&'a mut Shard> {
    held.iter_mut().flatten().find(|(n, _)| *n == number).map(|(_, guard)| &mut **guard)
}

/// More claims than a check takes: refused rather than checked in part.
const fn refuse_all() -> Verdict {
    Verdict { violated: u8::MAX, would_violate: 0, allowed: false, tightest: None }
}
