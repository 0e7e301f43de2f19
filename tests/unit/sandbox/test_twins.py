"""What all twins have in common: what the settings say holds for every provider."""

from __future__ import annotations

import hashlib
from base64 import b64encode

import aiohttp
import pytest
import pytest_asyncio
from attrs import define

from everbearer.sandbox import PROVIDERS, Sandbox, Settings, faults

pytestmark = pytest.mark.asyncio

# The documents differ in the status of a refusal.
REFUSED = (400, 401)


def in_body(settings, **params):
    """Credentials beside the other parameters."""
    client = {
        "client_id": settings.client_id,
        "client_secret": settings.client_secret,
    }
    return {**client, **params}


def basic(settings):
    """The header for them."""
    both = f"{settings.client_id}:{settings.client_secret}".encode()
    return {"Authorization": f"Basic {b64encode(both).decode()}"}


def grant_type(settings, refresh_token):
    """The parameters of RFC 6749 section 6."""
    return {"grant_type": "refresh_token", "refresh_token": refresh_token}


# How each document writes a refresh: path, and aiohttp's arguments.
REFRESHES = {
    "billit": lambda at, token: (
        "/OAuth2/token",
        {"json": in_body(at, **grant_type(at, token))},
    ),
    "flowaccount": lambda at, token: (
        "/token",
        {"data": in_body(at, **grant_type(at, token))},
    ),
    "humansoft": lambda at, token: (
        "/oauth2/v1/token",
        {"json": in_body(at, **grant_type(at, token))},
    ),
    "invoiced": lambda at, token: (
        "/oauth/access_token",
        {"data": in_body(at, **grant_type(at, token))},
    ),
    "standard": lambda at, token: (
        "/token",
        {"data": grant_type(at, token), "headers": basic(at)},
    ),
}


@define
class Twin:
    """One twin, with what its document calls things."""

    sandbox: Sandbox
    http: aiohttp.ClientSession

    async def refresh(self, token):
        """Present a refresh token: status and document."""
        make = REFRESHES[self.sandbox.provider]
        path, options = make(self.sandbox.settings, token)
        url = self.sandbox.token_url + path
        async with self.http.post(url, **options) as answer:
            return answer.status, await answer.json(content_type=None)

    async def call(self, path, token, method="GET", **options):
        """Call the API: status and body."""
        headers = {"Authorization": f"Bearer {token}"}
        async with self.http.request(
            method,
            self.sandbox.api_url + path,
            headers=headers,
            allow_redirects=False,
            **options,
        ) as answer:
            kind = answer.content_type
            text = await answer.json() if kind == "application/json" else None
            return answer.status, text

    def current(self):
        """Acme's newest pair."""
        return self.sandbox.grants.current("acme")


@pytest_asyncio.fixture(name="twin", params=PROVIDERS)
async def _twin(request, clock):
    """Each provider in turn, with everything that a document might say switched off."""
    plain = Settings(redirect_uris=("https://app.example/callback",))
    connector = aiohttp.TCPConnector(force_close=True)
    async with (
        Sandbox(request.param, settings=plain, clock=clock) as sandbox,
        aiohttp.ClientSession(connector=connector) as http,
    ):
        yield Twin(sandbox, http)


@pytest.mark.parametrize(
    ("rotation", "changes"),
    [
        ("every_use", [True, True, True, True]),
        ("sometimes", [False, True, False, True]),
        ("never", [False, False, False, False]),
    ],
)
async def test_rotation(twin, rotation, changes):
    """The refresh token is replaced as often as the settings say."""
    twin.sandbox.settings.rotation = rotation
    token, seen = twin.sandbox.issue("acme").refresh_token, []
    for _ in changes:
        assert (await twin.refresh(token))[0] == 200
        seen.append(twin.current().refresh_token != token)
        token = twin.current().refresh_token
    assert seen == changes
    ledger = twin.sandbox.ledger
    assert (ledger.refreshes, ledger.reuse, ledger.lost_grants) == (4, 0, 0)


