"""Mode 4: the lease runs out while the token request is out, and is released blindly.

Promised: it is renewed at a third of its term for as long as its holder lives; its id
is random for each flight, and only that flight gives it back.  Without it nothing is
sent; whoever loses it after sending saves by compare and swap, so that the answer is
kept and nobody's lease is touched.
"""

from __future__ import annotations

import asyncio

import pytest

from everbearer import StoreError, Timing

pytestmark = pytest.mark.asyncio


@pytest.fixture
def timing():
    """A lease of which several terms pass while the token endpoint thinks."""
    return Timing(
        lease=0.3, deadline=3.0, linger=3.0, grace=0.3, connect=1.0, back_off=0.05
    )


@pytest.fixture
def key(client):
    """Whose record it is."""
    return client.session("billit", "acme").key


async def test_a_lease_lives_as_long_as_its_holder(
    sandbox, client, store, another, shared, key, connect, call
) -> None:
    """An answer after three terms finds the lease where it was, and nobody between."""
    await connect(expired=True)
    sandbox.settings.token_delay = 1.0
    led = []

    async def look():
        led.append((await shared.load(key)).lease.holder)

    store.before["replace"] = look
    first = asyncio.create_task(call(client))
    async with asyncio.timeout(10):
        while (await shared.load(key)).lease is None:
            await asyncio.sleep(0.005)
    assert await call(await another()) == "acme"
    assert await first == "acme"
    assert led == [client._refresher.holder]
    assert store.asked["renew"] >= 3
    assert len(sandbox.ledger.token_requests) == 1


async def test_who_lost_the_lease_saves_and_does_not_release(
    sandbox, client, store, another, new_way, shared, key, connect, call, until
) -> None:
    """Cut off, its answer is stored by version, under the next holder's lease."""
    await connect(expired=True)
    taken_over, go_on = asyncio.Event(), asyncio.Event()
    store.before["replace"] = taken_over.wait
    first = asyncio.create_task(call(client))
    await until(lambda: store.asked["replace"])
    store.cut.add("renew")
    way = new_way()
    other = await another(way)
    second = asyncio.create_task(call(other))
    await until(lambda: way.asked["renew"])  # So it holds the lease.
    way.before["load"] = go_on.wait
    taken_over.set()
    assert await first == "acme"
    record = await shared.load(key)
    assert record.version == 2
    assert record.lease.holder == other._refresher.holder
    go_on.set()
    assert await second == "acme"
    assert len(sandbox.ledger.token_requests) == 1


async def test_each_flight_has_a_lease_of_its_own(
    client, store, shared, key, connect
) -> None:
    """Two flights of one process cannot be taken for one another."""
    await connect()
    ids = set()

    async def look():
        ids.add((await shared.load(key)).lease.id)

    for _ in range(3):
        store.before["replace"] = look
        await client.session("billit", "acme").refresh()
    assert len(ids) == 3


async def test_a_lease_that_is_nearly_over_sends_nothing(
    sandbox, client, store, connect, call
) -> None:
    """The store took long to grant it and does not prolong it: the token stays."""
    await connect(expired=True)
    store.cut.add("renew")
    store.before["acquire"] = lambda: asyncio.sleep(0.24)
    with pytest.raises(StoreError):
        await call(client)
    assert len(sandbox.ledger.token_requests) == 0
    store.cut.clear()
    assert await call(client) == "acme"
    assert len(sandbox.ledger.token_requests) == 1
