"""What modes 14 to 25 happen in: a sandbox, and Clients that are processes of it."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import pytest_asyncio
from aiohttp import ClientSession, web
from aiohttp.test_utils import TestServer
from attrs import define, evolve, field

from everbearer import Client, Timing, Token
from everbearer._clock import SystemClock, instant
from everbearer.providers import BILLIT
from everbearer.sandbox import Sandbox
from everbearer.stores import MemoryStore
from everbearer.testing import registration_at
from everbearer.tokens import AccountKey

# Short enough for tests, and still D + G > X.
TIMING = Timing(
    lease=0.6, deadline=1.0, linger=1.0, grace=0.1, connect=1.0, back_off=0.1
)


@define(eq=False)
class Scene:
    """One store, and Clients on it that behave like as many processes.

    Attributes:
        sandbox: Billit; `ledger` is its evidence.

        clock: Of all of them, to be moved ahead.

        events: What the Clients told their hooks.
    """

    sandbox: Sandbox
    clock: object
    store: object = field(factory=MemoryStore)
    events: list = field(factory=list)
    _clients: AsyncExitStack = field(factory=AsyncExitStack)

    @property
    def ledger(self):
        return self.sandbox.ledger

    def registration(self, hosts=None, **provider):
        """The one that the sandbox knows, with these members of Billit changed."""
        at = registration_at(self.sandbox, evolve(BILLIT, **provider))
        return evolve(at, provider=at.provider.with_hosts(**(hosts or {})))

    async def client(self, store=None, *, session=None, timing=TIMING, **provider):
        """One more process."""
        client = Client(
            self.registration(**provider),
            store=store or self.store,
            session=session,
            timing=timing,
            hooks=[self.events.append],
        )
        return await self._clients.enter_async_context(client)

    async def connect(self, client, account="acme", *, expired=False):
        """The session of an account with a grant of the sandbox."""
        pair = self.sandbox.issue(account, access_expired=expired)
        ends = instant(self.sandbox.clock() + (-1.0 if expired else pair.expires_in))
        await client.adopt(
            "billit", account, Token(pair.access_token, pair.refresh_token, ends)
        )
        return client.session("billit", account)

    async def acme(self, *, expired=False, **options):
        """A process with one account."""
        return await self.connect(await self.client(**options), expired=expired)

    async def record(self, account="acme"):
        """What is stored."""
        return await self.store.load(AccountKey("billit", account))

    def told(self, kind):
        """The events of that *kind* so far."""
        return [event for event in self.events if isinstance(event, kind)]

    async def until(self, condition):
        """Wait for evidence, though not for ever."""
        async with asyncio.timeout(10):
            while not condition():
                await asyncio.sleep(0.005)


@pytest_asyncio.fixture(name="scene")
async def _scene(everbearer_clock):
    """See `Scene`."""
    async with Sandbox(clock=SystemClock().wall) as sandbox:
        scene = Scene(sandbox, everbearer_clock)
        async with scene._clients:
            yield scene


@define(eq=False)
class Gate:
    """A token endpoint that passes requests on to the sandbox when it is opened.

    Attributes:
        hosts: What `Provider.with_hosts` needs to know of it.

        asked: How many requests it holds, or has held.
    """

    sandbox: Sandbox
    hosts: dict = field(factory=dict)
    asked: int = 0
    opened: asyncio.Event = field(factory=asyncio.Event)

    async def pass_on(self, request):
        """The sandbox's own answer, in time."""
        self.asked += 1
        await self.opened.wait()
        async with (
            ClientSession() as session,
            session.post(
                f"{self.sandbox.url}{request.path}", json=await request.json()
            ) as answer,
        ):
            return web.json_response(await answer.json(), status=answer.status)


@pytest_asyncio.fixture(name="gate")
async def _gate(scene):
    """See `Gate`."""
    gate = Gate(scene.sandbox)
    application = web.Application()
    application.router.add_post("/{path:.*}", gate.pass_on)
    async with TestServer(application, host="127.0.0.1") as server:
        gate.hosts = {"token": str(server.make_url(""))}
        yield gate
        gate.opened.set()


@pytest_asyncio.fixture(name="whoami")
async def _whoami():
    """Which company the API takes the caller for; an error status raises."""

    async def call(session, **options):
        async with session.get(
            "/v1/whoami", raise_for_status=True, **options
        ) as answer:
            return (await answer.json())["company"]

    return call
