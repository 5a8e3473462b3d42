//! Searching the log: any filter, newest first, a page at a time. Each filter has an index that ends in the number.

use sqlx::{Postgres, QueryBuilder, Sqlite};

use super::StoreError;
use super::log::{Stored, StoredRow, stored};
use super::sql::{Conn, Handle, Sql};
use crate::base::Timestamp;

/// What a reader of the log asks for. Fields that are `None` ask for nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Not before this.
    pub since: Option<Timestamp>,
    /// Before this.
    pub until: Option<Timestamp>,
    /// `Type::"id"`.
    pub principal: Option<String>,
    /// Action name.
    pub action: Option<String>,
    /// Outcome name.
    pub outcome: Option<String>,
    /// Resource text.
    pub resource: Option<String>,
    /// Event kind.
    pub kind: Option<String>,
    /// Request id.
    pub request_id: Option<String>,
}

const SEARCH: &str =
    "select seq, event_id, time, personal, personal_salt, rest, rest_salt, leaf from events where true";
const PLAN_SQLITE: &str = "explain query plan select seq, rest from events where true";
const PLAN_POSTGRES: &str = "explain select seq, rest from events where true";
const PAGE: Sql = Sql::shared("PAGE", SEARCH);

/// Adds the conditions of a filter. The same text for both databases.
fn filtered<'q, DB: sqlx::Database>(query: &mut QueryBuilder<DB>, filter: &'q Filter, before: Option<i64>, limit: i64)
where
    i64: sqlx::Encode<'q, DB> + sqlx::Type<DB>,
    &'q str: sqlx::Encode<'q, DB> + sqlx::Type<DB>,
{
    if let Some(before) = before {
        query.push(" and seq < ").push_bind(before);
    }
    if let Some(since) = filter.since {
        query.push(" and time >= ").push_bind(since.as_micros());
    }
    if let Some(until) = filter.until {
        query.push(" and time < ").push_bind(until.as_micros());
    }
    // Written out: of a bound value no planner knows that the partial index holds it.
    match filter.outcome.as_deref() {
        None => {}
        Some("denied") => drop(query.push(" and outcome = 'denied'")),
        Some("failed") => drop(query.push(" and outcome = 'failed'")),
        Some(outcome) => drop(query.push(" and outcome = ").push_bind(outcome)),
    }
    for (column, value) in [
        (" and principal = ", &filter.principal),
        (" and action = ", &filter.action),
        (" and resource = ", &filter.resource),
        (" and kind = ", &filter.kind),
        (" and request_id = ", &filter.request_id),
    ] {
        if let Some(value) = value {
            query.push(column).push_bind(value.as_str());
        }
    }
    query.push(" order by seq desc limit ").push_bind(limit);
}

/// Up to `limit` entries that match, newest first, numbered below `before` (`None`: from the newest).
///
/// # Errors
/// When the database fails.
pub async fn page(
    handle: &mut impl Handle,
    filter: &Filter,
    before: Option<i64>,
    limit: i64,
) -> Result<Vec<Stored>, StoreError> {
    let rows: Result<Vec<StoredRow>, _> = match handle.conn() {
        Conn::Sqlite(conn) => {
            let mut query = QueryBuilder::<Sqlite>::new(SEARCH);
            filtered(&mut query, filter, before, limit);
            query.build_query_as().fetch_all(conn).await
        }
        Conn::Postgres(conn) => {
            let mut query = QueryBuilder::<Postgres>::new(SEARCH);
            filtered(&mut query, filter, before, limit);
            query.build_query_as().fetch_all(conn).await
        }
    };
    Ok(rows.map_err(|e| PAGE.failed(e))?.into_iter().map(stored).collect())
}

/// How the database finds a page, in its own words: which index it walks.
///
/// # Errors
/// When the database fails.
pub async fn plan(handle: &mut impl Handle, filter: &Filter, before: Option<i64>) -> Result<Vec<String>, StoreError> {
    match handle.conn() {
        Conn::Sqlite(conn) => {
            let mut query = QueryBuilder::<Sqlite>::new(PLAN_SQLITE);
            filtered(&mut query, filter, before, 50);
            let rows: Result<Vec<(i64, i64, i64, String)>, _> = query.build_query_as().fetch_all(conn).await;
            Ok(rows.map_err(|e| PAGE.failed(e))?.into_iter().map(|row| row.3).collect())
        }
        Conn::Postgres(conn) => {
            let mut query = QueryBuilder::<Postgres>::new(PLAN_POSTGRES);
            filtered(&mut query, filter, before, 50);
            let rows: Result<Vec<(String,)>, _> = query.build_query_as().fetch_all(conn).await;
            Ok(rows.map_err(|e| PAGE.failed(e))?.into_iter().map(|row| row.0).collect())
        }
    }
}
