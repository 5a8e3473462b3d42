//! Ids of revoked tokens, families and people whose tokens would otherwise still be alive.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::RwLock;

use crate::base::Timestamp;

/// The denylist in memory. Asking an empty one costs one load; a full one, a read lock and a hash.
#[derive(Debug, Default)]
pub struct Denylist {
    any: AtomicBool,
    entries: RwLock<HashMap<Box<str>, Timestamp>>,
}

impl Denylist {
    /// Adds an id whose last token dies at `exp` by itself. Of two ends the later counts.
    pub fn insert(&self, id: &str, exp: Timestamp) {
        let mut entries = self.entries.write();
        let end = entries.entry(id.into()).or_insert(exp);
        *end = exp.max(*end);
        drop(entries);
        self.any.store(true, Ordering::Release);
    }

    /// Whether the id is on it.
    pub fn contains(&self, id: &str) -> bool {
        self.any.load(Ordering::Acquire) && self.entries.read().contains_key(id)
    }

    /// Forgets what has died before `now`.
    pub fn sweep(&self, now: Timestamp) {
        if self.any.load(Ordering::Acquire) {
            self.entries.write().retain(|_, exp| *exp > now);
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.entries.read().len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_revoked_token_is_forgotten_only_once_it_is_dead() {
        let list = Denylist::default();
        assert!(!list.contains("a"));
        list.insert("a", Timestamp::from_secs(10));
        list.sweep(Timestamp::from_secs(9));
        assert!(list.contains("a"));
        list.sweep(Timestamp::from_secs(10));
        assert!(!list.contains("a") && list.is_empty());
    }
}
