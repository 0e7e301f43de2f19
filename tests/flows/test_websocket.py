"""WebSockets: a handshake that the caller never sees refused."""

from __future__ import annotations

import asyncio

import aiohttp
import pytest
from yarl import URL

from everbearer import AuthorizationRequired, TemporarilyUnavailable
from everbearer.sandbox import faults

pytestmark = pytest.mark.asyncio


async def said(client, **options):
    """Open a WebSocket as acme, and have a word sent back."""
    session = client.session("billit", "acme")
    async with session.ws_connect("/v1/ws", **options) as websocket:
        await websocket.send_str("hello")
        return await websocket.receive_str()


async def handshakes(sandbox, count):
    """Statuses of acme's handshakes; they are noted when they are over."""
    async with asyncio.timeout(5):
        while sandbox.ledger.calls < count:
            await asyncio.sleep(0.005)
    return sorted(each.status for each in sandbox.ledger.api_calls)


async def test_good_token(sandbox, client, connect):
    """One handshake, no refresh."""
    await connect()
    assert await said(client) == "hello"
    assert await handshakes(sandbox, 1) == [101]
    assert sandbox.ledger.refreshes == 0


async def test_expired_token(sandbox, client, connect):
    """What the clock tells is refreshed before the handshake."""
    await connect(expired=True)
    assert await said(client) == "hello"
    assert await handshakes(sandbox, 1) == [101]
    assert (sandbox.ledger.refreshes, sandbox.ledger.reuse) == (1, 0)


@pytest.mark.parametrize("action", ["expire_now", "invalidate_now"])
async def test_rejected_token(sandbox, client, connect, action):
    """A refused handshake costs one refresh, and is tried once more."""
    await connect()
    getattr(sandbox.script, action)("acme")
    assert await said(client) == "hello"
    assert await handshakes(sandbox, 2) == [101, 401]
    assert (sandbox.ledger.refreshes, sandbox.ledger.reuse) == (1, 0)
    # The new token is known to be good.
    assert await said(client) == "hello"
    assert sandbox.ledger.refreshes == 1


async def test_rejected_twice(sandbox, client, connect):
    """The second refusal is the caller's, as aiohttp tells it."""
    await connect()
    sandbox.script.add(faults.refuse(times=None, path="/v1/ws"))
    with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
        await said(client)
    assert caught.value.status == 401
    assert await handshakes(sandbox, 2) == [401, 401]
    assert sandbox.ledger.refreshes == 1


@pytest.mark.parametrize("status", [403, 404, 500, 503])
async def test_refused_for_another_reason(sandbox, client, connect, status):
    """What is not about the token is not tried again, and spends nothing."""
    await connect()
    sandbox.script.add(faults.api_status(status, times=None))
    with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
        await said(client)
    assert caught.value.status == status
    assert await handshakes(sandbox, 1) == [status]
    assert not sandbox.ledger.token_requests


async def test_revoked_grant(sandbox, client, connect):
    """The user has to act, and is asked to."""
    await connect()
    sandbox.script.revoke("acme")
    with pytest.raises(AuthorizationRequired):
        await said(client)
    assert (sandbox.ledger.reuse, sandbox.ledger.lost_grants) == (0, 0)


async def test_token_endpoint_down(sandbox, client, connect):
    """No token to be had: the typed error, with a time to wait."""
    await connect(expired=True)
    sandbox.script.add(faults.spell(retry_after=7))
    with pytest.raises(TemporarilyUnavailable) as caught:
        await said(client)
    assert caught.value.retry_after > 0
    assert sandbox.ledger.calls == 0


async def test_many_at_the_same_time(sandbox, client, connect):
    """Twenty handshakes on one dead token make one refresh."""
    await connect()
    sandbox.script.expire_now("acme")
    assert await asyncio.gather(*(said(client) for _ in range(20))) == ["hello"] * 20
    assert await handshakes(sandbox, 40) == [101] * 20 + [401] * 20
    assert (sandbox.ledger.refreshes, sandbox.ledger.reuse) == (1, 0)


