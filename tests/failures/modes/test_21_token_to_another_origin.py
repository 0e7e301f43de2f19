"""Mode 21: a redirect, or an absolute URL, carries the token to somebody else.

Promised: the token and the identity headers go to the API's own scheme, host and port,
on every hop; https unless it is loopback.  Whoever else answers can neither receive
them nor cause a refresh, and a token request follows no redirect at all.
"""

from __future__ import annotations

import json

import pytest
import pytest_asyncio
from aiohttp import web
from aiohttp.test_utils import TestServer
from yarl import URL

from everbearer import Client, ConfigurationError, TemporarilyUnavailable
from everbearer.sandbox import faults

pytestmark = pytest.mark.asyncio

IDENTITY = {"PartyID": "4711"}
PRIVATE = {"Authorization", "PartyID"}
EXPIRED = json.dumps({"errors": [{"Code": "AccessTokenExpired"}]})


@pytest_asyncio.fixture(name="stranger")
async def _stranger():
    """A server that claims that the token has ended; its `seen` has all headers."""
    seen = []

    async def answer(request):
        seen.append(request.headers)
        if "to" in request.query:
            raise web.HTTPFound(request.query["to"])
        return web.Response(status=401, text=EXPIRED, content_type="application/json")

    application = web.Application()
    application.router.add_route("*", "/{path:.*}", answer)
    async with TestServer(application, host="127.0.0.1") as server:
        server.seen = seen
        yield server


def leading(base, to, status=302):
    """A URL that redirects."""
    return URL(f"{base}/redirect").with_query(to=str(to), status=str(status))


@pytest.mark.parametrize("by", ["view", "call"])
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_elsewhere(scene, stranger, status, by):
    """Nothing of the account's arrives, and what is answered is nobody's signal."""
    acme = await scene.acme()
    options = {"headers": IDENTITY} if by == "call" else {}
    if by == "view":
        acme = acme.with_headers(IDENTITY)
    away = leading("/v1", stranger.make_url("/"), status)
    async with acme.post(str(away), data=b"body", **options) as response:
        assert response.status == 401
        assert await response.text() == EXPIRED
    assert [PRIVATE & {*headers} for headers in stranger.seen] == [set()]
    assert scene.ledger.api_calls[0].party_id == "4711"
    assert not scene.ledger.token_requests


async def test_there_and_back(scene, stranger):
    """Home again after a hop elsewhere, the token is there again."""
    acme = await scene.acme()
    home = leading(stranger.make_url("/"), f"{scene.sandbox.url}/v1/whoami")
    async with acme.get(str(leading("/v1", home))) as response:
        assert response.status == 200
        assert (await response.json())["company"] == "acme"
    assert [PRIVATE & {*headers} for headers in stranger.seen] == [set()]


async def test_another_port_and_another_name(scene, stranger):
    """The same host by another port or name is another origin."""
    acme = (await scene.acme()).with_headers(IDENTITY)
    async with acme.get(stranger.make_url("/")) as response:
        assert response.status == 401
    by_name = URL(scene.sandbox.url).with_host("localhost")
    async with acme.get(by_name / "v1/whoami") as response:
        assert response.status == 401
    (call,) = scene.ledger.api_calls
    for headers in (*stranger.seen, call.headers):
        assert not PRIVATE & {*headers}
    assert not scene.ledger.token_requests


def client_at(scene, **hosts):
    """A Client whose provider has these *hosts*."""
    return Client(scene.registration(hosts=hosts), store="memory://")


@pytest.mark.parametrize("which", ["login", "token", "api"])
async def test_no_token_without_tls(scene, which):
    """Http is for loopback; anywhere else it is refused before anything is sent."""
    with pytest.raises(ConfigurationError, match="https"):
        client_at(scene, **{which: "http://api.example"})


@pytest.mark.parametrize("status", [302, 307, 308])
async def test_a_token_request_follows_nobody(scene, whoami, stranger, status):
    """The refresh token goes to the token endpoint, wherever that points."""
    acme = await scene.acme(expired=True)
    away = {"Location": str(stranger.make_url("/"))}
    scene.sandbox.script.add(faults.answer(b"", status=status, headers=away))
    with pytest.raises(TemporarilyUnavailable):
        await whoami(acme)
    assert not stranger.seen
