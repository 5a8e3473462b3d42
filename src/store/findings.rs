//! Findings: how they stand, every revision as it was received, what they are about, and where the feeds stand.

use serde::Serialize;
use serde::de::DeserializeOwned;

pub use super::finding_search::{Filter, page};
use super::sql::{Handle, affected, run, statements};
use super::{StoreError, Tx, decode, digest, encode};
use crate::base::Timestamp;
use crate::model::{Entity, Finding, FindingState, TokenDigest};

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
        "insert into findings (finding_id, format, provider_key, provider_id, case_id, severity, state, type, product,
             account, region, sample, updated, revision, revisions, content_hash, recorded_at, body)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, 1, 1, $14, $15, $16)
         on conflict (format, provider_key) do nothing"
    );
    UPDATE = shared(
        "update findings set provider_id = $2, case_id = $3, severity = $4, state = $5, type = $6, product = $7,
             account = $8, region = $9, sample = $10, updated = $11, revision = $12, revisions = $12,
             content_hash = $13, body = $14
         where finding_id = $1"
    );
    ONE_MORE = shared("update findings set revisions = $2 where finding_id = $1");
    ADD_REVISION = shared(
        "insert into finding_revisions (finding_id, revision, content_hash, updated, recorded_at, origin, raw)
         values ($1, $2, $3, $4, $5, $6, $7)"
    );
    ADD_ENTITY = shared(
        "insert into finding_entities (kind, value, finding_id) values ($1, $2, $3)
         on conflict (kind, value, finding_id) do nothing"
    );
    HAS_CONTENT = shared("select revision from finding_revisions where finding_id = $1 and content_hash = $2 limit 1");
    RAW = shared("select content_hash, raw from finding_revisions where finding_id = $1 and revision = $2");
    SEEN = shared(
        "insert into finding_origins (source, finding_id, check_at) values ($1, $2, $3)
         on conflict (source, finding_id) do update set check_at = excluded.check_at"
    );
    TO_CHECK = shared(
        "select f.finding_id, f.case_id, f.updated, f.revision, f.revisions, f.content_hash, f.recorded_at, f.body
         from finding_origins o join findings f on f.finding_id = o.finding_id
         where o.source = $1 and o.check_at <= $2 order by o.check_at limit $3"
    );
    RESTATE = shared("update findings set state = $2, body = $3 where finding_id = $1");
    SOURCE = shared("select version, body from finding_sources where source = $1");
    ADD_SOURCE = shared(
        "insert into finding_sources (source, version, body, updated_at) values ($1, 1, $2, $3)
         on conflict (source) do nothing"
    );
    UPDATE_SOURCE = shared(
        "update finding_sources set version = version + 1, body = $3, updated_at = $4 where source = $1 and version = $2"
    );
    REVISIONS = shared(
        "select revision, content_hash, updated, recorded_at, origin
         from finding_revisions where finding_id = $1 order by revision desc limit $2"
    );
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

/// One revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revision {
    /// Its number, from 1.
    pub revision: i64,
    /// SHA-256 of its bytes.
    pub content_hash: TokenDigest,
    /// What orders revisions.
    pub updated: Timestamp,
    /// When it came.
    pub recorded_at: Timestamp,
    /// Where from.
    pub origin: String,
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

