//! What came before, in bounded memory: a set of digests that each stay for a while. When it is full, what is new is not
//! taken: an answer of "not seen" that might be wrong would let the same thing count twice.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use parking_lot::Mutex;

use super::sha256;
use crate::base::Timestamp;

const SHARDS: usize = 16;

/// The answer to one question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum First {
    /// It did not come before.
    Yes,
    /// It did.
    Again,
    /// Nobody can say: there is no room to remember it.
    Full,
}

#[derive(Default)]
struct Shard {
    /// When the young ones began to be gathered.
    since: Timestamp,
    young: HashSet<[u8; 16]>,
    old: HashSet<[u8; 16]>,
}

/// The set.
pub struct Seen {
    shards: [Mutex<Shard>; SHARDS],
    per_generation: usize,
    stays: Duration,
    hasher: RandomState,
}

impl std::fmt::Debug for Seen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Seen").field("per_generation", &self.per_generation).field("stays", &self.stays).finish()
    }
}

impl Seen {
    /// Remembers each for at least `stays`, and at most twice `capacity` (rounded up) together, 16 bytes each.
    pub fn new(capacity: usize, stays: Duration) -> Self {
        Self {
            shards: std::array::from_fn(|_| Mutex::default()),
            per_generation: capacity.div_ceil(SHARDS).max(1),
            stays,
            hasher: RandomState::new(),
        }
    }

    /// Whether this is the first time for `owner` and `id` together; from now on it is not.
    pub fn first(&self, owner: &str, id: &str, now: Timestamp) -> First {
        // An owner is of fixed length or has no line feed.
        let whole = sha256(format!("{owner}\n{id}").as_bytes());
        let digest = whole.first_chunk::<16>().copied().unwrap_or_default();
        let index = usize::try_from(self.hasher.hash_one(digest) >> 60).unwrap_or(0);
        let [zeroth, ..] = &self.shards;
        let mut shard = self.shards.get(index).unwrap_or(zeroth).lock();
        if now.since(shard.since) >= self.stays {
            // Two stretches without a word: the old ones are too old as well.
            let stale = now.since(shard.since) >= self.stays * 2;
            shard.old = if stale { HashSet::new() } else { std::mem::take(&mut shard.young) };
            shard.young.clear();
            shard.since = now;
        }
        if shard.old.contains(&digest) || shard.young.contains(&digest) {
            First::Again
        } else if shard.young.len() >= self.per_generation {
            First::Full
        } else {
            shard.young.insert(digest);
            First::Yes
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn what_came_before_is_known_for_its_time_whenever_it_came() {
        for begin in 0..120 {
            let seen = Seen::new(1000, MINUTE);
            let start = Timestamp::from_secs(1_800_000_000);
            seen.first("k", "other", start);
            let at = start.plus(Duration::from_secs(begin));
            assert_eq!(seen.first("k", "a", at), First::Yes, "{begin}");
            for later in [0, 1, 30, 59] {
                assert_eq!(
                    seen.first("k", "a", at.plus(Duration::from_secs(later))),
                    First::Again,
                    "{begin} + {later}"
                );
            }
            assert_eq!(seen.first("k", "a", at.plus(MINUTE * 3)), First::Yes, "{begin}: forgotten");
            assert_eq!(seen.first("other", "a", at.plus(MINUTE * 3)), First::Yes, "{begin}: of another owner");
        }
    }

    #[test]
    fn a_full_set_takes_nothing_new_and_forgets_nothing() {
        let seen = Seen::new(160, MINUTE);
        let now = Timestamp::from_secs(1_800_000_000);
        let taken: Vec<String> =
            (0..10_000).map(|i| i.to_string()).filter(|id| seen.first("k", id, now) == First::Yes).collect();
        assert!((100..=160).contains(&taken.len()), "{}", taken.len());
        assert!(taken.iter().all(|id| seen.first("k", id, now.plus(MINUTE)) == First::Again));
        assert_eq!(seen.first("k", "new", now.plus(MINUTE)), First::Yes, "there is room again");
    }
}
