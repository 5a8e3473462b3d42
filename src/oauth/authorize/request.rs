//! What a client may ask of the authorization endpoint, checked: the same whether it comes with the browser or is pushed.

use super::{Code, Fault};
use crate::crypto::id_token;
use crate::http::flow::{Authorization, Kept, Wishes};
use crate::live::LiveClient;
use crate::model::{Acr, Client, GrantType};
use crate::oauth::{Server, form, scope};

/// Longest query or body that is read.
pub(in crate::oauth) const LONGEST: usize = 32 * 1024;
/// Most parameters.
const MOST: usize = 64;
/// Longest `state`.
const STATE: usize = 4096;
/// Longest `nonce` and `login_hint`.
const SHORT: usize = 512;

/// Parameters, decoded; those without a value are absent (RFC 6749 3.1).
#[derive(Debug, Default)]
pub(in crate::oauth) struct Params {
    pairs: Vec<(String, String)>,
    repeated: Vec<String>,
}

impl Params {
    /// `None` when the encoding is broken or there are too many.
    pub(in crate::oauth) fn parse(text: &str) -> Option<Self> {
        let mut all = Self::default();
        for pair in text.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let (name, value) = (form::decode(name)?.into_owned(), form::decode(value)?.into_owned());
            if all.pairs.len() == MOST {
                return None;
            }
            if name != "resource" && all.pairs.iter().any(|(known, _)| *known == name) {
                all.repeated.push(name);
                continue;
            }
            all.pairs.push((name, value));
        }
        Some(all)
    }

    /// The value of a parameter.
    pub(in crate::oauth) fn get(&self, name: &str) -> Option<&str> {
        self.all(name).next()
    }

    /// Every value of a parameter.
    fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.pairs.iter().filter(move |(n, v)| n == name && !v.is_empty()).map(|(_, v)| v.as_str())
    }

    /// The value of a parameter that stands there once.
    pub(in crate::oauth) fn one(&self, name: &str) -> Option<&str> {
        self.get(name).filter(|_| !self.is_repeated(name))
    }

    /// Whether a parameter stands there more than once, with or without a value.
    fn is_repeated(&self, name: &str) -> bool {
        self.repeated.iter().any(|known| known == name)
    }

    /// Whether any parameter but `resource` stands there more than once.
    pub(in crate::oauth) fn has_repeats(&self) -> bool {
        !self.repeated.is_empty()
    }

    /// `state`, if it can be given back.
    pub(in crate::oauth) fn state(&self) -> Option<&str> {
        self.one("state").filter(|state| state.len() <= STATE)
    }

    /// Whether nothing may be shown.
    pub(in crate::oauth) fn is_silent(&self) -> bool {
        self.one("prompt") == Some("none")
    }
}

/// Whether the answer may go there: an exact registered string, or one that differs in nothing but the port of a loopback
/// address (RFC 8252 7.3).
pub(in crate::oauth) fn is_registered(client: &Client, uri: &str) -> bool {
    client.redirect_uris.iter().any(|registered| registered == uri || is_same_loopback(registered, uri))
}

fn is_same_loopback(registered: &str, uri: &str) -> bool {
    let split = |uri: &str| {
        let host = ["http://127.0.0.1", "http://[::1]"].into_iter().find(|host| uri.starts_with(host))?;
        let rest = uri.get(host.len()..)?;
        let (port, path) = match rest.strip_prefix(':') {
            Some(rest) => {
                let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
                let (port, path) = rest.split_at_checked(digits)?;
                port.parse::<u16>().ok().filter(|_| !port.starts_with('0'))?;
                (true, path)
            }
            None => (false, rest),
        };
        // What follows the authority, or nothing: never more of a host.
        (path.is_empty() || path.starts_with(['/', '?'])).then(|| (host, port, path.to_owned()))
    };
    match (split(registered), split(uri)) {
        (Some((host, _, path)), Some((other, _, asked))) => host == other && path == asked,
        _ => false,
    }
}

/// The redirect URI of a request, proven.
pub(in crate::oauth) fn redirect_uri<'a>(client: &Client, params: &'a Params) -> Result<&'a str, Fault> {
    if params.is_repeated("client_id") || params.is_repeated("redirect_uri") {
        return Err(Fault::Nowhere("client_id and redirect_uri are given once"));
    }
    let uri = params.get("redirect_uri").ok_or(Fault::Nowhere("redirect_uri is missing"))?;
    match is_registered(client, uri) {
        true => Ok(uri),
        false => Err(Fault::Nowhere("the redirect_uri is not registered for this client")),
    }
}

