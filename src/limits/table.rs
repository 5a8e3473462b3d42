//! One shard of the table: open addressing over slots of 24 bytes. An entry lies within [`WINDOW`] slots of its home. A
//! slot whose time has passed is a full bucket, which is what a missing entry means too: it is reused in place, and
//! nothing else ever is.

/// How far from its home an entry may lie.
const WINDOW: usize = 64;
/// The smallest shard.
const SMALLEST: usize = 8;

#[derive(Clone, Copy, Default)]
struct Slot {
    key: [u64; 2],
    /// When the bucket is full again, in ns; 0 in a slot that was never used.
    tat: u64,
}

/// Where an entry is or could be.
pub(super) enum Place {
    /// Here, with this TAT.
    Found(usize, u64),
    /// Not here, but this slot is free.
    Free(usize),
    /// Not here, and every slot it could take holds a bucket that is not full.
    NoRoom,
}

pub(super) struct Shard {
    slots: Vec<Slot>,
    /// Slots ever used since the last rebuild.
    used: usize,
    /// Most slots this shard may have, a power of two.
    most: usize,
}

impl Shard {
    /// An empty shard that may grow to `most` slots (a power of two is kept, at least 8).
    pub(super) fn new(most: usize) -> Self {
        let most = most.max(SMALLEST);
        let most = if most.is_power_of_two() { most } else { most.next_power_of_two() / 2 };
        Self { slots: vec![Slot::default(); SMALLEST], used: 0, most }
    }

    pub(super) fn slots(&self) -> usize {
        self.slots.len()
    }

    /// Buckets that are not full at `now`: a walk over the shard.
    pub(super) fn live(&self, now: u64) -> usize {
        self.slots.iter().filter(|slot| slot.tat > now).count()
    }

    /// Where `key` is, or where it can go, at `now`. Grows the shard when it is nearly full of entries.
    #[inline]
    pub(super) fn place(&mut self, key: [u64; 2], now: u64) -> Place {
        match self.probe(key, now) {
            Place::Found(at, tat) => Place::Found(at, tat),
            free => {
                // 13/16: past that, linear probing walks too far; half of it after a rebuild is 59 bytes a key.
                if self.used.saturating_mul(16) < self.slots.len().saturating_mul(13) && matches!(free, Place::Free(_))
                {
                    return free;
                }
                if self.grow(now) { self.probe(key, now) } else { free }
            }
        }
    }

    /// Looks without growing.
    #[inline]
    pub(super) fn probe(&self, key: [u64; 2], now: u64) -> Place {
        let mask = self.slots.len() - 1;
        let home = home(key);
        let mut free = None;
        for step in 0..WINDOW.min(self.slots.len()) {
            let at = home.wrapping_add(step) & mask;
            let Some(slot) = self.slots.get(at) else { break };
            if slot.tat == 0 {
                return Place::Free(free.unwrap_or(at));
            }
            if slot.key == key {
                return Place::Found(at, slot.tat);
            }
            if slot.tat <= now && free.is_none() {
                free = Some(at);
            }
        }
        free.map_or(Place::NoRoom, Place::Free)
    }

    /// Writes `tat` into the slot that [`Shard::place`] named in this same hold of the lock.
    #[inline]
    pub(super) fn write(&mut self, at: usize, key: [u64; 2], tat: u64) {
        if let Some(slot) = self.slots.get_mut(at) {
            self.used += usize::from(slot.tat == 0);
            *slot = Slot { key, tat: tat.max(1) };
        }
    }

    /// Rebuilds without the entries whose time has passed, twice as large if those that stay need it. `false` when the
    /// shard is as large as it may be (then slots are only reused in place: a walk for every newcomer would be a gift to
    /// whoever floods it).
    fn grow(&mut self, now: u64) -> bool {
        let size = self.slots.len();
        if size >= self.most {
            return false;
        }
        let twice = self.live(now).saturating_mul(2) > size;
        self.rebuild(if twice { size.saturating_mul(2) } else { size }, now)
    }

