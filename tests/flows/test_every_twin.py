"""The same things hold for every provider that is described and has a twin."""

from __future__ import annotations

import asyncio

import pytest
import pytest_asyncio
from attrs import define

from everbearer import (
    AuthorizationRequired,
    CallbackError,
    Client,
    Registration,
    TemporarilyUnavailable,
    Timing,
    providers,
)
from everbearer.providers import Provider, standard_provider
from everbearer.sandbox import PROVIDERS, Sandbox, faults
from everbearer.stores import MemoryStore

pytestmark = [
    pytest.mark.asyncio,
    pytest.mark.filterwarnings("ignore:a refresh token was rotated in a memory"),
]

CALLBACK = "https://app.example/callback"
TIMING = Timing(
    lease=0.6, deadline=1.0, linger=1.0, grace=0.3, connect=1.0, back_off=0.1
)
DESCRIBED = {
    each.name: each for each in vars(providers).values() if isinstance(each, Provider)
}
PLAYED = [name for name in PROVIDERS if name in DESCRIBED or name == "standard"]


def described(sandbox):
    """The description, at the sandbox."""
    if sandbox.provider in DESCRIBED:
        return DESCRIBED[sandbox.provider].with_hosts(
            login=sandbox.login_url, token=sandbox.token_url, api=sandbox.api_url
        )
    return standard_provider(
        sandbox.provider,
        authorize_url=f"{sandbox.login_url}/authorize",
        token_url=f"{sandbox.token_url}/token",
        api_base=sandbox.api_url,
    )


@define
class World:
    """A Client and a sandbox on one clock."""

    sandbox: Sandbox
    client: Client
    clock: object
    name: str

    async def connected(self):
        """A session of an account that was connected by the login page."""
        request = await self.client.authorization.start(self.name, "acme")
        callback = await self.sandbox.approve(request.url, "acme")
        await self.client.authorization.finish(callback, state=request.state)
        return self.client.session(self.name, "acme")

    @property
    def evidence(self):
        """Refreshes, reuse, last resorts and lost grants."""
        ledger = self.sandbox.ledger
        return ledger.refreshes, ledger.reuse, ledger.last_resort, ledger.lost_grants


@pytest_asyncio.fixture(name="world", params=PLAYED)
async def _world(request, shifted_clock):
    """Each provider in turn, with the defaults of its document."""
    async with Sandbox(
        request.param, clock=shifted_clock.wall, orders_per_account=30
    ) as sandbox:
        settings = sandbox.settings
        registration = Registration(
            described(sandbox), settings.client_id, settings.client_secret, CALLBACK
        )
        async with Client(
            registration,
            store=MemoryStore(shifted_clock),
            timing=TIMING,
            _clock=shifted_clock,
        ) as client:
            yield World(sandbox, client, shifted_clock, request.param)


async def test_connect_and_call(world):
    """The login page, the callback, and the documented list."""
    session = await world.connected()
    async with session.get(world.sandbox.documents_path) as response:
        assert response.status == 200
        assert await response.json()
    assert world.sandbox.ledger.exchanges == 1
    assert world.evidence == (0, 0, 0, 0)
    assert (await session.status()).standing == "connected"


async def test_denial(world):
    """A user who says no is a CallbackError, and costs no token request."""
    request = await world.client.authorization.start(world.name, "acme")
    callback = await world.sandbox.deny(request.url)
    with pytest.raises(CallbackError) as caught:
        await world.client.authorization.finish(callback, state=request.state)
    assert caught.value.code == "access_denied"
    assert not world.sandbox.ledger.token_requests


async def test_expired_by_the_clock(world):
    """Past its lifetime a token is replaced before anybody sends it."""
    session = await world.connected()
    world.clock.ahead += world.sandbox.settings.access_lifetime + 1
    async with session.get("/v1/whoami") as response:
        assert (await response.json())["token_generation"] == 1
    assert world.sandbox.ledger.unauthorized == 0
    assert world.evidence == (1, 0, 0, 0)


@pytest.mark.parametrize("what", ["expire_now", "invalidate_now"])
async def test_rejected_before_its_time(world, what):
    """The provider's own signal is understood, and the body sent again, whole."""
    session = await world.connected()
    async with session.get("/v1/whoami") as response:
        assert response.status == 200
    getattr(world.sandbox.script, what)("acme")
    async with session.post("/v1/echo", data=b"x" * 100_000) as response:
        assert (await response.json())["length"] == 100_000
    assert world.sandbox.ledger.refused == 1
    assert world.evidence == (1, 0, 0, 0)


async def test_a_hundred_callers(world):
    """One refresh for all who notice at once."""
    session = await world.connected()
    async with session.get("/v1/whoami") as response:
        assert response.status == 200
    world.sandbox.script.expire_now("acme")

    async def call():
        async with session.get("/v1/whoami") as response:
            return (await response.json())["token_generation"]

    assert await asyncio.gather(*(call() for _ in range(100))) == [1] * 100
    assert world.evidence == (1, 0, 0, 0)
    assert world.sandbox.ledger.max_concurrency == 1


async def test_ten_refreshes(world):
    """However a provider rotates, each refresh builds on the one before."""
    session = await world.connected()
    for number in range(1, 11):
        world.clock.ahead += world.sandbox.settings.access_lifetime + 1
        async with session.get("/v1/whoami") as response:
            assert (await response.json())["token_generation"] == number
    assert world.evidence == (10, 0, 0, 0)


async def test_revoked(world):
    """A grant that the user ended is the user's to renew, as soon as that is known."""
    session = await world.connected()
    world.sandbox.script.revoke("acme")
    # One document has the same answer for a dead token and a wrong client.
    with pytest.raises((AuthorizationRequired, TemporarilyUnavailable)):
        await session.get("/v1/whoami")
    assert world.sandbox.ledger.reuse == 0


async def test_throttled(world):
    """A token endpoint that asks to wait is asked again, and nothing is lost."""
    session = await world.connected()
    world.sandbox.script.add(faults.status(503, retry_after=1))
    world.clock.ahead += world.sandbox.settings.access_lifetime + 1
    with pytest.raises(TemporarilyUnavailable) as caught:
        await session.get("/v1/whoami")
    world.clock.ahead += caught.value.retry_after + 1
    async with session.get("/v1/whoami") as response:
        assert response.status == 200
    assert world.evidence == (1, 0, 0, 0)


async def test_foreign_redirect(world):
    """The token stays at home."""
    session = await world.connected()
    query = {"to": f"{world.sandbox.other_origin}/", "status": "307"}
    async with session.get("/v1/redirect", params=query) as response:
        assert await response.json() == {"origin": "other"}
    (arrived,) = world.sandbox.ledger.other_origin
    assert "Authorization" not in arrived.headers


async def test_not_about_the_token(world):
    """A bare 401 costs one refresh at most, and comes back to the caller."""
    session = await world.connected()
    async with session.get("/v1/forbidden") as response:
        assert response.status == 401
    assert world.sandbox.ledger.refreshes <= 1
    assert world.sandbox.ledger.reuse == 0


async def test_websocket(world):
    """A handshake carries the token, and one that is refused is tried again."""
    session = await world.connected()
    async with session.get("/v1/whoami") as response:
        assert response.status == 200
    world.sandbox.script.expire_now("acme")
    async with session.ws_connect("/v1/ws") as socket:
        await socket.send_str("hello")
        assert await socket.receive_str() == "hello"
    assert world.evidence == (1, 0, 0, 0)
