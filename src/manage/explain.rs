//! `POST /api/v1/tokens/explain`: why a token was issued, or not: which policies of which snapshot said so, in the light of
//! which facts. It is read from the audit log, so that is what the caller must be allowed to search.

use axum::extract::State;
use axum::response::Response;
use serde_json::{Map, Value, json};

use super::permissions::ExplainToken;
use super::{Ctx, Shared};
use crate::base::{Timestamp, id};
use crate::crypto::{b64url, sha256};
use crate::http::change::{self, Answer, broken};
use crate::http::sent::{Sent, invalid};
use crate::http::{Kind, May, Permission, Problem};
use crate::model::event::kind;
use crate::model::filter::{EventField, Op, Value as Bound};
use crate::policy::Rows;
use crate::registry::Mistake;
use crate::store::entry::Entry;
use crate::store::log::{self, Filter};
use crate::store::row::EventRow;
use crate::store::{StoreError, events, tokens};

/// What an answer of the token endpoint, or a step towards one, is recorded as.
const KINDS: [&str; 6] = [
    kind::TOKEN_ISSUED,
    kind::TOKEN_REFUSED,
    kind::AUTHORIZATION_GRANTED,
    kind::AUTHORIZATION_REFUSED,
    kind::UNAUTHENTICATED,
    kind::RATE_LIMITED,
];
/// Where the event of an issuance lies around the moment that its token's id tells: milliseconds before, and after. A commit
/// can be late; the first look is the one that nearly always finds it.
const AROUND: [(i64, i64); 2] = [(1_000, 2_000), (5_000, 120_000)];
/// How many events one question looks at.
const MOST: usize = 200_000;
const PAGE: i64 = 500;

/// What is asked about.
enum Of {
    Token(String),
    Request(String),
}

/// `POST /api/v1/tokens/explain` with `token`, `jti` or `request_id`.
pub(super) async fn explain(
    may: May<ExplainToken>,
    State(Shared(ctx)): State<Shared>,
    sent: Sent,
) -> Result<Response, Problem> {
    let mut rows = ctx.guard.events(&may.caller, &may.info)?;
    let found = match of(&ctx, &sent).await? {
        Of::Token(jti) => {
            let found = issuance(&ctx, &jti, &mut rows).await.map_err(broken)?;
            let found = found.ok_or_else(|| {
                let detail = format!("the log has no issuance of `{jti}`: it was issued elsewhere, or never");
                Problem::new(Kind::NotFound).detail(detail)
            })?;
            vec![found]
        }
        Of::Request(request_id) => {
            let found = of_request(&ctx, &request_id, &mut rows).await.map_err(broken)?;
            if found.is_empty() {
                let detail = format!("no token was issued or refused in the request `{request_id}`");
                return Err(Problem::new(Kind::NotFound).detail(detail));
            }
            found
        }
    };
    let items: Vec<_> = found.into_iter().map(|event| explained(&ctx, event)).collect();
    let read = change::event(&ctx, &may, kind::AUDIT_READ, &ExplainToken::resource().name());
    ctx.guard.audit.queue(read.with("by", "token explain").with("items", items.len()));
    Ok(Answer::ok(json!({ "items": items })).response())
}

async fn of(ctx: &Ctx, sent: &Sent) -> Result<Of, Problem> {
    let members = sent.options(&["token", "jti", "request_id"])?;
    let mut given = members.iter();
    let one = given.next().and_then(|(name, value)| Some((name.as_str(), value.as_str()?)));
    match (one, given.next()) {
        (Some(("token", token)), None) => match jti_of(ctx, token).await.map_err(broken)? {
            Some(jti) => Ok(Of::Token(jti)),
            None => Err(invalid(&[Mistake::of("token", "this is no access token of this server")])),
        },
        (Some(("jti", jti)), None) if id::number("at", jti).is_some() => Ok(Of::Token(jti.to_owned())),
        (Some(("jti", _)), None) => Err(invalid(&[Mistake::of("jti", "this is no id of an access token: `at_…`")])),
        (Some((_, request_id)), None) => Ok(Of::Request(request_id.to_owned())),
        _ => Err(invalid(&[Mistake::of("jti", "send one text: `token`, `jti` or `request_id`")])),
    }
}

/// The id that a token carries. Whether it is alive, or even ours, does not matter: what is told is what the log says of it.
async fn jti_of(ctx: &Ctx, token: &str) -> Result<Option<String>, StoreError> {
    let jti = match token.split('.').nth(1) {
        Some(payload) => {
            let claims = b64url::decode_strict(payload).and_then(|bytes| serde_json::from_slice::<Value>(&bytes).ok());
            claims.and_then(|claims| claims.get("jti")?.as_str().map(str::to_owned))
        }
        None => {
            let row = tokens::find(&mut ctx.store.read().await?, &sha256(token.as_bytes())).await?;
            row.map(|token| token.jti)
        }
    };
    Ok(jti.filter(|jti| id::number("at", jti).is_some()))
}

/// When a token was made: its id begins with that.
fn made_at(jti: &str) -> Option<i64> {
    id::number("at", jti).and_then(|number| i64::try_from(number >> 80).ok())
}

