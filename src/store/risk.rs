//! Whom active findings name, how bad it is, and how fresh the findings are.

use super::sql::{Handle, affected, run, statements};
use super::{StoreError, Tx, decode};
use crate::base::Timestamp;
use crate::model::{EntityKind, User};

statements! {
    /// Findings that count (`active_findings`) and are not made up. Sessions and names of people are those of ours, if
    /// there are any.
    NAMED = shared(
        "select e.kind, e.value, f.severity, min(e.since), min(f.finding_id), u.user_id, s.user_id
         from finding_entities e
         join active_findings f on f.finding_id = e.finding_id
         left join users u on e.kind in ('user', 'principal') and u.username = lower(e.value)
         left join sessions s on e.kind = 'session' and s.session_id = e.value
         where e.kind in ('principal', 'user', 'client', 'role', 'session', 'access_key', 'address')
             and f.sample = 0 and f.severity > 0
         group by e.kind, e.value, f.severity, u.user_id, s.user_id
         order by f.severity desc, min(e.since), e.kind, e.value limit $1"
    );
    SINCE = shared("update finding_entities set since = $2 where finding_id = $1");
    SINCE_NEW = shared("update finding_entities set since = $2 where finding_id = $1 and since = 0");
    READ_AT = shared("select updated_at from finding_sources where source = '*'");
    MARK_READ = shared(
        "insert into finding_sources (source, version, body, updated_at) values ('*', 1, '{}', $1)
         on conflict (source) do update set version = finding_sources.version + 1, updated_at = excluded.updated_at"
    );
    /// Those whose row says so somewhere; whoever asks looks more closely.
    MAYBE_ADMINS = shared("select body from users where body like '%\"admin\"%' order by user_id limit $1");
}

/// Somebody or something that active findings of one severity name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// What findings call it.
    pub kind: EntityKind,
    /// By what name.
    pub value: String,
    /// 1 low to 4 critical.
    pub level: u8,
    /// From when on.
    pub since: Timestamp,
    /// One of the findings.
    pub finding_id: String,
    /// Who of our people that is.
    pub user_id: Option<String>,
}

type Row = (String, String, i64, i64, String, Option<String>, Option<String>);

/// Up to `limit`, the worst first.
///
/// # Errors
/// When the database fails.
pub async fn named(handle: &mut impl Handle, limit: i64) -> Result<Vec<Named>, StoreError> {
    let rows: Vec<Row> = run!(handle, NAMED, |conn, text| sqlx::query_as(text).bind(limit).fetch_all(conn))?;
    let one = |(kind, value, severity, since, finding_id, by_name, by_session): Row| {
        let wrong = |problem: String| StoreError::Corrupt { table: "finding_entities", problem };
        Ok(Named {
            kind: EntityKind::parse(&kind).ok_or_else(|| wrong(format!("kind `{kind}`")))?,
            value,
            level: u8::try_from(severity).map_err(|e| wrong(e.to_string()))?,
            since: Timestamp::from_micros(since),
            finding_id,
            user_id: by_session.or(by_name),
        })
    };
    rows.into_iter().map(one).collect()
}

/// Says since when a finding names those it names: all of them when it is new, opened again or grew worse, else those that
/// it did not name before.
///
/// # Errors
/// When the database fails.
pub async fn begin(tx: &mut Tx, finding_id: &str, all: bool, now: Timestamp) -> Result<(), StoreError> {
    let at = now.as_micros();
    if all {
        affected!(tx, SINCE, |text| sqlx::query(text).bind(finding_id).bind(at)).map(drop)
    } else {
        affected!(tx, SINCE_NEW, |text| sqlx::query(text).bind(finding_id).bind(at)).map(drop)
    }
}

/// When every source of findings had last been read to its end.
///
/// # Errors
/// When the database fails.
pub async fn read_at(handle: &mut impl Handle) -> Result<Option<Timestamp>, StoreError> {
    let row: Option<(i64,)> = run!(handle, READ_AT, |conn, text| sqlx::query_as(text).fetch_optional(conn))?;
    Ok(row.map(|(at,)| Timestamp::from_micros(at)))
}

/// Says that they have been just now.
///
/// # Errors
/// When the database fails.
pub async fn mark_read(tx: &mut Tx, now: Timestamp) -> Result<(), StoreError> {
    affected!(tx, MARK_READ, |text| sqlx::query(text).bind(now.as_micros())).map(drop)
}

/// Up to `limit` enabled people with the role `admin`.
///
/// # Errors
/// When the database fails.
pub async fn admins(handle: &mut impl Handle, limit: i64) -> Result<Vec<String>, StoreError> {
    let rows: Vec<(String,)> =
        run!(handle, MAYBE_ADMINS, |conn, text| sqlx::query_as(text).bind(limit).fetch_all(conn))?;
    let mut admins = Vec::new();
    for (body,) in rows {
        let user: User = decode("users", &body)?;
        if !user.disabled && user.roles.iter().any(|role| role == "admin") {
            admins.push(user.user_id);
        }
    }
    Ok(admins)
}
