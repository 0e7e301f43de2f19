"""Connecting at servers that follow the RFCs, or nearly: PKCE, scopes, dialects."""

from __future__ import annotations

import base64
import secrets
import sqlite3
from contextlib import closing
from urllib.parse import parse_qs, urlsplit

import pytest
import pytest_asyncio
from aiohttp import web
from attrs import evolve

from everbearer import CallbackError, Client, ConfigurationError, Registration
from everbearer.authorization._pkce import challenge
from everbearer.providers import standard_provider
from everbearer.stores import MemoryStore

pytestmark = pytest.mark.asyncio


class Server:
    """A token endpoint that checks what RFC 6749 and RFC 7636 say it checks."""

    def __init__(self):
        self.challenges = {}
        self.asked = []
        self.access_token = secrets.token_urlsafe()

    def approve(self, url):
        """The user's visit: a callback with a code that is bound to the challenge."""
        asked = {k: v[0] for k, v in parse_qs(urlsplit(url).query).items()}
        code = secrets.token_urlsafe()
        self.challenges[code] = (
            asked.get("code_challenge"),
            asked.get("code_challenge_method"),
        )
        return {"code": code, "state": asked["state"]}

    async def token(self, request):
        form = await request.post()
        self.asked.append((dict(form), request.headers.get("Authorization")))
        wanted, method = self.challenges.pop(form["code"], (None, None))
        verifier = form.get("code_verifier")
        if wanted is not None and challenge(verifier, method) != wanted:
            return web.json_response({"error": "invalid_grant"}, status=400)
        return web.json_response(
            {
                "access_token": self.access_token,
                "token_type": "Bearer",
                "expires_in": 60,
                "scope": "orders offline",
                "company": "Acme",
            }
        )


@pytest_asyncio.fixture(name="server")
async def _server():
    server = Server()
    app = web.Application()
    app.router.add_post("/oauth/token", server.token)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    server.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield server
    await runner.cleanup()


@pytest.fixture(name="register")
def _register(server):
    def register(*, scopes=None, name="", **options):
        provider = standard_provider(
            "std",
            authorize_url=f"{server.url}/oauth/authorize",
            token_url=f"{server.url}/oauth/token",
            api_base=server.url,
            **options,
        )
        return Registration(
            provider,
            "my id",
            "s:cret",
            "https://app.example/cb?t=1",
            scopes,
            name or "",
        )

    return register


def query(url):
    return parse_qs(urlsplit(url).query, keep_blank_values=True)


@pytest.mark.parametrize("pkce", ["S256", "plain", None])
async def test_a_standard_grant(server, register, pkce):
    """The verifier in the store is the one whose challenge went out (RFC 7636 4.6)."""
    registration = register(pkce=pkce, scopes=("orders", "offline"))
    async with Client(registration, store=MemoryStore()) as client:
        request = await client.authorization.start("std", "acme", extra={"prompt": "x"})
        asked = query(request.url)
        assert asked["response_type"] == ["code"]
        assert asked["scope"] == ["orders offline"]
        assert asked["prompt"] == ["x"]
        assert asked.get("code_challenge_method", [None]) == [pkce]
        status = await client.authorization.finish(server.approve(request.url))
    form, authorization = server.asked[0]
    assert form.pop("code")
    verifier = form.pop("code_verifier", None)
    assert form == {
        "grant_type": "authorization_code",
        "redirect_uri": "https://app.example/cb?t=1",
    }
    # RFC 6749 section 2.3.1: form-urlencoded, then joined by a colon.
    assert authorization == f"Basic {base64.b64encode(b'my%20id:s%3Acret').decode()}"
    assert (verifier is None) is (pkce is None)
    assert (status.standing, status.scope) == ("connected", "orders offline")
    assert status.reason == "no_refresh_token"


async def test_another_verifier_does_not_redeem_the_code(server, register):
    """A stolen code is of no use with the state of another authorization."""
    async with Client(register(), store=MemoryStore()) as client:
        first = await client.authorization.start("std", "acme")
        second = await client.authorization.start("std", "acme")
        stolen = server.approve(first.url) | {"state": second.state}
        with pytest.raises(CallbackError) as caught:
            await client.authorization.finish(stolen)
    assert caught.value.code == "refused"
    assert "start the authorization again" in caught.value.description


