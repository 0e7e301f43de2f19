"""A Client that is closed frees its callers and loses nothing that can be kept."""

from __future__ import annotations

import asyncio

import pytest

from everbearer import Client, StoreError, TemporarilyUnavailable
from everbearer.events import FlightAbandoned, SavedLate
from everbearer.stores import MemoryStore

pytestmark = pytest.mark.asyncio


async def test_a_flight_that_never_began_frees_its_waiters(world):
    """Rule 21: cancelled before its first step, it is over for everybody."""
    await world.connect()
    a = world.process("A")
    flight = a.account.launch()
    with pytest.warns(ResourceWarning, match="1 refresh task"):
        await a.refresher.aclose(0)
    landing = await flight.landed()
    assert isinstance(landing.error, TemporarilyUnavailable)
    assert await a.outcome() == "access-r1"


async def test_a_client_closed_at_once_frees_its_caller(world):
    """Rule 21: the same through the public Client, which can be opened again."""
    client = Client(world.registration(), store=MemoryStore(), _clock=world.time)
    async with client:
        await client.adopt("billit", "acme", world.issuer.pair("r0", lifetime=-1))
        caller = asyncio.create_task(client.session("billit", "acme").access_token())
        await asyncio.sleep(0)
        with pytest.warns(ResourceWarning, match="1 refresh task"):
            await client.aclose(0)
        with pytest.raises(TemporarilyUnavailable, match="closed"):
            await caller


async def test_closing_waits_for_a_late_answer(world):
    """Rule 11: the socket stays until X, also while its Client closes."""
    await world.connect()
    a = world.process("A", {"connect": 9, "process": 1, "answer": 57})
    assert await a.outcome() == "TemporarilyUnavailable"
    await a.refresher.aclose()
    assert a.told(SavedLate)
    assert (await world.record()).token.refresh_token == "r1"


async def test_closing_waits_for_an_unsaved_pair(world):
    """Rule 11: the only one who has the pair goes on trying to save it."""
    await world.connect()
    a = world.process("A")
    a.store.trouble("replace", error=StoreError("busy"))
    assert await a.outcome() == "access-r1"
    closing = world.spawn(a.refresher.aclose())
    await asyncio.sleep(30)
    assert not closing.done()
    a.store.heal()
    await closing
    assert (await world.record()).token.refresh_token == "r1"


async def test_what_closing_gives_up_is_unfinished_for_the_next(world):
    """Rules 3 and 5: the intent stays, and B waits for X before it sends again."""
    await world.connect()
    a, b = world.process("A", {"process": 30}), world.process("B")
    first = a.calls()
    await world.until(lambda: world.sent)
    with pytest.warns(ResourceWarning, match="intents are in the store"):
        await a.refresher.aclose(5)
    assert await first == "TemporarilyUnavailable"
    assert a.told(FlightAbandoned)
    assert (await world.record()).live_intent.holder == "A"
    assert await b.patiently() == "rotation_lost"
    assert world.sent_at[1] - world.sent_at[0] >= b.refresher.timing.linger