/// Everything that a request asks for. `proven` is the key that a pushed request proved.
pub(in crate::oauth) fn check(
    server: &Server,
    client: &LiveClient,
    params: &Params,
    proven: Option<&str>,
) -> Result<Kept, Fault> {
    let told = |code, what| Err(Fault::Told(code, what));
    let client = &client.client;
    let redirect_uri = redirect_uri(client, params)?;
    if !params.repeated.is_empty() {
        return told(Code::InvalidRequest, "a parameter is repeated");
    }
    for (name, code) in [
        ("request", Code::RequestNotSupported),
        ("request_uri", Code::RequestUriNotSupported),
        ("registration", Code::RegistrationNotSupported),
    ] {
        if params.get(name).is_some() {
            return told(code, "send the parameters themselves, or push them");
        }
    }
    match params.get("response_type") {
        None => return told(Code::InvalidRequest, "response_type is missing"),
        Some("code") => {}
        Some(_) => return told(Code::UnsupportedResponseType, "use response_type=code"),
    }
    if !client.grants.contains(&GrantType::AuthorizationCode) {
        return told(Code::UnauthorizedClient, "this client may not use authorization codes");
    }
    if params.get("response_mode").is_some_and(|mode| mode != "query") {
        return told(Code::InvalidRequest, "use response_mode=query");
    }
    let text = |name: &str, longest: usize, what| match params.get(name) {
        Some(value) if value.len() > longest => Err(Fault::Told(Code::InvalidRequest, what)),
        value => Ok(value.map(str::to_owned)),
    };
    let dpop_jkt = text("dpop_jkt", 43, "dpop_jkt is no thumbprint")?;
    if dpop_jkt.as_deref().is_some_and(|jkt| jkt.len() != 43 || proven.is_some_and(|proven| proven != jkt)) {
        return told(Code::InvalidRequest, "dpop_jkt is not the thumbprint of the proven key");
    }
    let authorization = Authorization {
        redirect_uri: redirect_uri.to_owned(),
        scopes: scopes(client, params)?,
        resources: resources(client, params)?,
        state: text("state", STATE, "state is longer than 4096 bytes")?,
        nonce: text("nonce", SHORT, "nonce is longer than 512 bytes")?,
        code_challenge: challenge(client, params)?,
        dpop_jkt: proven.map(str::to_owned).or(dpop_jkt),
        login_hint: params.get("login_hint").filter(|hint| hint.len() <= SHORT).map(str::to_owned),
        subject: subject(server, client, params)?,
    };
    Ok(Kept { authorization, wishes: wishes(params)? })
}

fn scopes(client: &Client, params: &Params) -> Result<Vec<String>, Fault> {
    let refused = |what| Fault::Told(Code::InvalidScope, what);
    let asked = scope::requested(params.get("scope")).map_err(|_| refused("the scopes are misspelled"))?;
    let scopes: Vec<String> = match asked {
        None => client.scopes.iter().filter(|scope| !scope::is_for_people(scope)).cloned().collect(),
        Some(asked) => {
            if asked.iter().any(|scope| client.scopes.iter().all(|known| known != scope)) {
                return Err(refused("this client is not registered for one of the scopes"));
            }
            asked.into_iter().map(str::to_owned).collect()
        }
    };
    match scopes.is_empty() {
        true => Err(refused("name the scopes")),
        false => Ok(scopes),
    }
}

fn resources(client: &Client, params: &Params) -> Result<Vec<String>, Fault> {
    let mut resources: Vec<String> = Vec::new();
    for uri in params.all("resource") {
        if uri != client.default_resource && client.resources.iter().all(|known| known != uri) {
            return Err(Fault::Told(Code::InvalidTarget, "this client is not registered for one of the resources"));
        }
        if resources.iter().all(|known| known != uri) {
            resources.push(uri.to_owned());
        }
    }
    if resources.is_empty() {
        resources.push(client.default_resource.clone());
    }
    Ok(resources)
}

/// RFC 7636 4.3, S256 alone.
fn challenge(client: &Client, params: &Params) -> Result<Option<String>, Fault> {
    let wrong = |what| Err(Fault::Told(Code::InvalidRequest, what));
    match (params.get("code_challenge"), params.get("code_challenge_method")) {
        (None, None) if client.needs_pkce() => wrong("code_challenge is missing"),
        (None, None) => Ok(None),
        (None, Some(_)) => wrong("code_challenge_method without code_challenge"),
        (Some(challenge), Some("S256")) => match crate::crypto::b64url::decode_array::<32>(challenge) {
            Some(_) => Ok(Some(challenge.to_owned())),
            None => wrong("code_challenge is not a SHA-256 digest in base64url"),
        },
        (Some(_), _) => wrong("use code_challenge_method=S256"),
    }
}

