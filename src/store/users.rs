//! People. Every write bumps `changes` first, so that other processes see it within a second.

use super::changes::{self, Topic};
use super::sql::{Handle, affected, run, statements};
use super::{StoreError, Tx, decode, encode};
use crate::model::User;

statements! {
    FIND = shared("select version, body from users where user_id = $1");
    BY_NAME = shared("select version, body from users where username = $1");
    PAGE = shared("select version, body from users where user_id > $1 order by user_id limit $2");
    NEWEST = shared("select version, body from users where user_id < $1 order by user_id desc limit $2");
    INSERT = shared("insert into users (user_id, username, version, body) values ($1, $2, 1, $3)");
    UPDATE = shared(
        "update users set version = version + 1, username = $3, body = $4
         where user_id = $1 and version = $2 returning version"
    );
    DELETE = shared("delete from users where user_id = $1 returning version");
    HOLD = shared("update users set version = version where user_id = $1");
}

/// A person with the version that an update must name.
#[derive(Clone, Debug, PartialEq)]
pub struct Stored {
    /// Raised by every update.
    pub version: i64,
    /// The person.
    pub user: User,
}

fn stored((version, body): (i64, String)) -> Result<Stored, StoreError> {
    Ok(Stored { version, user: decode("users", &body)? })
}

fn taken(user: &User) -> impl FnOnce(StoreError) -> StoreError {
    let name = user.username.clone();
    move |error| if error.is_unique_violation() { StoreError::Conflict(name) } else { error }
}

/// The person with this id.
///
/// # Errors
/// When the database fails.
pub async fn find(handle: &mut impl Handle, user_id: &str) -> Result<Option<Stored>, StoreError> {
    let row: Option<(i64, String)> =
        run!(handle, FIND, |conn, text| sqlx::query_as(text).bind(user_id).fetch_optional(conn))?;
    row.map(stored).transpose()
}

/// The person with this name, in the spelling of [`crate::model::user::fold`].
///
/// # Errors
/// When the database fails.
pub async fn find_by_username(handle: &mut impl Handle, username: &str) -> Result<Option<Stored>, StoreError> {
    let row: Option<(i64, String)> =
        run!(handle, BY_NAME, |conn, text| sqlx::query_as(text).bind(username).fetch_optional(conn))?;
    row.map(stored).transpose()
}

/// Up to `limit` people after `after`, oldest first; start with an empty `after`.
///
/// # Errors
/// When the database fails.
pub async fn page(handle: &mut impl Handle, after: &str, limit: i64) -> Result<Vec<Stored>, StoreError> {
    let rows: Vec<(i64, String)> =
        run!(handle, PAGE, |conn, text| sqlx::query_as(text).bind(after).bind(limit).fetch_all(conn))?;
    rows.into_iter().map(stored).collect()
}

/// Up to `limit` people made before `before`, newest first; start with `None`.
///
/// # Errors
/// When the database fails.
pub async fn newest(handle: &mut impl Handle, before: Option<&str>, limit: i64) -> Result<Vec<Stored>, StoreError> {
    // Ids are `usr_` and digits that sort by time: `usr~` sorts after all of them.
    let before = before.unwrap_or("usr~");
    let rows: Vec<(i64, String)> =
        run!(handle, NEWEST, |conn, text| sqlx::query_as(text).bind(before).bind(limit).fetch_all(conn))?;
    rows.into_iter().map(stored).collect()
}

/// Adds a person.
///
/// # Errors
/// [`StoreError::Conflict`] when the name is taken.
pub async fn insert(tx: &mut Tx, user: &User) -> Result<(), StoreError> {
    changes::bump(tx, Topic::Users).await?;
    let body = encode("users", user)?;
    affected!(tx, INSERT, |text| sqlx::query(text).bind(&user.user_id).bind(&user.username).bind(&body))
        .map(drop)
        .map_err(taken(user))
}

/// Replaces a person whose version is still `version`; gives the new version.
///
/// # Errors
/// [`StoreError::Conflict`] when it was changed meanwhile, does not exist, or the new name is taken.
pub async fn update(tx: &mut Tx, user: &User, version: i64) -> Result<i64, StoreError> {
    changes::bump(tx, Topic::Users).await?;
    let body = encode("users", user)?;
    let row: Result<Option<(i64,)>, StoreError> = run!(tx, UPDATE, |conn, text| sqlx::query_as(text)
        .bind(&user.user_id)
        .bind(version)
        .bind(&user.username)
        .bind(&body)
        .fetch_optional(conn));
    let row = row.map_err(taken(user))?;
    row.map(|(version,)| version).ok_or_else(|| StoreError::Conflict(user.user_id.clone()))
}

/// Lets nobody else change what this person holds until the transaction ends, as far as they hold the person first too.
///
/// # Errors
/// When the database fails.
pub async fn hold(tx: &mut Tx, user_id: &str) -> Result<(), StoreError> {
    affected!(tx, HOLD, |text| sqlx::query(text).bind(user_id)).map(drop)
}

/// Removes a person, and with it credentials, sessions, grants, consents and links; whether there was one. What the
/// grants led to is the caller's to put on the denylist first: [`super::grants::revoke`].
///
/// # Errors
/// When the database fails.
pub async fn delete(tx: &mut Tx, user_id: &str) -> Result<bool, StoreError> {
    changes::bump(tx, Topic::Users).await?;
    let row: Option<(i64,)> = run!(tx, DELETE, |conn, text| sqlx::query_as(text).bind(user_id).fetch_optional(conn))?;
    Ok(row.is_some())
}
