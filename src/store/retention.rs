//! Retention: what has expired leaves, in small batches, so that no writer waits long; and how large the tables are.

use std::time::Duration;

use super::sql::{Handle, run, statements};
use super::{
    Store, StoreError, assertions, codes, device_codes, grants, idempotency, pushed_requests, refresh_tokens,
    revocations, sessions, tokens,
};
use crate::base::Timestamp;

statements! {
    SIZES = shared(
        "select 'clients', count(*) from clients
         union all select 'users', count(*) from users
         union all select 'credentials', count(*) from credentials
         union all select 'upstream_links', count(*) from upstream_links
         union all select 'sessions', count(*) from sessions
         union all select 'grants', count(*) from grants
         union all select 'authorization_codes', count(*) from authorization_codes
         union all select 'refresh_tokens', count(*) from refresh_tokens
         union all select 'pushed_requests', count(*) from pushed_requests
         union all select 'device_codes', count(*) from device_codes
         union all select 'consents', count(*) from consents
         union all select 'access_tokens', count(*) from access_tokens
         union all select 'revocations', count(*) from revocations
         union all select 'client_assertions', count(*) from client_assertions
         union all select 'idempotency_keys', count(*) from idempotency_keys
         union all select 'logout_deliveries', count(*) from logout_deliveries
         union all select 'findings', count(*) from findings
         union all select 'finding_revisions', count(*) from finding_revisions
         union all select 'finding_notes', count(*) from finding_notes
         union all select 'finding_suppressions', count(*) from finding_suppressions
         union all select 'client_registrations', count(*) from client_registrations
         union all select 'event_intake', count(*) from event_intake"
    );
}

/// What died this long ago may still be asked about by a process whose clock is behind.
const SKEW: Duration = Duration::from_secs(60);
/// A used code is recognised this long after its end, and a pushed request serves a login that takes its time.
const MEMORY: Duration = Duration::from_secs(3600);

/// Removes everything that has expired, at most `batch` rows a transaction; how many rows left.
///
/// # Errors
/// When the database fails; what left until then stays gone.
pub async fn sweep(store: &Store, now: Timestamp, batch: i64) -> Result<u64, StoreError> {
    let before = now.minus(SKEW);
    let long_before = now.minus(MEMORY);
    let mut all = 0;
    macro_rules! sweep {
        ($($table:ident before $when:expr;)*) => {$(
            loop {
                let mut tx = store.begin().await?;
                let gone = $table::sweep(&mut tx, $when, batch).await?;
                tx.commit().await?;
                all += gone;
                if gone < batch.unsigned_abs() {
                    break;
                }
            }
        )*};
    }
    sweep! {
        tokens before before;
        revocations before before;
        assertions before before;
        sessions before before;
        codes before long_before;
        refresh_tokens before long_before;
        grants before long_before;
        pushed_requests before long_before;
        device_codes before long_before;
        idempotency before before;
    }
    Ok(all)
}

/// How many rows each table holds that could grow.
///
/// # Errors
/// When the database fails.
pub async fn sizes(handle: &mut impl Handle) -> Result<Vec<(String, i64)>, StoreError> {
    run!(handle, SIZES, |conn, text| sqlx::query_as(text).fetch_all(conn))
}
