//! The intake: events recorded by the transaction of the change they belong to. That commit is what "recorded" means;
//! the sequencer moves the rows to the log in order.

use super::changes::{self, Topic};
use super::sql::{Handle, affected, run, statements};
use super::{Store, StoreError, Tx};
use crate::base::{Rng, SystemRng, Timestamp, rng};
use crate::model::Event;

statements! {
    PUT = shared(
        "insert into event_intake (event_id, time, kind, outcome, principal, action, resource, request_id,
             personal, personal_salt, rest, rest_salt)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)"
    );
    WAITING = shared(
        "select id, event_id, time, kind, outcome, principal, action, resource, request_id,
             personal, personal_salt, rest, rest_salt
         from event_intake where id > $1 order by id limit $2"
    );
    MOVED = shared("delete from event_intake where id <= $1");
    /// PostgreSQL only: takes rows out in the transaction that appends them, so their ids need not follow commit order.
    TAKE = split(
        "delete from event_intake where id in (select id from event_intake order by id limit $1)
         returning id, event_id, time, kind, outcome, principal, action, resource, request_id,
             personal, personal_salt, rest, rest_salt",
        "delete from event_intake where id in (select id from event_intake order by id limit $1)
         returning id, event_id, time, kind, outcome, principal, action, resource, request_id,
             personal, personal_salt, rest, rest_salt"
    );
    /// The group commit of a process that is not the sequencer, and of every process on PostgreSQL.
    PUT_MANY = split(
        "select 1",
        "insert into event_intake (event_id, time, kind, outcome, principal, action, resource, request_id,
             personal, personal_salt, rest, rest_salt)
         select * from unnest($1::text[], $2::bigint[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[],
             $8::text[], $9::bytea[], $10::bytea[], $11::bytea[], $12::bytea[])"
    );
}

/// An event as it is stored: searchable columns beside the two halves the leaf commits to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// `evt_…`.
    pub event_id: String,
    /// When it happened.
    pub time: Timestamp,
    /// Its kind.
    pub kind: String,
    /// Its outcome.
    pub outcome: String,
    /// Searchable copy of the principal; erased with `personal`.
    pub principal: Option<String>,
    /// Searchable copy.
    pub action: Option<String>,
    /// Searchable copy.
    pub resource: Option<String>,
    /// Searchable copy.
    pub request_id: Option<String>,
    /// JSON of the half that can be erased.
    pub personal: Vec<u8>,
    /// 16 random bytes, without which the commitment would let anyone guess an erased half.
    pub personal_salt: Vec<u8>,
    /// JSON of the half that stays.
    pub rest: Vec<u8>,
    /// 16 random bytes.
    pub rest_salt: Vec<u8>,
}

impl Row {
    /// Fixes the bytes and salts of an event.
    pub fn new(event: &Event, random: &dyn Rng) -> Self {
        Self {
            event_id: event.id.clone(),
            time: event.time,
            kind: event.kind.to_owned(),
            outcome: event.outcome.as_str().to_owned(),
            principal: event.principal.as_ref().map(ToString::to_string),
            action: event.action.as_deref().map(str::to_owned),
            resource: event.resource.as_deref().map(str::to_owned),
            request_id: event.request_id.as_deref().map(str::to_owned),
            personal: event.personal(),
            personal_salt: rng::bytes::<16>(random).to_vec(),
            rest: event.rest(),
            rest_salt: rng::bytes::<16>(random).to_vec(),
        }
    }
}

/// A row that waits in the intake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// Its place.
    pub id: i64,
    /// The event.
    pub row: Row,
}

type WaitingRow = (
    i64,
    String,
    i64,
    String,
    String,
    Option<String>,
    Option<String>,
    Option<String>,
    Option<String>,
    Vec<u8>,
    Vec<u8>,
    Vec<u8>,
    Vec<u8>,
);

fn waiting(row: WaitingRow) -> Waiting {
    let (id, event_id, time, kind, outcome, principal, action, resource, request_id, p, ps, r, rs) = row;
    Waiting {
        id,
        row: Row {
            event_id,
            time: Timestamp::from_micros(time),
            kind,
            outcome,
            principal,
            action,
            resource,
            request_id,
            personal: p,
            personal_salt: ps,
            rest: r,
            rest_salt: rs,
        },
    }
}

