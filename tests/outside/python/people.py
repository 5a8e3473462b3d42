"""An application signs people in with Authlib: discovery, code flow with PKCE and nonce, the ID token, userinfo, refresh,
sign-out. Prints nothing unless it fails."""

from urllib.parse import parse_qs, urlsplit

import world
from authlib.integrations.base_client.errors import OAuthError
from authlib.integrations.starlette_client import OAuth
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.sessions import SessionMiddleware
from starlette.responses import JSONResponse, RedirectResponse
from starlette.routing import Route
from starlette.testclient import TestClient
from world import Browser, api, issuer, manage

world.watch()
APP = "https://authlib.example"
ada = manage("users", {"username": "joan", "name": "Joan Clarke", "email": "joan@example.com"})
made = manage("clients", {
    "client_id": "authlib", "client_name": "Authlib app", "grants": ["authorization_code", "refresh_token"],
    "scopes": ["openid", "profile", "email", "offline_access", "notes:read"], "resources": [issuer, api],
    "redirect_uris": [f"{APP}/cb"], "post_logout_redirect_uris": [f"{APP}/out"],
})
tokens = []
oauth = OAuth()
rp = oauth.register(
    "stockade",
    client_id="authlib",
    client_secret=made["client_secret"],
    server_metadata_url=f"{issuer}/.well-known/openid-configuration",
    client_kwargs={"scope": "openid profile email offline_access notes:read", "code_challenge_method": "S256"},
)


async def sign_in(request):
    return await rp.authorize_redirect(request, f"{APP}/cb", resource=[issuer, api])


async def callback(request):
    """Checks state, iss and nonce, redeems the code, and validates the ID token."""
    try:
        token = await rp.authorize_access_token(request)
    except OAuthError as error:
        return JSONResponse({"error": error.error}, 400)
    tokens.append(token)
    return JSONResponse({"told": token["userinfo"], "asked": await rp.userinfo(token=token)})


async def notes(request):
    """A refreshed token, for the API; its ID token is checked too."""
    metadata = await rp.load_server_metadata()
    async with rp._get_oauth_client(**metadata) as client:
        old = tokens[-1]
        token = await client.refresh_token(metadata["token_endpoint"], old["refresh_token"], resource=api)
        assert token["token_type"] == "Bearer", token
        again = await rp.parse_id_token(token, nonce=None)
        assert again["sub"] == old["userinfo"]["sub"], again
        answer = await client.get(f"{api}/notes")
        await client.revoke_token(metadata["revocation_endpoint"], token=old["refresh_token"])
        refused = await client.get(f"{api}/notes")
    return JSONResponse([answer.status_code, refused.status_code])


async def sign_out(request):
    metadata = await rp.load_server_metadata()
    hint = tokens[-1]["id_token"]
    return RedirectResponse(f"{metadata['end_session_endpoint']}?id_token_hint={hint}&post_logout_redirect_uri={APP}/out")


routes = [Route("/in", sign_in), Route("/cb", callback), Route("/notes", notes), Route("/out", sign_out)]
session = Middleware(SessionMiddleware, secret_key="of a test alone, and long enough")
app = TestClient(Starlette(routes=routes, middleware=[session]), base_url=APP, follow_redirects=False)
browser = Browser()

begun = app.get("/in").headers["location"]
asked = parse_qs(urlsplit(begun).query)
assert asked["code_challenge_method"] == ["S256"] and asked["nonce"], asked
back = browser.through(begun, ada["username"], ada["password"])
answer = app.get(back)
assert answer.status_code == 200, answer.text
told, userinfo = answer.json()["told"], answer.json()["asked"]
assert told["sub"] == userinfo["sub"] == ada["user_id"], answer.text
assert userinfo["email"] == "joan@example.com", userinfo

# Brought again, the answer counts for nothing: not for the application, which used its state, nor for the server.
assert app.get(back).status_code == 400
assert app.get("/notes").json() == [200, 401]

# Refused consent is an error that the library understands.
other = Browser()
page = other.open(app.get("/in").headers["location"] + "&prompt=consent")
page = other.submit(page, username=ada["username"], password=ada["password"])
refuse = next(part for part in page.text.split("<a ") if ">Refuse<" in part).split('"')[1]
answer = app.get(other.open(world.urljoin(issuer, world.html.unescape(refuse))))
assert (answer.status_code, answer.json()) == (400, {"error": "access_denied"}), answer.text

assert browser.open(app.get("/out").headers["location"]) == f"{APP}/out"
assert 'name="password"' in browser.open(app.get("/in").headers["location"]).text
