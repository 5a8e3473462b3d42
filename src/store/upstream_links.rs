//! Accounts at upstream providers: the provider's issuer and its `sub` are who it is; a mail address never is.

use super::sql::{Handle, affected, run, statements};
use super::{StoreError, Tx};
use crate::base::Timestamp;
use crate::model::UpstreamLink;

// The column `provider` holds the issuer.
statements! {
    INSERT = shared(
        "insert into upstream_links (provider, subject, user_id, label, created_at) values ($1, $2, $3, $4, $5)"
    );
    FIND = shared(
        "select provider, subject, user_id, label, created_at, last_used_at from upstream_links
         where provider = $1 and subject = $2"
    );
    OF_USER = shared(
        "select provider, subject, user_id, label, created_at, last_used_at from upstream_links
         where user_id = $1 order by created_at"
    );
    TOUCH = shared("update upstream_links set last_used_at = $3 where provider = $1 and subject = $2");
    DELETE = shared("delete from upstream_links where user_id = $1 and provider = $2 and subject = $3");
}

type Row = (String, String, String, String, i64, Option<i64>);

fn link((issuer, subject, user_id, label, created_at, last_used_at): Row) -> UpstreamLink {
    UpstreamLink {
        issuer,
        subject,
        user_id,
        label,
        created_at: Timestamp::from_micros(created_at),
        last_used_at: last_used_at.map(Timestamp::from_micros),
    }
}

/// Links an account.
///
/// # Errors
/// [`StoreError::Conflict`] when it is linked already, to whomever.
pub async fn insert(tx: &mut Tx, link: &UpstreamLink) -> Result<(), StoreError> {
    affected!(tx, INSERT, |text| sqlx::query(text)
        .bind(&link.issuer)
        .bind(&link.subject)
        .bind(&link.user_id)
        .bind(&link.label)
        .bind(link.created_at.as_micros()))
    .map(drop)
    .map_err(|e| if e.is_unique_violation() { StoreError::Conflict(link.issuer.clone()) } else { e })
}

/// Who this account is.
///
/// # Errors
/// When the database fails.
pub async fn find(handle: &mut impl Handle, issuer: &str, subject: &str) -> Result<Option<UpstreamLink>, StoreError> {
    let row: Option<Row> =
        run!(handle, FIND, |conn, text| sqlx::query_as(text).bind(issuer).bind(subject).fetch_optional(conn))?;
    Ok(row.map(link))
}

/// The accounts of a person, oldest first.
///
/// # Errors
/// When the database fails.
pub async fn of_user(handle: &mut impl Handle, user_id: &str) -> Result<Vec<UpstreamLink>, StoreError> {
    let rows: Vec<Row> = run!(handle, OF_USER, |conn, text| sqlx::query_as(text).bind(user_id).fetch_all(conn))?;
    Ok(rows.into_iter().map(link).collect())
}

/// Remembers a use.
///
/// # Errors
/// When the database fails.
pub async fn touch(tx: &mut Tx, issuer: &str, subject: &str, now: Timestamp) -> Result<(), StoreError> {
    affected!(tx, TOUCH, |text| sqlx::query(text).bind(issuer).bind(subject).bind(now.as_micros())).map(drop)
}

/// Removes a link of this person; whether there was one.
///
/// # Errors
/// When the database fails.
pub async fn delete(tx: &mut Tx, user_id: &str, issuer: &str, subject: &str) -> Result<bool, StoreError> {
    affected!(tx, DELETE, |text| sqlx::query(text).bind(user_id).bind(issuer).bind(subject)).map(|n| n > 0)
}