    /// Gives memory back when most entries have passed; returns whether it did.
    pub(super) fn shrink(&mut self, now: u64) -> bool {
        let size = self.live(now).saturating_mul(4).next_power_of_two().max(SMALLEST);
        size < self.slots.len() && self.rebuild(size, now)
    }

    fn rebuild(&mut self, size: usize, now: u64) -> bool {
        let mut next = Self { slots: vec![Slot::default(); size], used: 0, most: self.most };
        for slot in self.slots.iter().filter(|slot| slot.tat > now) {
            match next.probe(slot.key, now) {
                Place::Free(at) => next.write(at, slot.key, slot.tat),
                Place::Found(..) | Place::NoRoom => return false,
            }
        }
        *self = next;
        true
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the low bits of a hash are a hash")]
fn home(key: [u64; 2]) -> usize {
    let [low, _] = key;
    low as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(shard: &mut Shard, key: u64, tat: u64, now: u64) -> bool {
        // Spread as a hash would.
        let key = [key.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20, key];
        match shard.place(key, now) {
            Place::Found(at, _) | Place::Free(at) => {
                shard.write(at, key, tat);
                true
            }
            Place::NoRoom => false,
        }
    }

    fn get(shard: &Shard, key: u64, now: u64) -> Option<u64> {
        match shard.probe([key.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20, key], now) {
            Place::Found(_, tat) => Some(tat),
            Place::Free(_) | Place::NoRoom => None,
        }
    }

    #[test]
    fn a_full_shard_takes_no_more_and_loses_nothing() {
        let mut shard = Shard::new(1024);
        let taken: Vec<u64> = (0..5000).filter(|key| put(&mut shard, *key, 1_000 + key, 1)).collect();
        assert_eq!(shard.slots(), 1024);
        assert!((1000..=1024).contains(&taken.len()), "{} of 1024 slots are in use", taken.len());
        assert!(taken.iter().all(|key| get(&shard, *key, 1) == Some(1_000 + key)));
    }

    #[test]
    fn an_entry_whose_time_has_passed_makes_room_and_no_other_does() {
        let mut shard = Shard::new(64);
        let taken: Vec<u64> =
            (0..200).filter(|key| put(&mut shard, *key, if key % 2 == 0 { 10 } else { 20 }, 1)).collect();
        let late: Vec<u64> = (1000..1200).filter(|key| put(&mut shard, *key, 30, 15)).collect();
        assert_eq!(late.len(), taken.iter().filter(|key| *key % 2 == 0).count());
        assert!(taken.iter().filter(|key| *key % 2 == 1).all(|key| get(&shard, *key, 15) == Some(20)));
        assert!(late.iter().all(|key| get(&shard, *key, 15) == Some(30)));
    }

    #[test]
    fn memory_comes_back_when_the_entries_have_passed() {
        let mut shard = Shard::new(4096);
        for key in 0..3000 {
            assert!(put(&mut shard, key, if key < 10 { 100 } else { 10 }, 1));
        }
        assert!(shard.slots() >= 4096);
        assert!(shard.shrink(50));
        assert_eq!(shard.slots(), 64);
        assert!((0..10).all(|key| get(&shard, key, 50) == Some(100)));
        assert!(!shard.shrink(50));
    }

    #[test]
    fn a_key_holds_at_most_64_bytes_of_the_table_while_it_grows() {
        let mut shard = Shard::new(1 << 16);
        for key in 0..50_000u64 {
            assert!(put(&mut shard, key, u64::MAX, 1));
            // Small shards are all rounding; a shard of the shipped size is not.
            if key > 256 {
                let bytes = shard.slots() * size_of::<Slot>();
                assert!(bytes <= 64 * (usize::try_from(key).unwrap() + 1), "{bytes} bytes for {} keys", key + 1);
            }
        }
    }
}
