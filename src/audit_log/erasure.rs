//! Erasing what is personal, or whole entries, and accounting for it. An erasure is itself an event: it names the entries
//! and the half. A half that is gone and that no event names was not erased by Stockade.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::leaf;
use crate::model::Event;
use crate::model::event::kind;
use crate::store::erase::{self, Which};
use crate::store::{Store, StoreError, events};

/// How many ranges one event names.
const RANGES: usize = 500;
/// How many halves one transaction erases.
const AT_ONCE: usize = 500;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Name {
    Personal,
    Rest,
}

impl From<Which> for Name {
    fn from(which: Which) -> Self {
        match which {
            Which::Personal => Self::Personal,
            Which::Rest => Self::Rest,
        }
    }
}

/// Numbers, as ranges that include both ends.
#[derive(Debug, Default)]
pub(super) struct Ranges(BTreeMap<u64, u64>);

impl Ranges {
    /// Adds a number above all that are there.
    pub(super) fn push(&mut self, number: u64) {
        if let Some(mut last) = self.0.last_entry()
            && last.get().checked_add(1) == Some(number)
        {
            *last.get_mut() = number;
        } else {
            self.0.insert(number, number);
        }
    }

    /// Of these ranges, which are in order.
    pub(super) fn of(ranges: impl IntoIterator<Item = (u64, u64)>) -> Self {
        Self(ranges.into_iter().collect())
    }

    /// Takes a range out.
    pub(super) fn remove(&mut self, first: u64, last: u64) {
        if first > last {
            return;
        }
        // From the range that may begin before it to the last that begins in it.
        let from = self.0.range(..first).next_back().map_or(first, |(from, _)| *from);
        let hit: Vec<(u64, u64)> =
            self.0.range(from..=last).map(|(a, b)| (*a, *b)).filter(|(_, b)| *b >= first).collect();
        for (a, b) in hit {
            self.0.remove(&a);
            if a < first {
                self.0.insert(a, first - 1);
            }
            if b > last {
                self.0.insert(last + 1, b);
            }
        }
    }

    fn count(&self) -> u64 {
        self.0.iter().map(|(a, b)| b - a + 1).sum()
    }

    pub(super) fn first(&self) -> Option<u64> {
        self.0.keys().next().copied()
    }
}

/// Halves that are gone, and not accounted for so far. Fed with every entry in order.
#[derive(Debug, Default)]
pub(super) struct Account {
    personal: Ranges,
    rest: Ranges,
    /// Whole entries.
    dropped: Ranges,
}

/// What an event says is gone.
pub(super) struct Gone {
    half: Option<Name>,
    pub(super) entries: Vec<(u64, u64)>,
}

/// Which entries, or halves of them, the half of an event that stays says are gone.
pub(super) fn gone(rest: &[u8]) -> Option<Gone> {
    #[derive(Deserialize)]
    struct Said {
        kind: String,
        data: Data,
    }
    #[derive(Deserialize)]
    struct Data {
        half: Option<Name>,
        entries: Vec<(u64, u64)>,
    }
    let kinds = [kind::AUDIT_ERASED, kind::AUDIT_DROPPED];
    let may = |kind: &&str| rest.windows(kind.len()).any(|window| window == kind.as_bytes());
    if !kinds.iter().any(may) {
        return None;
    }
    let Said { kind, data: Data { half, entries } } = serde_json::from_slice(rest).ok()?;
    (kind == if half.is_some() { kind::AUDIT_ERASED } else { kind::AUDIT_DROPPED }).then_some(Gone { half, entries })
}

impl Gone {
    /// Whether it accounts for halves: nobody else says so again.
    pub(super) const fn is_erasure(&self) -> bool {
        self.half.is_some()
    }
}

impl Account {
    /// The next entry, of which only the leaf is left.
    pub(super) fn without_body(&mut self, seq: u64) {
        self.dropped.push(seq);
    }

    /// The next entry.
    pub(super) fn entry(&mut self, seq: u64, personal: Option<&[u8]>, rest: Option<&[u8]>) {
        if personal.is_none() {
            self.personal.push(seq);
        }
        match rest {
            None => self.rest.push(seq),
            Some(rest) => self.event(rest),
        }
    }

