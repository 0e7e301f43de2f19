"""Clients that share a store like processes do, each with its own way to it."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import AsyncExitStack

import pytest
import pytest_asyncio
from tests._servers import postgres_store, redis_store

from everbearer import Client, StoreError, TemporarilyUnavailable, Timing
from everbearer.stores import MemoryStore

# Those whose promise rests on what the store does; mode 3 is in tests/processes.
RESTS_ON_THE_STORE = (4, 5, 6, 7, 8, 11, 12, 16)

OF_A_FLIGHT = {"load", "acquire", "renew", "release", "replace", "refuse", "changed"}


class Way:
    """One process's way to the store: watched, interrupted, or cut.

    Attributes:
        asked: How often each method was called.

        before: What to await before a method's next call, by its name; once.

        cut: Names of methods that fail.
    """

    def __init__(self, store):
        self._store = store
        self.asked = Counter()
        self.before = {}
        self.cut = set()

    async def aclose(self):
        """Others go there too."""

    def __getattr__(self, name):
        if name == "spill_home":  # As in memory: a test says where spills go.
            raise AttributeError(name)
        method = getattr(self._store, name)
        if name not in OF_A_FLIGHT:
            return method

        async def watched(*arguments, **options):
            self.asked[name] += 1
            if (interrupt := self.before.pop(name, None)) is not None:
                await interrupt()
            if name in self.cut:
                raise StoreError("the store cannot be reached")
            return await method(*arguments, **options)

        return watched


@pytest.fixture
def timing():
    """Deadlines that a slow machine keeps, and a lease that a test can outlive."""
    return Timing(
        lease=0.3, deadline=5.0, linger=5.0, grace=0.2, connect=5.0, back_off=0.05
    )


@pytest.fixture
def short_timing():
    """The same with deadlines and a grace that a test can wait for; D + G > X."""
    return Timing(
        lease=0.3, deadline=0.6, linger=0.5, grace=0.2, connect=0.5, back_off=0.05
    )


def _memory(request, clock):
    return MemoryStore(clock)


_MAKERS = {"memory": _memory, "postgres": postgres_store, "redis": redis_store}


def pytest_generate_tests(metafunc):
    """Give each test of `RESTS_ON_THE_STORE` every store."""
    if "shared" in metafunc.fixturenames:
        number = int(metafunc.module.__name__.rpartition("test_")[2][:2])
        over = _MAKERS if number in RESTS_ON_THE_STORE else ["memory"]
        metafunc.parametrize("shared", over, indirect=True)


@pytest_asyncio.fixture
async def shared(request, shifted_clock):
    """The store that all processes share."""
    store = _MAKERS[request.param](request, shifted_clock)
    await store.open()
    yield store
    await store.aclose()


@pytest.fixture
def new_way(shared):
    """Make a way to the shared store."""
    return lambda: Way(shared)


@pytest.fixture
def store(new_way):
    """The way of the first Client, `client`."""
    return new_way()


@pytest_asyncio.fixture
async def another(registration, new_way, timing):
    """Open one more Client: another process, as far as the store can tell."""
    async with AsyncExitStack() as clients:

        async def opened(store=None, registered=registration, **options):
            new = Client(
                registered, store=store or new_way(), **{"timing": timing, **options}
            )
            return await clients.enter_async_context(new)

        yield opened


@pytest.fixture
def call():
    """Call the API; the company that it was answered for."""

    async def called(client, account="acme", **options):
        session = client.session("billit", account)
        answer = session.get("/v1/whoami", raise_for_status=True, **options)
        async with answer as response:
            return (await response.json())["company"]

    return called


@pytest.fixture
def call_patiently(call):
    """Call, and wait for as long as one is told to."""

    async def called(client, account="acme"):
        while True:
            try:
                return await call(client, account)
            except TemporarilyUnavailable as wait:
                await asyncio.sleep(max(0.01, wait.retry_after))

    return called


@pytest.fixture
def until():
    """Wait for evidence."""

    async def seen(condition):
        async with asyncio.timeout(10):
            while not condition():
                await asyncio.sleep(0.01)

    return seen
