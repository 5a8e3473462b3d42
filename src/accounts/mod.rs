//! What ends for a person: families of tokens, sessions, all of it. Each is one step of a transaction of the caller, with its
//! events and with the logout tokens that clients are owed; once that is committed, [`Ended::announce`] puts it in force here
//! at once, and other processes follow the denylist within a second.
//!
//! Called by the rooms in which people sign out, administrators disable, clients revoke, and by the command line.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::base::{Rng, Timestamp, id};
use crate::live::Live;
use crate::model::event::kind;
use crate::model::{Event, LogoutDelivery, Outcome, Session};
use crate::store::grants::{self, Of, Revoked};
use crate::store::{StoreError, Tx, events, logout_deliveries, sessions};

/// How long an access token can live: a revoked family is remembered as long.
pub const LONGEST_TOKEN: Duration = Duration::from_secs(86_400);
/// How long a client is told of a logout that it does not hear.
const DELIVERED_FOR: Duration = Duration::from_secs(3600);

/// Why something ends, as events say it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// The person signed out.
    Logout,
    /// The person ended it from elsewhere, or another person signed in.
    Ended,
    /// The person withdrew consent.
    Withdrawn,
    /// The person, or the client, was disabled.
    Disabled,
    /// The person, or the client, was deleted.
    Deleted,
    /// The person's credentials were reset.
    Reset,
    /// The client revoked a token (RFC 7009).
    Revoked,
    /// A code came twice.
    CodeReplayed,
    /// A refresh token came twice.
    RefreshReplayed,
    /// An operator contained an incident.
    Contained,
    /// A finding names the person, and policy lets them keep nothing.
    AtRisk,
}

impl Why {
    /// The reason in events.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Logout => "logout",
            Self::Ended => "ended",
            Self::Withdrawn => "consent_withdrawn",
            Self::Disabled => "disabled",
            Self::Deleted => "deleted",
            Self::Reset => "credentials_reset",
            Self::Revoked => "revoked",
            Self::CodeReplayed => "code_replayed",
            Self::RefreshReplayed => "refresh_replayed",
            Self::Contained => "contained",
            Self::AtRisk => "at_risk",
        }
    }
}

/// On what occasion: the caller's way of making an event, with its principal, address and request id in it, and the time.
pub struct Occasion<'a> {
    /// Makes an event of this kind.
    pub event: &'a (dyn Fn(&'static str, Outcome) -> Event + Send + Sync),
    /// Why.
    pub why: Why,
    /// When.
    pub now: Timestamp,
    /// Ids of deliveries.
    pub rng: &'a dyn Rng,
}

impl std::fmt::Debug for Occasion<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Occasion").field("why", &self.why).field("now", &self.now).finish_non_exhaustive()
    }
}

/// What ended. Does nothing by itself: see [`Ended::announce`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use = "announce it once the transaction is committed"]
pub struct Ended {
    /// Families whose tokens are dead.
    pub revoked: Vec<Revoked>,
    /// Sessions that are gone.
    pub sessions: Vec<String>,
    until: Timestamp,
}

impl Ended {
    /// Puts it in force in this process, after the commit.
    pub fn announce(&self, live: &Live) {
        for family in &self.revoked {
            live.revoke(&family.grant_id, self.until);
        }
    }

    /// This and that.
    pub fn and(mut self, other: Self) -> Self {
        self.revoked.extend(other.revoked);
        self.sessions.extend(other.sessions);
        self.until = self.until.max(other.until);
        self
    }
}

/// Revokes families of tokens, with an event each.
///
/// # Errors
/// When the database fails.
pub async fn revoke(tx: &mut Tx, which: Of<'_>, on: &Occasion<'_>) -> Result<Ended, StoreError> {
    let until = on.now.plus(LONGEST_TOKEN);
    let revoked = grants::revoke(tx, which, on.now, until).await?;
    for family in &revoked {
        let mut event = (on.event)(kind::GRANT_REVOKED, Outcome::Allowed);
        event.resource = Some(format!("Grant::{:?}", family.grant_id).into());
        event.reason = Some(on.why.as_str().into());
        let event = event.with("client_id", family.client_id.as_str()).with("user_id", family.user_id.as_str());
        events::intake(tx, &event).await?;
    }
    Ok(Ended { revoked, sessions: Vec::new(), until })
}

/// Ends a session: its row, the families that end with it, and a logout token for each client that wants one.
///
/// # Errors
/// When the database fails.
pub async fn end_session(tx: &mut Tx, live: &Live, session: &Session, on: &Occasion<'_>) -> Result<Ended, StoreError> {
    if !sessions::end(tx, &session.session_id, &session.user_id).await? {
        return Ok(Ended::default());
    }
    after_session(tx, live, &session.session_id, &session.user_id, on).await
}

/// Ends every session of a person, or every one but `keep`.
///
/// # Errors
/// When the database fails.
pub async fn end_sessions(
    tx: &mut Tx,
    live: &Live,
    user_id: &str,
    keep: Option<&str>,
    on: &Occasion<'_>,
) -> Result<Ended, StoreError> {
    let mut ended = Ended::default();
    for session_id in sessions::end_all(tx, user_id, keep).await? {
        ended = ended.and(after_session(tx, live, &session_id, user_id, on).await?);
    }
    Ok(ended)
}

/// Ends everything a person has: every session, and every family, those that outlive sessions too. For whoever disables or
/// deletes a person or resets what they prove themselves with.
///
/// # Errors
/// When the database fails.
pub async fn end_everything(tx: &mut Tx, live: &Live, user_id: &str, on: &Occasion<'_>) -> Result<Ended, StoreError> {
    let sessions = end_sessions(tx, live, user_id, None, on).await?;
    Ok(sessions.and(revoke(tx, Of::User(user_id), on).await?))
}

async fn after_session(
    tx: &mut Tx,
    live: &Live,
    session_id: &str,
    user_id: &str,
    on: &Occasion<'_>,
) -> Result<Ended, StoreError> {
    let mut event = (on.event)(kind::SESSION_ENDED, Outcome::Allowed);
    event.resource = Some(format!("Session::{session_id:?}").into());
    event.reason = Some(on.why.as_str().into());
    events::intake(tx, &event.with("user_id", user_id)).await?;
    let clients: BTreeSet<String> = grants::clients_of_session(tx, session_id).await?.into_iter().collect();
    let wants = |id: &&String| live.client(id).is_some_and(|c| c.client.backchannel_logout_uri.is_some());
    for client_id in clients.iter().filter(wants) {
        let delivery = LogoutDelivery {
            delivery_id: id::new("lgd", on.now, on.rng),
            client_id: client_id.clone(),
            user_id: user_id.to_owned(),
            session_id: Some(session_id.to_owned()),
            attempts: 0,
            next_at: on.now,
            expires_at: on.now.plus(DELIVERED_FOR),
        };
        logout_deliveries::insert(tx, &delivery).await?;
    }
    let mut ended = revoke(tx, Of::Session(session_id), on).await?;
    ended.sessions.push(session_id.to_owned());
    Ok(ended)
}