@pytest.mark.parametrize(
    ("provider", "registered", "asked", "expected"),
    [
        pytest.param(("a",), None, None, ["a"], id="provider's"),
        pytest.param(("a",), ("b", "c"), None, ["b c"], id="registration's"),
        pytest.param(("a",), ("b",), ["d", "e"], ["d e"], id="this link's"),
        pytest.param(("a",), ("b",), "d e", ["d e"], id="as one text"),
        pytest.param(("a",), ("b",), (), None, id="none wanted"),
        pytest.param((), None, None, None, id="none known"),
    ],
)
async def test_scopes(register, provider, registered, asked, expected):
    """The nearest word counts: link, registration, provider (RFC 6749 s. 3.3)."""
    registration = register(scopes=registered)
    described = evolve(registration.provider, scopes=provider)
    registration = evolve(registration, provider=described)
    async with Client(registration, store=MemoryStore()) as client:
        request = await client.authorization.start("std", "acme", scopes=asked)
    assert query(request.url).get("scope") == expected


async def test_extra_overrides_nothing_protected(register):
    """No further parameter may replace the state or the challenge."""
    store = MemoryStore()
    async with Client(register(), store=store) as client:
        with pytest.raises(ConfigurationError, match="code_challenge, state"):
            await client.authorization.start(
                "std", "acme", extra={"state": "x", "code_challenge": "y"}
            )
    assert store._pending == {}


async def test_what_the_provider_tells_is_kept(server, register):
    """Facts of the provider's own are in the status, and nowhere else."""
    registration = register(keep_extra=("company",))
    async with Client(registration, store=MemoryStore()) as client:
        request = await client.authorization.start("std", "acme")
        status = await client.authorization.finish(server.approve(request.url))
        assert status.extra == {"company": "Acme"}
        assert "Acme" not in repr(status)


async def test_a_verifier_is_sealed_and_forgotten(server, register, tmp_path):
    """RFC 7636 section 4.5: of no use once it is spent, and no file shows it before."""
    path = tmp_path / "tokens.db"
    async with Client(register(), store=f"sqlite:///{path}") as client:
        request = await client.authorization.start("std", "acme")
        (sealed,) = rows(path)
        await client.authorization.finish(server.approve(request.url))
        (gone,) = rows(path)
    verifier = server.asked[0][0]["code_verifier"]
    assert verifier.encode() not in sealed
    assert gone is None


def rows(path):
    with closing(sqlite3.connect(path)) as database:
        found = database.execute("SELECT sealed FROM everbearer_pending").fetchall()
    return [row[0] for row in found]


def dialect(registration, **callback):
    """The same registration, with callbacks of another form."""
    described = evolve(
        registration.provider,
        callback=evolve(registration.provider.callback, **callback),
    )
    return evolve(registration, provider=described)


async def test_a_provider_that_may_not_send_state_back(server, register):
    """Then what the browser was given takes its place, and still works once."""
    registration = dialect(register(), returns_state=False, code_name="authToken")
    async with Client(registration, store=MemoryStore()) as client:
        request = await client.authorization.start("std", "acme")
        callback = {"authToken": server.approve(request.url)["code"]}
        with pytest.raises(CallbackError, match=r"finish\(\.\.\., state=") as caught:
            await client.authorization.finish(callback)
        assert caught.value.code == "malformed"
        await client.authorization.finish(callback, state=request.state)
        with pytest.raises(CallbackError, match="reused"):
            await client.authorization.finish(callback, state=request.state)


@pytest.mark.parametrize(
    "callback",
    [
        pytest.param({"authToken": "c"}, id="another's name for the code"),
        pytest.param({"code": "c"}, id="another's leave to omit the state"),
    ],
)
async def test_two_dialects_in_one_client(server, register, callback):
    """A callback is read as its own provider writes it, and refused uses nothing up."""
    strict = register(name="strict")
    lax = dialect(register(name="lax"), returns_state=False, code_name="authToken")
    async with Client(strict, lax, store=MemoryStore()) as client:
        request = await client.authorization.start("strict", "acme")
        good = server.approve(request.url)
        if "authToken" in callback:
            callback = callback | {"state": request.state}
        with pytest.raises(CallbackError) as caught:
            await client.authorization.finish(callback, state=request.state)
        assert caught.value.code == "malformed"
        assert server.asked == []
        await client.authorization.finish(good)


async def test_what_the_callback_tells_is_kept(server, register):
    """The company that the user chose comes with the callback, and nowhere else."""
    registration = dialect(register(keep_extra=("company",)), keep_extra=("realmId",))
    async with Client(registration, store=MemoryStore()) as client:
        request = await client.authorization.start("std", "acme")
        callback = server.approve(request.url) | {"realmId": "4620", "other": "x"}
        status = await client.authorization.finish(callback)
    assert status.extra == {"company": "Acme", "realmId": "4620"}
