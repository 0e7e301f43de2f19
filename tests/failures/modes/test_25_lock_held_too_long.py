"""Mode 25: a lock is held during API calls, or a database while somebody is asked.

Promised: the lease is for the refresh alone and is over before the call goes out; no
transaction and no connection is held while the token endpoint is asked; and whoever
waits, for a holder or for an answer, is told in time how long to wait.
"""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing

import aiohttp
import asyncpg
import pytest
from redis.asyncio import Redis

from everbearer import TemporarilyUnavailable, Timing
from everbearer.events import SavedLate
from everbearer.sandbox import faults
from everbearer.stores import Asked, Keyring, SqliteStore
from everbearer.stores.postgres import PostgresStore
from everbearer.stores.redis import RedisStore
from everbearer.tokens import AccountKey

pytestmark = pytest.mark.asyncio

ACME = AccountKey("billit", "acme")


async def test_a_slow_call_holds_no_lease(scene, whoami):
    """While it is out, after its refresh, another process refreshes and disconnects."""
    sent, go_on = asyncio.Event(), asyncio.Event()

    async def held(request, handler):
        sent.set()
        await go_on.wait()
        return await handler(request)

    async with aiohttp.ClientSession(middlewares=(held,)) as session:
        timing = Timing(lease=5.0)
        acme = await scene.acme(expired=True, session=session, timing=timing)
        slow = asyncio.create_task(whoami(acme))
        await sent.wait()
        assert (await scene.record()).lease is None
        other = await scene.client()
        await other.session("billit", "acme").refresh()
        await other.disconnect("billit", "acme")
        go_on.set()
        assert await slow == "acme"
    assert scene.ledger.refreshes == 2


async def test_a_slow_token_endpoint_holds_no_database(scene, whoami, gate, tmp_path):
    """While it is asked, anybody reads and writes, in the same process and beside."""
    path = tmp_path / "tokens.db"
    scene.store = SqliteStore(path)
    client = await scene.client(hosts=gate.hosts)
    acme = await scene.connect(client, expired=True)
    slow = asyncio.create_task(whoami(acme))
    await scene.until(lambda: gate.asked)
    with closing(sqlite3.connect(path, timeout=0, isolation_level=None)) as beside:
        beside.execute("BEGIN IMMEDIATE")
        beside.execute("ROLLBACK")
    assert await whoami(await scene.connect(client, "other")) == "other"
    gate.opened.set()
    assert await slow == "acme"


class PostgresBeside:
    """A PostgreSQL store with one connection, and who looks at the server."""

    def __init__(self, url):
        self.store = PostgresStore(url, Keyring(Keyring.generate_key()), connections=1)
        self._url = url

    async def held(self):
        """Sessions that are in a transaction or hold a lock, and do nothing."""
        operator = await asyncpg.connect(self._url)
        try:
            return await operator.fetch(
                "SELECT DISTINCT state FROM pg_stat_activity LEFT JOIN pg_locks "
                "USING (pid) WHERE datname = current_database() "
                "AND pid <> pg_backend_pid() AND state <> 'active' "
                "AND (xact_start IS NOT NULL OR locktype IS NOT NULL)"
            )
        finally:
            await operator.close()


class RedisBeside:
    """A Redis store with one connection, and who looks at the server."""

    def __init__(self, url):
        self.store = RedisStore(url, Keyring(Keyring.generate_key()), connections=1)
        self._url = url

    async def held(self):
        """Clients in the middle of a transaction, or that watch a key."""
        async with Redis.from_url(self._url) as operator:
            clients = await operator.client_list()
        return [each for each in clients if each["multi"] != "-1"]


@pytest.fixture(params=["postgres", "redis"])
def beside(request):
    """The store of each kind on a server, and what is seen there."""
    kinds = {"postgres": PostgresBeside, "redis": RedisBeside}
    url = request.getfixturevalue(f"{request.param}_database")
    return kinds[request.param](url)


async def test_a_slow_token_endpoint_holds_no_connection(scene, whoami, gate, beside):
    """Two refreshes are out over one connection, and others' calls go on."""
    scene.store = beside.store
    client = await scene.client(hosts=gate.hosts)
    slow = []
    for name in ("acme", "other"):
        session = await scene.connect(client, name, expired=True)
        slow.append(asyncio.create_task(whoami(session)))
    async with asyncio.timeout(10):
        await scene.until(lambda: gate.asked == len(slow))
        for _ in range(10):  # For longer than a lease is held without being renewed.
            assert await beside.held() == []
            await asyncio.sleep(0.05)
        assert await whoami(await scene.connect(client, "third")) == "third"
        gate.opened.set()
        assert await asyncio.gather(*slow) == ["acme", "other"]


async def test_a_holder_that_never_ends(scene, whoami):
    """It is waited for as long as was said; nobody refreshes without the lease."""
    timing = Timing(lease=0.2, deadline=0.3, linger=0.2, grace=0.1)
    acme = await scene.acme(expired=True, timing=timing)
    holder = Asked("a flight", "another process", 3600.0)
    assert (await scene.store.acquire(ACME, holder)).granted
    async with asyncio.timeout(5):
        with pytest.raises(TemporarilyUnavailable) as caught:
            await whoami(acme)
    assert caught.value.retry_after > 0
    assert not scene.ledger.token_requests


async def test_an_answer_that_does_not_come(scene, whoami):
    """Callers are freed at the deadline; the answer is kept if it comes after all."""
    timing = Timing(lease=5.0, deadline=0.2, linger=1.0, grace=0.9, back_off=0.1)
    acme = await scene.acme(expired=True, timing=timing)
    scene.sandbox.script.add(faults.slow(0.6))
    callers = [asyncio.create_task(whoami(acme)) for _ in range(20)]
    outcomes = await asyncio.gather(*callers, return_exceptions=True)
    assert {type(outcome) for outcome in outcomes} == {TemporarilyUnavailable}
    assert min(outcome.retry_after for outcome in outcomes) > 0
    await scene.until(lambda: scene.told(SavedLate))
    assert await whoami(acme) == "acme"
    assert len(scene.ledger.token_requests) == 1
