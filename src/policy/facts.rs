//! What is known about a request besides who, what and on which: the decision's context.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use cedar_policy::{Context, RestrictedExpression};
use parking_lot::RwLock;

use super::ambient::Ambient;
use crate::base::Timestamp;
use crate::model::AccessToken;

/// Facts about one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Facts<'a> {
    /// Scopes of the token, space-separated as on the wire (RFC 6749 3.3).
    pub scopes: &'a str,
    /// When. Policies see whole seconds.
    pub now: Timestamp,
    /// The client's address, as far as trusted proxies vouch for it.
    pub address: Option<IpAddr>,
    /// Authentication strength: 0 unknown, 1 one factor, 2 two factors, 3 phishing-resistant.
    pub acr: u8,
    /// Seconds since the person authenticated; 0 for machines.
    pub auth_age_secs: u32,
    /// The world.
    pub ambient: Ambient,
}

impl<'a> Facts<'a> {
    /// Nothing known but the time.
    pub fn at(now: Timestamp) -> Self {
        Self { scopes: "", now, address: None, acr: 0, auth_age_secs: 0, ambient: Ambient::default() }
    }

    /// What an access token says: scopes, and how and when its person authenticated.
    pub fn of_token(token: &'a AccessToken, now: Timestamp) -> Self {
        Self {
            scopes: &token.scope,
            acr: token.acr.unwrap_or(0),
            auth_age_secs: token.auth_age_secs(now),
            ..Self::at(now)
        }
    }

    /// With the scopes of a token.
    #[must_use]
    pub fn scopes(self, scopes: &'a str) -> Self {
        Self { scopes, ..self }
    }

    /// With the peer's address.
    #[must_use]
    pub fn address(self, address: Option<IpAddr>) -> Self {
        Self { address, ..self }
    }

    /// The same as JSON, for contexts that somebody sends a part of.
    pub(crate) fn json(&self) -> serde_json::Map<String, serde_json::Value> {
        let scopes: Vec<&str> = self.scopes.split(' ').filter(|s| !s.is_empty()).collect();
        let mut all = serde_json::Map::from_iter([
            ("scopes".to_owned(), scopes.into()),
            ("acr".to_owned(), self.acr.into()),
            ("authAgeSeconds".to_owned(), self.auth_age_secs.into()),
            ("now".to_owned(), whole_seconds(self.now).into()),
            ("budgetLeftBp".to_owned(), self.ambient.budget_left_bp.into()),
            (
                "risk".to_owned(),
                serde_json::json!({
                    "level": self.ambient.risk_level, "feedAgeSeconds": self.ambient.feed_age_secs,
                }),
            ),
        ]);
        if let Some(address) = self.address {
            all.insert("ip".to_owned(), address.to_canonical().to_string().into());
        }
        all
    }

    /// The keys that every context has.
    pub(crate) fn pairs(&self) -> Vec<(String, RestrictedExpression)> {
        let long = |value: i64| RestrictedExpression::new_long(value);
        let scopes = self.scopes.split(' ').filter(|s| !s.is_empty());
        let scopes = RestrictedExpression::new_set(scopes.map(|s| RestrictedExpression::new_string(s.to_owned())));
        let risk = [
            ("level".to_owned(), long(self.ambient.risk_level.into())),
            ("feedAgeSeconds".to_owned(), long(self.ambient.feed_age_secs.into())),
        ];
        let mut pairs = vec![
            ("scopes".to_owned(), scopes),
            ("acr".to_owned(), long(self.acr.into())),
            ("authAgeSeconds".to_owned(), long(self.auth_age_secs.into())),
            ("now".to_owned(), RestrictedExpression::new_datetime(whole_seconds(self.now))),
            ("budgetLeftBp".to_owned(), long(self.ambient.budget_left_bp.into())),
        ];
        if let Ok(risk) = RestrictedExpression::new_record(risk) {
            pairs.push(("risk".to_owned(), risk));
        }
        if let Some(address) = self.address {
            pairs.push(("ip".to_owned(), RestrictedExpression::new_ip(address.to_canonical().to_string())));
        }
        pairs
    }
}

/// Whole seconds, in the one form that Cedar's `datetime` takes for any year it knows.
fn whole_seconds(at: Timestamp) -> String {
    let at = Timestamp::from_secs(at.as_secs().clamp(0, 253_402_300_799)).to_string();
    let (second, _) = at.split_once('.').unwrap_or((&at, ""));
    format!("{second}Z")
}

/// A context, and the number that equal contexts share: what was decided in one holds in the other.
#[derive(Clone, Debug)]
pub(crate) struct Known {
    pub(crate) context: Context,
    pub(crate) serial: u64,
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Key {
    scopes: Box<str>,
    second: i64,
    address: Option<IpAddr>,
    acr: u8,
    auth_age_secs: u32,
    ambient: Ambient,
    extra: Box<str>,
}

/// Contexts already built for this second: the same token asks many times a second, and building a context costs as much
/// as deciding. Bounded; emptied when it is full.
#[derive(Debug, Default)]
pub(crate) struct Contexts {
    known: RwLock<std::collections::HashMap<u64, Vec<(Key, Known)>>>,
    next: AtomicU64,
}

const MOST_CONTEXTS: usize = 2048;

impl Contexts {
    /// The context of `facts` with one more text attribute, such as `("scope", "notes:read")`. `None` when Cedar refuses.
    pub(crate) fn of(&self, facts: &Facts<'_>, extra: Option<(&str, &str)>) -> Option<Known> {
        use std::hash::{BuildHasher as _, BuildHasherDefault, DefaultHasher};
        let second = facts.now.as_secs();
        let facts = Facts { now: Timestamp::from_secs(second), ..*facts };
        let hash = BuildHasherDefault::<DefaultHasher>::default().hash_one((&facts, extra));
        let same = |key: &Key| {
            key.second == second
                && *key.scopes == *facts.scopes
                && key.address == facts.address
                && key.acr == facts.acr
                && key.auth_age_secs == facts.auth_age_secs
                && key.ambient == facts.ambient
                && match extra {
                    None => key.extra.is_empty(),
                    Some((name, value)) => key.extra.split_once('\0') == Some((name, value)),
                }
        };
        if let Some(found) = self.known.read().get(&hash).and_then(|list| list.iter().find(|(key, _)| same(key))) {
            return Some(found.1.clone());
        }
        let mut pairs = facts.pairs();
        if let Some((name, value)) = extra {
            pairs.push((name.to_owned(), RestrictedExpression::new_string(value.to_owned())));
        }
        let context = Context::from_pairs(pairs).ok()?;
        let made = Known { context, serial: self.next.fetch_add(1, Ordering::Relaxed) };
        let key = Key {
            scopes: facts.scopes.into(),
            second,
            address: facts.address,
            acr: facts.acr,
            auth_age_secs: facts.auth_age_secs,
            ambient: facts.ambient,
            extra: extra.map_or_else(String::new, |(name, value)| format!("{name}\0{value}")).into(),
        };
        let mut known = self.known.write();
        if known.len() >= MOST_CONTEXTS {
            known.clear();
        }
        known.entry(hash).or_default().push((key, made.clone()));
        Some(made)
    }
}

/// Shared between everything that asks one snapshot.
pub(crate) type SharedContexts = Arc<Contexts>;
