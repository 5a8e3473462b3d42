//! Tasks that one process of a deployment runs at a time. A lease is held until it expires unless it is renewed; its
//! fence grows whenever it changes hands, and whoever writes under a lease checks the fence in the same transaction: a
//! holder that was paused and wakes after another took over writes nothing.

use std::time::Duration;

use super::sql::{affected, run, statements};
use super::{Store, StoreError};
use crate::base::Timestamp;

statements! {
    /// Takes a free or expired lease, or renews one's own. On PostgreSQL its clock rules, so that hosts need not agree.
    TAKE = split(
        "insert into leases (name, holder, fence, expires_at) values ($1, $2, 1, $3 + $4)
         on conflict (name) do update set
             fence = case when leases.holder = excluded.holder then leases.fence else leases.fence + 1 end,
             holder = excluded.holder,
             expires_at = excluded.expires_at
         where leases.holder = excluded.holder or leases.expires_at < $3
         returning fence",
        "insert into leases (name, holder, fence, expires_at)
         values ($1, $2, 1, (extract(epoch from clock_timestamp()) * 1000000)::bigint + $4 + 0 * $3)
         on conflict (name) do update set
             fence = case when leases.holder = excluded.holder then leases.fence else leases.fence + 1 end,
             holder = excluded.holder,
             expires_at = excluded.expires_at
         where leases.holder = excluded.holder
            or leases.expires_at < (extract(epoch from clock_timestamp()) * 1000000)::bigint
         returning fence"
    );
    RELEASE = shared("update leases set expires_at = 0 where name = $1 and holder = $2 and fence = $3");
}

/// Takes or renews the lease `name` for `holder`: its fence, or `None` while another holds it.
///
/// # Errors
/// When the database fails.
pub async fn take(
    store: &Store,
    name: &str,
    holder: &str,
    ttl: Duration,
    now: Timestamp,
) -> Result<Option<i64>, StoreError> {
    let mut tx = store.begin_log().await?;
    let ttl = i64::try_from(ttl.as_micros()).unwrap_or(i64::MAX);
    let row: Option<(i64,)> = run!(&mut tx, TAKE, |conn, text| sqlx::query_as(text)
        .bind(name)
        .bind(holder)
        .bind(now.as_micros())
        .bind(ttl)
        .fetch_optional(conn))?;
    tx.commit().await?;
    Ok(row.map(|(fence,)| fence))
}

/// Gives the lease back, so that the next holder need not wait for it to expire.
///
/// # Errors
/// When the database fails.
pub async fn release(store: &Store, name: &str, holder: &str, fence: i64) -> Result<(), StoreError> {
    let mut tx = store.begin_log().await?;
    affected!(&mut tx, RELEASE, |text| sqlx::query(text).bind(name).bind(holder).bind(fence)).map(drop)?;
    tx.commit().await
}
