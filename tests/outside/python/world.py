"""What the scripts share: clients and people of their own, a browser without JavaScript, and a list of every secret that went
over the wire, kept in SEEN for whoever looks where they ended up."""

import atexit
import base64
import html
import json
import os
import re
from urllib.parse import parse_qsl, unquote, urljoin, urlsplit

import httpx

issuer, api = os.environ["ISSUER"], os.environ["API"]
SECRET = {
    "access_token", "refresh_token", "id_token", "id_token_hint", "code", "code_verifier", "client_secret", "password",
    "token", "csrf",
}
seen = set()


def keep(text):
    # Shorter ones occur by chance.
    if text and len(text) >= 12:
        seen.add(text)


def keep_pairs(pairs):
    for name, value in pairs:
        if name in SECRET and isinstance(value, str):
            keep(value)


def keep_body(text):
    try:
        said = json.loads(text)
        keep_pairs(said.items() if isinstance(said, dict) else [])
    except ValueError:
        keep_pairs(parse_qsl(text))


def keep_headers(headers):
    scheme, _, value = headers.get("authorization", "").partition(" ")
    keep(value)
    if scheme.lower() == "basic":
        keep(unquote(base64.b64decode(value).decode().partition(":")[2]))
    for pair in headers.get("cookie", "").split("; "):
        keep(pair.partition("=")[2])
    for set_cookie in headers.get_list("set-cookie"):
        keep(set_cookie.partition(";")[0].partition("=")[2])


def keep_exchange(request, response):
    for url in (str(request.url), response.headers.get("location", "")):
        keep_pairs(parse_qsl(urlsplit(url).query))
    keep_headers(request.headers)
    keep_headers(response.headers)
    keep_body(request.content.decode())
    if "json" in response.headers.get("content-type", ""):
        keep_body(response.text)


def watch():
    """From now on whatever httpx sends and receives is looked at."""
    plain, plain_async = httpx.Client.send, httpx.AsyncClient.send

    def send(self, request, **options):
        response = plain(self, request, **options)
        keep_exchange(request, response)
        return response

    async def send_async(self, request, **options):
        response = await plain_async(self, request, **options)
        keep_exchange(request, response)
        return response

    httpx.Client.send, httpx.AsyncClient.send = send, send_async

    def write():
        with open(os.environ["SEEN"], "a") as file:
            file.writelines(f"{one}\n" for one in seen)

    atexit.register(write)


def manage(path, sent):
    """Makes a client or a person by the management API."""
    admin = os.environ["ADMIN_CLIENT_ID"], os.environ["ADMIN_CLIENT_SECRET"]
    form = {"grant_type": "client_credentials", "scope": "admin"}
    token = httpx.post(f"{issuer}/oauth/token", auth=admin, data=form).raise_for_status().json()["access_token"]
    made = httpx.post(f"{issuer}/api/v1/{path}", headers={"authorization": f"Bearer {token}"}, json=sent)
    assert made.status_code == 201, made.text
    return made.json()


class Browser:
    """Cookies, redirects of ours, forms."""

    def __init__(self):
        self.http = httpx.Client(headers={"origin": issuer})

    def open(self, url, form=None):
        """The page, or the URL away from the server to which it leads."""
        answer = self.http.post(url, data=form) if form is not None else self.http.get(url)
        while answer.is_redirect:
            assert answer.status_code == 303, answer.text
            url = urljoin(url, answer.headers["location"])
            if not url.startswith(issuer + "/"):
                return url
            answer = self.http.get(url)
        return answer

    def submit(self, page, **fields):
        """Fills in and sends the form of the page's main act."""
        form = next(one for one in page.text.split("<form")[1:] if '<button type="submit"' in one)
        hidden = re.findall(r'<input type="hidden" name="([^"]*)" value="([^"]*)"', form)
        action = html.unescape(re.search(r'action="([^"]*)"', form)[1])
        sent = {name: html.unescape(value) for name, value in hidden} | fields
        return self.open(urljoin(str(page.url), action), sent)

    def through(self, url, username, password):
        """Signs in and allows, until the browser leaves the server."""
        page = self.open(url)
        for _ in range(4):
            if isinstance(page, str):
                return page
            asks = 'name="password"' in page.text
            page = self.submit(page, **({"username": username, "password": password} if asks else {}))
        raise AssertionError(page)
