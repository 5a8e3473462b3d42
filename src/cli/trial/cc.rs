//! RFC 6749 4.4, then RFC 7662.

use oauth2::basic::BasicClient;
use oauth2::{ClientId, IntrospectionUrl, Scope, TokenIntrospectionResponse as _, TokenResponse as _, TokenUrl};

use super::super::failure::Failure;
use super::party::Party;
use super::{Asked, shown};

pub(super) async fn run(party: &mut Party, asked: &Asked) -> Result<(), Failure> {
    let wrong = |error: oauth2::url::ParseError| Failure::chain(&error);
    let token_url = TokenUrl::new(party.metadata.token_endpoint.clone()).map_err(wrong)?;
    let mut client = BasicClient::new(ClientId::new(party.client_id.clone())).set_token_uri(token_url);
    if let Some(secret) = party.secret() {
        client = client.set_client_secret(secret);
    }
    party.step("It asks for a token in its own name (RFC 6749 4.4)")?;
    let mut request = client.exchange_client_credentials();
    request = request.add_scopes(asked.scopes.iter().cloned().map(Scope::new));
    for (name, value) in party.proof()? {
        request = request.add_extra_param(name, value);
    }
    if let Some(resource) = &asked.resource {
        request = request.add_extra_param("resource", resource);
    }
    let send = |request| party.exchange(request);
    let (token, answer) = party.answered(request.request_async(&send).await)?;
    shown::issued(party, &answer)?;

    let Some(endpoint) = party.metadata.introspection_endpoint.clone() else { return Ok(()) };
    party.step("It asks what the token says (RFC 7662)")?;
    let client = client.set_introspection_url(IntrospectionUrl::new(endpoint).map_err(wrong)?);
    let mut request = client.introspect(token.access_token());
    for (name, value) in party.proof()? {
        request = request.add_extra_param(name, value);
    }
    let send = |request| party.exchange(request);
    let (said, answer) = party.answered(request.request_async(&send).await)?;
    party.tell(answer.shown())?;
    if said.active() { Ok(()) } else { Err(Failure::failed("a fresh token is not active")) }
}
