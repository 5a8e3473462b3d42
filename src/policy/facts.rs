//! What is known about a request besides who, what and on which: the decision's context.

use std::net::IpAddr;

use cedar_policy::{Context, RestrictedExpression};

use super::ambient::Ambient;
use super::reads::Reads;
use crate::base::Timestamp;
use crate::model::AccessToken;

/// One more text attribute of a context: its name and its value.
pub(crate) type Extra<'a> = Option<(&'static str, &'a str)>;

/// Facts about one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Facts<'a> {
    /// Scopes of the token, space-separated as on the wire (RFC 6749 3.3).
    pub scopes: &'a str,
    /// Through which client, by its id; empty where there is none.
    pub client: &'a str,
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
        Self { scopes: "", client: "", now, address: None, acr: 0, auth_age_secs: 0, ambient: Ambient::default() }
    }

    /// What an access token says: scopes, and how and when its person authenticated.
    pub fn of_token(token: &'a AccessToken, now: Timestamp) -> Self {
        Self {
            scopes: &token.scope,
            client: &token.client_id,
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

    /// Through a client.
    #[must_use]
    pub fn client(self, client: &'a str) -> Self {
        Self { client, ..self }
    }

    /// With the peer's address.
    #[must_use]
    pub fn address(self, address: Option<IpAddr>) -> Self {
        Self { address, ..self }
    }

    /// The same when the risk is only noted: as policies would see it otherwise.
    pub(crate) fn in_earnest(self) -> Option<Self> {
        self.ambient.dry_run.then(|| Self { ambient: self.ambient.in_earnest(), ..self })
    }

    /// The same as JSON, for contexts that somebody sends a part of.
    pub(crate) fn json(&self) -> serde_json::Map<String, serde_json::Value> {
        let ambient = self.ambient.shown();
        let scopes: Vec<&str> = self.scopes.split(' ').filter(|s| !s.is_empty()).collect();
        let mut all = serde_json::Map::from_iter([
            ("scopes".to_owned(), scopes.into()),
            ("client".to_owned(), self.client.into()),
            ("acr".to_owned(), self.acr.into()),
            ("authAgeSeconds".to_owned(), self.auth_age_secs.into()),
            ("now".to_owned(), whole_seconds(self.now).into()),
            ("budgetLeftBp".to_owned(), ambient.budget_left_bp.into()),
            (
                "risk".to_owned(),
                serde_json::json!({
                    "level": ambient.risk_level, "feedAgeSeconds": ambient.feed_age_secs,
                }),
            ),
        ]);
        if let Some(address) = self.address {
            all.insert("ip".to_owned(), address.to_canonical().to_string().into());
        }
        all
    }

    /// The parts of the context that `reads` names: what no policy looks at need not be there. `None` when Cedar refuses.
    pub(crate) fn context(&self, reads: Reads, extra: Extra<'_>) -> Option<Context> {
        type Value = RestrictedExpression;
        let text = |text: &str| Value::new_string(text.to_owned());
        let mut pairs: Vec<(String, Value)> = Vec::with_capacity(8);
        let mut add = |part: Reads, name: &str, value: &dyn Fn() -> Option<Value>| {
            if reads.has(part)
                && let Some(value) = value()
            {
                pairs.push((name.to_owned(), value));
            }
        };
        let ambient = self.ambient.shown();
        let risk = || {
            Value::new_record([
                ("level".to_owned(), Value::new_long(ambient.risk_level.into())),
                ("feedAgeSeconds".to_owned(), Value::new_long(ambient.feed_age_secs.into())),
            ])
            .ok()
        };
        add(Reads::SCOPES, "scopes", &|| {
            Some(Value::new_set(self.scopes.split(' ').filter(|scope| !scope.is_empty()).map(text)))
        });
        add(Reads::CLIENT, "client", &|| Some(text(self.client)));
        add(Reads::ACR, "acr", &|| Some(Value::new_long(self.acr.into())));
        add(Reads::AUTH_AGE, "authAgeSeconds", &|| Some(Value::new_long(self.auth_age_secs.into())));
        add(Reads::NOW, "now", &|| Some(Value::new_datetime(whole_seconds(self.now))));
        add(Reads::BUDGET, "budgetLeftBp", &|| Some(Value::new_long(ambient.budget_left_bp.into())));
        add(Reads::RISK, "risk", &risk);
        add(Reads::IP, "ip", &|| Some(Value::new_ip(self.address?.to_canonical().to_string())));
        if let Some((name, value)) = extra {
            add(Reads::EXTRA, name, &|| Some(text(value)));
        }
        Context::from_pairs(pairs).ok()
    }
}

/// Whole seconds, in the one form that Cedar's `datetime` takes for any year it knows.
pub(crate) fn whole_seconds(at: Timestamp) -> String {
    let at = Timestamp::from_secs(at.as_secs().clamp(0, 253_402_300_799)).to_string();
    let (second, _) = at.split_once('.').unwrap_or((&at, ""));
    format!("{second}Z")
}
