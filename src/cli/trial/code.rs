//! Authorization code (RFC 6749 4.1) as RFC 9700 wants it: PKCE with S256, PAR where it is offered, `state`, `iss`, `nonce`, an
//! ID token checked by the server's own keys; then userinfo, and a refresh when one is granted.

use std::borrow::Cow;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use oauth2::basic::BasicClient;
use oauth2::{
    AuthUrl, AuthorizationCode, ClientId, CsrfToken, PkceCodeChallenge, RedirectUrl, RefreshToken, Scope, TokenUrl,
};
use serde_json::Value;
use url::Url;

use super::super::api::Credential;
use super::super::failure::Failure;
use super::super::wire::Answer;
use super::loopback::Loopback;
use super::party::Party;
use super::{Asked, id_token, shown};

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    #[command(flatten)]
    asked: Asked,
    /// The port that the answer comes to [default: a free one; RFC 8252 7.3 lets any be used]
    #[arg(long, value_name = "PORT", default_value_t = 0, hide_default_value = true)]
    port: u16,
    /// The path that the answer comes to, as registered
    #[arg(long, value_name = "PATH", default_value = "/callback")]
    path: String,
    /// How long to wait for the person
    #[arg(long, value_name = "DURATION", default_value = "10m", value_parser = crate::config::text::duration)]
    wait: Duration,
}

pub(super) async fn run(party: &mut Party, args: &Args) -> Result<(), Failure> {
    let wrong = |error: oauth2::url::ParseError| Failure::chain(&error);
    let loopback = Loopback::listen(SocketAddr::from((Ipv4Addr::LOCALHOST, args.port)), &args.path).await?;
    let redirect = RedirectUrl::new(loopback.uri()).map_err(wrong)?;
    let endpoint = party.metadata.authorization_endpoint.as_ref();
    let endpoint = party.endpoint(endpoint, "authorization endpoint")?;
    let mut client = BasicClient::new(ClientId::new(party.client_id.clone()))
        .set_auth_uri(AuthUrl::new(endpoint.clone()).map_err(wrong)?)
        .set_token_uri(TokenUrl::new(party.metadata.token_endpoint.clone()).map_err(wrong)?);
    if let Some(secret) = party.secret() {
        client = client.set_client_secret(secret);
    }
    let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
    let (nonce, scopes) = (CsrfToken::new_random(), scopes(party, &args.asked));
    let mut request = client
        .authorize_url(CsrfToken::new_random)
        .set_redirect_uri(Cow::Borrowed(&redirect))
        .set_pkce_challenge(challenge)
        .add_scopes(scopes.into_iter().map(Scope::new))
        .add_extra_param("nonce", nonce.secret().clone());
    if let Some(resource) = &args.asked.resource {
        request = request.add_extra_param("resource", resource.clone());
    }
    let (mut url, state) = request.url();
    if let Some(par) = party.metadata.pushed_authorization_request_endpoint.clone() {
        party.step("It pushes its request, which the browser then only names (PKCE S256, nonce; RFC 9126)")?;
        url = push(party, &par, &endpoint, &url).await?;
    }

    party.step("A person signs in and agrees")?;
    party.tell(format!("open {url}"))?;
    let answer = tokio::time::timeout(args.wait, loopback.answer()).await;
    let answer = answer.map_err(|_| Failure::failed("nobody came back in time: begin again"))??;
    let code = check(party, &answer, &state)?;
    party.tell("the answer has the `state` that was sent, and the `iss` of this server (RFC 9207)")?;

    party.step("It redeems the code, with its verifier")?;
    let mut request = client.exchange_code(AuthorizationCode::new(code));
    request = request.set_pkce_verifier(verifier).set_redirect_uri(Cow::Borrowed(&redirect));
    for (name, value) in party.proof()? {
        request = request.add_extra_param(name, value);
    }
    let send = |request| party.exchange(request);
    let (_, answer) = party.answered(request.request_async(&send).await)?;
    shown::issued(party, &answer)?;
    afterwards(party, &answer, Some(nonce.secret())).await
}

/// What is asked for when nothing is said: of a demo client, all that a person would see.
pub(super) fn scopes(party: &Party, asked: &Asked) -> Vec<String> {
    let known: &[&str] = if party.demo { &["openid", "profile", "email", "offline_access"] } else { &["openid"] };
    if asked.scopes.is_empty() { known.iter().map(|scope| (*scope).to_owned()).collect() } else { asked.scopes.clone() }
}

