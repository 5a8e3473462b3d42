//! Which parts of the context a policy can see at all. An answer holds for every request that agrees on those parts, so it
//! is remembered under them alone: where no candidate looks at the time, the next second changes nothing.

use std::net::{IpAddr, Ipv4Addr};

use cedar_policy::Policy;
use serde_json::Value;

use super::ambient::Ambient;
use super::facts::{Extra, Facts};
use crate::base::Timestamp;

/// A set of parts of the context.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Reads(u16);

impl Reads {
    pub(crate) const SCOPES: Self = Self(1);
    pub(crate) const ACR: Self = Self(2);
    pub(crate) const AUTH_AGE: Self = Self(4);
    pub(crate) const NOW: Self = Self(8);
    pub(crate) const IP: Self = Self(16);
    pub(crate) const RISK: Self = Self(32);
    pub(crate) const BUDGET: Self = Self(64);
    /// What stands beside the facts: the scope, the grant, the class.
    pub(crate) const EXTRA: Self = Self(128);
    pub(crate) const CLIENT: Self = Self(256);
    /// Everything.
    pub(crate) const ALL: Self = Self(511);

    /// What `policy` reads. A policy that cannot be taken apart, or that uses the context as a whole, reads everything.
    pub(crate) fn of(policy: &Policy) -> Self {
        policy.to_json().map_or(Self::ALL, |json| Self::in_json(&json))
    }

    fn in_json(json: &Value) -> Self {
        match json {
            Value::Object(object) if object.contains_key("Var") => match object.get("Var") {
                Some(Value::String(name)) if name != "context" => Self::default(),
                _ => Self::ALL,
            },
            Value::Object(object) => object.iter().fold(Self::default(), |all, (name, value)| {
                let part = matches!(name.as_str(), "." | "has").then(|| Self::part(value)).flatten();
                all.and(part.unwrap_or_else(|| Self::in_json(value)))
            }),
            Value::Array(items) => items.iter().fold(Self::default(), |all, item| all.and(Self::in_json(item))),
            _ => Self::default(),
        }
    }

    /// `context.attr` or `context has attr`.
    fn part(access: &Value) -> Option<Self> {
        if access.get("left")?.get("Var")?.as_str()? != "context" {
            return None;
        }
        // `has a.b.c` lists its steps.
        let attr = access.get("attr")?;
        Some(match attr.as_str().or_else(|| attr.get(0)?.as_str())? {
            "scopes" => Self::SCOPES,
            "client" => Self::CLIENT,
            "acr" => Self::ACR,
            "authAgeSeconds" => Self::AUTH_AGE,
            "now" => Self::NOW,
            "ip" => Self::IP,
            "risk" => Self::RISK,
            "budgetLeftBp" => Self::BUDGET,
            _ => Self::EXTRA,
        })
    }

    /// Both.
    pub(crate) const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(crate) const fn has(self, part: Self) -> bool {
        self.0 & part.0 != 0
    }

    /// `facts` and the value beside them, with every part that is not read made the same for all. Whether there is an
    /// address and what the value is called stay: they are the shape of the context, which must fit the action.
    pub(crate) fn project<'a>(self, facts: &Facts<'a>, extra: Extra<'a>) -> (Facts<'a>, Extra<'a>) {
        let same = Facts::at(Timestamp::from_secs(0));
        let shown = facts.ambient.shown();
        let ambient = Ambient {
            risk_level: if self.has(Self::RISK) { shown.risk_level } else { 0 },
            feed_age_secs: if self.has(Self::RISK) { shown.feed_age_secs } else { 0 },
            budget_left_bp: if self.has(Self::BUDGET) { shown.budget_left_bp } else { 0 },
            dry_run: false,
        };
        let facts = Facts {
            scopes: if self.has(Self::SCOPES) { facts.scopes } else { same.scopes },
            client: if self.has(Self::CLIENT) { facts.client } else { same.client },
            now: if self.has(Self::NOW) { Timestamp::from_secs(facts.now.as_secs()) } else { same.now },
            address: match facts.address {
                Some(_) if !self.has(Self::IP) => Some(IpAddr::V4(Ipv4Addr::UNSPECIFIED)),
                address => address,
            },
            acr: if self.has(Self::ACR) { facts.acr } else { same.acr },
            auth_age_secs: if self.has(Self::AUTH_AGE) { facts.auth_age_secs } else { same.auth_age_secs },
            ambient,
        };
        (facts, extra.map(|(name, value)| (name, if self.has(Self::EXTRA) { value } else { "" })))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reads(when: &str) -> Reads {
        let text = format!("permit (principal, action, resource) when {{ {when} }};");
        Reads::of(&Policy::parse(None, text).unwrap())
    }

    #[test]
    fn what_a_policy_reads_is_found_wherever_it_stands() {
        let both = Reads::NOW.and(Reads::IP);
        for (when, parts) in [
            ("true", Reads::default()),
            ("principal.disabled == resource.open", Reads::default()),
            ("context.scopes.contains(\"a\")", Reads::SCOPES),
            ("context[\"acr\"] > 1 && context.authAgeSeconds < 5", Reads::ACR.and(Reads::AUTH_AGE)),
            ("context has ip && context.now > datetime(\"2026-01-01\")", both),
            ("if context has ip then true else (context.now == context.now)", both),
            ("context has risk.level || context.budgetLeftBp < 1", Reads::RISK.and(Reads::BUDGET)),
            ("[context.grant].contains(\"x\") || {a: context.class}.a == \"y\"", Reads::EXTRA),
            ("context == {}", Reads::ALL),
            ("{a: context}.a.acr == 1", Reads::ALL),
            ("(if true then context else context).acr == 1", Reads::ALL),
        ] {
            assert_eq!(reads(when), parts, "{when}");
        }
        assert_eq!(reads("true").and(reads("context.acr == 1")), Reads::ACR);
    }

    #[test]
    fn only_what_is_read_tells_requests_apart() {
        let facts = |now, scopes| Facts::at(Timestamp::from_secs(now)).scopes(scopes);
        let (none, scopes) = (Reads::default(), Reads::SCOPES);
        assert_eq!(
            none.project(&facts(1, "a"), Some(("grant", "x"))),
            none.project(&facts(2, "b"), Some(("grant", "y")))
        );
        assert_ne!(scopes.project(&facts(1, "a"), None), scopes.project(&facts(1, "b"), None));
        assert_ne!(Reads::NOW.project(&facts(1, "a"), None), Reads::NOW.project(&facts(2, "a"), None));
        assert_ne!(
            Reads::EXTRA.project(&facts(1, "a"), Some(("grant", "x"))),
            Reads::EXTRA.project(&facts(1, "a"), Some(("grant", "y")))
        );
        let from = |address: &str| facts(1, "a").address(Some(address.parse().unwrap()));
        assert_eq!(none.project(&from("192.0.2.1"), None), none.project(&from("192.0.2.2"), None));
        assert_ne!(none.project(&from("192.0.2.1"), None), none.project(&facts(1, "a"), None), "another shape");
        assert_ne!(Reads::IP.project(&from("192.0.2.1"), None), Reads::IP.project(&from("192.0.2.2"), None));
    }
}
