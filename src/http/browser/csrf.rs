//! A posted form counts when it was sent from our own page (`Sec-Fetch-Site`, `Origin`) and carries a token that we gave to
//! this browser: bound to its session, or, before there is one, to a cookie of its own.

use aws_lc_rs::hmac;

use http::{HeaderMap, HeaderValue, header};

use super::cookies::Cookies;
use crate::base::{Rng, Secret, rng};
use crate::crypto::b64url;

/// The form field that holds the token.
pub const FIELD: &str = "csrf";
/// The session's cookie.
pub const SESSION: &str = "s";
/// The cookie of a browser without a session.
pub const BROWSER: &str = "b";

const SALT: usize = 16;
const TAG: usize = 32;

/// Makes and checks form tokens. The first key makes them, all of them check.
#[derive(Clone)]
pub struct Csrf(Vec<hmac::Key>);

impl std::fmt::Debug for Csrf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Csrf([redacted])")
    }
}

/// Why a form does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// It was sent from another site.
    Foreign,
    /// Its token is missing, or was given to another browser, or to this one before it signed in or out.
    Token,
}

impl Refused {
    /// The reason in events.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Foreign => "cross_site",
            Self::Token => "csrf",
        }
    }
}

/// The token for one page, and the cookie it is bound to when the browser had none.
#[derive(Debug)]
pub struct Given {
    /// The value of the field [`FIELD`].
    pub token: String,
    /// Sets the cookie [`BROWSER`].
    pub cookie: Option<HeaderValue>,
}

impl Csrf {
    /// Tokens that every process with these keys makes and checks.
    pub fn derived(keys: &[Secret<String>]) -> Self {
        let derive = |key: &Secret<String>| {
            let root = hmac::Key::new(hmac::HMAC_SHA256, key.expose().as_bytes());
            let own = hmac::sign(&root, b"stockade form v1");
            hmac::Key::new(hmac::HMAC_SHA256, own.as_ref())
        };
        Self(keys.iter().map(derive).collect())
    }

    /// A token for a page that answers `headers`. Every one is different, so that compression tells nothing about it.
    pub fn give(&self, cookies: &Cookies, headers: &HeaderMap, random: &dyn Rng) -> Given {
        if let Some(binding) = binding(cookies, headers) {
            return Given { token: self.token(&binding, random), cookie: None };
        }
        let value = b64url::encode(&rng::bytes::<32>(random));
        Given { token: self.token(&(BROWSER, &value), random), cookie: cookies.set(BROWSER, &value, None) }
    }

    fn token(&self, binding: &(&str, &str), random: &dyn Rng) -> String {
        let salt = rng::bytes::<SALT>(random);
        let mut token = salt.to_vec();
        if let Some(key) = self.0.first() {
            token.extend(tag(key, &salt, binding));
        }
        b64url::encode(&token)
    }

    /// Whether a form posted with `headers` and `token` counts.
    ///
    /// # Errors
    /// [`Refused`].
    pub fn check(&self, cookies: &Cookies, origin: &str, headers: &HeaderMap, token: &str) -> Result<(), Refused> {
        if !is_own(headers, origin) {
            return Err(Refused::Foreign);
        }
        let binding = binding(cookies, headers).ok_or(Refused::Token)?;
        let token = b64url::decode_array::<{ SALT + TAG }>(token).ok_or(Refused::Token)?;
        let (salt, sent) = token.split_at_checked(SALT).ok_or(Refused::Token)?;
        let good = |key| crate::crypto::compare::equal(tag(key, salt, &binding).as_slice(), sent);
        // Every key, whether or not one fits.
        if self.0.iter().filter(|key| good(key)).count() > 0 { Ok(()) } else { Err(Refused::Token) }
    }
}

fn tag(key: &hmac::Key, salt: &[u8], (cookie, value): &(&str, &str)) -> Vec<u8> {
    let mut context = hmac::Context::with_key(key);
    context.update(salt);
    context.update(cookie.as_bytes());
    context.update(b"=");
    context.update(value.as_bytes());
    context.sign().as_ref().to_vec()
}

fn binding<'a>(cookies: &Cookies, headers: &'a HeaderMap) -> Option<(&'static str, &'a str)> {
    [SESSION, BROWSER].into_iter().find_map(|of| Some((of, cookies.get(headers, of).filter(|v| !v.is_empty())?)))
}

