//! The index of the log. Entries are appended first and indexed afterwards, some thousands at once: then small blocks
//! become full ones, and the terms of all of them are written together. What is in no segment yet is found by reading.

use super::blocks::{self, ENTRIES, Numbered};
use super::entry::{Entry, Which};
use super::log::{State, append, lock};
use super::sql::{Handle, affected, run, statements};
use super::terms::{self, BUCKETS, Postings, Term};
use super::{StoreError, Tx};
use crate::base::Timestamp;

statements! {
    PUT = shared("insert into log_segments (first_seq, count, low, high) values ($1, $2, $3, $4)");
    PUT_POSTINGS = shared("insert into log_terms (bucket, first_seq, postings) values ($1, $2, $3)");
    /// Newest first, of those that may hold something of a time.
    BEFORE = shared(
        "select first_seq, count, low, high from log_segments
         where first_seq < $1 and low < $2 and high >= $3 order by first_seq desc limit $4"
    );
    /// The same, oldest first.
    FROM = shared(
        "select first_seq, count, low, high from log_segments
         where first_seq >= $1 and first_seq < $5 and low < $2 and high >= $3 order by first_seq limit $4"
    );
    AFTER = shared("select first_seq, count, low, high from log_segments where first_seq >= $1 order by first_seq limit $2");
    POSTINGS = shared(
        "select first_seq, postings from log_terms where bucket = $1 and first_seq >= $2 and first_seq <= $3
         order by first_seq desc"
    );
    /// Oldest first, of those with nothing of a time or after it.
    EXPIRED = shared(
        "select first_seq, count, low, high from log_segments where first_seq > $1 and high < $2
         order by first_seq limit $3"
    );
    ALL = shared("select first_seq, count, low, high from log_segments order by first_seq");
    DELETE = shared("delete from log_segments where first_seq = $1");
    DELETE_POSTINGS = shared("delete from log_terms where bucket = $1 and first_seq = $2");
    REPLACE = shared("update log_terms set postings = $3 where bucket = $1 and first_seq = $2");
}

/// How many entries are indexed together, at least: a search reads as many at most that are in no index yet.
pub const SEGMENT: i64 = 4096;

/// Some thousands of entries, and what they can be found by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// The number of its first entry.
    pub first_seq: i64,
    /// How many entries it has.
    pub count: i64,
    /// The earliest time in it, microseconds.
    pub low: i64,
    /// The latest.
    pub high: i64,
}

/// Makes a segment, entry by entry.
#[derive(Debug)]
pub struct Builder {
    segment: Segment,
    postings: Postings,
}

impl Builder {
    /// Of the entries from `first_seq` on.
    pub fn new(first_seq: i64) -> Self {
        let segment = Segment { first_seq, count: 0, low: i64::MAX, high: i64::MIN };
        Self { segment, postings: Postings::default() }
    }

    /// Adds the next entry. One that is no event has no terms: the verifier names it.
    pub fn add(&mut self, entry: &Entry) {
        if let (Ok(found), Ok(place)) = (entry.searchable(), u16::try_from(self.segment.count)) {
            self.postings.add(place, terms::of_rest(&found).into_iter().chain(terms::of_personal(&found)));
            if let Some(rest) = &found.rest {
                let time = rest.time.as_micros();
                (self.segment.low, self.segment.high) = (self.segment.low.min(time), self.segment.high.max(time));
            }
        }
        self.segment.count += 1;
    }

    /// How many entries it has.
    pub const fn count(&self) -> i64 {
        self.segment.count
    }

    fn bucket(&self, bucket: i64) -> Vec<u8> {
        self.postings.bucket(bucket, usize::try_from(self.segment.count).unwrap_or_default())
    }

