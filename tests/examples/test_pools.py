"""The worker pool on a queue: a worker is killed while tokens expire."""

from __future__ import annotations

import os
import signal
from contextlib import AsyncExitStack

import asyncpg
import pytest

from everbearer.sandbox import faults
from everbearer.stores import Keyring

pytestmark = pytest.mark.asyncio

ACCOUNTS = ("acme", "globex", "initech")
EXPECTED = {(each, f"{each}-{n + 1}") for each in ACCOUNTS for n in range(250)}
HELD = 3.0  # seconds that a call of a worker is kept waiting


@pytest.fixture
def store(postgres_database, monkeypatch):
    """A database of the test's own, for the queue, the tokens and the orders."""
    monkeypatch.setenv("EVERBEARER_KEYS", Keyring.generate_key())
    return postgres_database


@pytest.fixture
def pool(environment):
    """The program; its workers take one job at a time and are soon missed."""
    environment |= {
        "EVERBEARER_KEYS": os.environ["EVERBEARER_KEYS"],
        "CONCURRENCY": "1",
        "STALLED_AFTER": "2",
    }
    return "pool_on_postgres.py"


async def synced(store):
    """What the workers have written."""
    connection = await asyncpg.connect(store)
    rows = await connection.fetch("SELECT account, number FROM synced_orders")
    await connection.close()
    return [tuple(row) for row in rows]


async def told(worker, *wanted):
    """Read what a worker prints until all of *wanted* is among it."""
    missing = set(wanted)
    while missing:
        line = await worker.stdout.readline()
        if not line:
            raise AssertionError(missing, (await worker.stderr.read()).decode())
        missing.discard(line.decode().strip())


async def test_a_killed_worker_loses_no_order_and_no_grant(
    store, pool, sandbox, connect, started, examples, run
) -> None:
    """Its job is given to another, which finds the token refreshed, or refreshes."""
    await run(pool, "init")
    for account in ("acme", "globex"):  # the first page passes, the second is held
        sandbox.script.add(faults.api_slow(0, company=account, times=1))
        sandbox.script.add(faults.api_slow(HELD, company=account, times=None))
    async with AsyncExitStack() as workers:

        async def worker():
            return await workers.enter_async_context(started(examples / pool, "work"))

        await connect("acme", good_for=1)
        await run(pool, "enqueue")
        killed = await worker()
        await told(killed, "acme 50")
        await connect("globex", "initech", good_for=1)
        await run(pool, "enqueue")
        other = await worker()
        await told(other, "globex 50")

        killed.send_signal(signal.SIGKILL)
        sandbox.script.clear()
        sandbox.script.expire_now()
        await told(other, *(f"{account} has 250 orders" for account in ACCOUNTS))
        other.send_signal(signal.SIGTERM)
        assert await other.wait() == 0

    rows = await synced(store)
    assert (len(rows), set(rows)) == (750, EXPECTED)
    ledger = sandbox.ledger
    assert (ledger.refreshes, ledger.reuse, ledger.lost_grants) == (5, 0, 0)
