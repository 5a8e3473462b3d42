//! Clients whose `client_id` is the URL of a document about them (draft-ietf-oauth-client-id-metadata-document): fetched when
//! they first come, checked like any that describes itself, and kept as a client of the role `dynamic`, so that an
//! administrator sees it, disables it, and tokens outlive a restart.
//!
//! ```text
//! client_id -> well formed -> policy, by its host (`client:describe`) -> remembered, or fetched -> registry's rules
//!           -> policy, by what it says (`client:change-own`) -> the row, if it is another
//! ```
//!
//! A document counts for as long as its `Cache-Control` says, within bounds. One that cannot be fetched again counts for an
//! hour at most. Failures are not remembered, as the draft wants; how often one host is asked is limited instead.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode, header};
use serde_json::{Map, Value};
use url::Url;

use super::Server;
use super::record::Asked;
use super::register;
use crate::base::Timestamp;
use crate::crypto::bounded::Bounded;
use crate::http::fetch::Fetcher;
use crate::limits::{Claim, Limit};
use crate::live::LiveClient;
use crate::model::event::kind;
use crate::model::{Client, Decision, GrantType, Outcome};
use crate::policy::{Facts, Principal, Resource};
use crate::registry::metadata;
use crate::store::{StoreError, clients, events, registrations};

const DESCRIBE: &str = "client:describe";
const CHANGE: &str = "client:change-own";
/// How long a document counts that says nothing about it, and the bounds of what one may say.
const FRESH: Duration = Duration::from_secs(600);
const SHORTEST: Duration = Duration::from_secs(60);
/// A document this old does not count, whether or not a newer one is to be had.
const DEAD: Duration = Duration::from_secs(3600);
/// How many documents are remembered.
const REMEMBERED: usize = 16_384;
/// Documents are fetched one after the other in each of these rows.
const ROWS: usize = 32;
/// Longest document, as the draft recommends with room to spare.
const LARGEST: usize = 16 * 1024;
/// What a document may have clients do: what a person takes part in.
const GRANTS: [GrantType; 3] = [GrantType::AuthorizationCode, GrantType::RefreshToken, GrantType::DeviceCode];

static REGISTRY: LazyLock<Resource> = LazyLock::new(Resource::client_registry);

/// When a document was fetched, and until when it need not be again.
#[derive(Clone, Copy, Debug)]
struct Seen {
    fetched_at: Timestamp,
    until: Timestamp,
}

/// What is remembered about documents.
pub(super) struct Documents {
    fetcher: Fetcher,
    /// Fetches from one host.
    per_host: Limit,
    seen: Bounded<String, Seen>,
    rows: [tokio::sync::Mutex<()>; ROWS],
}

impl std::fmt::Debug for Documents {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Documents").finish_non_exhaustive()
    }
}

impl Documents {
    /// Nothing is remembered yet. `None` when ten a minute are no limit, which they are.
    pub(super) fn new(fetcher: Fetcher) -> Option<Self> {
        let per_host = Limit::new(10, Duration::from_secs(60), 5).ok()?;
        Some(Self { fetcher, per_host, seen: Bounded::new(REMEMBERED), rows: std::array::from_fn(|_| <_>::default()) })
    }
}

/// The client of this id, registered here or described by its document; disabled or not.
pub(super) async fn client(asked: &Asked<'_>, client_id: &str) -> Option<Arc<LiveClient>> {
    let live = &asked.server.ctx.live;
    if !client_id.starts_with("https://") {
        return live.client(client_id);
    }
    let known = live.client(client_id);
    // One that was adopted is a client like any other.
    if known.as_ref().is_some_and(|known| !known.client.is_dynamic()) {
        return known;
    }
    let documents = asked.server.documents.as_ref()?;
    let url = client_id_url(client_id)?;
    let host = url.host_str()?;
    if !may_describe(asked, client_id, host) {
        return None;
    }
    let fresh = |seen: &Seen| seen.until > asked.now;
    if known.is_some() && documents.seen.get(client_id).is_some_and(|seen| fresh(&seen)) {
        return known;
    }
    let row = crate::crypto::sha256(client_id.as_bytes()).first().map_or(0, |byte| usize::from(*byte)) % ROWS;
    let _turn = documents.rows.get(row)?.lock().await;
    // Whoever had the turn before may have fetched it.
    let before = documents.seen.get(client_id);
    if before.is_some_and(|seen| fresh(&seen)) {
        return live.client(client_id);
    }
    match fetch(asked, documents, client_id, host).await {
        Ok(seen) => {
            documents.seen.insert(client_id.to_owned(), seen);
            live.client(client_id)
        }
        Err(why) => {
            let mut event = asked.event(kind::UNAUTHENTICATED, Outcome::Denied, None);
            event.reason = Some("client_document".into());
            event.resource = Some(format!("Client::{client_id:?}").into());
            asked.server.ctx.audit.fold(event);
            tracing::info!(client_id, %why, "a client's document does not count");
            known.filter(|_| before.is_some_and(|seen| asked.now.since(seen.fetched_at) < DEAD && why.is_passing()))
        }
    }
}

