"""Mode 9: the caller is cancelled, and with it the refresh whose token it has spent.

Promised: a refresh is a task of its own, from the request to the save.  Callers leave
one by one, without harm to those that stay or come later; closing waits for it, for a
bounded time.
"""

from __future__ import annotations

import asyncio
import gc

import pytest

from everbearer import Client
from everbearer.events import FlightAbandoned

pytestmark = pytest.mark.asyncio


async def leave(callers) -> None:
    """Cancel *callers*, and wait until they are gone."""
    for caller in callers:
        caller.cancel()
    outcomes = await asyncio.gather(*callers, return_exceptions=True)
    assert {type(outcome) for outcome in outcomes} == {asyncio.CancelledError}


async def test_those_who_stay_are_served(sandbox, client, connect, call, until) -> None:
    """The caller that began it leaves, and others too: no one else notices."""
    await connect(expired=True)
    sandbox.settings.token_delay = 0.2
    callers = [asyncio.create_task(call(client)) for _ in range(10)]
    await until(lambda: sandbox.ledger.max_concurrency)
    await leave(callers[::2])
    assert await asyncio.gather(*callers[1::2]) == ["acme"] * 5
    assert await call(client) == "acme"
    assert len(sandbox.ledger.token_requests) == 1


async def test_a_flight_without_callers_is_stored(
    sandbox, client, store, connect, call, until
) -> None:
    """Everybody has left when the answer comes: the next caller has its token."""
    await connect(expired=True)
    sandbox.settings.token_delay = 0.2
    callers = [asyncio.create_task(call(client)) for _ in range(3)]
    await until(lambda: sandbox.ledger.max_concurrency)
    await leave(callers)
    del callers
    gc.collect()
    await until(lambda: store.asked["replace"])
    assert await call(client) == "acme"
    assert len(sandbox.ledger.token_requests) == 1


async def test_closing_waits_for_a_flight_without_callers(
    sandbox, registration, new_way, timing, another, connect, call, until
) -> None:
    """A program that ends in mid-refresh leaves the successor in the store."""
    await connect(expired=True)
    sandbox.settings.token_delay = 0.2
    async with Client(registration, store=new_way(), timing=timing) as short:
        caller = asyncio.create_task(call(short))
        await until(lambda: sandbox.ledger.max_concurrency)
        await leave([caller])
    assert await call(await another()) == "acme"
    assert len(sandbox.ledger.token_requests) == 1


async def test_closing_waits_so_long_and_no_longer(
    sandbox, client, shared, connect, call, until, events
) -> None:
    """What is given up is told, and its intent tells the next process."""
    await connect(expired=True)
    sandbox.settings.token_delay = 0.3
    caller = asyncio.create_task(call(client))
    await until(lambda: sandbox.ledger.max_concurrency)
    await leave([caller])
    holder = client._refresher.holder
    with pytest.warns(ResourceWarning, match="their intents are in the store"):
        await client.aclose(within=0.05)
    assert any(isinstance(event, FlightAbandoned) for event in events)
    record = await shared.load(client.session("billit", "acme").key)
    assert record.live_intent.holder == holder
