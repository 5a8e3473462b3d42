//! A map that never holds more than it was told to: two generations a shard. When the young one is full it becomes the
//! old one, and the old one is dropped; what is found in the old one moves to the young one. So what is used stays,
//! nothing is ever scanned, and a flood of new keys costs at most what was not used since the last turn.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, RandomState};

use parking_lot::Mutex;

const SHARDS: usize = 16;

struct Shard<K, V> {
    young: HashMap<K, V>,
    old: HashMap<K, V>,
}

/// The bounded map. Values are cloned out: make them cheap to clone.
pub struct Bounded<K, V> {
    shards: [Mutex<Shard<K, V>>; SHARDS],
    per_generation: usize,
    hasher: RandomState,
}

impl<K, V> std::fmt::Debug for Bounded<K, V> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Bounded").field("per_generation", &self.per_generation).finish_non_exhaustive()
    }
}

impl<K: Eq + Hash, V: Clone> Bounded<K, V> {
    /// Holds at most `capacity` entries, rounded up to a multiple of 32.
    pub fn new(capacity: usize) -> Self {
        let shard = |_| Mutex::new(Shard { young: HashMap::new(), old: HashMap::new() });
        Self {
            shards: std::array::from_fn(shard),
            per_generation: capacity.div_ceil(SHARDS * 2).max(1),
            hasher: RandomState::new(),
        }
    }

    fn shard<Q: Hash + ?Sized>(&self, key: &Q) -> &Mutex<Shard<K, V>> {
        // The high bits choose the shard: the map inside uses another hasher, so the low ones would do as well.
        let index = usize::try_from(self.hasher.hash_one(key) >> 60).unwrap_or(0);
        let [first, ..] = &self.shards;
        self.shards.get(index).unwrap_or(first)
    }

    /// The value of `key`, if it is still held.
    pub fn get<Q: Hash + Eq + ?Sized>(&self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        let mut shard = self.shard(key).lock();
        if let Some(value) = shard.young.get(key) {
            return Some(value.clone());
        }
        let (key, value) = shard.old.remove_entry(key)?;
        let found = value.clone();
        self.put(&mut shard, key, value);
        Some(found)
    }

    /// Holds `value` under `key` until there is no room for it.
    pub fn insert(&self, key: K, value: V) {
        let mut shard = self.shard(&key).lock();
        shard.old.remove(&key);
        self.put(&mut shard, key, value);
    }

    fn put(&self, shard: &mut Shard<K, V>, key: K, value: V) {
        if shard.young.len() >= self.per_generation && !shard.young.contains_key(&key) {
            shard.old = std::mem::take(&mut shard.young);
        }
        shard.young.insert(key, value);
    }

    /// Forgets `key`.
    pub fn remove<Q: Hash + Eq + ?Sized>(&self, key: &Q)
    where
        K: Borrow<Q>,
    {
        let mut shard = self.shard(key).lock();
        shard.young.remove(key);
        shard.old.remove(key);
    }

    /// Forgets everything.
    pub fn clear(&self) {
        for shard in &self.shards {
            let mut shard = shard.lock();
            shard.young.clear();
            shard.old.clear();
        }
    }

    /// How many entries it holds.
    pub fn len(&self) -> usize {
        self.shards.iter().map(|s| s.lock()).map(|s| s.young.len() + s.old.len()).sum()
    }

    /// Whether it holds nothing.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_new_keys_stays_within_bounds_and_what_is_used_survives_it() {
        let map = Bounded::new(3200);
        map.insert("hot".to_owned(), 1);
        for i in 0..100_000 {
            map.insert(format!("cold {i}"), i);
            if i % 10 == 0 {
                assert_eq!(map.get("hot"), Some(1), "after {i}");
            }
        }
        assert!(map.len() <= 3200, "{}", map.len());
        map.insert("hot".to_owned(), 2);
        assert_eq!(map.get("hot"), Some(2), "the newest value wins");
        map.remove("hot");
        assert_eq!(map.get("hot"), None);
        map.clear();
        assert!(map.is_empty());
    }
}