async def test_reuse(twin):
    """A spent refresh token is refused, counted, and ends the grant."""
    token = twin.sandbox.issue("acme").refresh_token
    assert (await twin.refresh(token))[0] == 200
    assert (await twin.refresh(token))[0] in REFUSED
    ledger = twin.sandbox.ledger
    assert (ledger.reuse, ledger.last_resort, ledger.lost_grants) == (1, 0, 1)
    assert (await twin.refresh(twin.current().refresh_token))[0] in REFUSED


async def test_last_resort(twin):
    """After an answer in doubt, one more presentation is no reuse."""
    token = twin.sandbox.issue("acme").refresh_token
    twin.sandbox.script.add(faults.html_200(rotates=True))
    url, options = REFRESHES[twin.sandbox.provider](twin.sandbox.settings, token)
    async with twin.http.post(twin.sandbox.token_url + url, **options) as answer:
        assert answer.content_type == "text/html"
    assert (await twin.refresh(token))[0] in REFUSED
    assert (twin.sandbox.ledger.reuse, twin.sandbox.ledger.last_resort) == (0, 1)


@pytest.mark.parametrize(("passed", "good"), [(59.9, True), (60.0, False)])
async def test_replay_window(twin, clock, passed, good):
    """Inside the window a spent refresh token is answered like the first time."""
    twin.sandbox.settings.replay_window = 60.0
    token = twin.sandbox.issue("acme").refresh_token
    await twin.refresh(token)
    first = twin.current()
    clock.now += passed
    status, again = await twin.refresh(token)
    assert status == 200 if good else status in REFUSED
    assert (first.access_token in again.values()) == good
    assert twin.sandbox.ledger.replays == good


async def test_minimum_age(twin, clock):
    """A refresh that comes too early is refused, spends nothing and is no reuse."""
    twin.sandbox.settings.minimum_age = 570.0
    token = twin.sandbox.issue("acme").refresh_token
    clock.now += 569.9
    assert (await twin.refresh(token))[0] in REFUSED
    clock.now += 0.1
    assert (await twin.refresh(token))[0] == 200
    ledger = twin.sandbox.ledger
    assert (ledger.refreshes, ledger.reuse, ledger.last_resort) == (1, 0, 0)


@pytest.mark.parametrize(("passed", "good"), [(9.9, True), (10.0, False)])
async def test_access_lifetime(twin, clock, passed, good):
    """An access token ends when its lifetime is over, and not before."""
    twin.sandbox.settings.access_lifetime = 10.0
    token = twin.sandbox.issue("acme").access_token
    clock.now += passed
    status, _ = await twin.call("/v1/whoami", token)
    assert status == (200 if good else 401)
    assert twin.sandbox.ledger.refused == (not good)


@pytest.mark.parametrize("rotation", ["every_use", "never"])
async def test_idle_lifetime(twin, clock, rotation):
    """A grant lives from one token request to the next, and no longer."""
    twin.sandbox.settings.change({"rotation": rotation, "refresh_idle_lifetime": 100})
    token = twin.sandbox.issue("acme").refresh_token
    for _ in range(3):
        clock.now += 99.9
        assert (await twin.refresh(token))[0] == 200
        token = twin.current().refresh_token
    clock.now += 100
    assert (await twin.refresh(token))[0] in REFUSED
    assert twin.sandbox.ledger.reuse == 0


@pytest.mark.parametrize(("rotation", "good"), [("every_use", True), ("never", False)])
async def test_fixed_lifetime(twin, clock, rotation, good):
    """A refresh token lives from its issue: one that is replaced starts anew."""
    twin.sandbox.settings.change({"rotation": rotation, "refresh_lifetime": 100})
    token = twin.sandbox.issue("acme").refresh_token
    clock.now += 99.9
    assert (await twin.refresh(token))[0] == 200
    clock.now += 99.9
    status, _ = await twin.refresh(twin.current().refresh_token)
    assert status == 200 if good else status in REFUSED


