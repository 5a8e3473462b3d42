//! What every room that answers people with pages shares.
//!
//! ```text
//! cookies  named after the issuer, `__Host-` wherever there is TLS        csrf    tokens and where a form was sent from
//! form     a posted form, bounded                                         page    an answer in HTML with its own policy
//! assets   the stylesheet and the one script, under names that say what is in them
//! ```
//!
//! A page carries `Content-Security-Policy` with the exact paths of what it loads, `Referrer-Policy: no-referrer`, no framing
//! and no caching (RFC 9700 4.2, 4.16). After a form there is a 303 (4.12), never a 307.

pub mod assets;
pub mod cookies;
pub mod csrf;
pub mod form;
pub mod page;

use std::sync::Arc;

use crate::base::Secret;

pub use cookies::Cookies;
pub use csrf::Csrf;
pub use form::Form;
pub use page::{Page, see_other};

/// This deployment, as pages need to know it. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Site(Arc<Parts>);

#[derive(Debug)]
struct Parts {
    issuer: Arc<str>,
    origin: String,
    prefix: String,
    cookies: Cookies,
    csrf: Csrf,
}

impl Site {
    /// The site of `issuer`; `keys` are the configured sealing keys, from which those of forms are derived.
    pub fn new(issuer: &str, keys: &[Secret<String>]) -> Self {
        let (origin, prefix) = split(issuer);
        Self(Arc::new(Parts {
            issuer: Arc::from(issuer),
            origin: origin.to_owned(),
            prefix: prefix.to_owned(),
            cookies: Cookies::new(issuer),
            csrf: Csrf::derived(keys),
        }))
    }

    /// The issuer, as configured.
    pub fn issuer(&self) -> &str {
        &self.0.issuer
    }

    /// Scheme, host and port.
    pub fn origin(&self) -> &str {
        &self.0.origin
    }

    /// Host and port: what people know this place by.
    pub fn host(&self) -> &str {
        self.0.origin.split_once("://").map_or(&self.0.origin, |(_, host)| host)
    }

    /// `path` below the issuer: itself, unless the issuer has a path of its own. For links; never made from `Host`.
    pub fn path(&self, path: &str) -> String {
        format!("{}{path}", self.0.prefix)
    }

    /// The prefix of [`Site::path`]: empty or `/…` without a final slash.
    pub fn prefix(&self) -> &str {
        &self.0.prefix
    }

    /// Its cookies.
    pub fn cookies(&self) -> &Cookies {
        &self.0.cookies
    }

    /// Its form tokens.
    pub fn csrf(&self) -> &Csrf {
        &self.0.csrf
    }
}

/// Origin and path of an issuer.
fn split(issuer: &str) -> (&str, &str) {
    let host = issuer.find("://").map_or(0, |at| at + 3);
    let slash = issuer.get(host..).and_then(|rest| rest.find('/')).map_or(issuer.len(), |at| host + at);
    let (origin, path) = issuer.split_at_checked(slash).unwrap_or((issuer, ""));
    (origin, path.trim_end_matches('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_stand_below_the_issuer() {
        for (issuer, origin, host, login) in [
            ("https://a.example", "https://a.example", "a.example", "/login"),
            ("http://localhost:8080", "http://localhost:8080", "localhost:8080", "/login"),
            ("https://a.example/auth/eu/", "https://a.example", "a.example", "/auth/eu/login"),
        ] {
            let site = Site::new(issuer, &[]);
            assert_eq!((site.origin(), site.host(), &*site.path("/login")), (origin, host, login), "{issuer}");
        }
    }
}
