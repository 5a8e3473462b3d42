"""Authlib as an application uses it: discover, obtain, introspect, call, revoke. Prints nothing unless it fails."""

import os

import httpx
from authlib.integrations.httpx_client import OAuth2Client, OAuthError
from joserfc import jwk, jwt

issuer, api = os.environ["ISSUER"], os.environ["API"]
demo = os.environ["DEMO_CLIENT_ID"], os.environ["DEMO_CLIENT_SECRET"]
metadata = httpx.get(f"{issuer}/.well-known/oauth-authorization-server").raise_for_status().json()
assert metadata["issuer"] == issuer, metadata["issuer"]


def obtain(method):
    """A token, by one of the ways to authenticate."""
    client = OAuth2Client(*demo, token_endpoint_auth_method=method, scope="notes:read")
    token = client.fetch_token(metadata["token_endpoint"], grant_type="client_credentials", resource=api)
    assert token["token_type"] == "Bearer", token
    assert token["expires_in"] > 0, token
    assert "refresh_token" not in token, token
    return client, token


for method in ("client_secret_basic", "client_secret_post"):
    client, token = obtain(method)

    # The token is what the metadata's keys say it is.
    keys = jwk.KeySet.import_key_set(httpx.get(metadata["jwks_uri"]).raise_for_status().json())
    parsed = jwt.decode(token["access_token"], keys, algorithms=["ES256", "EdDSA", "RS256"])
    assert parsed.header["typ"] == "at+jwt", parsed.header
    assert parsed.claims["iss"] == issuer, parsed.claims
    assert parsed.claims["aud"] == api, parsed.claims
    assert parsed.claims["client_id"] == demo[0], parsed.claims
    assert parsed.claims["scope"] == "notes:read", parsed.claims

    # It opens what it should, and nothing more.
    assert client.get(f"{api}/notes").status_code == 200
    refused = client.post(f"{api}/notes", json={"text": "no"})
    assert refused.status_code == 403, refused.text

    told = client.introspect_token(
        metadata["introspection_endpoint"], token=token["access_token"], token_type_hint="access_token"
    ).json()
    assert told["active"] is True, told
    assert told["client_id"] == demo[0], told
    assert told["scope"] == "notes:read", told

    revoked = client.revoke_token(
        metadata["revocation_endpoint"], token=token["access_token"], token_type_hint="access_token"
    )
    assert revoked.status_code == 200, revoked.text
    told = client.introspect_token(metadata["introspection_endpoint"], token=token["access_token"]).json()
    assert told == {"active": False}, told

# A wrong secret is the error that the library knows.
stranger = OAuth2Client(demo[0], "wrong", token_endpoint_auth_method="client_secret_basic")
try:
    stranger.fetch_token(metadata["token_endpoint"], grant_type="client_credentials")
    raise AssertionError("a wrong secret was accepted")
except OAuthError as error:
    assert error.error == "invalid_client", error
