//! The searchable copies beside an entry say what its halves say: an edit of a copy would hide the entry from a search.

use std::borrow::Cow;

use serde::Deserialize;

use crate::base::Timestamp;
use crate::store::events::Row;
use crate::store::log::{Copies, Stored};

/// What is copied from the half that stays.
#[derive(Deserialize)]
struct Rest<'a> {
    #[serde(borrow)]
    id: Cow<'a, str>,
    time: Timestamp,
    #[serde(borrow)]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    outcome: Cow<'a, str>,
    #[serde(borrow, default)]
    action: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    resource: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    request_id: Option<Cow<'a, str>>,
}

/// What is copied from the half that can be erased.
#[derive(Deserialize)]
struct Personal<'a> {
    #[serde(borrow, default)]
    principal: Option<Cow<'a, str>>,
}

/// The copies of one event, wherever it is kept.
struct Kept<'a> {
    id: &'a str,
    time: Timestamp,
    kind: &'a str,
    outcome: &'a str,
    principal: Option<&'a str>,
    action: Option<&'a str>,
    resource: Option<&'a str>,
    request_id: Option<&'a str>,
}

/// The first copy that does not say what the halves say. Of an erased half no copy may be left but what the table
/// cannot do without, which nothing proves any more.
fn differs(kept: &Kept<'_>, personal: Option<&[u8]>, rest: Option<&[u8]>) -> Option<&'static str> {
    let principal = match personal {
        Some(body) => match serde_json::from_slice::<Personal<'_>>(body) {
            Ok(personal) => personal.principal,
            Err(_) => return Some("principal"),
        },
        None => None,
    };
    if principal.as_deref() != kept.principal {
        return Some("principal");
    }
    let Some(rest) = rest else {
        let left = [("action", kept.action), ("resource", kept.resource), ("request_id", kept.request_id)];
        return left.into_iter().find(|(_, copy)| copy.is_some()).map(|(name, _)| name);
    };
    let Ok(rest) = serde_json::from_slice::<Rest<'_>>(rest) else { return Some("kind") };
    let same = [
        ("event_id", rest.id == kept.id),
        ("time", rest.time == kept.time),
        ("kind", rest.kind == kept.kind),
        ("outcome", rest.outcome == kept.outcome),
        ("action", rest.action.as_deref() == kept.action),
        ("resource", rest.resource.as_deref() == kept.resource),
        ("request_id", rest.request_id.as_deref() == kept.request_id),
    ];
    same.into_iter().find(|(_, same)| !same).map(|(name, _)| name)
}

/// The first copy of an entry that differs.
pub(super) fn of_entry(stored: &Stored, copies: &Copies) -> Option<&'static str> {
    let kept = Kept {
        id: &stored.event_id,
        time: stored.time,
        kind: &copies.kind,
        outcome: &copies.outcome,
        principal: copies.principal.as_deref(),
        action: copies.action.as_deref(),
        resource: copies.resource.as_deref(),
        request_id: copies.request_id.as_deref(),
    };
    differs(&kept, stored.personal.body.as_deref(), stored.rest.body.as_deref())
}

/// The first copy of a waiting event that differs.
pub(super) fn of_waiting(row: &Row) -> Option<&'static str> {
    let kept = Kept {
        id: &row.event_id,
        time: row.time,
        kind: &row.kind,
        outcome: &row.outcome,
        principal: row.principal.as_deref(),
        action: row.action.as_deref(),
        resource: row.resource.as_deref(),
        request_id: row.request_id.as_deref(),
    };
    differs(&kept, Some(&row.personal), Some(&row.rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{SeededRng, SystemRng};
    use crate::model::{Event, Outcome, PrincipalRef, event::kind};

    fn row() -> Row {
        let mut event =
            Event::new(kind::DECISION, Outcome::Denied, Timestamp::from_micros(1_800_000_000_123_456), &SystemRng);
        event.principal = Some(PrincipalRef::new("User", "a \"quoted\" \u{fc}ber\nname"));
        event.action = Some("notes:read".into());
        event.resource = Some("Route::\"GET /a\"".into());
        event.request_id = Some("req-1".into());
        Row::new(&event, &SeededRng::new(1))
    }

    #[test]
    fn what_was_written_agrees_and_each_copy_is_compared() {
        assert_eq!(of_waiting(&row()), None);
        let bare = Event::new(kind::AUDIT_GAP, Outcome::Failed, Timestamp::from_secs(1), &SystemRng);
        assert_eq!(of_waiting(&Row::new(&bare, &SystemRng)), None);
        type Edit = fn(&mut Row);
        let edits: [(&str, Edit); 9] = [
            ("principal", |r| r.principal = Some("Client::\"nobody\"".to_owned())),
            ("principal", |r| r.principal = None),
            ("event_id", |r| r.event_id = "evt_other".to_owned()),
            ("time", |r| r.time = Timestamp::from_secs(0)),
            ("kind", |r| r.kind = "audit.read".to_owned()),
            ("outcome", |r| r.outcome = "allowed".to_owned()),
            ("action", |r| r.action = None),
            ("resource", |r| r.resource = Some("x".to_owned())),
            ("request_id", |r| r.request_id = None),
        ];
        for (name, edit) in edits {
            let mut edited = row();
            edit(&mut edited);
            assert_eq!(of_waiting(&edited), Some(name));
        }
    }
}
