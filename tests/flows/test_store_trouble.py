"""A store that fails, or hesitates, in the middle of a refresh."""

from __future__ import annotations

import asyncio

import pytest

from everbearer import Client, StoreError, Timing
from everbearer.events import SavedLate, SaveFailed
from everbearer.stores import MemoryStore

pytestmark = pytest.mark.asyncio

# Short enough for tests, and still D + G > X.
TIMING = Timing(
    lease=0.6, deadline=1.0, linger=1.0, grace=0.3, connect=1.0, back_off=0.1
)


async def whoami(client: Client, account: str = "acme", **options: object) -> str:
    """Which company the API took the caller for."""
    session = client.session("billit", account)
    async with session.get("/v1/whoami", raise_for_status=True, **options) as response:
        return (await response.json())["company"]


class FlakyStore(MemoryStore):
    """A store whose `replace` fails while *down*."""

    down = False

    async def replace(self, key, rotation):
        if self.down:
            raise StoreError("the disk is full")
        return await super().replace(key, rotation)


async def test_a_store_that_fails_at_the_save_loses_nothing(
    sandbox, registration, connect, client, events
) -> None:
    """The token is served from memory, loudly, and stored when the store is back."""
    store = FlakyStore()
    async with Client(
        registration, store=store, timing=TIMING, hooks=[events.append]
    ) as unlucky:
        await connect(to=unlucky, expired=True)
        store.down = True
        assert await whoami(unlucky) == "acme"
        assert any(isinstance(event, SaveFailed) for event in events)
        store.down = False
        while not any(isinstance(event, SavedLate) for event in events):
            await asyncio.sleep(0.01)
    async with Client(registration, store=store, timing=TIMING) as later:
        assert await whoami(later) == "acme"
    assert sandbox.ledger.refreshes == 1
    assert sandbox.ledger.reuse == 0


class UnwritableStore(MemoryStore):
    """A store that can be read and not written."""

    async def acquire(self, key, asked):
        raise StoreError("read-only")


async def test_a_store_that_cannot_be_written_spends_nothing(
    sandbox, registration, connect, client
) -> None:
    """The lease is the proof that the store is writable before anything is spent."""
    async with Client(registration, store=UnwritableStore(), timing=TIMING) as unlucky:
        await connect(to=unlucky, expired=True)
        with pytest.raises(StoreError, match="read-only"):
            await whoami(unlucky)
    assert not sandbox.ledger.token_requests


class HesitantStore(MemoryStore):
    """A store whose `replace` takes its time."""

    def __init__(self) -> None:
        super().__init__()
        self.asked, self.go_on = asyncio.Event(), asyncio.Event()

    async def replace(self, key, rotation):
        self.asked.set()
        await self.go_on.wait()
        return await super().replace(key, rotation)


async def test_nobody_uses_a_rotated_token_before_it_is_stored(
    sandbox, registration, connect
) -> None:
    """A crash between use and save would lose it; so the save comes first."""
    store = HesitantStore()
    async with Client(registration, store=store, timing=TIMING) as careful:
        await connect(to=careful, expired=True)
        calls = [asyncio.create_task(whoami(careful)) for _ in range(10)]
        await store.asked.wait()
        calls.append(asyncio.create_task(whoami(careful)))  # It did not wait so far.
        await asyncio.sleep(0.1)
        assert not any(call.done() for call in calls)
        assert sandbox.ledger.calls == 0
        store.go_on.set()
        assert set(await asyncio.gather(*calls)) == {"acme"}