/// Adds a finding with its first revision.
///
/// # Errors
/// [`StoreError::Conflict`] when somebody added it meanwhile: begin the transaction again.
pub async fn insert(tx: &mut Tx, new: &Stored, raw: &[u8], origin: &str) -> Result<(), StoreError> {
    let (finding, body) = (&new.finding, encode("findings", &new.finding)?);
    let added = affected!(tx, INSERT, |text| sqlx::query(text)
        .bind(&new.finding_id)
        .bind(finding.format.as_str())
        .bind(&finding.provider_key)
        .bind(&finding.provider_id)
        .bind(&new.case_id)
        .bind(i64::from(finding.severity.level()))
        .bind(finding.state.as_str())
        .bind(&finding.kind)
        .bind(&finding.product)
        .bind(&finding.account)
        .bind(&finding.region)
        .bind(i64::from(finding.sample))
        .bind(new.updated.as_micros())
        .bind(new.content_hash.as_slice())
        .bind(new.recorded_at.as_micros())
        .bind(&body))?;
    if added == 0 {
        return Err(StoreError::Conflict(finding.provider_key.clone()));
    }
    let first = Revision {
        revision: 1,
        content_hash: new.content_hash,
        updated: new.updated,
        recorded_at: new.recorded_at,
        origin: origin.to_owned(),
    };
    add_revision(tx, &new.finding_id, &first, raw, &finding.entities).await
}

/// Puts a newer revision in force.
///
/// # Errors
/// When the database fails.
pub async fn update(tx: &mut Tx, now: &Stored, revision: &Revision, raw: &[u8]) -> Result<(), StoreError> {
    let (finding, body) = (&now.finding, encode("findings", &now.finding)?);
    affected!(tx, UPDATE, |text| sqlx::query(text)
        .bind(&now.finding_id)
        .bind(&finding.provider_id)
        .bind(&now.case_id)
        .bind(i64::from(finding.severity.level()))
        .bind(finding.state.as_str())
        .bind(&finding.kind)
        .bind(&finding.product)
        .bind(&finding.account)
        .bind(&finding.region)
        .bind(i64::from(finding.sample))
        .bind(now.updated.as_micros())
        .bind(revision.revision)
        .bind(now.content_hash.as_slice())
        .bind(&body))?;
    add_revision(tx, &now.finding_id, revision, raw, &finding.entities).await
}

/// Keeps a revision that is older than the one in force.
///
/// # Errors
/// When the database fails.
pub async fn keep_late(
    tx: &mut Tx,
    finding_id: &str,
    revision: &Revision,
    raw: &[u8],
    entities: &[Entity],
) -> Result<(), StoreError> {
    affected!(tx, ONE_MORE, |text| sqlx::query(text).bind(finding_id).bind(revision.revision))?;
    add_revision(tx, finding_id, revision, raw, entities).await
}

async fn add_revision(
    tx: &mut Tx,
    finding_id: &str,
    revision: &Revision,
    raw: &[u8],
    entities: &[Entity],
) -> Result<(), StoreError> {
    let packed = lz4_flex::block::compress_prepend_size(raw);
    affected!(tx, ADD_REVISION, |text| sqlx::query(text)
        .bind(finding_id)
        .bind(revision.revision)
        .bind(revision.content_hash.as_slice())
        .bind(revision.updated.as_micros())
        .bind(revision.recorded_at.as_micros())
        .bind(&revision.origin)
        .bind(&packed))?;
    for entity in entities {
        affected!(tx, ADD_ENTITY, |text| sqlx::query(text)
            .bind(entity.kind.as_str())
            .bind(&entity.value)
            .bind(finding_id))?;
    }
    Ok(())
}

/// Whether a revision with these bytes is there.
///
/// # Errors
/// When the database fails.
pub async fn has_content(
    handle: &mut impl Handle,
    finding_id: &str,
    content_hash: &TokenDigest,
) -> Result<bool, StoreError> {
    let row: Option<(i64,)> = run!(handle, HAS_CONTENT, |conn, text| sqlx::query_as(text)
        .bind(finding_id)
        .bind(content_hash.as_slice())
        .fetch_optional(conn))?;
    Ok(row.is_some())
}