/// Records `event` with the change that `tx` makes.
///
/// # Errors
/// When the database fails: then nothing of the transaction happened.
pub async fn intake(tx: &mut Tx, event: &Event) -> Result<(), StoreError> {
    put(tx, &Row::new(event, &SystemRng)).await?;
    changes::notify(tx, Topic::Intake).await
}

async fn put(tx: &mut Tx, row: &Row) -> Result<(), StoreError> {
    affected!(tx, PUT, |text| sqlx::query(text)
        .bind(&row.event_id)
        .bind(row.time.as_micros())
        .bind(&row.kind)
        .bind(&row.outcome)
        .bind(&row.principal)
        .bind(&row.action)
        .bind(&row.resource)
        .bind(&row.request_id)
        .bind(&row.personal)
        .bind(&row.personal_salt)
        .bind(&row.rest)
        .bind(&row.rest_salt))
    .map(drop)
}

/// Records many events in one transaction of their own; when this returns `Ok` they are durable.
///
/// # Errors
/// When the database fails: then none of them is recorded.
pub async fn put_many(store: &Store, rows: &[Row]) -> Result<(), StoreError> {
    let mut tx = store.begin().await?;
    match &mut tx {
        Tx::Turn(_) | Tx::Sqlite(_) => {
            for row in rows {
                put(&mut tx, row).await?;
            }
        }
        Tx::Postgres(conn) => {
            sqlx::query(PUT_MANY.postgres)
                .bind(rows.iter().map(|r| r.event_id.as_str()).collect::<Vec<_>>())
                .bind(rows.iter().map(|r| r.time.as_micros()).collect::<Vec<_>>())
                .bind(rows.iter().map(|r| r.kind.as_str()).collect::<Vec<_>>())
                .bind(rows.iter().map(|r| r.outcome.as_str()).collect::<Vec<_>>())
                .bind(rows.iter().map(|r| r.principal.as_deref()).collect::<Vec<_>>())
                .bind(rows.iter().map(|r| r.action.as_deref()).collect::<Vec<_>>())
                .bind(rows.iter().map(|r| r.resource.as_deref()).collect::<Vec<_>>())
                .bind(rows.iter().map(|r| r.request_id.as_deref()).collect::<Vec<_>>())
                .bind(rows.iter().map(|r| r.personal.as_slice()).collect::<Vec<_>>())
                .bind(rows.iter().map(|r| r.personal_salt.as_slice()).collect::<Vec<_>>())
                .bind(rows.iter().map(|r| r.rest.as_slice()).collect::<Vec<_>>())
                .bind(rows.iter().map(|r| r.rest_salt.as_slice()).collect::<Vec<_>>())
                .execute(&mut **conn)
                .await
                .map_err(|e| PUT_MANY.failed(e))?;
        }
    }
    changes::notify(&mut tx, Topic::Intake).await?;
    tx.commit().await
}

/// Up to `limit` rows after `after`, in order.
///
/// # Errors
/// When the database fails.
pub async fn waiting_after(handle: &mut impl Handle, after: i64, limit: i64) -> Result<Vec<Waiting>, StoreError> {
    let rows: Vec<WaitingRow> =
        run!(handle, WAITING, |conn, text| sqlx::query_as(text).bind(after).bind(limit).fetch_all(conn))?;
    Ok(rows.into_iter().map(waiting).collect())
}

/// Takes up to `limit` rows out of the intake, in order of their ids (PostgreSQL, where intake and log share a `Tx`).
///
/// # Errors
/// When the database fails.
pub async fn take(tx: &mut Tx, limit: i64) -> Result<Vec<Waiting>, StoreError> {
    let mut rows: Vec<WaitingRow> = run!(tx, TAKE, |conn, text| sqlx::query_as(text).bind(limit).fetch_all(conn))?;
    rows.sort_by_key(|row| row.0);
    Ok(rows.into_iter().map(waiting).collect())
}

/// Removes what the log has, up to and including `id` (SQLite, where the log is another file).
///
/// # Errors
/// When the database fails.
pub async fn moved(tx: &mut Tx, id: i64) -> Result<(), StoreError> {
    affected!(tx, MOVED, |text| sqlx::query(text).bind(id)).map(drop)
}