async def test_with_calls_at_the_same_time(sandbox, client, connect):
    """Handshakes and calls share one refresh."""
    await connect()
    sandbox.script.expire_now("acme")
    session = client.session("billit", "acme")

    async def call():
        async with session.get("/v1/whoami") as response:
            return response.status

    answers = await asyncio.gather(said(client), call(), said(client), call())
    assert answers == ["hello", 200, "hello", 200]
    assert sandbox.ledger.refreshes == 1


async def test_identity_headers(sandbox, client, connect):
    """The view's headers are in both handshakes; one of the call's own wins."""
    await connect()
    sandbox.script.expire_now("acme")
    acme = client.session("billit", "acme").with_headers({"PartyID": "4711"})
    async with acme.ws_connect("/v1/ws", headers={"ContextPartyID": "12"}):
        pass
    async with acme.ws_connect("/v1/ws", headers={"PartyID": "8"}):
        pass
    await handshakes(sandbox, 3)
    calls = sandbox.ledger.api_calls
    assert [each.party_id for each in calls] == ["4711", "4711", "8"]
    assert [each.headers.get("ContextPartyID") for each in calls] == ["12", "12", None]


@pytest.mark.parametrize("scheme", ["http", "ws"])
async def test_absolute_url(sandbox, client, connect, scheme):
    """The API's origin by either scheme is the API."""
    await connect()
    url = URL(sandbox.url).with_scheme(scheme).with_port(URL(sandbox.url).port)
    async with client.session("billit", "acme").ws_connect(url / "v1/ws") as websocket:
        await websocket.send_str("hello")
        assert await websocket.receive_str() == "hello"


async def test_foreign_url(sandbox, client, connect):
    """Another origin gets a plain handshake, and its answer refreshes nothing."""
    await connect(expired=True)
    acme = client.session("billit", "acme").with_headers({"PartyID": "4711"})
    with pytest.raises(aiohttp.WSServerHandshakeError):
        await acme.ws_connect(f"{sandbox.other_origin}/ws")
    (seen,) = sandbox.ledger.other_origin
    assert not {"Authorization", "PartyID"} & set(seen.headers)
    assert not sandbox.ledger.token_requests


REDIRECTED = pytest.mark.parametrize("status", [301, 302, 303, 307, 308])


async def redirected(sandbox, acme, status):
    """Names of the headers that another origin got by a redirected handshake."""
    query = {"to": f"{sandbox.other_origin}/ws", "status": status}
    url = URL(f"{sandbox.url}/v1/redirect").with_query(query)
    with pytest.raises(aiohttp.WSServerHandshakeError):
        await acme.ws_connect(url)
    return {name for seen in sandbox.ledger.other_origin for name in seen.headers}


@REDIRECTED
async def test_redirected_handshake(sandbox, client, connect, status):
    """A handshake that is sent elsewhere does not take the token along."""
    await connect()
    acme = client.session("billit", "acme")
    assert "Authorization" not in await redirected(sandbox, acme, status)


@REDIRECTED
async def test_redirected_identity(sandbox, client, connect, status):
    """Nor does it take the identity headers along."""
    await connect()
    acme = client.session("billit", "acme").with_headers({"PartyID": "4711"})
    assert "PartyID" not in await redirected(sandbox, acme, status)


async def test_bare_401(sandbox, client, connect):
    """Billit's "not yours" refuses a handshake without costing a refresh."""
    await connect()
    with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
        await client.session("billit", "acme").ws_connect("/v1/forbidden")
    assert caught.value.status == 401
    assert not sandbox.ledger.token_requests


@pytest.mark.parametrize("how", ["client_session", "middleware"])
async def test_other_sessions(sandbox, client, connect, how):
    """A ws_connect of aiohttp's own refreshes too, through the middleware."""
    await connect()
    acme = client.session("billit", "acme")
    session = (
        acme.client_session()
        if how == "client_session"
        else aiohttp.ClientSession(sandbox.url, middlewares=(acme.middleware,))
    )
    async with session:
        # A second time at once: a handshake that worked is proof of a good token.
        for _ in range(2):
            sandbox.script.expire_now("acme")
            async with session.ws_connect("/v1/ws") as websocket:
                await websocket.send_str("hello")
                assert await websocket.receive_str() == "hello"
    assert await handshakes(sandbox, 4) == [101, 101, 401, 401]
    assert (sandbox.ledger.refreshes, sandbox.ledger.reuse) == (2, 0)
