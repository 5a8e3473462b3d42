//! Families of tokens. Revoking one puts its id on the denylist in the same transaction, so that access tokens of it
//! are dead wherever the denylist is followed.

use super::sql::{Handle, affected, run, statements};
use super::{StoreError, Tx, decode, encode, revocations};
use crate::base::Timestamp;
use crate::model::Grant;

statements! {
    INSERT = shared(
        "insert into grants (grant_id, client_id, user_id, session_id, body, offline, dpop_jkt, created_at, expires_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9)"
    );
    FIND = shared("select body, dpop_jkt, revoked_at from grants where grant_id = $1");
    LIVE_OF_USER = shared(
        "select body, dpop_jkt, revoked_at from grants
         where user_id = $1 and revoked_at is null and expires_at > $2 order by grant_id desc limit $3"
    );
    /// The first key that proves itself stays the family's.
    BIND_KEY = shared(
        "update grants set dpop_jkt = $2 where grant_id = $1 and (dpop_jkt is null or dpop_jkt = $2) returning grant_id"
    );
    REVOKE_ONE = shared(
        "update grants set revoked_at = $2 where grant_id = $1 and revoked_at is null
         returning grant_id, client_id, user_id, session_id"
    );
    REVOKE_USER = shared(
        "update grants set revoked_at = $2 where user_id = $1 and revoked_at is null
         returning grant_id, client_id, user_id, session_id"
    );
    REVOKE_CLIENT = shared(
        "update grants set revoked_at = $2 where client_id = $1 and revoked_at is null
         returning grant_id, client_id, user_id, session_id"
    );
    REVOKE_SESSION = shared(
        "update grants set revoked_at = $2 where session_id = $1 and offline = 0 and revoked_at is null
         returning grant_id, client_id, user_id, session_id"
    );
    REVOKE_PAIR = shared(
        "update grants set revoked_at = $3 where user_id = $1 and client_id = $2 and revoked_at is null
         returning grant_id, client_id, user_id, session_id"
    );
    CLIENTS_OF_SESSION = shared("select distinct client_id from grants where session_id = $1 order by client_id");
    SWEEP = shared(
        "delete from grants where grant_id in (select grant_id from grants where expires_at < $1 limit $2)"
    );
}