/// The bytes of a revision as they were received, behind the SHA-256 that was recorded of them.
///
/// # Errors
/// When the database fails, or what it holds does not unpack.
pub async fn raw(
    handle: &mut impl Handle,
    finding_id: &str,
    revision: i64,
) -> Result<Option<(TokenDigest, Vec<u8>)>, StoreError> {
    let row: Option<(Vec<u8>, Vec<u8>)> =
        run!(handle, RAW, |conn, text| sqlx::query_as(text).bind(finding_id).bind(revision).fetch_optional(conn))?;
    let Some((hash, packed)) = row else { return Ok(None) };
    let raw = lz4_flex::block::decompress_size_prepended(&packed)
        .map_err(|e| StoreError::Corrupt { table: "finding_revisions", problem: e.to_string() })?;
    Ok(Some((digest("finding_revisions", &hash)?, raw)))
}

/// Up to `limit` revisions, newest first.
///
/// # Errors
/// When the database fails.
pub async fn revisions(handle: &mut impl Handle, finding_id: &str, limit: i64) -> Result<Vec<Revision>, StoreError> {
    let rows: Vec<(i64, Vec<u8>, i64, i64, String)> =
        run!(handle, REVISIONS, |conn, text| sqlx::query_as(text).bind(finding_id).bind(limit).fetch_all(conn))?;
    let one = |(revision, hash, updated, recorded_at, origin): (i64, Vec<u8>, i64, i64, String)| {
        Ok(Revision {
            revision,
            content_hash: digest("finding_revisions", &hash)?,
            updated: Timestamp::from_micros(updated),
            recorded_at: Timestamp::from_micros(recorded_at),
            origin,
        })
    };
    rows.into_iter().map(one).collect()
}

/// Notes that a source has a finding. Open ones are to be looked at again from `check_at` on.
///
/// # Errors
/// When the database fails.
pub async fn seen(tx: &mut Tx, source: &str, stored: &Stored, check_at: Timestamp) -> Result<(), StoreError> {
    let is_open = stored.finding.state == FindingState::Open;
    let check_at = if is_open { check_at.as_micros() } else { i64::MAX };
    affected!(tx, SEEN, |text| sqlx::query(text).bind(source).bind(&stored.finding_id).bind(check_at)).map(drop)
}

/// Up to `limit` open findings of a source that are to be looked at again by `now`, the longest due first.
///
/// # Errors
/// When the database fails.
pub async fn to_check(
    handle: &mut impl Handle,
    source: &str,
    now: Timestamp,
    limit: i64,
) -> Result<Vec<Stored>, StoreError> {
    let rows: Vec<Row> = run!(handle, TO_CHECK, |conn, text| sqlx::query_as(text)
        .bind(source)
        .bind(now.as_micros())
        .bind(limit)
        .fetch_all(conn))?;
    rows.into_iter().map(stored).collect()
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

/// How far a source is read, and the version that an update must name.
///
/// # Errors
/// When the database fails.
pub async fn source<T: DeserializeOwned>(
    handle: &mut impl Handle,
    source: &str,
) -> Result<Option<(i64, T)>, StoreError> {
    let row: Option<(i64, String)> =
        run!(handle, SOURCE, |conn, text| sqlx::query_as(text).bind(source).fetch_optional(conn))?;
    row.map(|(version, body)| Ok((version, decode("finding_sources", &body)?))).transpose()
}

/// Writes how far a source is read; its version is then one more. Version 0: it was never read.
///
/// # Errors
/// [`StoreError::Fenced`] when somebody else wrote it meanwhile.
pub async fn put_source(
    tx: &mut Tx,
    source: &str,
    version: i64,
    state: &impl Serialize,
    now: Timestamp,
) -> Result<(), StoreError> {
    let body = encode("finding_sources", state)?;
    let done = if version == 0 {
        affected!(tx, ADD_SOURCE, |text| sqlx::query(text).bind(source).bind(&body).bind(now.as_micros()))?
    } else {
        affected!(tx, UPDATE_SOURCE, |text| sqlx::query(text)
            .bind(source)
            .bind(version)
            .bind(&body)
            .bind(now.as_micros()))?
    };
    if done == 0 { Err(StoreError::Fenced) } else { Ok(()) }
}
