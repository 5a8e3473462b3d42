//! Searching the log: any filter, newest first, a page at a time. What the index names is read and compared again: the
//! entries themselves are what answers.

use super::blocks::{self, Block, Numbered};
use super::sql::Handle;
use super::terms::{self, Term};
use super::{StoreError, log, segments};
use crate::base::Timestamp;

/// What a reader of the log asks for. Fields that are `None` ask for nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Not before this.
    pub since: Option<Timestamp>,
    /// Before this.
    pub until: Option<Timestamp>,
    /// `Type::"id"`.
    pub principal: Option<String>,
    /// Action name.
    pub action: Option<String>,
    /// Outcome name.
    pub outcome: Option<String>,
    /// Resource text.
    pub resource: Option<String>,
    /// Event kind.
    pub kind: Option<String>,
    /// Request id.
    pub request_id: Option<String>,
}

impl Filter {
    /// Whether it asks for nothing.
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether an entry is what it asks for. What is erased is not known to be.
    pub fn matches(&self, entry: &super::entry::Entry) -> bool {
        if self.is_empty() {
            return true;
        }
        let Ok(found) = entry.searchable() else { return false };
        let is = |asked: &Option<String>, said: Option<&str>| asked.as_deref().is_none_or(|asked| said == Some(asked));
        if !is(&self.principal, found.principal.as_deref()) {
            return false;
        }
        match &found.rest {
            None => Self { principal: None, ..self.clone() }.is_empty(),
            Some(rest) => {
                self.since.is_none_or(|since| rest.time >= since)
                    && self.until.is_none_or(|until| rest.time < until)
                    && is(&self.kind, Some(&rest.kind))
                    && is(&self.outcome, Some(&rest.outcome))
                    && is(&self.action, rest.action.as_deref())
                    && is(&self.resource, rest.resource.as_deref())
                    && is(&self.request_id, rest.request_id.as_deref())
            }
        }
    }
}

/// How many segments are looked through at once: few at first, for most pages end there.
const FIRST_LOOK: i64 = 4;
const LONGEST_LOOK: i64 = 256;

/// A page as it fills.
struct Page<'a> {
    filter: &'a Filter,
    before: i64,
    limit: usize,
    found: Vec<Numbered>,
}

impl Page<'_> {
    fn is_full(&self) -> bool {
        self.found.len() >= self.limit
    }

    /// Takes what matches out of a block, newest first; whether there is room for more.
    fn read(&mut self, block: &Block) -> Result<bool, StoreError> {
        self.pick(block, |_| true)
    }

    fn pick(&mut self, block: &Block, named: impl Fn(i64) -> bool) -> Result<bool, StoreError> {
        for numbered in block.open()?.into_iter().rev() {
            if self.is_full() {
                break;
            }
            if numbered.seq < self.before && named(numbered.seq) && self.filter.matches(&numbered.entry) {
                self.found.push(numbered);
            }
        }
        Ok(!self.is_full())
    }
}

/// Up to `limit` entries that match, newest first, numbered below `before` (`None`: from the newest).
///
/// # Errors
/// When the database fails, or what it holds is damaged.
pub async fn page(
    handle: &mut impl Handle,
    filter: &Filter,
    before: Option<i64>,
    limit: i64,
) -> Result<Vec<Numbered>, StoreError> {
    let limit = usize::try_from(limit).unwrap_or_default();
    let mut page = Page { filter, before: before.unwrap_or(i64::MAX), limit, found: Vec::new() };
    // What has no index yet. An entry that is indexed meanwhile is read here all the same.
    let indexed = log::indexed(handle).await?;
    if page.before > indexed && !page.is_full() {
        blocks::backwards(handle, indexed, page.before, |block| page.read(block)).await?;
    }
    let terms = terms::of_filter(filter);
    let since = filter.since.map_or(i64::MIN, Timestamp::as_micros);
    let until = filter.until.map_or(i64::MAX, Timestamp::as_micros);
    let (mut below, mut look) = (page.before.min(indexed), FIRST_LOOK);
    while !page.is_full() {
        let found = segments::before(handle, below, (since, until), look).await?;
        let (Some(newest), Some(oldest)) = (found.first(), found.last()) else { break };
        let mut named = Named::read(handle, &terms, oldest.first_seq, newest.first_seq).await?;
        for segment in &found {
            let end = segment.first_seq + segment.count;
            if terms.is_empty() {
                blocks::backwards(handle, segment.first_seq, end.min(page.before), |block| page.read(block)).await?;
            } else {
                let places = named.of(segment.first_seq)?;
                read_named(handle, &mut page, segment.first_seq, &places).await?;
            }
            if page.is_full() {
                break;
            }
        }
        below = oldest.first_seq;
        look = (look * 4).min(LONGEST_LOOK);
    }
    Ok(page.found)
}

/// Reads the entries at `places` of a segment, newest first, each block once.
async fn read_named(
    handle: &mut impl Handle,
    page: &mut Page<'_>,
    first_seq: i64,
    places: &[u16],
) -> Result<(), StoreError> {
    let mut left: Vec<i64> = places.iter().map(|place| first_seq + i64::from(*place)).collect();
    left.retain(|seq| *seq < page.before);
    while let Some(newest) = left.last().copied()
        && !page.is_full()
    {
        let Some(block) = blocks::holding(handle, newest).await? else { return Err(segments::damaged(first_seq)) };
        page.pick(&block, |seq| left.binary_search(&seq).is_ok())?;
        left.retain(|seq| *seq < block.first_seq);
    }
    Ok(())
}

/// For each term the rows of a range of segments, newest first.
struct Named(Vec<(Term, Rows)>);

/// A segment's first number, and a bucket of it.
type Rows = std::iter::Peekable<std::vec::IntoIter<(i64, Vec<u8>)>>;

impl Named {
    async fn read(handle: &mut impl Handle, terms: &[Term], first: i64, last: i64) -> Result<Self, StoreError> {
        let mut all = Vec::with_capacity(terms.len());
        for term in terms {
            let rows = segments::postings(handle, term.bucket, first, last).await?;
            all.push((*term, rows.into_iter().peekable()));
        }
        Ok(Self(all))
    }

    /// The places of a segment that hold every term, ascending. Segments are asked for newest first.
    fn of(&mut self, first_seq: i64) -> Result<Vec<u16>, StoreError> {
        let mut held: Option<Vec<u16>> = None;
        for (term, rows) in &mut self.0 {
            while rows.next_if(|row| row.0 > first_seq).is_some() {}
            let Some((_, bytes)) = rows.next_if(|row| row.0 == first_seq) else { return Ok(Vec::new()) };
            let places = terms::find(&bytes, *term).ok_or_else(|| segments::damaged(first_seq))?;
            held = Some(match held {
                None => places,
                Some(mut held) => {
                    held.retain(|place| places.binary_search(place).is_ok());
                    held
                }
            });
        }
        Ok(held.unwrap_or_default())
    }
}
