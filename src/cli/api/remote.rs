//! A server's management API, with an access token for it: of a client in CI, or of the person who signed in.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, header};
use serde::Deserialize;

use super::At;
use super::credentials::Credential;
use super::discovery::{Metadata, plain};
use super::kept::Kept;
use crate::base::{Clock as _, Secret, SystemClock, SystemRng, id};
use crate::cli::failure::Failure;

/// How long one exchange may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// And one that sends a whole log.
const LONGEST_STREAM: Duration = Duration::from_secs(86_400);
/// A token that dies sooner is not used for a command that begins now.
const MARGIN: Duration = Duration::from_secs(30);
/// The largest answer that is read.
const LARGEST: usize = 64 << 20;

/// A client that follows no redirect: what it carries is for one server.
pub(in crate::cli) fn http_client() -> Result<reqwest::Client, Failure> {
    let client = reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .timeout(PATIENCE)
        .user_agent(concat!("stockade/", env!("CARGO_PKG_VERSION")));
    client.build().map_err(|e| Failure::failed(format!("no HTTP client: {}", plain(&e))))
}

/// A server's URL without its final slash: https, or http on loopback.
pub(in crate::cli) fn server_url(text: &str) -> Result<String, Failure> {
    let trimmed = text.trim_end_matches('/');
    let url = url::Url::parse(trimmed).ok().filter(|url| url.query().is_none() && url.fragment().is_none());
    let Some(url) = url else {
        return Err(Failure::usage(format!(
            "`{text}` is no server: write its issuer, such as https://auth.example.com"
        )));
    };
    let loopback = matches!(url.host_str(), Some("127.0.0.1" | "[::1]" | "localhost"));
    if url.scheme() == "https" || (url.scheme() == "http" && loopback) {
        return Ok(trimmed.to_owned());
    }
    Err(Failure::usage(format!("`{text}`: tokens are sent to https alone, or to http on loopback")))
}

/// What a token endpoint answers.
#[derive(Deserialize)]
pub(in crate::cli) struct Issued {
    pub(in crate::cli) access_token: String,
    #[serde(default)]
    pub(in crate::cli) expires_in: Option<u64>,
    #[serde(default)]
    pub(in crate::cli) refresh_token: Option<String>,
    #[serde(default)]
    pub(in crate::cli) scope: Option<String>,
}

/// Why it did not.
#[derive(Debug, Deserialize)]
pub(in crate::cli) struct OauthError {
    pub(in crate::cli) error: String,
    #[serde(default)]
    error_description: Option<String>,
}

impl std::fmt::Display for OauthError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.error_description {
            Some(description) => write!(f, "{} ({description})", self.error),
            None => f.write_str(&self.error),
        }
    }
}

