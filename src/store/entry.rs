//! An event as bytes: the two halves that the leaf commits to, with their salts. This is what the intake and the log hold.
//!
//! Layout: one byte of flags (bit 0: the personal half is erased, bit 1: the rest is), then for the personal half and the
//! rest its salt (16 bytes; of an erased half its 32-byte commitment), its length (4 bytes, little endian) and its body.

use std::borrow::Cow;
use std::cell::RefCell;
use std::net::IpAddr;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::base::{Rng, Timestamp, rng};
use crate::model::Event;

const SALT: usize = 16;
const COMMITMENT: usize = 32;
/// No thread keeps more than this to write events in.
const LARGE: usize = 64 << 10;

/// One half of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Half<'a> {
    /// The bytes, or `None` once they are erased.
    pub body: Option<&'a [u8]>,
    /// The 16-byte salt, without which the commitment would let anyone guess an erased half; of an erased half its
    /// 32-byte commitment, so that the other half stays provable.
    pub salt: &'a [u8],
}

/// Which half.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// The one with what is personal.
    Personal,
    /// The other.
    Rest,
}

impl Which {
    const fn flag(self) -> u8 {
        match self {
            Self::Personal => 1,
            Self::Rest => 2,
        }
    }
}

/// An event as bytes. Clones share them.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Entry {
    bytes: Bytes,
    /// Where the rest begins.
    rest_at: usize,
}

impl Entry {
    /// Fixes the bytes and salts of an event.
    pub fn new(event: &Event, random: &dyn Rng) -> Self {
        thread_local! {
            /// Where events of this thread are written; what is kept is of just their size.
            static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
        }
        SCRATCH.with_borrow_mut(|bytes| {
            bytes.clear();
            bytes.push(0);
            let mut half = |write: fn(&Event, &mut Vec<u8>)| {
                bytes.extend_from_slice(&rng::bytes::<SALT>(random));
                let length_at = bytes.len();
                bytes.extend_from_slice(&[0; 4]);
                write(event, bytes);
                let length = u32::try_from(bytes.len() - length_at - 4).unwrap_or(u32::MAX).to_le_bytes();
                if let Some(place) = bytes.get_mut(length_at..length_at + 4) {
                    place.copy_from_slice(&length);
                }
                bytes.len()
            };
            let rest_at = half(Event::write_personal);
            half(Event::write_rest);
            let entry = Self { bytes: Bytes::copy_from_slice(bytes), rest_at };
            if bytes.capacity() > LARGE {
                *bytes = Vec::new();
            }
            entry
        })
    }

    /// Puts an event together from its halves.
    pub fn of(personal: Half<'_>, rest: Half<'_>) -> Self {
        let flag = |half: Half<'_>, which: Which| if half.body.is_none() { which.flag() } else { 0 };
        let mut bytes = vec![flag(personal, Which::Personal) | flag(rest, Which::Rest)];
        let mut put = |half: Half<'_>| {
            let body = half.body.unwrap_or_default();
            bytes.extend_from_slice(half.salt);
            bytes.extend_from_slice(&u32::try_from(body.len()).unwrap_or(u32::MAX).to_le_bytes());
            bytes.extend_from_slice(body);
            bytes.len()
        };
        let rest_at = put(personal);
        put(rest);
        Self { bytes: bytes.into(), rest_at }
    }

    /// Reads what [`Entry::bytes`] gave; `None` when it is something else.
    pub fn read(bytes: Bytes) -> Option<Self> {
        let (flags, halves) = bytes.split_first()?;
        let (_, left) = take(*flags, Which::Personal, halves)?;
        let rest_at = bytes.len() - left.len();
        let (_, left) = take(*flags, Which::Rest, left)?;
        (left.is_empty() && *flags < 4).then_some(Self { rest_at, bytes })
    }

    /// As they are stored.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    fn half(&self, which: Which, from: usize) -> Half<'_> {
        let flags = self.bytes.first().copied().unwrap_or_default();
        let half = self.bytes.get(from..).and_then(|bytes| take(flags, which, bytes));
        // Every way to make an entry leaves two whole halves in it.
        half.map_or(Half { body: None, salt: &[] }, |(half, _)| half)
    }

    /// The half that can be erased: JSON.
    pub fn personal(&self) -> Half<'_> {
        self.half(Which::Personal, 1)
    }

    /// The half that stays: JSON.
    pub fn rest(&self) -> Half<'_> {
        self.half(Which::Rest, self.rest_at)
    }

    /// The same with one half erased: what is left of it is its commitment.
    #[must_use]
    pub fn without(&self, which: Which, commitment: &[u8; 32]) -> Self {
        let erased = Half { body: None, salt: commitment };
        match which {
            Which::Personal => Self::of(erased, self.rest()),
            Which::Rest => Self::of(self.personal(), erased),
        }
    }

    /// What searches go by.
    ///
    /// # Errors
    /// When a half is not the JSON of an event.
    pub fn searchable(&self) -> Result<Searchable<'_>, serde_json::Error> {
        let rest = self.rest().body.map(serde_json::from_slice::<Rest<'_>>).transpose()?;
        let personal = self.personal().body.map(serde_json::from_slice::<Personal<'_>>).transpose()?;
        let (principal, address) = personal.map_or((None, None), |personal| (personal.principal, personal.address));
        Ok(Searchable { rest, principal, address })
    }
}