fn is_issuance(event: &Map<String, Value>, jti: &str) -> bool {
    let said = event.get("data").and_then(|data| data.get("jti")).and_then(Value::as_str);
    event.get("kind").and_then(Value::as_str) == Some(kind::TOKEN_ISSUED) && said == Some(jti)
}

async fn issuance(ctx: &Ctx, jti: &str, rows: &mut Rows<'_>) -> Result<Option<Map<String, Value>>, StoreError> {
    let Some(millis) = made_at(jti) else { return Ok(None) };
    // The intake first: what leaves it while this looks is in the log by then.
    if let Some(waiting) = waiting(ctx, rows).await?.into_iter().find(|event| is_issuance(event, jti)) {
        return Ok(Some(waiting));
    }
    let mut looked_at = 0;
    for (before, after) in AROUND {
        let at = |millis: i64| Timestamp::from_micros(millis.saturating_mul(1000));
        let time = |op, millis| Filter::of(EventField::Time, op, Bound::Time(at(millis)));
        let within = time(Op::Ge, millis - before).and(time(Op::Lt, millis + after));
        let filter = Filter::is(EventField::Kind, kind::TOKEN_ISSUED).and(within);
        let mut last = None;
        while looked_at < MOST {
            let page = log::page(&mut ctx.store.read_log().await?, &filter, last, PAGE).await?;
            looked_at += page.len();
            let Some(oldest) = page.last() else { break };
            last = Some(oldest.seq);
            let mut found = page.iter().filter_map(|stored| seen(Some(stored.seq), &stored.entry, rows));
            if let Some(found) = found.find(|event| is_issuance(event, jti)) {
                return Ok(Some(found));
            }
        }
    }
    Ok(None)
}

async fn of_request(ctx: &Ctx, request_id: &str, rows: &mut Rows<'_>) -> Result<Vec<Map<String, Value>>, StoreError> {
    let text = |event: &Map<String, Value>, name: &str| event.get(name).and_then(Value::as_str).map(str::to_owned);
    let told = |event: &Map<String, Value>| text(event, "kind").is_some_and(|kind| KINDS.contains(&kind.as_str()));
    let waiting = waiting(ctx, rows).await?.into_iter();
    let mut found: Vec<_> =
        waiting.filter(|event| text(event, "request_id").as_deref() == Some(request_id) && told(event)).collect();
    let filter = Filter::is(EventField::RequestId, request_id);
    let page = log::page(&mut ctx.store.read_log().await?, &filter, None, PAGE).await?;
    for event in page.iter().filter_map(|stored| seen(Some(stored.seq), &stored.entry, rows)).filter(told) {
        // It may have left the intake between the two looks.
        if found.iter().all(|known| known.get("id") != event.get("id")) {
            found.push(event);
        }
    }
    Ok(found)
}

/// What is recorded and has no number yet.
async fn waiting(ctx: &Ctx, rows: &mut Rows<'_>) -> Result<Vec<Map<String, Value>>, StoreError> {
    let waiting = events::waiting_after(&mut ctx.store.read().await?, -1, PAGE).await?;
    Ok(waiting.iter().filter_map(|waiting| seen(None, &waiting.entry, rows)).collect())
}

/// An event that the caller may see.
fn seen(seq: Option<i64>, entry: &Entry, rows: &mut Rows<'_>) -> Option<Map<String, Value>> {
    rows.allow(&EventRow::of(seq.unwrap_or(-1), entry)).then(|| whole(seq, entry))
}

/// Both halves as one object; what was erased is missing from it.
fn whole(seq: Option<i64>, entry: &Entry) -> Map<String, Value> {
    let mut all = Map::new();
    all.extend(seq.map(|seq| ("seq".to_owned(), Value::from(seq))));
    for half in [entry.rest(), entry.personal()].into_iter().filter_map(|half| half.body) {
        all.extend(serde_json::from_slice::<Map<String, Value>>(half).unwrap_or_default());
    }
    all
}

/// The event with its facts beside what was decided, and the words of the policies when they are still in force.
fn explained(ctx: &Ctx, mut event: Map<String, Value>) -> Value {
    if let Some(Value::Object(data)) = event.remove("data") {
        event.extend(data);
    }
    let allowed = event.get("outcome").and_then(Value::as_str) == Some("allowed");
    let granted = event.get("kind").and_then(Value::as_str) == Some(kind::AUTHORIZATION_GRANTED);
    let verdict = match (allowed, granted) {
        (true, false) => "issued",
        (true, true) => "authorized",
        (false, _) => "refused",
    };
    event.insert("verdict".to_owned(), verdict.into());
    let snapshot = ctx.guard.engine.snapshot();
    let digest = event.get("snapshot").and_then(Value::as_str);
    let snapshot = snapshot.filter(|snapshot| digest == Some(&**snapshot.digest()));
    event.insert("snapshot_in_force".to_owned(), snapshot.is_some().into());
    if let Some(Value::Array(ids)) = event.remove("policies") {
        let told = ids.iter().filter_map(Value::as_str).map(|id| {
            let words = snapshot.as_ref().and_then(|snapshot| snapshot.annotation(id, "description"));
            json!({ "id": id, "description": words })
        });
        event.insert("policies".to_owned(), told.collect());
    }
    Value::Object(event)
}
