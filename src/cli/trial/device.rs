//! RFC 8628.

use oauth2::basic::BasicClient;
use oauth2::{
    ClientId, DeviceAuthorizationUrl, DeviceCodeErrorResponseType, RequestTokenError, Scope,
    StandardDeviceAuthorizationResponse, TokenUrl,
};

use super::super::failure::Failure;
use super::party::Party;
use super::{Asked, code, shown};

pub(super) async fn run(party: &mut Party, asked: &Asked) -> Result<(), Failure> {
    let wrong = |error: oauth2::url::ParseError| Failure::chain(&error);
    let endpoint = party.metadata.device_authorization_endpoint.as_ref();
    let endpoint = party.endpoint(endpoint, "device authorization endpoint")?;
    let mut client = BasicClient::new(ClientId::new(party.client_id.clone()))
        .set_token_uri(TokenUrl::new(party.metadata.token_endpoint.clone()).map_err(wrong)?)
        .set_device_authorization_url(DeviceAuthorizationUrl::new(endpoint).map_err(wrong)?);
    if let Some(secret) = party.secret() {
        client = client.set_client_secret(secret);
    }
    party.step("It asks for a code that a person can type (RFC 8628 3.1)")?;
    let mut request = client.exchange_device_code();
    request = request.add_scopes(code::scopes(party, asked).into_iter().map(Scope::new));
    for (name, value) in party.proof()? {
        request = request.add_extra_param(name, value);
    }
    if let Some(resource) = &asked.resource {
        request = request.add_extra_param("resource", resource.clone());
    }
    let send = |request| party.exchange(request);
    let (details, _): (StandardDeviceAuthorizationResponse, _) = party.answered(request.request_async(&send).await)?;
    party.tell(format!("open {} and enter {}", details.verification_uri().as_str(), details.user_code().secret()))?;
    if let Some(complete) = details.verification_uri_complete() {
        party.tell(format!("or open {}", complete.secret()))?;
    }

    party.step("It asks as often as it may, until somebody has decided (RFC 8628 3.4)")?;
    let mut request = client.exchange_device_access_token(&details);
    for (name, value) in party.proof()? {
        request = request.add_extra_param(name, value);
    }
    let send = |request| party.exchange(request);
    let result = request.request_async(&send, tokio::time::sleep, Some(details.expires_in())).await;
    if let Err(RequestTokenError::ServerResponse(refusal)) = &result {
        let why = match refusal.error() {
            DeviceCodeErrorResponseType::AccessDenied => "the person refused",
            DeviceCodeErrorResponseType::ExpiredToken => "nobody confirmed the code in time: begin again",
            _ => "",
        };
        if !why.is_empty() {
            return Err(Failure::failed(why));
        }
    }
    let (_, answer) = party.answered(result)?;
    shown::issued(party, &answer)?;
    code::afterwards(party, &answer, None).await
}