    /// An event that has no number yet, and whose erasure may be done already.
    pub(super) fn waiting(&mut self, rest: &[u8]) {
        self.event(rest);
    }

    /// What an event names was gone before it.
    fn event(&mut self, rest: &[u8]) {
        let Some(gone) = gone(rest) else { return };
        let ranges = match gone.half {
            Some(Name::Personal) => &mut self.personal,
            Some(Name::Rest) => &mut self.rest,
            None => &mut self.dropped,
        };
        for (first, last) in gone.entries {
            ranges.remove(first, last);
        }
    }

    /// How many whole entries no event accounts for, and the first of them.
    pub(super) fn dropped(&self) -> Option<(u64, u64)> {
        Some((self.dropped.count(), self.dropped.first()?))
    }

    /// How many halves no event accounts for, and the first entry of them.
    pub(super) fn open(&self) -> Option<(u64, u64)> {
        let first = [self.personal.first(), self.rest.first()].into_iter().flatten().min()?;
        Some((self.personal.count() + self.rest.count(), first))
    }
}

/// Erases one half of the entries `seqs` (ascending); how many were still there. `event` says who and why; it is recorded
/// with the numbers before anything is erased, so a crash leaves an event that claims too much, never too little.
///
/// # Errors
/// When the database fails; what is erased by then is accounted for.
pub async fn erase(store: &Store, which: Which, seqs: &[i64], event: &Event) -> Result<u64, StoreError> {
    let mut ranges = Ranges::default();
    seqs.iter().filter_map(|seq| u64::try_from(*seq).ok()).for_each(|seq| ranges.push(seq));
    let ranges: Vec<(u64, u64)> = ranges.0.into_iter().collect();
    for (n, chunk) in ranges.chunks(RANGES).enumerate() {
        let id = if n == 0 { event.id.clone() } else { format!("{}.{n}", event.id) };
        let event = Event { id, kind: kind::AUDIT_ERASED, ..event.clone() };
        let entries = serde_json::to_value(chunk).unwrap_or_default();
        let half = serde_json::to_value(Name::from(which)).unwrap_or_default();
        let mut tx = store.begin().await?;
        events::intake(&mut tx, &event.with("half", half).with("entries", entries)).await?;
        tx.commit().await?;
    }
    let mut erased = 0;
    for chunk in seqs.chunks(AT_ONCE) {
        let mut tx = store.begin_log().await?;
        for seq in chunk {
            let commit = match which {
                Which::Personal => leaf::of_personal,
                Which::Rest => leaf::of_rest,
            };
            erased += u64::from(erase::erase(&mut tx, *seq, which, commit).await?);
        }
        tx.commit().await?;
    }
    Ok(erased)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn ranges_are_a_set_of_numbers(
            numbers in proptest::collection::btree_set(0..60_u64, 0..40),
            removed in proptest::collection::vec((0..60_u64, 0..60_u64), 0..8),
        ) {
            let mut ranges = Ranges::default();
            numbers.iter().for_each(|n| ranges.push(*n));
            let mut left: BTreeSet<u64> = numbers;
            for (first, last) in removed {
                ranges.remove(first, last);
                left.retain(|n| !(first..=last).contains(n));
            }
            let held: BTreeSet<u64> = ranges.0.iter().flat_map(|(a, b)| *a..=*b).collect();
            prop_assert_eq!(ranges.count(), left.len() as u64);
            prop_assert_eq!(ranges.first(), left.first().copied());
            prop_assert_eq!(held, left);
        }
    }

    #[test]
    fn an_event_accounts_for_the_half_it_names_and_what_came_before_it() {
        let event = br#"{"kind":"audit.erased","data":{"half":"personal","entries":[[0,1],[7,9]]}}"#;
        let mut account = Account::default();
        account.entry(0, None, Some(b"{}"));
        account.entry(1, None, None);
        account.entry(2, Some(b"{}"), Some(event));
        assert_eq!(account.open(), Some((1, 1)), "the other half of entry 1");
        account.entry(3, Some(b"{}"), Some(br#"{"kind":"decision","data":{"note":"audit.erased"}}"#));
        account.entry(7, None, Some(b"{}"));
        assert_eq!(account.open(), Some((2, 1)), "what is erased after the event is not in it");
    }
}
