//! Cases: findings of one cause together.

use super::super::StoreError;
use super::super::sql::{Handle, run, statements};
use super::{Row, Stored, stored};
use crate::base::Timestamp;
use crate::model::Severity;

statements! {
    /// Those with a finding that counts, whose newest activity is before a place in the list.
    OPEN = shared(
        "select case_id, count(*), max(severity), max(updated), min(recorded_at), max(sample) from active_findings
         group by case_id having max(updated) < $1 or (max(updated) = $1 and case_id < $2)
         order by max(updated) desc, case_id desc limit $3"
    );
    FINDINGS = shared(
        "select finding_id, case_id, updated, revision, revisions, content_hash, recorded_at, body from findings
         where case_id = $1 order by updated desc, finding_id desc limit $2"
    );
}

/// A case that is open, by its findings that count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Case {
    /// `case_…`.
    pub case_id: String,
    /// How many of them.
    pub active: i64,
    /// The worst.
    pub severity: Severity,
    /// The newest activity.
    pub updated: Timestamp,
    /// When the first of them came.
    pub recorded_at: Timestamp,
    /// Whether one is made up.
    pub sample: bool,
}

/// Up to `limit` open cases, those with the newest activity first, after `before`.
///
/// # Errors
/// When the database fails.
pub async fn open(
    handle: &mut impl Handle,
    before: Option<(Timestamp, &str)>,
    limit: i64,
) -> Result<Vec<Case>, StoreError> {
    let (updated, case_id) = before.map_or((i64::MAX, ""), |(updated, id)| (updated.as_micros(), id));
    let rows: Vec<(String, i64, i64, i64, i64, i64)> =
        run!(handle, OPEN, |conn, text| sqlx::query_as(text).bind(updated).bind(case_id).bind(limit).fetch_all(conn))?;
    let one = |(case_id, active, severity, updated, recorded_at, sample): (String, i64, i64, i64, i64, i64)| {
        let known = Severity::ALL.iter().copied().find(|one| i64::from(one.level()) == severity);
        let wrong = || StoreError::Corrupt { table: "findings", problem: format!("severity {severity}") };
        Ok(Case {
            case_id,
            active,
            severity: known.ok_or_else(wrong)?,
            updated: Timestamp::from_micros(updated),
            recorded_at: Timestamp::from_micros(recorded_at),
            sample: sample != 0,
        })
    };
    rows.into_iter().map(one).collect()
}

/// Up to `limit` findings of a case, those with the newest activity first.
///
/// # Errors
/// When the database fails.
pub async fn findings(handle: &mut impl Handle, case_id: &str, limit: i64) -> Result<Vec<Stored>, StoreError> {
    let rows: Vec<Row> =
        run!(handle, FINDINGS, |conn, text| sqlx::query_as(text).bind(case_id).bind(limit).fetch_all(conn))?;
    rows.into_iter().map(stored).collect()
}
