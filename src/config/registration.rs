//! `[oauth.registration]`: clients that nobody of this house registered.

use std::time::Duration;

use super::reader::Reader;
use super::text;

/// `[oauth.registration]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Registration {
    /// Whether clients may register themselves (RFC 7591), as far as policy lets them.
    pub endpoint: bool,
    /// Whether the `client_id` may be the URL of a document about the client, as far as policy lets its host.
    pub documents: bool,
    /// Scopes of a client that names none.
    pub scopes: Vec<String>,
    /// How long a client stays to which nothing was ever issued.
    pub unused: Duration,
    /// How many such clients there may be.
    pub most: u32,
}

impl Default for Registration {
    fn default() -> Self {
        Self {
            endpoint: false,
            documents: false,
            scopes: ["openid", "profile", "email", "offline_access"].map(str::to_owned).to_vec(),
            unused: Duration::from_secs(30 * 86_400),
            most: 10_000,
        }
    }
}

impl Registration {
    pub(super) fn read(r: &mut Reader<'_>) -> Self {
        let d = Self::default();
        let registration = Self {
            endpoint: r.flag("oauth.registration.endpoint", d.endpoint),
            documents: r.flag("oauth.registration.documents", d.documents),
            scopes: r.list("oauth.registration.scopes", d.scopes, |text| Ok(text.to_owned())),
            unused: r.parsed("oauth.registration.unused", d.unused, text::duration),
            most: r.number("oauth.registration.most", d.most, 1..=1_000_000),
        };
        if registration.unused < Duration::from_secs(3600) {
            r.wrong("oauth.registration.unused", "must be at least \"1h\", or clients are gone before they are used");
        }
        registration
    }
}
