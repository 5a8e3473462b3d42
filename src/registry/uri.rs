//! URIs that people register: they are compared as strings later, so they must be written as everyone writes them.

use url::Url;

/// Longest URI, in bytes.
const LONGEST: usize = 2048;

/// An absolute URI without fragment, such as an API's (RFC 8707 2).
///
/// # Errors
/// What to write instead.
pub fn absolute(text: &str) -> Result<(), String> {
    match Url::parse(text) {
        Ok(url) if url.fragment().is_none() && text.len() <= LONGEST => Ok(()),
        _ => Err("expected an absolute URI without fragment, such as https://api.example.com".to_owned()),
    }
}

/// Where an authorization answer may go (RFC 9700 2.1, RFC 8252 7): https, http on a loopback address, or an application's own
/// scheme with a dot in it. It is compared as an exact string, so a pattern, or a spelling that browsers change, would never
/// match or match something else.
///
/// # Errors
/// What to write instead.
pub fn redirect(text: &str) -> Result<(), String> {
    let wrong = |detail: &str| Err(detail.to_owned());
    let Ok(url) = Url::parse(text) else { return wrong("expected an absolute URI") };
    if text.len() > LONGEST {
        return wrong("a redirect URI is at most 2048 bytes long");
    }
    if url.fragment().is_some() {
        return wrong("a redirect URI has no fragment");
    }
    if !url.username().is_empty() || url.password().is_some() {
        return wrong("a redirect URI names no user");
    }
    if text.contains('*') {
        return wrong("it is compared as an exact string: list each one, without `*`");
    }
    let loopback = matches!(url.host_str(), Some("127.0.0.1" | "[::1]" | "localhost"));
    match url.scheme() {
        "https" => {}
        "http" if loopback => {}
        "http" => return wrong("http is for loopback addresses: use https"),
        scheme if scheme.contains('.') => {}
        _ => return wrong("use https, http on a loopback address, or a scheme of your own with a dot in it"),
    }
    // The root's slash is the one part that both spellings may leave out.
    let written = url.as_str();
    if text != written && written.strip_suffix('/') != Some(text) {
        return Err(format!("browsers write it as `{written}`: register that"));
    }
    Ok(())
}

/// What this server calls by itself, such as a back-channel logout URI: https, or http on a loopback address, without
/// fragment and user.
///
/// # Errors
/// What to write instead.
pub fn called(text: &str) -> Result<(), String> {
    match Url::parse(text) {
        Ok(url) if matches!(url.scheme(), "https" | "http") => redirect(text),
        _ => Err("expected an https URI".to_owned()),
    }
}

/// An origin as browsers send it (RFC 6454 6.2): `https://app.example`, without path.
///
/// # Errors
/// What to write instead.
pub fn origin(text: &str) -> Result<(), String> {
    let url = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "https" | "http"));
    let Some(url) = url else { return Err("expected an origin such as https://app.example".to_owned()) };
    let written = url.origin().ascii_serialization();
    if written != text {
        return Err(format!("browsers write it as `{written}`: register that"));
    }
    redirect(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_redirect_uri_is_https_or_loopback_or_an_application_s_own() {
        for good in [
            "https://app.example/cb",
            "https://app.example",
            "https://app.example/",
            "https://app.example:8443/cb?x=1",
            "http://127.0.0.1/cb",
            "http://[::1]:49152/cb",
            "http://localhost:3000/cb",
            "com.example.app:/cb",
        ] {
            assert_eq!(redirect(good), Ok(()), "{good}");
        }
    }

    #[test]
    fn what_could_match_something_else_is_refused() {
        for (bad, says) in [
            ("/cb", "absolute"),
            ("http://app.example/cb", "use https"),
            ("http://127.0.0.1.evil.example/cb", "use https"),
            ("https://app.example/cb#x", "fragment"),
            ("https://app.example/cb#", "fragment"),
            ("https://ada:pw@app.example/cb", "user"),
            ("https://app.example@evil.example/cb", "user"),
            ("https://*.example/cb", "`*`"),
            ("https://app.example/*", "`*`"),
            ("https://APP.example/cb", "https://app.example/cb"),
            ("https://app.example:443/cb", "https://app.example/cb"),
            ("https://app.example/a/../cb", "https://app.example/cb"),
            ("https:\\\\app.example/cb", "https://app.example/cb"),
            ("https://app.example/c b", "https://app.example/c%20b"),
            ("https://app.example/cb\n", "https://app.example/cb"),
            ("javascript:alert(1)", "scheme"),
            ("data:text/html,x", "scheme"),
            ("myapp:/cb", "scheme"),
        ] {
            let said = redirect(bad).expect_err(bad);
            assert!(said.contains(says), "{bad}: {said}");
        }
        assert!(redirect(&format!("https://app.example/{}", "a".repeat(2048))).is_err());
    }

    #[test]
    fn an_origin_has_no_path_and_what_is_called_is_the_web() {
        for good in ["https://app.example", "https://app.example:8443", "http://localhost:3000"] {
            assert_eq!(origin(good), Ok(()), "{good}");
        }
        for bad in ["https://app.example/", "https://app.example:443", "http://app.example", "null", "com.example.app:"]
        {
            assert!(origin(bad).is_err(), "{bad}");
        }
        assert_eq!(called("https://app.example/logout"), Ok(()));
        for bad in ["http://app.example/logout", "com.example.app:/logout", "https://app.example/#x", "x"] {
            assert!(called(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_api_s_uri_is_absolute_and_has_no_fragment() {
        assert_eq!(absolute("https://api.example"), Ok(()));
        assert_eq!(absolute("urn:example:api"), Ok(()));
        for bad in ["api", "/api", "https://api.example#x", ""] {
            assert!(absolute(bad).is_err(), "{bad}");
        }
    }
}
