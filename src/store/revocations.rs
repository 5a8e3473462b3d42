//! The denylist: ids of revoked tokens, kept until the token would have died anyway (RFC 7009 2.2).

use super::changes::{self, Topic};
use super::sql::{Handle, affected, run, statements};
use super::{StoreError, Tx};
use crate::base::Timestamp;

statements! {
    INSERT = shared(
        "insert into revocations (jti, exp, revoked_at) values ($1, $2, $3) on conflict (jti) do nothing"
    );
    SINCE = shared("select seq, jti, exp from revocations where seq > $1 order by seq limit $2");
    SWEEP = shared(
        "delete from revocations where seq in (select seq from revocations where exp < $1 order by exp limit $2)"
    );
}

/// One denylist entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revocation {
    /// Its place in commit order.
    pub seq: i64,
    /// The token's id.
    pub jti: String,
    /// When the token dies anyway.
    pub exp: Timestamp,
}

/// Puts a token on the denylist. Doing it twice is doing it once.
///
/// # Errors
/// When the database fails.
pub async fn insert(tx: &mut Tx, jti: &str, exp: Timestamp, now: Timestamp) -> Result<(), StoreError> {
    // The row of `changes` is locked until commit, which is what makes `seq` follow commit order.
    changes::bump(tx, Topic::Revocations).await?;
    affected!(tx, INSERT, |text| sqlx::query(text).bind(jti).bind(exp.as_micros()).bind(now.as_micros())).map(drop)
}

/// Up to `limit` entries after `seq`, in order.
///
/// # Errors
/// When the database fails.
pub async fn since(handle: &mut impl Handle, seq: i64, limit: i64) -> Result<Vec<Revocation>, StoreError> {
    let rows: Vec<(i64, String, i64)> =
        run!(handle, SINCE, |conn, text| sqlx::query_as(text).bind(seq).bind(limit).fetch_all(conn))?;
    Ok(rows.into_iter().map(|(seq, jti, exp)| Revocation { seq, jti, exp: Timestamp::from_micros(exp) }).collect())
}

/// Removes up to `limit` entries whose tokens died before `now`; how many there were.
///
/// # Errors
/// When the database fails.
pub async fn sweep(tx: &mut Tx, now: Timestamp, limit: i64) -> Result<u64, StoreError> {
    affected!(tx, SWEEP, |text| sqlx::query(text).bind(now.as_micros()).bind(limit))
}
