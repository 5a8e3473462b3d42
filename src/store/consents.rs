//! What people agreed to give which client.

use super::sql::{Handle, affected, run, statements};
use super::{StoreError, Tx, decode, encode};
use crate::model::Consent;

statements! {
    FIND = shared("select body from consents where user_id = $1 and client_id = $2");
    OF_USER = shared("select body from consents where user_id = $1 order by given_at desc");
    PUT = shared(
        "insert into consents (user_id, client_id, body, given_at) values ($1, $2, $3, $4)
         on conflict (user_id, client_id) do update set body = excluded.body, given_at = excluded.given_at"
    );
    DELETE = shared("delete from consents where user_id = $1 and client_id = $2");
    DELETE_CLIENT = shared("delete from consents where client_id = $1");
}

/// What this person agreed to give this client.
///
/// # Errors
/// When the database fails.
pub async fn find(handle: &mut impl Handle, user_id: &str, client_id: &str) -> Result<Option<Consent>, StoreError> {
    let row: Option<(String,)> =
        run!(handle, FIND, |conn, text| sqlx::query_as(text).bind(user_id).bind(client_id).fetch_optional(conn))?;
    row.map(|(body,)| decode("consents", &body)).transpose()
}

/// Everything this person agreed to, newest first.
///
/// # Errors
/// When the database fails.
pub async fn of_user(handle: &mut impl Handle, user_id: &str) -> Result<Vec<Consent>, StoreError> {
    let rows: Vec<(String,)> = run!(handle, OF_USER, |conn, text| sqlx::query_as(text).bind(user_id).fetch_all(conn))?;
    rows.into_iter().map(|(body,)| decode("consents", &body)).collect()
}

/// Gives consent: to what is asked for now and to what was agreed before. The whole of it.
///
/// # Errors
/// When the database fails.
pub async fn give(tx: &mut Tx, consent: &Consent) -> Result<Consent, StoreError> {
    let mut whole = consent.clone();
    if let Some(before) = find(tx, &consent.user_id, &consent.client_id).await? {
        whole.scopes.extend(before.scopes);
        whole.resources.extend(before.resources);
    }
    for list in [&mut whole.scopes, &mut whole.resources] {
        list.sort_unstable();
        list.dedup();
    }
    let body = encode("consents", &whole)?;
    affected!(tx, PUT, |text| sqlx::query(text)
        .bind(&whole.user_id)
        .bind(&whole.client_id)
        .bind(&body)
        .bind(whole.given_at.as_micros()))?;
    Ok(whole)
}

/// Withdraws consent; whether there was any.
///
/// # Errors
/// When the database fails.
pub async fn withdraw(tx: &mut Tx, user_id: &str, client_id: &str) -> Result<bool, StoreError> {
    affected!(tx, DELETE, |text| sqlx::query(text).bind(user_id).bind(client_id)).map(|n| n > 0)
}

/// Forgets what everybody agreed to give a client that is being deleted.
///
/// # Errors
/// When the database fails.
pub async fn forget_client(tx: &mut Tx, client_id: &str) -> Result<u64, StoreError> {
    affected!(tx, DELETE_CLIENT, |text| sqlx::query(text).bind(client_id))
}
