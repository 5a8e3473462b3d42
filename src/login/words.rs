//! Scopes, times and browsers in plain words.

use super::Ctx;
use crate::base::Timestamp;

/// One scope, as a person is asked for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Scope {
    pub(super) words: String,
    /// Whether anybody wrote down what it means.
    pub(super) is_known: bool,
}

/// The scopes of OpenID Connect (Core 5.4, 11).
const STANDARD: [(&str, &str); 6] = [
    ("openid", "Know that it is you, by an identifier"),
    ("profile", "See your name and username"),
    ("email", "See your email address"),
    ("address", "See your postal address"),
    ("phone", "See your telephone number"),
    ("offline_access", "Stay connected while you are away"),
];

impl Ctx {
    /// What a scope means; the configuration's words win.
    pub(super) fn words(&self, scope: &str) -> Scope {
        let known = self.settings.scopes.get(scope).map(String::as_str);
        let known = known.or_else(|| STANDARD.iter().find(|(name, _)| *name == scope).map(|(_, words)| *words));
        match known {
            Some(words) => Scope { words: words.to_owned(), is_known: true },
            None => Scope { words: scope.to_owned(), is_known: false },
        }
    }
}

/// `24 Nov 2026, 10:31 UTC`.
pub(super) fn time(at: Timestamp) -> String {
    match jiff::Timestamp::from_microsecond(at.as_micros()) {
        Ok(time) => time.strftime("%-d %b %Y, %H:%M UTC").to_string(),
        Err(_) => at.to_string(),
    }
}

/// `Firefox on Linux`, from what a browser calls itself; for the eye, never for a decision.
pub(super) fn browser(agent: Option<&str>) -> String {
    let agent = agent.unwrap_or_default();
    let find = |names: &[(&'static str, &'static str)]| {
        names.iter().find(|(mark, _)| agent.contains(mark)).map(|(_, name)| *name)
    };
    let browser = find(&[
        ("Edg/", "Edge"),
        ("OPR/", "Opera"),
        ("Firefox/", "Firefox"),
        ("FxiOS/", "Firefox"),
        ("CriOS/", "Chrome"),
        ("Chrome/", "Chrome"),
        ("Safari/", "Safari"),
        ("curl/", "curl"),
    ]);
    let system = find(&[
        ("iPhone", "iPhone"),
        ("iPad", "iPad"),
        ("Android", "Android"),
        ("Windows", "Windows"),
        ("Mac OS X", "macOS"),
        ("CrOS", "ChromeOS"),
        ("Linux", "Linux"),
    ]);
    match (browser, system) {
        (Some(browser), Some(system)) => format!("{browser} on {system}"),
        (Some(one), None) | (None, Some(one)) => one.to_owned(),
        (None, None) => "A browser".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_browser_is_called_what_its_person_calls_it() {
        for (agent, name) in [
            ("Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0", "Firefox on Linux"),
            (
                "Mozilla/5.0 (iPhone; CPU iPhone OS 19_0 like Mac OS X) AppleWebKit/605.1.15 Version/19.0 Safari/604.1",
                "Safari on iPhone",
            ),
            (
                "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/140.0 Safari/537.36 Edg/140.0",
                "Edge on Windows",
            ),
            ("curl/8.5.0", "curl"),
            ("", "A browser"),
        ] {
            assert_eq!(browser(Some(agent)), name, "{agent}");
        }
        assert_eq!(time(Timestamp::from_secs(1_795_516_260)), "24 Nov 2026, 10:31 UTC");
    }
}
