"""Behind a pooler in transaction mode: what a session keeps is not there."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import asyncpg
import pytest
import pytest_asyncio

from everbearer.errors import StoreError
from everbearer.stores import Keyring, Settlement, _postgres_connections
from everbearer.stores.postgres import PostgresStore

pytestmark = [pytest.mark.asyncio, pytest.mark.timeout(60)]

KEY = Keyring.generate_key()


@pytest_asyncio.fixture(name="opened")
async def _opened(pooler):
    """Stores of so many processes."""
    async with AsyncExitStack() as stack:

        async def opened(count=1, **options):
            stores = [
                PostgresStore(pooler.url, Keyring([KEY]), **options)
                for _ in range(count)
            ]
            for store in stores:
                await store.open()
                stack.push_async_callback(store.aclose)
            return stores

        yield opened


@pytest.fixture(name="hurried")
def _hurried(monkeypatch):
    """Whoever hears nothing notices soon, and tries again soon."""
    monkeypatch.setattr(_postgres_connections, "_ECHO", 0.1)
    monkeypatch.setattr(_postgres_connections, "_DEAF", (0.1, 0.2))


async def test_everything_is_kept_and_given_to_one(opened, make):
    """Processes that share it take turns, whatever connection each transaction gets."""
    stores = await opened(4, prepared=False)
    connected = await stores[0].put(make.key, make.grant())
    for number in range(5):
        asked = [make.asked(f"flight-{n}") for n in range(len(stores))]
        taken = await asyncio.gather(
            *(s.acquire(make.key, a) for s, a in zip(stores, asked, strict=True))
        )
        [winner] = [n for n, each in enumerate(taken) if each.granted]
        record = taken[winner].record
        rotation = make.rotation(record, f"r{number + 1}", f"flight-{winner}")
        await stores[winner].replace(make.key, rotation)
    found = [await store.load(make.key) for store in stores]
    assert {each.token.refresh_token for each in found} == {"r5"}
    assert found[0].version == connected.version + 5
    assert [each async for each in stores[1].list()] == found[:1]
    pending = make.pending()
    await stores[2].put_pending(pending)
    handed = [await s.take_pending(pending.state_fingerprint) for s in stores]
    assert [each.pending for each in handed].count(pending) == 1


async def test_listening_is_not_believed_before_anything_is_heard(
    opened, make, hurried
):
    """LISTEN succeeds and nothing is heard: who waits looks, and is done in time."""
    writer, waiter = await opened(2, prepared=False)
    record = await writer.put(make.key, make.grant())
    (connections,) = waiter._open.values()
    voices = set()
    async with asyncio.timeout(20):
        while len(voices) < 4:  # Several times it has told itself in vain.
            assert not connections.listening
            voices.add(connections._echo[0])
            await asyncio.sleep(0.01)
        waiting = asyncio.create_task(waiter.changed(make.key, record, 30.0))
        await asyncio.sleep(0.1)
        await writer.replace(make.key, make.rotation(record))
        await waiting
    assert not connections.listening


async def test_who_forgets_to_say_so_is_told_what_to_do(opened, make):
    """A prepared statement that another client has, or that is elsewhere."""

    async def until_refused():
        stores = await opened(3)
        for _ in range(50):
            writing = (store.put(make.key, make.grant()) for store in stores)
            for each in await asyncio.gather(*writing, return_exceptions=True):
                if isinstance(each, Exception):
                    raise each

    with pytest.raises(StoreError, match=r"prepared=False") as raised:
        await until_refused()
    assert raised.value.__context__ is None


async def test_a_lease_survives_the_switching(opened, make):
    """It is in the record, and in no session."""
    one, other = await opened(2, prepared=False)
    await one.put(make.key, make.grant())
    await one.acquire(make.key, make.asked("flight-a"))
    for _ in range(5):
        assert not (await other.acquire(make.key, make.asked("flight-b"))).granted
    await one.release(make.key, make.asked("flight-a"), Settlement())
    assert (await other.acquire(make.key, make.asked("flight-b"))).granted


async def test_the_pooler_is_one(pooler):
    """What this file rests on: sessions are mixed, transactions are not."""
    clients = [
        await asyncpg.connect(pooler.url, statement_cache_size=0) for _ in range(5)
    ]
    asking = [
        each.fetchval("SELECT pg_backend_pid() FROM pg_sleep(0.05)") for each in clients
    ]
    assert 1 < len(set(await asyncio.gather(*asking))) < len(clients)
    async with clients[0].transaction():
        first = await clients[0].fetchval("SELECT pg_backend_pid()")
        for _ in range(5):
            assert await clients[0].fetchval("SELECT pg_backend_pid()") == first
    heard = []
    await clients[1].add_listener("told", lambda *told: heard.append(told))
    for _ in range(10):
        await clients[2].execute("NOTIFY told")
    await asyncio.sleep(0.1)
    assert heard == []
    for client in clients:
        await client.close()