    /// Whether the segment as it is stored finds what these entries hold, and nothing else.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn agrees(&self, handle: &mut impl Handle, stored: &Segment) -> Result<bool, StoreError> {
        // The time of an erased entry is gone, and stays in the segment's.
        let within = stored.low <= self.segment.low && self.segment.high <= stored.high;
        if stored.count != self.segment.count || !within {
            return Ok(false);
        }
        for bucket in 0..BUCKETS {
            let (first, last) = (stored.first_seq, stored.first_seq);
            let there = postings(handle, bucket, first, last).await?.pop().map(|row| row.1).unwrap_or_default();
            if there != self.bucket(bucket) {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// Indexes what is in no segment yet, under the fence of `next` as [`append`] does, when that is enough to; `next` then
/// says so.
///
/// # Errors
/// [`StoreError::Fenced`] when another holder took over or the written-down part is not of size `size_before`.
pub async fn settle(tx: &mut Tx, size_before: i64, next: &mut State) -> Result<bool, StoreError> {
    lock(tx).await?;
    let found = blocks::from(tx, next.indexed, SEGMENT).await?;
    let mut builder = Builder::new(next.indexed);
    let mut entries: Vec<Numbered> = Vec::new();
    for block in &found {
        let opened = block.open()?;
        opened.iter().for_each(|numbered| builder.add(&numbered.entry));
        entries.extend(opened);
        // Thousands of entries are milliseconds: others may run in between.
        tokio::task::yield_now().await;
    }
    let segment = builder.segment;
    if segment.count < SEGMENT || entries.first().is_none_or(|first| first.seq != segment.first_seq) {
        return Ok(false);
    }
    let end = segment.first_seq + segment.count;
    next.indexed = end;
    append(tx, size_before, &[], next).await?;
    if found.len() > 2 * entries.len().div_ceil(ENTRIES) {
        blocks::rewrite(tx, segment.first_seq, end, &blocks::blocks(&entries)).await?;
    }
    affected!(tx, PUT, |text| sqlx::query(text)
        .bind(segment.first_seq)
        .bind(segment.count)
        .bind(segment.low)
        .bind(segment.high))?;
    for bucket in 0..BUCKETS {
        let postings = builder.bucket(bucket);
        affected!(tx, PUT_POSTINGS, |text| sqlx::query(text)
            .bind(bucket)
            .bind(segment.first_seq)
            .bind(postings.as_slice()))?;
    }
    Ok(true)
}

type Row = (i64, i64, i64, i64);

fn segments(rows: Vec<Row>) -> Vec<Segment> {
    rows.into_iter().map(|(first_seq, count, low, high)| Segment { first_seq, count, low, high }).collect()
}

/// Up to `limit` segments that begin below `seq` and may hold something before `until` and not before `since`, newest
/// first.
///
/// # Errors
/// When the database fails.
pub(super) async fn before(
    handle: &mut impl Handle,
    seq: i64,
    (since, until): (i64, i64),
    limit: i64,
) -> Result<Vec<Segment>, StoreError> {
    let rows = run!(handle, BEFORE, |conn, text| sqlx::query_as(text)
        .bind(seq)
        .bind(until)
        .bind(since)
        .bind(limit)
        .fetch_all(conn))?;
    Ok(segments(rows))
}

/// Up to `limit` segments that begin in `first..end` and may hold something before `until` and not before `since`, oldest
/// first.
///
/// # Errors
/// When the database fails.
pub(super) async fn from(
    handle: &mut impl Handle,
    first: i64,
    end: i64,
    (since, until): (i64, i64),
    limit: i64,
) -> Result<Vec<Segment>, StoreError> {
    let rows = run!(handle, FROM, |conn, text| sqlx::query_as(text)
        .bind(first)
        .bind(until)
        .bind(since)
        .bind(limit)
        .bind(end)
        .fetch_all(conn))?;
    Ok(segments(rows))
}

/// Where the segment begins that holds entry `seq`, if one does; else `seq`.
///
/// # Errors
/// When the database fails.
pub(super) async fn holding(handle: &mut impl Handle, seq: i64) -> Result<i64, StoreError> {
    let found = before(handle, seq.saturating_add(1), (i64::MIN, i64::MAX), 1).await?.pop();
    Ok(found.filter(|segment| seq < segment.first_seq + segment.count).map_or(seq, |segment| segment.first_seq))
}

/// Up to `limit` segments from that of entry `seq` on, in order.
///
/// # Errors
/// When the database fails.
pub async fn after(handle: &mut impl Handle, seq: i64, limit: i64) -> Result<Vec<Segment>, StoreError> {
    let rows = run!(handle, AFTER, |conn, text| sqlx::query_as(text).bind(seq).bind(limit).fetch_all(conn))?;
    Ok(segments(rows))
}

/// Up to `limit` segments after that of `first_seq` whose last entry is older than `before`, in order.
///
/// # Errors
/// When the database fails.
pub async fn expired(
    handle: &mut impl Handle,
    first_seq: i64,
    before: Timestamp,
    limit: i64,
) -> Result<Vec<Segment>, StoreError> {
    let rows = run!(handle, EXPIRED, |conn, text| sqlx::query_as(text)
        .bind(first_seq)
        .bind(before.as_micros())
        .bind(limit)
        .fetch_all(conn))?;
    Ok(segments(rows))
}

/// What was indexed once and is in no segment any more: the numbers that retention dropped, as ranges with both ends.
///
/// # Errors
/// When the database fails.
pub async fn dropped(handle: &mut impl Handle) -> Result<Vec<(i64, i64)>, StoreError> {
    let end = super::log::indexed(handle).await?;
    let all = segments(run!(handle, ALL, |conn, text| sqlx::query_as(text).fetch_all(conn))?);
    let (mut gaps, mut next) = (Vec::new(), 0);
    for (first, after) in all.iter().map(|it| (it.first_seq, it.first_seq + it.count)).chain([(end, end)]) {
        if first > next {
            gaps.push((next, first - 1));
        }
        next = after.max(next);
    }
    Ok(gaps)
}

/// Whether an entry of a segment names this principal, as far as the index tells.
///
/// # Errors
/// When the database fails or the index is damaged.
pub async fn names(handle: &mut impl Handle, segment: &Segment, principal: &str) -> Result<bool, StoreError> {
    let term = Term::principal(principal);
    let stored = postings(handle, term.bucket, segment.first_seq, segment.first_seq).await?.pop();
    let places = terms::find(&stored.unwrap_or_default().1, term).ok_or_else(|| damaged(segment.first_seq))?;
    Ok(!places.is_empty())
}

/// Drops a segment: its entries and its index. Their leaves stay, and the tree with them.
///
/// # Errors
/// When the database fails.
pub async fn delete(tx: &mut Tx, segment: &Segment) -> Result<(), StoreError> {
    lock(tx).await?;
    let gone = affected!(tx, DELETE, |text| sqlx::query(text).bind(segment.first_seq))?;
    if gone == 0 {
        return Ok(());
    }
    for bucket in 0..BUCKETS {
        affected!(tx, DELETE_POSTINGS, |text| sqlx::query(text).bind(bucket).bind(segment.first_seq))?;
    }
    blocks::strip(tx, segment.first_seq, segment.first_seq + segment.count).await
}

/// A bucket of the segments `first..=last` (by their first numbers), newest first.
pub(super) async fn postings(
    handle: &mut impl Handle,
    bucket: i64,
    first: i64,
    last: i64,
) -> Result<Vec<(i64, Vec<u8>)>, StoreError> {
    run!(handle, POSTINGS, |conn, text| sqlx::query_as(text).bind(bucket).bind(first).bind(last).fetch_all(conn))
}

/// What is wrong with a segment's bytes.
pub(super) fn damaged(first_seq: i64) -> StoreError {
    let problem = format!("the index of the segment of entry {first_seq} is damaged; run `stockade audit verify`");
    StoreError::Corrupt { table: "log_terms", problem }
}

/// Takes what an erased half said of entry `seq` out of the index.
pub(super) async fn forget(tx: &mut Tx, seq: i64, entry: &Entry, which: Which) -> Result<(), StoreError> {
    let Some(segment) = before(tx, seq + 1, (i64::MIN, i64::MAX), 1).await?.pop() else { return Ok(()) };
    let (Ok(place), Ok(found)) = (u16::try_from(seq - segment.first_seq), entry.searchable()) else { return Ok(()) };
    if seq >= segment.first_seq + segment.count {
        return Ok(());
    }
    let terms: Vec<Term> = match which {
        Which::Personal => terms::of_personal(&found),
        Which::Rest => terms::of_rest(&found),
    };
    let count = usize::try_from(segment.count).unwrap_or_default();
    for term in terms {
        let stored = postings(tx, term.bucket, segment.first_seq, segment.first_seq).await?.pop();
        let mut held = Postings::default();
        held.read(term.bucket, &stored.unwrap_or_default().1).ok_or_else(|| damaged(segment.first_seq))?;
        held.remove(place, term);
        let bytes = held.bucket(term.bucket, count);
        affected!(tx, REPLACE, |text| sqlx::query(text)
            .bind(term.bucket)
            .bind(segment.first_seq)
            .bind(bytes.as_slice()))?;
    }
    Ok(())
}
