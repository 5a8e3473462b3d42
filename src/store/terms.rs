//! What an entry can be found by, and where it is found: which entries of a segment hold a term, as bytes.
//!
//! A term is a field with its value. It is known by its hash alone, so a search reads again what it finds: two terms of
//! one hash cost time, and change no answer.

use std::collections::BTreeMap;

use super::entry::Searchable;
use crate::model::filter::EventField;

/// Into how many rows the terms of a segment are spread: a search reads one of them a term.
pub(super) const BUCKETS: i64 = 32;

/// A term's hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Term {
    /// Which row.
    pub(super) bucket: i64,
    /// Which group in it.
    print: u32,
}

impl Term {
    fn new(field: u8, value: &str) -> Self {
        // FNV-1a, 64 bits, mixed once more: it is written down, so it has to be the same for ever.
        let mixed = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        let hash = std::iter::once(&field).chain(value.as_bytes()).fold(0xcbf2_9ce4_8422_2325, mixed);
        let hash = (hash ^ (hash >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let [a, b, c, d, bucket, ..] = hash.to_be_bytes();
        Self { bucket: i64::from(bucket) % BUCKETS, print: u32::from_le_bytes([a, b, c, d]) }
    }
}

impl Term {
    /// Of a principal, `Type::"id"`.
    pub(super) fn principal(name: &str) -> Self {
        Self::new(PRINCIPAL, name)
    }
}

const KIND: u8 = 1;
const OUTCOME: u8 = 2;
const PRINCIPAL: u8 = 3;
const ACTION: u8 = 4;
const RESOURCE: u8 = 5;
const REQUEST_ID: u8 = 6;

/// The terms of the half that can be erased.
pub(super) fn of_personal(found: &Searchable<'_>) -> Vec<Term> {
    found.principal.iter().map(|value| Term::new(PRINCIPAL, value)).collect()
}

/// The terms of the half that stays.
pub(super) fn of_rest(found: &Searchable<'_>) -> Vec<Term> {
    let Some(rest) = &found.rest else { return Vec::new() };
    let all = [
        (KIND, Some(&*rest.kind)),
        (OUTCOME, Some(&*rest.outcome)),
        (ACTION, rest.action.as_deref()),
        (RESOURCE, rest.resource.as_deref()),
        (REQUEST_ID, rest.request_id.as_deref()),
    ];
    all.into_iter().filter_map(|(field, value)| Some(Term::new(field, value?))).collect()
}

/// The term that an entry holds when this field is this text, and its name; `None` where the index cannot tell.
pub(super) fn of_field(field: &EventField, text: &str) -> Option<(Term, &'static str)> {
    let (number, name) = match field {
        EventField::Kind => (KIND, "kind"),
        EventField::Outcome => (OUTCOME, "outcome"),
        EventField::Principal => (PRINCIPAL, "principal"),
        EventField::Action => (ACTION, "action"),
        EventField::Resource => (RESOURCE, "resource"),
        EventField::RequestId => (REQUEST_ID, "request_id"),
        _ => return None,
    };
    Some((Term::new(number, text), name))
}

/// The terms of a segment's entries; an entry is known by its place in the segment.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Postings(BTreeMap<Term, Vec<u16>>);

impl Postings {
    /// Adds the next entry's terms; `place` only grows.
    pub(super) fn add(&mut self, place: u16, terms: impl IntoIterator<Item = Term>) {
        for term in terms {
            self.0.entry(term).or_default().push(place);
        }
    }

    /// Takes a term off an entry.
    pub(super) fn remove(&mut self, place: u16, term: Term) {
        if let Some(places) = self.0.get_mut(&term) {
            places.retain(|there| *there != place);
            if places.is_empty() {
                self.0.remove(&term);
            }
        }
    }

    /// The bytes of a bucket, of a segment of `count` entries: group by group in the order of hashes, each with its hash
    /// (4 bytes), a byte that names the form, a length (2 bytes) and the places: as numbers of 2 bytes, or, where that
    /// is shorter, as a bit for each entry. All numbers are little endian.
    pub(super) fn bucket(&self, bucket: i64, count: usize) -> Vec<u8> {
        let mut out = Vec::new();
        for (term, places) in self.0.iter().filter(|(term, _)| term.bucket == bucket) {
            out.extend_from_slice(&term.print.to_le_bytes());
            let bits = count.div_ceil(8);
            let listed = places.len() * 2 <= bits;
            out.push(u8::from(!listed));
            let length = if listed { places.len() } else { bits };
            out.extend_from_slice(&u16::try_from(length).unwrap_or(u16::MAX).to_le_bytes());
            if listed {
                out.extend(places.iter().flat_map(|place| place.to_le_bytes()));
            } else {
                let from = out.len();
                out.resize(from + bits, 0);
                for place in places {
                    if let Some(byte) = out.get_mut(from + usize::from(*place) / 8) {
                        *byte |= 1 << (place % 8);
                    }
                }
            }
        }
        out
    }

    /// Reads the bytes of a bucket into this; `None` when they are something else.
    pub(super) fn read(&mut self, bucket: i64, mut bytes: &[u8]) -> Option<()> {
        while !bytes.is_empty() {
            let (print, places, left) = group(bytes)?;
            self.0.insert(Term { bucket, print }, places.list());
            bytes = left;
        }
        Some(())
    }
}

/// The places of a group, as they are stored.
enum Places<'a> {
    Listed(&'a [[u8; 2]]),
    Bits(&'a [u8]),
}

impl Places<'_> {
    fn list(&self) -> Vec<u16> {
        match self {
            Self::Listed(places) => places.iter().map(|place| u16::from_le_bytes(*place)).collect(),
            Self::Bits(bytes) => {
                let bit = |(n, byte): (u16, &u8)| {
                    let byte = *byte;
                    (0..8).filter(move |bit| byte & (1 << bit) != 0).map(move |bit| n * 8 + bit)
                };
                (0_u16..).zip(*bytes).flat_map(bit).collect()
            }
        }
    }
}

fn group(bytes: &[u8]) -> Option<(u32, Places<'_>, &[u8])> {
    let (print, bytes) = bytes.split_first_chunk::<4>()?;
    let (form, bytes) = bytes.split_first()?;
    let (length, bytes) = bytes.split_first_chunk::<2>()?;
    let length = usize::from(u16::from_le_bytes(*length));
    let (places, left) = match form {
        0 => {
            let (places, left) = bytes.split_at_checked(length * 2)?;
            (Places::Listed(places.as_chunks().0), left)
        }
        1 if length <= usize::from(u16::MAX) / 8 => {
            let (places, left) = bytes.split_at_checked(length)?;
            (Places::Bits(places), left)
        }
        _ => return None,
    };
    Some((u32::from_le_bytes(*print), places, left))
}

/// The places that hold `term`, ascending, in the bytes of its bucket; `None` when they are something else.
pub(super) fn find(mut bytes: &[u8], term: Term) -> Option<Vec<u16>> {
    while !bytes.is_empty() {
        let (print, places, left) = group(bytes)?;
        if print == term.print {
            return Some(places.list());
        }
        bytes = left;
    }
    Some(Vec::new())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_put_in_is_found_and_read_back(
            held in proptest::collection::vec(proptest::collection::btree_set(0..12_u8, 0..6), 1..300),
            removed in (0..300_usize, 0..12_u8),
        ) {
            let term = |n: u8| Term::new(n, "value");
            let mut postings = Postings::default();
            for (place, terms) in (0_u16..).zip(&held) {
                postings.add(place, terms.iter().map(|n| term(*n)));
            }
            let bytes = |postings: &Postings, bucket| postings.bucket(bucket, held.len());
            for n in 0..12 {
                let holding: Vec<u16> = (0_u16..).zip(&held).filter(|(_, terms)| terms.contains(&n)).map(|(p, _)| p).collect();
                prop_assert_eq!(find(&bytes(&postings, term(n).bucket), term(n)), Some(holding));
            }
            let mut read = Postings::default();
            for bucket in 0..BUCKETS {
                read.read(bucket, &bytes(&postings, bucket)).unwrap();
            }
            prop_assert_eq!(&read, &postings);
            let (place, n) = removed;
            read.remove(u16::try_from(place).unwrap(), term(n));
            let mut without = Postings::default();
            for (at, terms) in (0_u16..).zip(&held) {
                without.add(at, terms.iter().filter(|t| (usize::from(at), **t) != (place, n)).map(|t| term(*t)));
            }
            prop_assert_eq!(read, without);
        }

        #[test]
        fn no_bytes_make_it_stumble(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = find(&bytes, Term::new(KIND, "decision"));
            let _ = Postings::default().read(0, &bytes);
        }
    }
}
