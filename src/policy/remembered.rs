//! What a snapshot has found out already. All of it follows from the snapshot and the question, so nothing here ever
//! grows stale; all of it is bounded, and emptied when full.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, Hash, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use cedar_policy::Context;
use parking_lot::RwLock;
use serde_json::{Map, Value};

use super::decide::Bundle;
use super::entity::Node;
use super::facts::{Extra, Facts};
use super::reads::Reads;
use crate::model::Decision;

/// Principal, resource, action.
pub(crate) type Key = (u64, u64, u32);

const MOST_BUNDLES: usize = 8192;
const MOST_ANSWERS: usize = 16_384;
/// Building a context costs as much as deciding, and one token asks many times a second.
const MOST_CONTEXTS: usize = 2048;
const MOST_THINGS: usize = 8192;
/// How many names of the wire are known to have come once; a power of two.
const SEEN_ONCE: usize = 4096;

/// Bundles of lasting principals and resources, the answers to questions about them, which kinds of context each action
/// takes, and the contexts that were built last.
#[derive(Debug)]
pub(crate) struct Remembered {
    bundles: RwLock<HashMap<Key, Arc<Bundle>>>,
    fits: RwLock<HashMap<(u32, &'static str, bool), bool>>,
    pub(crate) answers: ByFacts<Key, Decision>,
    pub(crate) contexts: ByFacts<Reads, Context>,
}

impl Default for Remembered {
    fn default() -> Self {
        Self {
            bundles: RwLock::default(),
            fits: RwLock::default(),
            answers: ByFacts::new(MOST_ANSWERS),
            contexts: ByFacts::new(MOST_CONTEXTS),
        }
    }
}

impl Remembered {
    pub(crate) fn bundle(&self, key: Key) -> Option<Arc<Bundle>> {
        self.bundles.read().get(&key).map(Arc::clone)
    }

    pub(crate) fn keep_bundle(&self, key: Key, bundle: &Arc<Bundle>) {
        let mut bundles = self.bundles.write();
        if bundles.len() >= MOST_BUNDLES {
            bundles.clear();
        }
        bundles.insert(key, Arc::clone(bundle));
    }

    /// Whether contexts of this shape fit an action, once that is known: every context of facts has the same types.
    pub(crate) fn fits(&self, shape: (u32, &'static str, bool), check: impl FnOnce() -> bool) -> bool {
        if let Some(fits) = self.fits.read().get(&shape) {
            return *fits;
        }
        let fits = check();
        self.fits.write().insert(shape, fits);
        fits
    }
}

/// What was made of some facts, by them and a key.
#[derive(Debug)]
pub(crate) struct ByFacts<K, V> {
    known: RwLock<HashMap<u64, Vec<Made<K, V>>>>,
    hasher: RandomState,
    most: usize,
}

#[derive(Debug)]
struct Made<K, V> {
    key: K,
    /// With no scopes and no client, which stand beside them.
    facts: Facts<'static>,
    scopes: Box<str>,
    client: Box<str>,
    extra: Option<(&'static str, Box<str>)>,
    value: V,
}

impl<K: Copy + Eq + Hash, V: Clone> ByFacts<K, V> {
    fn new(most: usize) -> Self {
        Self { known: RwLock::default(), hasher: RandomState::new(), most }
    }

    /// What `make` makes of this, or made of it before; `None` is not remembered.
    pub(crate) fn get(
        &self,
        key: K,
        facts: &Facts<'_>,
        extra: Extra<'_>,
        make: impl FnOnce() -> Option<V>,
    ) -> Option<V> {
        let hash = self.hasher.hash_one((key, facts, extra));
        let bare = Facts { scopes: "", client: "", ..*facts };
        let same = |made: &&Made<K, V>| {
            made.key == key
                && made.facts == bare
                && *made.scopes == *facts.scopes
                && *made.client == *facts.client
                && made.extra.as_ref().map(|(name, value)| (*name, &**value)) == extra
        };
        if let Some(found) = self.known.read().get(&hash).and_then(|list| list.iter().find(same)) {
            return Some(found.value.clone());
        }
        let value = make()?;
        let extra = extra.map(|(name, value)| (name, value.into()));
        let made = Made {
            key,
            facts: bare,
            scopes: facts.scopes.into(),
            client: facts.client.into(),
            extra,
            value: value.clone(),
        };
        let mut known = self.known.write();
        if known.len() >= self.most {
            known.clear();
        }
        known.entry(hash).or_default().push(made);
        Some(value)
    }
}

/// Entities that arrived by name with their properties. One that came twice will come again: it is kept, so that what was
/// found out about it is found again. One that came once costs eight bytes.
#[derive(Debug)]
pub(crate) struct Things {
    known: RwLock<HashMap<u64, Vec<Thing>>>,
    seen: Box<[AtomicU64]>,
    hasher: RandomState,
}

#[derive(Debug)]
struct Thing {
    kind: Box<str>,
    id: Box<str>,
    properties: Option<Map<String, Value>>,
    node: Arc<Node>,
}

impl Default for Things {
    fn default() -> Self {
        let seen = std::iter::repeat_with(AtomicU64::default).take(SEEN_ONCE).collect();
        Self { known: RwLock::default(), seen, hasher: RandomState::new() }
    }
}

impl Things {
    /// The entity of this name and these properties; `make` makes it, told whether it is kept.
    ///
    /// # Errors
    /// Those of `make`; nothing is kept then.
    pub(crate) fn get<E>(
        &self,
        (kind, id): (&str, &str),
        properties: Option<&Map<String, Value>>,
        make: impl FnOnce(bool) -> Result<Arc<Node>, E>,
    ) -> Result<Arc<Node>, E> {
        let hash = self.hasher.hash_one((kind, id, properties));
        let same = |thing: &&Thing| *thing.id == *id && *thing.kind == *kind && thing.properties.as_ref() == properties;
        if let Some(found) = self.known.read().get(&hash).and_then(|list| list.iter().find(same)) {
            return Ok(Arc::clone(&found.node));
        }
        let again = self.came_before(hash);
        let node = make(again)?;
        if again {
            let thing =
                Thing { kind: kind.into(), id: id.into(), properties: properties.cloned(), node: Arc::clone(&node) };
            let mut known = self.known.write();
            if known.len() >= MOST_THINGS {
                known.clear();
            }
            known.entry(hash).or_default().push(thing);
        }
        Ok(node)
    }

    #[expect(clippy::cast_possible_truncation, reason = "the low bits of a hash are a hash")]
    fn came_before(&self, hash: u64) -> bool {
        let slot = self.seen.get(hash as usize & (SEEN_ONCE - 1));
        slot.is_some_and(|slot| slot.swap(hash, Ordering::Relaxed) == hash)
    }
}