/// Which families.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Of<'a> {
    /// One, by its id.
    Grant(&'a str),
    /// Everything a person granted.
    User(&'a str),
    /// Everything a client was granted.
    Client(&'a str),
    /// What was granted in a session and ends with it: all but what has `offline_access`.
    Session(&'a str),
    /// What a person granted a client.
    Pair {
        /// By whom.
        user_id: &'a str,
        /// To whom.
        client_id: &'a str,
    },
}

/// A family that was just revoked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revoked {
    /// Its id.
    pub grant_id: String,
    /// Whose tokens died.
    pub client_id: String,
    /// By whom they were granted.
    pub user_id: String,
    /// In which session.
    pub session_id: Option<String>,
}

type Row = (String, Option<String>, Option<i64>);

pub(super) fn grant((body, dpop_jkt, revoked_at): Row) -> Result<Grant, StoreError> {
    let grant: Grant = decode("grants", &body)?;
    Ok(Grant { dpop_jkt, revoked_at: revoked_at.map(Timestamp::from_micros), ..grant })
}

/// Keeps a family.
///
/// # Errors
/// When the database fails.
pub async fn insert(tx: &mut Tx, grant: &Grant) -> Result<(), StoreError> {
    let body = encode("grants", grant)?;
    affected!(tx, INSERT, |text| sqlx::query(text)
        .bind(&grant.grant_id)
        .bind(&grant.client_id)
        .bind(&grant.user_id)
        .bind(&grant.session_id)
        .bind(&body)
        .bind(i64::from(grant.is_offline()))
        .bind(&grant.dpop_jkt)
        .bind(grant.created_at.as_micros())
        .bind(grant.expires_at.as_micros()))
    .map(drop)
}

/// The family with this id, live or not.
///
/// # Errors
/// When the database fails.
pub async fn find(handle: &mut impl Handle, grant_id: &str) -> Result<Option<Grant>, StoreError> {
    let row: Option<Row> = run!(handle, FIND, |conn, text| sqlx::query_as(text).bind(grant_id).fetch_optional(conn))?;
    row.map(grant).transpose()
}

/// Up to `limit` live families of a person, newest first.
///
/// # Errors
/// When the database fails.
pub async fn live_of_user(
    handle: &mut impl Handle,
    user_id: &str,
    now: Timestamp,
    limit: i64,
) -> Result<Vec<Grant>, StoreError> {
    let rows: Vec<Row> = run!(handle, LIVE_OF_USER, |conn, text| sqlx::query_as(text)
        .bind(user_id)
        .bind(now.as_micros())
        .bind(limit)
        .fetch_all(conn))?;
    rows.into_iter().map(grant).collect()
}

/// Binds a family to a key; false when it is bound to another.
///
/// # Errors
/// When the database fails.
pub async fn bind_key(tx: &mut Tx, grant_id: &str, jkt: &str) -> Result<bool, StoreError> {
    let row: Option<(String,)> =
        run!(tx, BIND_KEY, |conn, text| sqlx::query_as(text).bind(grant_id).bind(jkt).fetch_optional(conn))?;
    Ok(row.is_some())
}

/// Revokes families that are not revoked yet, and puts each on the denylist until `until`, when its last access token
/// has died. Those it revoked; after the commit they are the caller's to tell [`crate::live::Live::revoke`].
///
/// # Errors
/// When the database fails.
pub async fn revoke(tx: &mut Tx, which: Of<'_>, now: Timestamp, until: Timestamp) -> Result<Vec<Revoked>, StoreError> {
    type Row = (String, String, String, Option<String>);
    let at = now.as_micros();
    let rows: Vec<Row> = match which {
        Of::Grant(id) => run!(tx, REVOKE_ONE, |conn, text| sqlx::query_as(text).bind(id).bind(at).fetch_all(conn)),
        Of::User(id) => run!(tx, REVOKE_USER, |conn, text| sqlx::query_as(text).bind(id).bind(at).fetch_all(conn)),
        Of::Client(id) => run!(tx, REVOKE_CLIENT, |conn, text| sqlx::query_as(text).bind(id).bind(at).fetch_all(conn)),
        Of::Session(id) => {
            run!(tx, REVOKE_SESSION, |conn, text| sqlx::query_as(text).bind(id).bind(at).fetch_all(conn))
        }
        Of::Pair { user_id, client_id } => {
            run!(tx, REVOKE_PAIR, |conn, text| sqlx::query_as(text)
                .bind(user_id)
                .bind(client_id)
                .bind(at)
                .fetch_all(conn))
        }
    }?;
    for (grant_id, ..) in &rows {
        revocations::insert(tx, grant_id, until, now).await?;
    }
    let revoked = |(grant_id, client_id, user_id, session_id)| Revoked { grant_id, client_id, user_id, session_id };
    Ok(rows.into_iter().map(revoked).collect())
}

/// The clients that a person signed in to in a session, whatever has become of what they were granted.
///
/// # Errors
/// When the database fails.
pub async fn clients_of_session(handle: &mut impl Handle, session_id: &str) -> Result<Vec<String>, StoreError> {
    let rows: Vec<(String,)> =
        run!(handle, CLIENTS_OF_SESSION, |conn, text| sqlx::query_as(text).bind(session_id).fetch_all(conn))?;
    Ok(rows.into_iter().map(|(id,)| id).collect())
}

/// Removes up to `limit` families that died before `now`; how many there were.
///
/// # Errors
/// When the database fails.
pub async fn sweep(tx: &mut Tx, now: Timestamp, limit: i64) -> Result<u64, StoreError> {
    affected!(tx, SWEEP, |text| sqlx::query(text).bind(now.as_micros()).bind(limit))
}
