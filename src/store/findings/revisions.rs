//! Every revision of a finding as it was received, and what each is about.

use super::super::sql::{Handle, affected, run, statements};
use super::super::{StoreError, Tx, digest};
use crate::base::Timestamp;
use crate::model::{Entity, TokenDigest};

statements! {
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
    REVISIONS = shared(
        "select revision, content_hash, updated, recorded_at, origin
         from finding_revisions where finding_id = $1 order by revision desc limit $2"
    );
    ONE_MORE = shared("update findings set revisions = $2 where finding_id = $1");
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
    add(tx, finding_id, revision, raw, entities).await
}

pub(super) async fn add(
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
