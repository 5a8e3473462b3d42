//! Findings: how they stand, every revision as it was received, what they are about, and where the feeds stand.

pub mod cases;
mod feeds;
mod revisions;
pub mod suppressions;
pub mod triage;

pub use super::finding_search::{Filter, page};
use super::sql::{Handle, Sql, affected, run, statements};
use super::{StoreError, Tx, decode, digest, encode};
use crate::base::Timestamp;
use crate::model::{Finding, TokenDigest};

pub use feeds::{count_open, put_source, seen, source, to_check};
pub use revisions::{Revision, has_content, keep_late, raw, revisions};

/// Every statement of this room.
pub(crate) const ALL: [&[Sql]; 6] = [
    STATEMENTS,
    cases::STATEMENTS,
    feeds::STATEMENTS,
    revisions::STATEMENTS,
    suppressions::STATEMENTS,
    triage::STATEMENTS,
];

statements! {
    FIND = shared(
        "select finding_id, case_id, updated, revision, revisions, content_hash, recorded_at, body
         from findings where finding_id = $1"
    );
    /// GuardDuty's own of several: Security Hub's of the same activity has the same id.
    CALLED = shared(
        "select finding_id, case_id, updated, revision, revisions, content_hash, recorded_at, body
         from findings where provider_id = $1 order by case format when 'guardduty' then 0 else 1 end, updated desc limit 1"
    );
    LOCK = split(
        "select finding_id, case_id, updated, revision, revisions, content_hash, recorded_at, body
         from findings where format = $1 and provider_key = $2",
        "select finding_id, case_id, updated, revision, revisions, content_hash, recorded_at, body
         from findings where format = $1 and provider_key = $2 for update"
    );
    INSERT = shared(
        "insert into findings (finding_id, provider_id, case_id, severity, state, type, product, account, region, sample,
             updated, content_hash, body, format, provider_key, recorded_at, revision, revisions)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, 1, 1)
         on conflict (format, provider_key) do nothing"
    );
    UPDATE = shared(
        "update findings set provider_id = $2, case_id = $3, severity = $4, state = $5, type = $6, product = $7,
             account = $8, region = $9, sample = $10, updated = $11, content_hash = $12, body = $13, revision = $14,
             revisions = $14
         where finding_id = $1"
    );
    RESTATE = shared("update findings set state = $2, body = $3 where finding_id = $1");
}

/// A finding with what we know about it beside what its provider says.
#[derive(Clone, Debug, PartialEq)]
pub struct Stored {
    /// `fnd_…`.
    pub finding_id: String,
    /// `case_…`: findings of the same cause have the same.
    pub case_id: String,
    /// What orders revisions.
    pub updated: Timestamp,
    /// Which revision is in force.
    pub revision: i64,
    /// How many there are.
    pub revisions: i64,
    /// SHA-256 of the bytes of the revision in force.
    pub content_hash: TokenDigest,
    /// When it first came.
    pub recorded_at: Timestamp,
    /// What its provider says.
    pub finding: Finding,
}

pub(super) type Row = (String, String, i64, i64, i64, Vec<u8>, i64, String);

pub(super) fn stored(row: Row) -> Result<Stored, StoreError> {
    let (finding_id, case_id, updated, revision, revisions, hash, recorded_at, body) = row;
    Ok(Stored {
        finding_id,
        case_id,
        updated: Timestamp::from_micros(updated),
        revision,
        revisions,
        content_hash: digest("findings", &hash)?,
        recorded_at: Timestamp::from_micros(recorded_at),
        finding: decode("findings", &body)?,
    })
}

/// The finding with this id of ours.
///
/// # Errors
/// When the database fails.
pub async fn find(handle: &mut impl Handle, finding_id: &str) -> Result<Option<Stored>, StoreError> {
    let row: Option<Row> = run!(handle, FIND, |conn, text| sqlx::query_as(text).bind(finding_id).fetch_optional(conn))?;
    row.map(stored).transpose()
}

/// The finding that its provider calls so; of several GuardDuty's own, else the newest.
///
/// # Errors
/// When the database fails.
pub async fn called(handle: &mut impl Handle, provider_id: &str) -> Result<Option<Stored>, StoreError> {
    let row: Option<Row> =
        run!(handle, CALLED, |conn, text| sqlx::query_as(text).bind(provider_id).fetch_optional(conn))?;
    row.map(stored).transpose()
}

/// The same finding as one that just came, kept from changing until `tx` ends.
///
/// # Errors
/// When the database fails.
pub async fn lock(tx: &mut Tx, finding: &Finding) -> Result<Option<Stored>, StoreError> {
    let row: Option<Row> = run!(tx, LOCK, |conn, text| sqlx::query_as(text)
        .bind(finding.format.as_str())
        .bind(&finding.provider_key)
        .fetch_optional(conn))?;
    row.map(stored).transpose()
}

/// Binds what is written of a finding, in the order in which both statements name it.
macro_rules! columns {
    ($query:expr, $stored:expr, $body:expr) => {
        $query
            .bind(&$stored.finding_id)
            .bind(&$stored.finding.provider_id)
            .bind(&$stored.case_id)
            .bind(i64::from($stored.finding.severity.level()))
            .bind($stored.finding.state.as_str())
            .bind(&$stored.finding.kind)
            .bind(&$stored.finding.product)
            .bind(&$stored.finding.account)
            .bind(&$stored.finding.region)
            .bind(i64::from($stored.finding.sample))
            .bind($stored.updated.as_micros())
            .bind($stored.content_hash.as_slice())
            .bind($body)
    };
}

/// Adds a finding with its first revision.
///
/// # Errors
/// [`StoreError::Conflict`] when somebody added it meanwhile: begin the transaction again.
pub async fn insert(tx: &mut Tx, new: &Stored, raw: &[u8], origin: &str) -> Result<(), StoreError> {
    let body = encode("findings", &new.finding)?;
    let added = affected!(tx, INSERT, |text| columns!(sqlx::query(text), new, &body)
        .bind(new.finding.format.as_str())
        .bind(&new.finding.provider_key)
        .bind(new.recorded_at.as_micros()))?;
    if added == 0 {
        return Err(StoreError::Conflict(new.finding.provider_key.clone()));
    }
    let first = Revision {
        revision: 1,
        content_hash: new.content_hash,
        updated: new.updated,
        recorded_at: new.recorded_at,
        origin: origin.to_owned(),
    };
    revisions::add(tx, &new.finding_id, &first, raw, &new.finding.entities).await
}

/// Puts a newer revision in force.
///
/// # Errors
/// When the database fails.
pub async fn update(tx: &mut Tx, now: &Stored, revision: &Revision, raw: &[u8]) -> Result<(), StoreError> {
    let body = encode("findings", &now.finding)?;
    affected!(tx, UPDATE, |text| columns!(sqlx::query(text), now, &body).bind(revision.revision))?;
    revisions::add(tx, &now.finding_id, revision, raw, &now.finding.entities).await
}

/// Says that a finding stands differently, without new words of its provider.
///
/// # Errors
/// When the database fails.
pub async fn restate(tx: &mut Tx, now: &Stored) -> Result<(), StoreError> {
    let body = encode("findings", &now.finding)?;
    let state = now.finding.state.as_str();
    affected!(tx, RESTATE, |text| sqlx::query(text).bind(&now.finding_id).bind(state).bind(&body)).map(drop)
}