@pytest.mark.parametrize("dies", [True, False])
async def test_old_access_token(twin, dies):
    """Whether the access token before a refresh lives on is a setting."""
    twin.sandbox.settings.old_access_dies = dies
    pair = twin.sandbox.issue("acme")
    await twin.refresh(pair.refresh_token)
    status, _ = await twin.call("/v1/whoami", pair.access_token)
    assert status == (401 if dies else 200)
    status, _ = await twin.call("/v1/whoami", twin.current().access_token)
    assert status == 200


async def test_absent_path(twin):
    """A path that is switched off is not there, whatever is sent to it."""
    token = twin.sandbox.issue("acme").refresh_token
    path, options = REFRESHES[twin.sandbox.provider](twin.sandbox.settings, token)
    url = twin.sandbox.token_url + path
    twin.sandbox.settings.absent_paths = (url.removeprefix(twin.sandbox.url),)
    async with twin.http.post(url, **options) as answer:
        assert answer.status == 404
    assert twin.sandbox.ledger.refreshes == 0


async def test_other_clients_token(twin):
    """A refresh token is of use to its own client only, and is not spent otherwise."""
    twin.sandbox.settings.other_clients = {"second": "its secret"}
    token = twin.sandbox.grants.grant("acme", "second").refresh_token
    assert (await twin.refresh(token))[0] in REFUSED
    assert twin.sandbox.ledger.refreshes == 0


# ---- the routes for tests


async def test_whoami(twin):
    """The API tells whose token it is, and its generation."""
    token = twin.sandbox.issue("acme").access_token
    status, said = await twin.call("/v1/whoami", token)
    assert status == 200
    assert (said["company"], said["token_generation"]) == ("acme", 0)


async def test_echo(twin):
    """What arrived is told by its digest."""
    body = b"some bytes" * 1000
    token = twin.sandbox.issue("acme").access_token
    status, said = await twin.call("/v1/echo", token, "PUT", data=body)
    assert status == 200
    assert said["sha256"] == hashlib.sha256(body).hexdigest()
    assert (said["length"], said["method"]) == (len(body), "PUT")


async def test_forbidden(twin):
    """A 401 that is not about the token."""
    token = twin.sandbox.issue("acme").access_token
    assert (await twin.call("/v1/forbidden", token))[0] == 401
    assert twin.sandbox.ledger.refused == 0


async def test_redirect(twin):
    """A redirect leads where it is told, and nowhere without being told."""
    token = twin.sandbox.issue("acme").access_token
    query = {"to": twin.sandbox.other_origin, "status": "307"}
    assert (await twin.call("/v1/redirect", token, params=query))[0] == 307
    assert (await twin.call("/v1/redirect", token))[0] == 400


async def test_websocket(twin):
    """What is sent comes back."""
    token = twin.sandbox.issue("acme").access_token
    async with twin.http.ws_connect(
        f"{twin.sandbox.api_url}/v1/ws", headers={"Authorization": f"Bearer {token}"}
    ) as socket:
        await socket.send_str("hello")
        assert await socket.receive_str() == "hello"


@pytest.mark.parametrize("what", ["expire_now", "invalidate_now", "revoke"])
async def test_refused_tokens(twin, what):
    """What the script does to tokens, the API says to whoever has them."""
    token = twin.sandbox.issue("acme").access_token
    getattr(twin.sandbox.script, what)("acme")
    assert (await twin.call("/v1/whoami", token))[0] == 401
    assert twin.sandbox.ledger.refused == 1


async def test_documents(twin):
    """The documented list is there for a good token only, and is counted."""
    twin.sandbox.settings.orders_per_account = 3
    token = twin.sandbox.issue("acme").access_token
    assert (await twin.call(twin.sandbox.documents_path, token))[0] == 200
    assert twin.sandbox.ledger.documents >= 1
    assert (await twin.call(twin.sandbox.documents_path, "nobody's"))[0] == 401


async def test_unknown_provider():
    """A provider that nobody plays is refused by name."""
    with pytest.raises(ValueError, match="not 'acme'"):
        Sandbox("acme")