/// The URL of a document: https, a path, one spelling (section 3 of the draft).
fn client_id_url(text: &str) -> Option<Url> {
    let url = Url::parse(text).ok().filter(|url| url.as_str() == text && text.len() <= 512)?;
    let plain = url.username().is_empty() && url.password().is_none() && url.fragment().is_none();
    (url.scheme() == "https" && url.path() != "/" && plain && url.query().is_none()).then_some(url)
}

fn may_describe(asked: &Asked<'_>, client_id: &str, host: &str) -> bool {
    let facts = Facts::at(asked.now).client(client_id).address(asked.info.address);
    let said = Map::from_iter([("host".to_owned(), host.into())]);
    let decision = asked.decide(&Principal::anonymous(), DESCRIBE, &REGISTRY, &facts, &said);
    if decision.is_allowed() {
        return true;
    }
    let mut event = asked.event(kind::UNAUTHENTICATED, Outcome::Denied, None).decided(&decision);
    event.action = Some(DESCRIBE.into());
    event.resource = Some(REGISTRY.name().into());
    asked.server.ctx.audit.fold(event);
    false
}

/// Why a document does not count.
#[derive(Debug, thiserror::Error)]
enum Wrong {
    #[error("its host was asked too often")]
    TooOften,
    #[error("it cannot be fetched: {0}")]
    Fetch(#[from] crate::http::fetch::FetchError),
    #[error("{0}")]
    Content(String),
    #[error("policy does not let it be such a client")]
    Policy,
    #[error("there are as many clients as there may be")]
    Full,
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Wrong {
    /// Whether the last document still says what holds.
    const fn is_passing(&self) -> bool {
        matches!(self, Self::TooOften | Self::Fetch(_) | Self::Full | Self::Store(_))
    }
}

fn content<T>(what: impl Into<String>) -> Result<T, Wrong> {
    Err(Wrong::Content(what.into()))
}

async fn fetch(asked: &Asked<'_>, documents: &Documents, client_id: &str, host: &str) -> Result<Seen, Wrong> {
    let (server, now) = (asked.server, asked.now);
    room(server, documents, host)?;
    let (headers, body) = get(&documents.fetcher, client_id, LARGEST).await?;
    let Ok(Value::Object(mut sent)) = serde_json::from_slice(&body) else { return content("it is no JSON object") };
    if sent.get("client_id").and_then(Value::as_str) != Some(client_id) {
        return content("its `client_id` is not its URL");
    }
    prepare(documents, &mut sent).await?;
    let registration = &server.ctx.settings.registration;
    let described = metadata::read(client_id, &sent, &registration.scopes, &server.ctx.registry, now);
    let described = described
        .map_err(|mistakes| Wrong::Content(mistakes.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")))?;
    let decision = asked.decide(
        &Principal::client(&described),
        CHANGE,
        &REGISTRY,
        &Facts::at(now).client(client_id).address(asked.info.address),
        &register::said(&described),
    );
    if !decision.is_allowed() {
        return Err(Wrong::Policy);
    }
    keep(asked, described, &decision).await?;
    Ok(Seen { fetched_at: now, until: now.plus(lifetime(&headers)) })
}

fn room(server: &Server, documents: &Documents, host: &str) -> Result<(), Wrong> {
    let buckets = &server.ctx.limits;
    let claim = Claim::new(buckets.keys().other("client document", host), documents.per_host);
    let verdict = buckets.check(&[claim], server.ctx.clock.monotonic_ns());
    if verdict.is_allowed() { Ok(()) } else { Err(Wrong::TooOften) }
}

/// 200 and JSON; anything else, redirects too, is no document.
async fn get(fetcher: &Fetcher, url: &str, largest: usize) -> Result<(HeaderMap, Bytes), Wrong> {
    let request = Request::get(url).header(header::ACCEPT, "application/json").body(Vec::new());
    let request = request.map_err(|_| Wrong::Content("its URL is none".to_owned()))?;
    let (parts, body) = fetcher.send(request).await?.into_parts();
    if parts.status != StatusCode::OK {
        return Err(crate::http::fetch::FetchError::Status(parts.status).into());
    }
    let kind = parts.headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    if kind != "application/json" && !(kind.starts_with("application/") && kind.ends_with("+json")) {
        return content("it is not served as JSON");
    }
    if body.len() > largest { content("it is too long") } else { Ok((parts.headers, body)) }
}

/// What documents say otherwise than registrations: no shared secrets (4.1), keys that stand elsewhere, grants for the many
/// servers that read them.
async fn prepare(documents: &Documents, sent: &mut Map<String, Value>) -> Result<(), Wrong> {
    if sent.contains_key("client_secret") || sent.contains_key("client_secret_expires_at") {
        return content("a document has no secret");
    }
    if sent.contains_key("software_statement") {
        return content("nobody's software statements are trusted");
    }
    let method = sent.get("token_endpoint_auth_method").and_then(Value::as_str).unwrap_or("none").to_owned();
    match method.as_str() {
        "none" => {
            sent.remove("jwks");
            sent.remove("jwks_uri");
        }
        "private_key_jwt" => {
            if let Some(uri) = sent.remove("jwks_uri").as_ref().and_then(Value::as_str)
                && !sent.contains_key("jwks")
            {
                let (_, body) = get(&documents.fetcher, uri, crate::http::fetch::LARGEST).await?;
                let Ok(keys) = serde_json::from_slice(&body) else { return content("its keys are no JSON") };
                sent.insert("jwks".to_owned(), keys);
            }
        }
        _ => return content("choose `none` or `private_key_jwt` as `token_endpoint_auth_method`"),
    }
    sent.insert("token_endpoint_auth_method".to_owned(), method.into());
    if let Some(grants) = sent.get_mut("grant_types").and_then(Value::as_array_mut) {
        let is_ours = |grant: &Value| grant.as_str().and_then(GrantType::parse).is_some_and(|g| GRANTS.contains(&g));
        grants.retain(is_ours);
    }
    Ok(())
}

/// What `Cache-Control` says, within bounds.
fn lifetime(headers: &HeaderMap) -> Duration {
    let lines = headers.get_all(header::CACHE_CONTROL).iter().filter_map(|line| line.to_str().ok());
    let mut lifetime = FRESH;
    for directive in lines.flat_map(|line| line.split(',')).map(str::trim) {
        let directive = directive.to_ascii_lowercase();
        if directive == "no-store" || directive == "no-cache" {
            return SHORTEST;
        }
        if let Some(secs) = directive.strip_prefix("max-age=").and_then(|secs| secs.parse().ok()) {
            lifetime = Duration::from_secs(secs);
        }
    }
    lifetime.clamp(SHORTEST, DEAD)
}

/// The row says what the document says; what an administrator decided about it stays.
async fn keep(asked: &Asked<'_>, described: Client, decision: &Decision) -> Result<(), Wrong> {
    let ctx = &asked.server.ctx;
    let client_id = described.client_id.clone();
    let mut tx = ctx.store.begin().await?;
    let change = match clients::find(&mut tx, &client_id).await? {
        None => {
            if registrations::count(&mut tx).await? >= i64::from(ctx.settings.registration.most) {
                return Err(Wrong::Full);
            }
            clients::insert(&mut tx, &described).await?;
            registrations::insert(&mut tx, &client_id, None, asked.now).await?;
            "described"
        }
        Some(before) => {
            let old = before.client;
            let after =
                Client { roles: old.roles.clone(), disabled: old.disabled, created_at: old.created_at, ..described };
            if after == old {
                return Ok(());
            }
            clients::update(&mut tx, &after, before.version).await?;
            "described_anew"
        }
    };
    let mut event = asked.event(kind::CLIENT_CHANGED, Outcome::Allowed, None).decided(decision);
    event.resource = Some(format!("Client::{client_id:?}").into());
    events::intake(&mut tx, &event.with("change", change).with("client_id", client_id.as_str())).await?;
    tx.commit().await?;
    register::seen(asked).await;
    Ok(())
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn a_client_id_that_is_a_url_has_one_spelling_and_a_path() {
        assert!(client_id_url("https://app.example/client.json").is_some());
        assert!(client_id_url("https://app.example:8443/a/b").is_some());
        let long = format!("https://app.example/{}", "a".repeat(512));
        for bad in [
            "https://app.example",
            "https://app.example/",
            "http://app.example/c",
            "https://app.example:443/c",
            "https://APP.example/c",
            "https://app.example/a/../c",
            "https://app.example/./c",
            "https://app.example/%2e%2e/c",
            "https://u@app.example/c",
            "https://u:p@app.example/c",
            "https://app.example/c#f",
            "https://app.example/c?x=1",
            "https:\\\\app.example\\c",
            "https://app.example/c ",
            &long,
        ] {
            assert!(client_id_url(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn a_document_counts_as_long_as_it_says_within_bounds() {
        let of = |text: &'static str| {
            lifetime(&HeaderMap::from_iter([(header::CACHE_CONTROL, HeaderValue::from_static(text))])).as_secs()
        };
        assert_eq!(lifetime(&HeaderMap::new()), FRESH);
        for (text, secs) in [
            ("max-age=300", 300),
            ("public, Max-Age=120", 120),
            ("max-age=1", 60),
            ("max-age=31536000", 3600),
            ("no-store", 60),
            ("max-age=600, no-cache", 60),
            ("max-age=x", 600),
        ] {
            assert_eq!(of(text), secs, "{text}");
        }
    }
}
