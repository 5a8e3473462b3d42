//! What the authorization endpoint needs to know about a visit, in one statement: who is signed in, what they agreed to
//! give the client, and what the client pushed.

use super::sql::{Handle, run, statements};
use super::{StoreError, decode, pushed_requests, sessions};
use crate::model::{Consent, PushedRequest, Session, TokenDigest};

statements! {
    FIND = shared(
        "select s.session_id, s.user_id, s.acr, s.amr, s.auth_time, s.created_at, s.last_seen_at, s.expires_at, s.address,
             s.user_agent, c.body, p.client_id, p.body, p.expires_at, p.used_at
         from (select 1 as one) as visit
         left join sessions s on s.digest = $1
         left join consents c on c.user_id = s.user_id and c.client_id = $2
         left join pushed_requests p on p.digest = $3"
    );
}

/// By what a visit names.
#[derive(Clone, Copy, Debug)]
pub struct Named<'a> {
    /// The digest of its cookie.
    pub session: Option<&'a TokenDigest>,
    /// Its client.
    pub client_id: Option<&'a str>,
    /// The digest of its `request_uri`.
    pub request: Option<&'a TokenDigest>,
}

/// What there is, expired or used or not: the caller holds the clock.
#[derive(Clone, Debug, Default)]
pub struct Found {
    /// The session of the cookie.
    pub session: Option<Session>,
    /// What its person agreed to give the client.
    pub consent: Option<Consent>,
    /// The pushed request.
    pub request: Option<PushedRequest>,
}

/// Everything about a visit.
///
/// # Errors
/// When the database fails.
pub async fn find(handle: &mut impl Handle, named: Named<'_>) -> Result<Found, StoreError> {
    let row: Row = run!(handle, FIND, |conn, text| sqlx::query_as(text)
        .bind(named.session.map(TokenDigest::as_slice))
        .bind(named.client_id)
        .bind(named.request.map(TokenDigest::as_slice))
        .fetch_one(conn))?;
    let (session_id, user_id, acr, amr, auth_time, created_at, last_seen_at, expires_at, address, agent, ..) = row;
    let (.., consent, client_id, body, until, used_at) = row;
    let session = (session_id, user_id, acr, amr, auth_time, created_at, last_seen_at, expires_at);
    let session = match session {
        (Some(id), Some(user), Some(acr), Some(amr), Some(auth_time), Some(created), Some(seen), Some(expires)) => {
            Some(sessions::session((id, user, acr, amr, auth_time, created, seen, expires, address, agent))?)
        }
        _ => None,
    };
    let request = match (client_id, body, until) {
        (Some(client_id), Some(body), Some(until)) => Some(pushed_requests::request((client_id, body, until, used_at))),
        _ => None,
    };
    let consent = consent.map(|body| decode("consents", &body)).transpose()?;
    Ok(Found { session, consent, request })
}

type Text = Option<String>;
type Int = Option<i64>;
/// Session, consent, request: each whole or not there.
type Row = (Text, Text, Int, Text, Int, Int, Int, Int, Text, Text, Text, Text, Text, Int, Int);
