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
import pytest

from everbearer import TemporarilyUnavailable, Timing
from everbearer.events import SavedLate
from everbearer.sandbox import faults
from everbearer.stores import Asked, SqliteStore
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
