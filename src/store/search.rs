//! Searching the log: any filter, in either order, a part at a time. What the index names is read and compared again: the
//! entries themselves are what answers.

use super::blocks::{self, Block, Numbered};
use super::plan::{Named, Plan, times};
use super::row::EventRow;
use super::segments::Segment;
use super::sql::Handle;
use super::{StoreError, log, segments};
use crate::base::Timestamp;
use crate::model::filter::{self, EventField};

/// What a reader of the log asks for.
pub type Filter = filter::Filter<EventField>;

/// How many segments are looked through at once: few at first, for most pages end there.
const FIRST_LOOK: i64 = 4;
const LONGEST_LOOK: i64 = 256;
/// What looking at the index of a segment costs, in entries read.
const LOOK_COST: u64 = 8;

/// Which way, and from where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Newest first, numbered below this.
    Before(i64),
    /// Oldest first, numbered above this.
    After(i64),
}

/// One walk through the log.
#[derive(Clone, Copy, Debug)]
pub struct Walk<'a> {
    /// What is asked for.
    pub filter: &'a Filter,
    /// Something that holds of all that is wanted, for the index to go by beside the filter; it is not asked again.
    pub within: Option<&'a Filter>,
    /// Which way.
    pub order: Order,
    /// How many entries are read at most, about.
    pub most: u64,
}

/// What a walk did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Work {
    /// What the index went by.
    pub plan: String,
    /// Segments whose index was looked at.
    pub segments: u64,
    /// Those of them that hold nothing that is asked for.
    pub passed_over: u64,
    /// Entries that are in no index yet and were read as they are.
    pub unindexed: u64,
    /// Blocks that were opened.
    pub blocks: u64,
    /// Entries in them.
    pub read: u64,
    /// Entries that matched.
    pub matched: u64,
}

/// A page, and where the next one begins: `None` at the end of the log.
#[derive(Clone, Debug, Default)]
pub struct Found {
    /// In the order of the walk.
    pub items: Vec<Numbered>,
    /// The number to go on from. A page may be short, or empty, and have one: so much was read without more.
    pub next: Option<i64>,
    /// What it took.
    pub work: Work,
}

/// A walk as it goes.
struct Walker<'a, E> {
    walk: &'a Walk<'a>,
    each: E,
    work: Work,
    /// The last entry that was looked at.
    at: i64,
    is_over: bool,
}

