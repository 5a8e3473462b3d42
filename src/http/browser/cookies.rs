//! Cookies: named after the issuer, so that two deployments on one host do not share a jar, and bound to this host over TLS
//! by their prefix (`__Host-`: `Secure`, `Path=/`, no `Domain`). On plain loopback HTTP, where browsers refuse the prefix, the
//! rest stays.

use std::time::Duration;

use http::{HeaderMap, HeaderValue, header};

use crate::crypto::{base32, sha256};

/// Longest cookie value that is set or read.
const LONGEST: usize = 3800;

/// Names and attributes of this deployment's cookies.
#[derive(Clone, Debug)]
pub struct Cookies {
    prefix: String,
    secure: bool,
}

impl Cookies {
    /// Those of `issuer`.
    pub fn new(issuer: &str) -> Self {
        let secure = issuer.starts_with("https:");
        let digest = sha256(issuer.as_bytes());
        let digest = base32::encode(base32::CROCKFORD, digest.first_chunk::<5>().map_or(&[][..], |five| five));
        let host = if secure { "__Host-" } else { "" };
        Self { prefix: format!("{host}stockade-{digest}-"), secure }
    }

    /// The full name of the cookie `of` (`s`, `f-…`).
    pub fn name(&self, of: &str) -> String {
        format!("{}{of}", self.prefix)
    }

    /// The value of the cookie `of`. `None` also when there are two of that name: one of them is not ours.
    pub fn get<'a>(&self, headers: &'a HeaderMap, of: &str) -> Option<&'a str> {
        let mut found = self.starting(headers, of).filter(|(name, _)| *name == of);
        let (_, value) = found.next()?;
        if found.next().is_some() { None } else { Some(value) }
    }

    /// Every cookie of ours whose name starts with `start`, with its name without the deployment's prefix.
    pub fn starting<'a>(&self, headers: &'a HeaderMap, start: &str) -> impl Iterator<Item = (&'a str, &'a str)> {
        let lines = headers.get_all(header::COOKIE).iter().filter_map(|line| line.to_str().ok());
        let pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
        pairs
            .filter_map(|(name, value)| Some((name.strip_prefix(self.prefix.as_str())?, value)))
            .filter(move |(name, value)| name.starts_with(start) && value.len() <= LONGEST)
    }

    /// `Set-Cookie` of the cookie `of`; without `age` it lives as long as the browser. `None` when the value is no cookie
    /// value or too long to be kept.
    pub fn set(&self, of: &str, value: &str, age: Option<Duration>) -> Option<HeaderValue> {
        let plain = |b: u8| matches!(b, 0x21 | 0x23..=0x2b | 0x2d..=0x3a | 0x3c..=0x5b | 0x5d..=0x7e);
        if value.len() > LONGEST || !value.bytes().all(plain) {
            return None;
        }
        let age = age.map(|age| format!("; Max-Age={}", age.as_secs())).unwrap_or_default();
        let mut value = HeaderValue::try_from(self.line(of, value, &age)).ok()?;
        value.set_sensitive(true);
        Some(value)
    }

    /// `Set-Cookie` that drops the cookie `of`.
    pub fn drop(&self, of: &str) -> Option<HeaderValue> {
        HeaderValue::try_from(self.line(of, "", "; Max-Age=0")).ok()
    }

    fn line(&self, of: &str, value: &str, age: &str) -> String {
        let secure = if self.secure { "; Secure" } else { "" };
        format!("{}{of}={value}; Path=/{age}{secure}; HttpOnly; SameSite=Lax", self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(lines: &[&str]) -> HeaderMap {
        lines.iter().map(|line| (header::COOKIE, HeaderValue::from_str(line).unwrap())).collect()
    }

    #[test]
    fn e1_over_tls_a_cookie_is_bound_to_its_host() {
        let cookies = Cookies::new("https://a.example");
        let set = cookies.set("s", "value", None).unwrap();
        let set = set.to_str().unwrap();
        assert!(set.starts_with("__Host-stockade-"), "{set}");
        assert!(set.ends_with("-s=value; Path=/; Secure; HttpOnly; SameSite=Lax"), "{set}");
        let plain = Cookies::new("http://localhost:8080");
        let set = plain.set("s", "value", Some(Duration::from_secs(600))).unwrap();
        let set = set.to_str().unwrap();
        assert!(set.starts_with("stockade-"), "{set}");
        assert!(set.ends_with("-s=value; Path=/; Max-Age=600; HttpOnly; SameSite=Lax"), "{set}");
    }

    #[test]
    fn two_deployments_on_one_host_have_two_jars() {
        let (one, other) = (Cookies::new("http://localhost:1"), Cookies::new("http://localhost:2"));
        let headers = sent(&[&format!("{}=a; {}=b", one.name("s"), other.name("s"))]);
        assert_eq!((one.get(&headers, "s"), other.get(&headers, "s")), (Some("a"), Some("b")));
    }

    #[test]
    fn of_two_cookies_of_one_name_neither_counts() {
        let cookies = Cookies::new("http://localhost:1");
        let name = cookies.name("s");
        assert_eq!(cookies.get(&sent(&[&format!("{name}=a; {name}=b")]), "s"), None);
        assert_eq!(cookies.get(&sent(&[&format!("{name}=a"), &format!("{name}=a")]), "s"), None);
        assert_eq!(cookies.get(&sent(&["x=y", &format!(" {name}=a")]), "s"), Some("a"));
    }

    #[test]
    fn a_family_of_cookies_is_found_by_how_its_names_start() {
        let cookies = Cookies::new("http://localhost:1");
        let (one, two) = (cookies.name("f-1"), cookies.name("f-2"));
        let headers = sent(&[&format!("{one}=a; {}=s; other-f-3=c; {two}=b", cookies.name("s"))]);
        let found: Vec<_> = cookies.starting(&headers, "f-").collect();
        assert_eq!(found, [("f-1", "a"), ("f-2", "b")]);
    }

    #[test]
    fn what_would_end_the_cookie_is_not_set() {
        let cookies = Cookies::new("http://localhost:1");
        for bad in ["a;b", "a b", "a\"b", "a,b", "a\\b", "a\r\nSet-Cookie: x=y", "ü", &"a".repeat(LONGEST + 1)] {
            assert_eq!(cookies.set("s", bad, None), None, "{bad}");
        }
        assert!(cookies.drop("s").unwrap().to_str().unwrap().contains("Max-Age=0"));
    }
}