/// Whether a request comes from a page of `origin`, as far as its headers say. A browser of this decade always says; what says
/// nothing is no browser that could be misled, and the token decides. `null` is what our own pages send as `Origin`, because
/// they send no referrer, and what anyone in a sandbox sends: it counts only beside `Sec-Fetch-Site`.
fn is_own(headers: &HeaderMap, origin: &str) -> bool {
    let one = |name: &str| {
        let mut values = headers.get_all(name).iter();
        match (values.next(), values.next()) {
            (None, _) => Ok(None),
            (Some(value), None) => Ok(Some(value.as_bytes())),
            _ => Err(()),
        }
    };
    let (Ok(site), Ok(sender)) = (one("sec-fetch-site"), one(header::ORIGIN.as_str())) else { return false };
    let same_site = match site {
        None => false,
        Some(b"same-origin") => true,
        Some(_) => return false,
    };
    match sender {
        None => true,
        Some(b"null") => same_site,
        Some(sender) => sender == origin.as_bytes(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::SeededRng;

    const ORIGIN: &str = "https://a.example";

    fn stage() -> (Cookies, Csrf) {
        (Cookies::new(ORIGIN), Csrf::derived(&[Secret::new("a".repeat(32))]))
    }

    fn with(cookies: &Cookies, of: &str, value: &str) -> HeaderMap {
        let line = format!("{}={value}", cookies.name(of));
        [(header::COOKIE, HeaderValue::from_str(&line).unwrap())].into_iter().collect()
    }

    fn sent_by(headers: &HeaderMap, name: &'static str, value: &'static str) -> HeaderMap {
        let mut headers = headers.clone();
        headers.append(name, HeaderValue::from_static(value));
        headers
    }

    #[test]
    fn a18_a_token_counts_in_the_browser_it_was_given_to() {
        let (cookies, csrf) = stage();
        let random = SeededRng::new(1);
        let given = csrf.give(&cookies, &HeaderMap::new(), &random);
        let set = given.cookie.unwrap();
        let value = set.to_str().unwrap().split_once('=').unwrap().1.split(';').next().unwrap().to_owned();
        let mine = with(&cookies, BROWSER, &value);
        assert_eq!(csrf.check(&cookies, ORIGIN, &mine, &given.token), Ok(()));
        let again = csrf.give(&cookies, &mine, &random);
        assert!(again.cookie.is_none() && again.token != given.token);
        assert_eq!(csrf.check(&cookies, ORIGIN, &mine, &again.token), Ok(()));
        for other in [HeaderMap::new(), with(&cookies, BROWSER, "other"), with(&cookies, SESSION, &value)] {
            assert_eq!(csrf.check(&cookies, ORIGIN, &other, &given.token), Err(Refused::Token), "{other:?}");
        }
        for bad in ["", "x", given.token.get(1..).unwrap(), &given.token.replace(|c: char| c.is_ascii_digit(), "_")] {
            assert_eq!(csrf.check(&cookies, ORIGIN, &mine, bad), Err(Refused::Token), "{bad}");
        }
    }

    #[test]
    fn a18_a_session_replaces_what_the_browser_had_before() {
        let (cookies, csrf) = stage();
        let before = with(&cookies, BROWSER, "browser");
        let token = csrf.give(&cookies, &before, &SeededRng::new(1)).token;
        let mut after = before.clone();
        after.append(header::COOKIE, with(&cookies, SESSION, "session").remove(header::COOKIE).unwrap());
        assert_eq!(csrf.check(&cookies, ORIGIN, &before, &token), Ok(()));
        assert_eq!(csrf.check(&cookies, ORIGIN, &after, &token), Err(Refused::Token));
    }

    #[test]
    fn a18_a_form_from_another_site_never_counts() {
        let (cookies, csrf) = stage();
        let mine = with(&cookies, SESSION, "value");
        let token = csrf.give(&cookies, &mine, &SeededRng::new(1)).token;
        let check = |headers: &HeaderMap| csrf.check(&cookies, ORIGIN, headers, &token);
        for foreign in ["cross-site", "same-site", "none", "", "same-origin, same-origin"] {
            assert_eq!(check(&sent_by(&mine, "sec-fetch-site", foreign)), Err(Refused::Foreign), "{foreign}");
        }
        for foreign in
            ["https://b.example", "http://a.example", "https://a.example:8443", "null", "", "https://a.example/"]
        {
            assert_eq!(check(&sent_by(&mine, "origin", foreign)), Err(Refused::Foreign), "{foreign}");
        }
        let own = sent_by(&mine, "sec-fetch-site", "same-origin");
        assert_eq!(check(&sent_by(&own, "origin", "https://b.example")), Err(Refused::Foreign));
        assert_eq!(check(&sent_by(&own, "sec-fetch-site", "same-origin")), Err(Refused::Foreign), "said twice");
        assert_eq!(check(&own), Ok(()));
        assert_eq!(check(&sent_by(&own, "origin", "null")), Ok(()), "what a page without referrer sends");
        assert_eq!(check(&sent_by(&own, "origin", ORIGIN)), Ok(()));
        assert_eq!(check(&sent_by(&mine, "origin", ORIGIN)), Ok(()));
        assert_eq!(check(&mine), Ok(()), "no browser");
    }

    #[test]
    fn a_token_outlives_the_key_it_was_made_with_only_while_that_is_configured() {
        let (old, new) = (Secret::new("o".repeat(32)), Secret::new("n".repeat(32)));
        let cookies = Cookies::new(ORIGIN);
        let mine = with(&cookies, SESSION, "value");
        let token = Csrf::derived(std::slice::from_ref(&old)).give(&cookies, &mine, &SeededRng::new(1)).token;
        let both = Csrf::derived(&[new.clone(), old]);
        assert_eq!(both.check(&cookies, ORIGIN, &mine, &token), Ok(()));
        let after = Csrf::derived(&[new]);
        assert_eq!(after.check(&cookies, ORIGIN, &mine, &token), Err(Refused::Token));
        let none = Csrf::derived(&[]);
        let token = none.give(&cookies, &mine, &SeededRng::new(1)).token;
        assert_eq!(none.check(&cookies, ORIGIN, &mine, &token), Err(Refused::Token), "without keys nothing counts");
    }
}