impl<E: FnMut(&Numbered, &EventRow<'_>) -> bool> Walker<'_, E> {
    fn wants(&self, seq: i64) -> bool {
        match self.walk.order {
            Order::Before(before) => seq < before,
            Order::After(after) => seq > after,
        }
    }

    /// Takes what matches out of a block; whether to go on.
    fn read(&mut self, block: &Block, named: impl Fn(i64) -> bool) -> Result<bool, StoreError> {
        let mut opened = block.open()?;
        if matches!(self.walk.order, Order::Before(_)) {
            opened.reverse();
        }
        self.work.blocks += 1;
        self.work.read += opened.len() as u64;
        for numbered in &opened {
            if !self.wants(numbered.seq) {
                continue;
            }
            self.at = numbered.seq;
            if !named(numbered.seq) {
                continue;
            }
            let row = EventRow::of(numbered.seq, &numbered.entry);
            if self.walk.filter.holds(&row) {
                self.work.matched += 1;
                if !(self.each)(numbered, &row) {
                    self.is_over = true;
                    return Ok(false);
                }
            }
        }
        Ok(self.may_go_on())
    }

    fn may_go_on(&mut self) -> bool {
        self.is_over |= self.work.read + self.work.segments * LOOK_COST >= self.walk.most;
        !self.is_over
    }

    /// Reads what is in no segment yet.
    async fn unindexed(&mut self, handle: &mut impl Handle, indexed: i64) -> Result<(), StoreError> {
        let before = self.work.read;
        let is_past = |block: &Block| block.first_seq < indexed;
        match self.walk.order {
            Order::Before(before) if before > indexed => {
                blocks::backwards(handle, indexed, before, |block| self.read(block, |_| true)).await?;
            }
            Order::Before(_) => {}
            Order::After(after) => {
                let first = indexed.max(after.saturating_add(1));
                let read = |block: &Block| if is_past(block) { Ok(true) } else { self.read(block, |_| true) };
                blocks::forwards(handle, first, i64::MAX, read).await?;
            }
        }
        self.work.unindexed += self.work.read - before;
        Ok(())
    }

    /// Goes through the segments below `indexed`.
    async fn indexed(&mut self, handle: &mut impl Handle, plan: &Plan, indexed: i64) -> Result<(), StoreError> {
        let within = self.walk.within.map_or((i64::MIN, i64::MAX), times);
        let asked = times(self.walk.filter);
        let (since, until) = (within.0.max(asked.0), within.1.min(asked.1));
        let mut look = FIRST_LOOK;
        let mut from = match self.walk.order {
            Order::Before(before) => before.min(indexed),
            Order::After(after) => segments::holding(handle, after.saturating_add(1)).await?,
        };
        while !self.is_over {
            let found = match self.walk.order {
                Order::Before(_) => segments::before(handle, from, (since, until), look).await?,
                Order::After(_) => segments::from(handle, from, indexed, (since, until), look).await?,
            };
            let (Some(begin), Some(end)) = (found.first(), found.last()) else { return Ok(()) };
            let (low, high) = (begin.first_seq.min(end.first_seq), begin.first_seq.max(end.first_seq));
            let named = Named::read(handle, plan, low, high).await?;
            for segment in &found {
                self.work.segments += 1;
                match named.of(segment.first_seq)? {
                    None => self.whole(handle, segment).await?,
                    Some(places) => self.named(handle, segment.first_seq, &places).await?,
                }
                if self.is_over {
                    return Ok(());
                }
                // What the index passes over counts as looked at.
                self.at = match self.walk.order {
                    Order::Before(_) => segment.first_seq,
                    Order::After(_) => segment.first_seq + segment.count - 1,
                };
                if !self.may_go_on() {
                    return Ok(());
                }
            }
            from = match self.walk.order {
                Order::Before(_) => end.first_seq,
                Order::After(_) => end.first_seq + end.count,
            };
            look = (look * 4).min(LONGEST_LOOK);
        }
        Ok(())
    }

    async fn whole(&mut self, handle: &mut impl Handle, segment: &Segment) -> Result<(), StoreError> {
        let end = segment.first_seq + segment.count;
        match self.walk.order {
            Order::Before(before) => {
                blocks::backwards(handle, segment.first_seq, end.min(before), |block| self.read(block, |_| true)).await
            }
            Order::After(after) => {
                let first = segment.first_seq.max(after.saturating_add(1));
                blocks::forwards(handle, first, end, |block| self.read(block, |_| true)).await
            }
        }
    }

    /// Reads the entries at `places` of a segment, each block once.
    async fn named(&mut self, handle: &mut impl Handle, first_seq: i64, places: &[u16]) -> Result<(), StoreError> {
        let mut left: Vec<i64> = places.iter().map(|place| first_seq + i64::from(*place)).collect();
        left.retain(|seq| self.wants(*seq));
        if left.is_empty() {
            self.work.passed_over += 1;
        }
        let is_backward = matches!(self.walk.order, Order::Before(_));
        while let Some(next) = if is_backward { left.last() } else { left.first() }.copied()
            && !self.is_over
        {
            let Some(block) = blocks::holding(handle, next).await? else { return Err(segments::damaged(first_seq)) };
            self.read(&block, |seq| left.binary_search(&seq).is_ok())?;
            let end = block.first_seq + block.count;
            left.retain(|seq| if is_backward { *seq < block.first_seq } else { *seq >= end });
        }
        Ok(())
    }
}

/// Walks through what matches until `each` has enough (`false`). Gives where to go on, `None` at the end of the log, and
/// what it took.
///
/// # Errors
/// When the database fails, or what it holds is damaged.
pub async fn walk(
    handle: &mut impl Handle,
    walk: &Walk<'_>,
    each: impl FnMut(&Numbered, &EventRow<'_>) -> bool,
) -> Result<(Option<i64>, Work), StoreError> {
    let mut plan = Plan::of(walk.filter);
    if let Some(within) = walk.within {
        plan = Plan::all([plan, Plan::of(within)].into_iter());
    }
    let at = match walk.order {
        Order::Before(at) | Order::After(at) => at,
    };
    let work = Work { plan: plan.to_string(), ..Work::default() };
    let mut walker = Walker { walk, each, work, at, is_over: false };
    // An entry that is indexed meanwhile is read where it was at first.
    let indexed = log::indexed(handle).await?;
    match walk.order {
        Order::Before(_) => {
            walker.unindexed(handle, indexed).await?;
            walker.indexed(handle, &plan, indexed).await?;
        }
        Order::After(_) => {
            walker.indexed(handle, &plan, indexed).await?;
            if !walker.is_over {
                walker.unindexed(handle, indexed).await?;
            }
        }
    }
    Ok((walker.is_over.then_some(walker.at), walker.work))
}

/// Up to `limit` entries that match and that `keep` takes.
///
/// # Errors
/// When the database fails, or what it holds is damaged.
pub async fn pages(
    handle: &mut impl Handle,
    asked: &Walk<'_>,
    limit: usize,
    mut keep: impl FnMut(&EventRow<'_>) -> bool,
) -> Result<Found, StoreError> {
    let mut items: Vec<Numbered> = Vec::new();
    // One more than asked for tells whether there is another page.
    let take = |numbered: &Numbered, row: &EventRow<'_>| {
        if keep(row) {
            items.push(numbered.clone());
        }
        items.len() <= limit
    };
    let (mut next, work) = walk(handle, asked, take).await?;
    if items.len() > limit {
        items.truncate(limit);
        next = items.last().map(|last| last.seq);
    }
    Ok(Found { items, next, work })
}

/// Up to `limit` entries that match, newest first, numbered below `before` (`None`: from the newest), however much has to
/// be read for them.
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
    let walk = Walk { filter, within: None, order: Order::Before(before.unwrap_or(i64::MAX)), most: u64::MAX };
    Ok(pages(handle, &walk, limit, |_| true).await?.items)
}

/// Not before the first and before the second lies all that could match, as far as the filter says.
pub fn times_of(filter: &Filter) -> (Option<Timestamp>, Option<Timestamp>) {
    let (since, until) = times(filter);
    let time = Timestamp::from_micros;
    ((since != i64::MIN).then(|| time(since)), (until != i64::MAX).then(|| time(until)))
}