/// One request to a token endpoint: tokens, or the error it names.
pub(in crate::cli) async fn ask_for_token(
    request: reqwest::RequestBuilder,
    form: &[(&'static str, String)],
) -> Result<Result<Issued, OauthError>, Failure> {
    let response = request.form(form).send().await;
    let response =
        response.map_err(|e| Failure::usage(format!("the token endpoint cannot be asked: {}", plain(&e))))?;
    let status = response.status();
    let body = response.bytes().await.map_err(|e| Failure::usage(format!("the answer broke off: {}", plain(&e))))?;
    if status.is_success() {
        let issued = serde_json::from_slice(&body);
        return issued.map(Ok).map_err(|_| Failure::usage("the token endpoint's answer is no token"));
    }
    match serde_json::from_slice::<OauthError>(&body) {
        Ok(error) if status.is_client_error() => Ok(Err(error)),
        Ok(error) => Err(Failure::usage(format!("the token endpoint answered {}: {error}", status.as_u16()))),
        Err(_) => Err(Failure::usage(format!("the token endpoint answered {}", status.as_u16()))),
    }
}

/// A server, and a token for it.
pub(in crate::cli) struct Remote {
    server: String,
    http: reqwest::Client,
    token: Secret<String>,
}

impl std::fmt::Debug for Remote {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Remote").field("server", &self.server).finish_non_exhaustive()
    }
}

impl Remote {
    /// Gets a token: as the client that is named, else from the sign-in that is kept.
    pub(super) async fn open(server: &str, at: &At) -> Result<Self, Failure> {
        let (server, http) = (server_url(server)?, http_client()?);
        let token = match &at.client_id {
            Some(client_id) => of_client(&http, &server, client_id, at).await?,
            None => of_person(&http, &server).await?,
        };
        Ok(Self { server, http, token })
    }

    /// Whom it asks.
    pub(super) fn server(&self) -> &str {
        &self.server
    }

    /// Asks. A `POST` carries an idempotency key, so that it, as a `GET`, can be asked once more when the connection breaks.
    pub(super) async fn call(&self, request: Request<Bytes>) -> Result<Response<Bytes>, Failure> {
        let (parts, body) = request.into_parts();
        let url = format!("{}{}", self.server, parts.uri);
        let mut headers = parts.headers;
        if let Ok(mut bearer) = header::HeaderValue::from_str(&format!("Bearer {}", self.token.expose())) {
            bearer.set_sensitive(true);
            headers.insert(header::AUTHORIZATION, bearer);
        }
        if parts.method == http::Method::POST
            && let Ok(key) = header::HeaderValue::from_str(&id::new("cli", SystemClock.now(), &SystemRng))
        {
            headers.insert("idempotency-key", key);
        }
        let send = || self.http.request(parts.method.clone(), &url).headers(headers.clone()).body(body.clone()).send();
        let repeatable = parts.method == http::Method::GET || parts.method == http::Method::POST;
        let sent = match send().await {
            Err(error) if repeatable && error.is_request() => send().await,
            sent => sent,
        };
        let unreachable = |e: reqwest::Error| Failure::usage(format!("{} cannot be asked: {}", self.server, plain(&e)));
        let mut response = sent.map_err(unreachable)?;
        let mut answer = Response::builder().status(response.status());
        if let Some(all) = answer.headers_mut() {
            all.clone_from(response.headers());
        }
        let mut whole = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(unreachable)? {
            if whole.len() + chunk.len() > LARGEST {
                return Err(Failure::usage("the answer is too large"));
            }
            whole.extend_from_slice(&chunk);
        }
        answer.body(Bytes::from(whole)).map_err(|e| Failure::usage(format!("the answer cannot be read: {e}")))
    }
}

impl Remote {
    /// Writes an answer as it comes, however long it is.
    pub(super) async fn stream(
        &self,
        path: &str,
        last: Option<i64>,
        out: &mut impl std::io::Write,
    ) -> Result<(), Failure> {
        let unreachable = |e: reqwest::Error| Failure::usage(format!("{} cannot be asked: {}", self.server, plain(&e)));
        let mut request = self.http.get(format!("{}{path}", self.server)).timeout(LONGEST_STREAM);
        if let Some(last) = last {
            request = request.header("last-event-id", last);
        }
        let mut response = request.bearer_auth(self.token.expose()).send().await.map_err(unreachable)?;
        let status = response.status();
        if !status.is_success() {
            let body = response.bytes().await.map_err(unreachable)?;
            return Err(super::refusal(status.as_u16(), &serde_json::from_slice(&body).unwrap_or_default()));
        }
        let broken = |e: reqwest::Error| Failure::failed(format!("the answer broke off: {}", plain(&e)));
        while let Some(chunk) = response.chunk().await.map_err(broken)? {
            match out.write_all(&chunk) {
                Ok(()) => {}
                Err(e) if e.kind() == std::io::ErrorKind::BrokenPipe => return Err(Failure::ReaderLeft),
                Err(e) => return Err(Failure::failed(format!("cannot write to stdout: {e}"))),
            }
        }
        Ok(())
    }
}

/// By client credentials (RFC 6749 4.4): a new token for each command.
async fn of_client(http: &reqwest::Client, server: &str, client_id: &str, at: &At) -> Result<Secret<String>, Failure> {
    let credential = Credential::read(at.client_secret_file.as_deref(), at.client_key_file.as_deref())?;
    let metadata = Metadata::fetch(http, server).await?;
    let mut form = vec![("grant_type", "client_credentials".to_owned()), ("resource", server.to_owned())];
    let request = http.post(&metadata.token_endpoint);
    let request = credential.authenticate(request, &mut form, client_id, &metadata.issuer)?;
    match ask_for_token(request, &form).await? {
        Ok(issued) => Ok(Secret::new(issued.access_token)),
        Err(error) => Err(Failure::failed(format!("{server} gives `{client_id}` no token: {error}"))),
    }
}

/// From the sign-in that is kept, refreshed when its token is about to die.
async fn of_person(http: &reqwest::Client, server: &str) -> Result<Secret<String>, Failure> {
    let again = || format!("`stockade login --server {server}` signs in, --client-id asks as a client");
    let kept = Kept::read(server)?.ok_or_else(|| Failure::failed(format!("nobody is signed in: {}", again())))?;
    let now = SystemClock.now();
    if kept.expires_at > now.plus(MARGIN) {
        return Ok(Secret::new(kept.access_token));
    }
    let Some(refresh) = kept.refresh_token.clone() else {
        return Err(Failure::failed(format!("the sign-in is over: {}", again())));
    };
    let metadata = Metadata::fetch(http, server).await?;
    let form = [
        ("grant_type", "refresh_token".to_owned()),
        ("refresh_token", refresh.clone()),
        ("client_id", kept.client_id.clone()),
    ];
    match ask_for_token(http.post(&metadata.token_endpoint), &form).await? {
        Ok(issued) => {
            let refreshed = signed_in(server, &kept.client_id, issued, Some(refresh));
            refreshed.write()?;
            Ok(Secret::new(refreshed.access_token))
        }
        Err(error) if error.error == "invalid_grant" => {
            Kept::forget(server)?;
            Err(Failure::failed(format!("the sign-in is over: {}", again())))
        }
        Err(error) => Err(Failure::failed(format!("{server} does not refresh the sign-in: {error}"))),
    }
}

/// What is kept of an answer. Without a new refresh token the old one stays good.
pub(in crate::cli) fn signed_in(server: &str, client_id: &str, issued: Issued, refresh: Option<String>) -> Kept {
    // RFC 6749 5.1: without `expires_in` nobody knows; a minute is believed.
    let life = Duration::from_secs(issued.expires_in.unwrap_or(60));
    Kept {
        server: server.to_owned(),
        client_id: client_id.to_owned(),
        access_token: issued.access_token,
        expires_at: SystemClock.now().plus(life),
        refresh_token: issued.refresh_token.or(refresh),
    }
}

#[cfg(test)]
mod tests {
    use super::server_url;

    #[test]
    fn tokens_are_sent_over_tls_or_not_off_the_machine() {
        for (text, url) in [
            ("https://a.example/", "https://a.example"),
            ("https://a.example/auth", "https://a.example/auth"),
            ("http://localhost:8080", "http://localhost:8080"),
            ("http://127.0.0.1:8080/", "http://127.0.0.1:8080"),
        ] {
            assert_eq!(server_url(text).unwrap(), url);
        }
        for text in ["http://a.example", "a.example", "ftp://a.example", "https://a.example?x", "https://a.example#x"] {
            assert!(server_url(text).is_err(), "{text}");
        }
    }
}
