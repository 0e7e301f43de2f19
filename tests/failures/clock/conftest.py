"""Hosts whose dates are wrong, or are set, and a provider that knows the time."""

from __future__ import annotations

import pytest
import pytest_asyncio
from attrs import define

from everbearer import Client, Registration, Timing, Token
from everbearer._clock import SystemClock, instant
from everbearer.providers import BILLIT
from everbearer.sandbox import Sandbox
from everbearer.stores import MemoryStore

TIMING = Timing(back_off=0.1)


class TrueTime(SystemClock):
    """What time it really is.

    Attributes:
        passed: Seconds that a test lets pass at once.
    """

    passed = 0.0

    def wall(self):
        return super().wall() + self.passed

    def elapsed(self):
        return super().elapsed() + self.passed


@define(eq=False)
class Host:
    """A machine that counts seconds rightly and whose date is *off*."""

    true: TrueTime
    off: float = 0.0

    def wall(self):
        return self.true.wall() + self.off

    def elapsed(self):
        return self.true.elapsed()

    def boot(self):
        return "boot"


@define(eq=False)
class World:
    """The true time, the provider, and one store."""

    true: TrueTime
    sandbox: Sandbox
    store: object

    def host(self, off=0.0):
        """A host whose date is *off* by so many seconds."""
        return Host(self.true, off)

    def client(self, host, store=None):
        """A Client in a new process of *host*."""
        sandbox = self.sandbox
        registration = Registration(
            BILLIT.with_hosts(sandbox.url, sandbox.url, sandbox.url),
            sandbox.settings.client_id,
            sandbox.settings.client_secret,
            "https://app.example/callback",
        )
        return Client(
            registration, store=store or self.store, timing=TIMING, _clock=host
        )

    async def connect(self, client, *, lived=0.0):
        """Store a grant whose access token has *lived* so long, ends as they are."""
        pair = self.sandbox.issue("acme")
        ends = instant(self.true.wall() + pair.expires_in - lived)
        await client.adopt(
            "billit", "acme", Token(pair.access_token, pair.refresh_token, ends)
        )
        return pair

    async def left(self, client):
        """Seconds from now to what is stored as the end of the access token."""
        status = await client.session("billit", "acme").status()
        return status.expires_at.timestamp() - self.true.wall()


class Undated(Sandbox):
    """A provider that sends no date that helps: nobody corrects a wrong host."""

    async def _date(self, _, response):
        response.headers["Date"] = "-"


async def _provided(kind):
    true = TrueTime()
    async with kind(clock=true.wall) as sandbox:
        yield World(true, sandbox, MemoryStore(true))


@pytest_asyncio.fixture(name="world")
async def _world():
    async for world in _provided(Sandbox):
        yield world


@pytest_asyncio.fixture(name="undated")
async def _undated():
    async for world in _provided(Undated):
        yield world


@pytest.fixture(name="whoami")
def _whoami():
    async def whoami(client):
        """One call of the API; its status."""
        async with client.session("billit", "acme").get("/v1/orders") as response:
            return response.status

    return whoami
