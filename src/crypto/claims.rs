//! Claims as strict types (RFC 7519 4.1): a claim of the wrong JSON type is an error, never absent, and a repeated claim
//! is an error. Fail closed: see CVE-2026-25537 for what the other way leads to.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, de};

use crate::base::Timestamp;
use crate::model::Actor;

/// Reads a JSON object. A derived `Deserialize` would take an array of the members in order as well.
pub(super) fn object<T: DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    if bytes.trim_ascii_start().first() != Some(&b'{') {
        return None;
    }
    serde_json::from_slice(bytes).ok()
}

/// Seconds that the clocks of two machines may differ, for claims that say "not before".
pub(super) const SKEW: std::time::Duration = std::time::Duration::from_secs(10);

/// The last second of the year 9999.
const LATEST: i64 = 253_402_300_799;

/// `NumericDate` (RFC 7519 2): seconds since the epoch as a JSON number, fractions rounded down.
pub(super) fn numeric_date<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Timestamp, D::Error> {
    struct Visitor;
    impl de::Visitor<'_> for Visitor {
        type Value = Timestamp;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("a number of seconds between 0 and the year 9999")
        }

        fn visit_i64<E: de::Error>(self, secs: i64) -> Result<Timestamp, E> {
            if (0..=LATEST).contains(&secs) {
                Ok(Timestamp::from_secs(secs))
            } else {
                Err(E::invalid_value(de::Unexpected::Signed(secs), &self))
            }
        }

        fn visit_u64<E: de::Error>(self, secs: u64) -> Result<Timestamp, E> {
            self.visit_i64(i64::try_from(secs).unwrap_or(i64::MAX))
        }

        fn visit_f64<E: de::Error>(self, secs: f64) -> Result<Timestamp, E> {
            if !(0.0..=LATEST as f64).contains(&secs) {
                return Err(E::invalid_value(de::Unexpected::Float(secs), &self));
            }
            #[expect(clippy::cast_possible_truncation, reason = "checked against the range above; rounds towards zero")]
            self.visit_i64(secs as i64)
        }
    }
    deserializer.deserialize_any(Visitor)
}

/// The same where the claim may be absent. `null` is not absent.
pub(super) fn optional_date<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Timestamp>, D::Error> {
    numeric_date(deserializer).map(Some)
}

/// A string where the claim may be absent. `null` is not absent.
pub(super) fn optional_text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    String::deserialize(deserializer).map(Some)
}

/// `cnf` with a `jkt` (RFC 9449 6.1). A confirmation by other means is one that nobody here can check: an error.
pub(super) fn confirmation<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Wire {
        jkt: String,
    }
    Wire::deserialize(deserializer).map(|cnf| Some(cnf.jkt))
}

/// `act` (RFC 8693 4.1) where the claim may be absent.
pub(super) fn optional_actor<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Actor>, D::Error> {
    Actor::deserialize(deserializer).map(Some)
}

/// Whether the member is there at all, whatever its value.
pub(super) fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    de::IgnoredAny::deserialize(deserializer).map(|_| true)
}

/// `aud`: a string, or an array of 1 to 16 strings.
pub(super) fn audience<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Wire {
        One(String),
        Many(Vec<String>),
    }
    match Wire::deserialize(deserializer)? {
        Wire::One(one) => Ok(vec![one]),
        Wire::Many(many) if (1..=16).contains(&many.len()) => Ok(many),
        Wire::Many(_) => Err(de::Error::custom("expected 1 to 16 audiences")),
    }
}