/// RFC 9126 2: the same parameters, posted by the client itself. Gives where to send the browser.
async fn push(party: &Party, par: &str, endpoint: &str, url: &Url) -> Result<Url, Failure> {
    let mut form: Vec<(String, String)> = url.query_pairs().into_owned().collect();
    form.extend(party.proof()?.into_iter().map(|(name, value)| (name.to_owned(), value)));
    let mut request = party.wire.post(par);
    if let Some(Credential::Secret(secret)) = &party.credential {
        let encode = |text: &str| url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
        request = request.basic_auth(encode(&party.client_id), Some(encode(secret.expose())));
    }
    let answer = party.wire.send(request.form(&form)).await?;
    if !answer.status.is_success() {
        return Err(Failure::failed(format!("refused: {} {}", answer.status.as_u16(), answer.shown())));
    }
    let body = answer.json();
    let request_uri = body.get("request_uri").and_then(Value::as_str);
    let request_uri = request_uri.ok_or_else(|| Failure::failed("the pushed request was given no `request_uri`"))?;
    party.tell(format!("{} for {} s", request_uri, body.get("expires_in").unwrap_or(&Value::Null)))?;
    let short = [("client_id", party.client_id.as_str()), ("request_uri", request_uri)];
    Url::parse_with_params(endpoint, short).map_err(|e| Failure::chain(&e))
}

/// The code of an answer to this request from this server.
fn check(party: &Party, answer: &[(String, String)], state: &CsrfToken) -> Result<String, Failure> {
    let get = |name: &str| answer.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
    if get("state") != Some(state.secret()) {
        return Err(Failure::failed("the answer is to another request: its `state` is not ours"));
    }
    let issuer = party.metadata.issuer.as_str();
    match get("iss") {
        Some(iss) if iss == issuer => {}
        None if !party.metadata.authorization_response_iss_parameter_supported => {}
        _ => return Err(Failure::failed("the answer is of another server: its `iss` is not the issuer (RFC 9207)")),
    }
    if let Some(error) = get("error") {
        let more = get("error_description").map(|text| format!(" ({text})")).unwrap_or_default();
        return Err(Failure::failed(format!("refused: {error}{more}")));
    }
    get("code").map(str::to_owned).ok_or_else(|| Failure::failed("the answer has no code"))
}

/// With tokens in hand: the ID token is checked, userinfo asked, the refresh token used.
pub(super) async fn afterwards(party: &mut Party, answer: &Answer, nonce: Option<&String>) -> Result<(), Failure> {
    let body = answer.json();
    let text = |body: &Value, name: &str| body.get(name).and_then(Value::as_str).map(str::to_owned);
    let access = text(&body, "access_token").unwrap_or_default();
    let mut subject = None;
    if let Some(token) = text(&body, "id_token") {
        party
            .step("It checks the ID token: signature by the server's keys, `iss`, `aud`, times, `nonce`, `at_hash`")?;
        let checked = id_token::check(party, &token, nonce.map(String::as_str), &access).await?;
        party.tell(format!("it is about `{checked}`"))?;
        subject = Some(checked);
    }
    if let (Some(subject), Some(endpoint)) = (&subject, party.metadata.userinfo_endpoint.clone()) {
        party.step("It asks who that is (userinfo)")?;
        let answer = party.wire.send(party.wire.get(endpoint, &access)).await?;
        party.tell(format!("{} {}", answer.status.as_u16(), answer.shown()))?;
        if text(&answer.json(), "sub").as_ref() != Some(subject) {
            return Err(Failure::failed("userinfo does not speak of the person in the ID token"));
        }
    }
    let Some(refresh) = text(&body, "refresh_token") else { return Ok(()) };
    party.step("It refreshes (RFC 6749 6)")?;
    let token_url = TokenUrl::new(party.metadata.token_endpoint.clone()).map_err(|e| Failure::chain(&e))?;
    let mut client = BasicClient::new(ClientId::new(party.client_id.clone())).set_token_uri(token_url);
    if let Some(secret) = party.secret() {
        client = client.set_client_secret(secret);
    }
    let old = RefreshToken::new(refresh.clone());
    let mut request = client.exchange_refresh_token(&old);
    for (name, value) in party.proof()? {
        request = request.add_extra_param(name, value);
    }
    let send = |request| party.exchange(request);
    let (_, answer) = party.answered(request.request_async(&send).await)?;
    shown::issued(party, &answer)?;
    match text(&answer.json(), "refresh_token") {
        Some(new) if new != refresh => party.tell("the refresh token was replaced: it rotates"),
        _ => party.tell("the refresh token stays"),
    }
}