fn wishes(params: &Params) -> Result<Wishes, Fault> {
    let wrong = |what| Err(Fault::Told(Code::InvalidRequest, what));
    let mut wishes = Wishes::default();
    let prompts: Vec<&str> = params.get("prompt").map(|p| p.split(' ').collect()).unwrap_or_default();
    for prompt in &prompts {
        match *prompt {
            "none" => wishes.silent = true,
            "login" | "select_account" => wishes.login = true,
            "consent" => wishes.consent = true,
            _ => return wrong("prompt is none, login, consent or select_account"),
        }
    }
    if wishes.silent && prompts.len() > 1 {
        return wrong("prompt=none stands alone");
    }
    if let Some(text) = params.get("max_age") {
        let digits = text.bytes().all(|b| b.is_ascii_digit());
        let Some(age) = text.parse().ok().filter(|_| digits) else { return wrong("max_age is a number of seconds") };
        wishes.max_age = Some(age);
    }
    let levels = params.get("acr_values").map(|text| text.split(' ')).into_iter().flatten();
    wishes.acr = levels.filter_map(Acr::parse).min();
    Ok(wishes)
}

/// The one person who will do: whom an ID token of ours names (OpenID Connect Core 3.1.2.1, `id_token_hint`).
fn subject(server: &Server, client: &Client, params: &Params) -> Result<Option<String>, Fault> {
    let Some(text) = params.get("id_token_hint") else { return Ok(None) };
    let ctx = &server.ctx;
    let keys = ctx.live.key_ring().public(ctx.clock.now());
    match id_token::read_hint(&keys, &ctx.issuer, text) {
        Ok(hint) if hint.aud.contains(&client.client_id) => Ok(Some(hint.sub)),
        _ => Err(Fault::Told(Code::InvalidRequest, "the id_token_hint is not an ID token of this client")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Timestamp;
    use crate::model::AuthMethod;

    fn client(uris: &[&str]) -> Client {
        Client {
            redirect_uris: uris.iter().map(|uri| (*uri).to_owned()).collect(),
            ..Client::new("app", AuthMethod::None, Timestamp::from_secs(0))
        }
    }

    #[test]
    fn a3_a_redirect_uri_is_the_registered_string_and_no_other() {
        let app = client(&["https://app.example/cb", "com.example.app:/cb", "https://app.example/cb?a=b"]);
        for uri in &app.redirect_uris {
            assert!(is_registered(&app, uri));
        }
        for uri in [
            "https://app.example/CB",
            "https://APP.example/cb",
            "HTTPS://app.example/cb",
            "https://app.example/cb/",
            "https://app.example/%63b",
            "https://app.example/cb?x=1",
            "https://app.example/cb#f",
            "https://app.example/cb#",
            "https://u@app.example/cb",
            "https://app.example:443/cb",
            "https://app.example\\@evil.example/cb",
            "https://app.example/cb\r\nX: y",
            "https://app.example/x/../cb",
            "https://app.example/./cb",
            "https://app.example.evil.example/cb",
            "https://evil.example/https://app.example/cb",
            "http://app.example/cb",
            "https://app.example/cb ",
            "https://*.example/cb",
            "",
        ] {
            assert!(!is_registered(&app, uri), "{uri}");
        }
    }

    #[test]
    fn a3_of_a_loopback_address_the_port_alone_may_differ() {
        let app = client(&["http://127.0.0.1/cb", "http://[::1]:8000/cb?x=1", "http://localhost:1/cb"]);
        for uri in ["http://127.0.0.1/cb", "http://127.0.0.1:50001/cb", "http://[::1]:9/cb?x=1", "http://[::1]/cb?x=1"]
        {
            assert!(is_registered(&app, uri), "{uri}");
        }
        for uri in [
            "https://127.0.0.1:50001/cb",
            "http://127.0.0.1:50001/other",
            "http://127.0.0.1:50001/cb?x=1",
            "http://127.0.0.1:70000/cb",
            "http://127.0.0.1:/cb",
            "http://127.0.0.1:08/cb",
            "http://127.0.0.1.evil.example/cb",
            "http://127.0.0.1:80@evil.example/cb",
            "http://127.0.0.1:50001",
            "http://127.0.0.2:50001/cb",
            "http://localhost:2/cb",
            "http://[::1]:9/cb",
        ] {
            assert!(!is_registered(&app, uri), "{uri}");
        }
    }
}
