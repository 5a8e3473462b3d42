//! Legal holds: what retention must leave alone, until somebody takes the hold back.

use super::sql::{Handle, affected, run, statements};
use super::{StoreError, Tx};
use crate::base::Timestamp;

statements! {
    INSERT = shared(
        "insert into audit_holds (hold_id, since, until, principal, reason, created_at) values ($1, $2, $3, $4, $5, $6)"
    );
    DELETE = shared("delete from audit_holds where hold_id = $1");
    LIST = shared("select hold_id, since, until, principal, reason, created_at from audit_holds order by created_at, hold_id");
}

/// A hold. Fields that are `None` hold whatever they could say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hold {
    /// `hold_…`.
    pub hold_id: String,
    /// Not before this.
    pub since: Option<Timestamp>,
    /// Before this.
    pub until: Option<Timestamp>,
    /// Who acted: `Type::"id"`.
    pub principal: Option<String>,
    /// Why.
    pub reason: String,
    /// Since when it holds.
    pub created_at: Timestamp,
}

/// Adds a hold.
///
/// # Errors
/// When the database fails.
pub async fn insert(tx: &mut Tx, hold: &Hold) -> Result<(), StoreError> {
    affected!(tx, INSERT, |text| sqlx::query(text)
        .bind(&hold.hold_id)
        .bind(hold.since.map(Timestamp::as_micros))
        .bind(hold.until.map(Timestamp::as_micros))
        .bind(&hold.principal)
        .bind(&hold.reason)
        .bind(hold.created_at.as_micros()))
    .map(drop)
}

/// Takes a hold back; whether it was there.
///
/// # Errors
/// When the database fails.
pub async fn delete(tx: &mut Tx, hold_id: &str) -> Result<bool, StoreError> {
    affected!(tx, DELETE, |text| sqlx::query(text).bind(hold_id)).map(|gone| gone > 0)
}

/// All of them, oldest first.
///
/// # Errors
/// When the database fails.
pub async fn list(handle: &mut impl Handle) -> Result<Vec<Hold>, StoreError> {
    type Row = (String, Option<i64>, Option<i64>, Option<String>, String, i64);
    let rows: Vec<Row> = run!(handle, LIST, |conn, text| sqlx::query_as(text).fetch_all(conn))?;
    let hold = |(hold_id, since, until, principal, reason, created_at): Row| Hold {
        hold_id,
        since: since.map(Timestamp::from_micros),
        until: until.map(Timestamp::from_micros),
        principal,
        reason,
        created_at: Timestamp::from_micros(created_at),
    };
    Ok(rows.into_iter().map(hold).collect())
}