/// One half from the front of `bytes`, and what follows it.
fn take(flags: u8, which: Which, bytes: &[u8]) -> Option<(Half<'_>, &[u8])> {
    let erased = flags & which.flag() != 0;
    let (salt, bytes) = bytes.split_at_checked(if erased { COMMITMENT } else { SALT })?;
    let (length, bytes) = bytes.split_first_chunk::<4>()?;
    let (body, left) = bytes.split_at_checked(usize::try_from(u32::from_le_bytes(*length)).ok()?)?;
    match (erased, body.is_empty()) {
        (true, true) => Some((Half { body: None, salt }, left)),
        (true, false) => None,
        (false, _) => Some((Half { body: Some(body), salt }, left)),
    }
}

/// A text that is borrowed where it has no escapes: serde does that for no `Option<Cow>`.
#[derive(Debug, Deserialize)]
#[serde(transparent)]
pub struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

impl std::ops::Deref for Text<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

/// What the half that stays says of itself.
#[derive(Debug, Deserialize)]
pub struct Rest<'a> {
    /// `evt_…`.
    #[serde(borrow)]
    pub id: Cow<'a, str>,
    /// When it happened.
    pub time: Timestamp,
    /// Its kind.
    #[serde(borrow)]
    pub kind: Cow<'a, str>,
    /// Its outcome.
    #[serde(borrow)]
    pub outcome: Cow<'a, str>,
    /// Its action.
    #[serde(borrow, default)]
    pub action: Option<Text<'a>>,
    /// Its resource.
    #[serde(borrow, default)]
    pub resource: Option<Text<'a>>,
    /// The request it belongs to.
    #[serde(borrow, default)]
    pub request_id: Option<Text<'a>>,
    /// Why.
    #[serde(borrow, default)]
    pub reason: Option<Text<'a>>,
    /// Which policies said so.
    #[serde(borrow, default)]
    pub policies: Vec<Text<'a>>,
    /// Under which snapshot of them.
    #[serde(borrow, default)]
    pub snapshot: Option<Text<'a>>,
    /// The trace it belongs to.
    #[serde(borrow, default)]
    pub trace_id: Option<Text<'a>>,
    /// How long it took.
    #[serde(default)]
    pub latency_us: Option<i64>,
    /// How many it stands for, when not one.
    #[serde(default)]
    pub count: Option<i64>,
    /// The facts of its kind: JSON, not looked into.
    #[serde(borrow, default)]
    pub data: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Personal<'a> {
    #[serde(borrow, default)]
    principal: Option<Text<'a>>,
    #[serde(default)]
    address: Option<IpAddr>,
}

/// What searches go by, as the halves say it. What was erased is not there, and finds nothing.
#[derive(Debug, Default)]
pub struct Searchable<'a> {
    /// From the half that stays.
    pub rest: Option<Rest<'a>>,
    /// From the half that can be erased.
    pub principal: Option<Text<'a>>,
    /// From the same.
    pub address: Option<IpAddr>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::SeededRng;
    use crate::model::{Outcome, PrincipalRef, event::kind};

    fn entry() -> Entry {
        let mut event = Event::new(
            kind::DECISION,
            Outcome::Denied,
            Timestamp::from_micros(1_800_000_000_123_456),
            &SeededRng::new(2),
        );
        event.principal = Some(PrincipalRef::new("User", "a \"quoted\" \u{fc}ber\nname"));
        event.action = Some("notes:read".into());
        event.request_id = Some("req-1".into());
        Entry::new(&event, &SeededRng::new(1))
    }

    #[test]
    fn an_entry_reads_back_and_anything_else_is_none() {
        let entry = entry();
        let whole = entry.bytes().to_vec();
        assert_eq!(Entry::read(whole.clone().into()), Some(entry.clone()));
        assert_eq!(Entry::of(entry.personal(), entry.rest()), entry);
        assert_eq!((entry.personal().salt.len(), entry.rest().salt.len()), (16, 16));
        assert_ne!(entry.personal().salt, entry.rest().salt);
        for cut in 0..whole.len() {
            assert_eq!(Entry::read(Bytes::copy_from_slice(&whole[..cut])), None, "cut at {cut}");
        }
        let longer = [&whole[..], b"x"].concat();
        assert_eq!(Entry::read(longer.into()), None);
        let flagged = [&[4][..], &whole[1..]].concat();
        assert_eq!(Entry::read(flagged.into()), None);
    }

    #[test]
    fn what_is_erased_is_gone_and_the_other_half_stays() {
        let (entry, commitment) = (entry(), [9; 32]);
        let without = entry.without(Which::Personal, &commitment);
        assert_eq!(without.personal(), Half { body: None, salt: &commitment });
        assert_eq!(without.rest(), entry.rest());
        assert_eq!(Entry::read(without.bytes().to_vec().into()), Some(without.clone()));
        let searchable = without.searchable().unwrap();
        assert_eq!((searchable.principal.as_deref(), searchable.rest.unwrap().kind.as_ref()), (None, "decision"));
        let nothing = without.without(Which::Rest, &commitment);
        assert_eq!(Entry::read(nothing.bytes().to_vec().into()), Some(nothing.clone()));
        assert!(nothing.searchable().unwrap().rest.is_none());
    }

    #[test]
    fn searches_go_by_what_the_halves_say() {
        let entry = entry();
        let found = entry.searchable().unwrap();
        assert_eq!(found.principal.as_deref(), Some("User::\"a \\\"quoted\\\" \u{fc}ber\\nname\""));
        let rest = found.rest.unwrap();
        assert_eq!(rest.time, Timestamp::from_micros(1_800_000_000_123_456));
        assert_eq!((rest.kind.as_ref(), rest.outcome.as_ref()), ("decision", "denied"));
        assert_eq!((rest.action.as_deref(), rest.request_id.as_deref()), (Some("notes:read"), Some("req-1")));
        assert!(rest.id.starts_with("evt_") && rest.resource.is_none());
    }
}
