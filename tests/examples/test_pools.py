"""The worker pools on queues: a worker is killed while tokens expire."""

from __future__ import annotations

import os
import signal
from contextlib import AsyncExitStack

import asyncpg
import pytest
from redis.asyncio import Redis

from everbearer.sandbox import faults
from everbearer.stores import Keyring

pytestmark = pytest.mark.asyncio

ACCOUNTS = ("acme", "globex", "initech")
EXPECTED = {(each, f"{each}-{n + 1}") for each in ACCOUNTS for n in range(250)}
HELD = 3.0  # seconds that a call of a worker is kept waiting


@pytest.fixture(name="engine", params=["postgres", "redis"])
def _engine(request):
    """What the queue and the tokens are kept in."""
    return request.param


@pytest.fixture
def store(engine, request, monkeypatch):
    """A database of the test's own, for the queue, the tokens and the orders."""
    monkeypatch.setenv("EVERBEARER_KEYS", Keyring.generate_key())
    return request.getfixturevalue(f"{engine}_database")


@pytest.fixture
def pool(engine, environment):
    """The program; its workers take one job at a time and are soon missed."""
    environment |= {
        "EVERBEARER_KEYS": os.environ["EVERBEARER_KEYS"],
        "CONCURRENCY": "1",
        "STALLED_AFTER": "2",
    }
    return f"pool_on_{engine}.py"


async def synced(engine, store):
    """What the workers have written."""
    if engine == "postgres":
        connection = await asyncpg.connect(store)
        rows = await connection.fetch("SELECT account, number FROM synced_orders")
        await connection.close()
        return [tuple(row) for row in rows]
    async with Redis.from_url(store, decode_responses=True) as database:
        return [
            (account, number)
            for account in ACCOUNTS
            for number in await database.hkeys(f"synced:{account}")
        ]


async def told(worker, *wanted):
    """Read what a worker prints until all of *wanted* is among it."""
    missing = set(wanted)
    while missing:
        line = await worker.stdout.readline()
        if not line:
            raise AssertionError(missing, (await worker.stderr.read()).decode())
        missing.discard(line.decode().strip())


async def test_a_killed_worker_loses_no_order_and_no_grant(
    engine, store, pool, sandbox, connect, started, examples, run
) -> None:
    """Its job is given to another, which finds the token refreshed, or refreshes."""
    if engine == "postgres":
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
        assert await run(pool, "enqueue") == ["acme is waiting or under way already"]
        other = await worker()
        await told(other, "globex 50")

        killed.send_signal(signal.SIGKILL)
        sandbox.script.clear()
        sandbox.script.expire_now()
        await told(other, *(f"{account} has 250 orders" for account in ACCOUNTS))
        other.send_signal(signal.SIGTERM)
        assert await other.wait() == 0

    rows = await synced(engine, store)
    assert (len(rows), set(rows)) == (750, EXPECTED)
    ledger = sandbox.ledger
    assert (ledger.refreshes, ledger.reuse, ledger.lost_grants) == (5, 0, 0)


@pytest.mark.parametrize("engine", ["redis"])
async def test_a_job_that_is_given_up_ends_no_worker(
    pool, environment, sandbox, connect, started, examples, run
) -> None:
    """The worker goes on, and the account is synced when it is enqueued again."""
    environment["ATTEMPTS"] = "1"
    await connect("acme")
    sandbox.script.add(faults.api_status(500, company="acme", times=1))
    await run(pool, "enqueue")
    async with started(examples / pool, "work") as worker:
        line = (await worker.stderr.readline()).decode()
        assert "sync_orders(...){acme}" in line
        while await run(pool, "enqueue"):  # until docket knows that it has ended
            pass
        await told(worker, "acme has 250 orders")
        worker.send_signal(signal.SIGTERM)
        assert await worker.wait() == 0


@pytest.mark.parametrize("engine", ["redis"])
async def test_a_job_may_run_twice_at_once(
    engine, store, pool, sandbox, connect, started, examples, run
) -> None:
    """A worker that was stopped goes on with what another has taken over meanwhile."""
    sandbox.script.add(faults.api_slow(0, times=1))
    sandbox.script.add(faults.api_slow(HELD, times=None))
    await connect("acme", good_for=1)
    await run(pool, "enqueue")
    done = "acme has 250 orders"
    async with started(examples / pool, "work") as stopped:
        await told(stopped, "acme 50")
        stopped.send_signal(signal.SIGSTOP)
        sandbox.script.clear()
        sandbox.script.expire_now()
        async with started(examples / pool, "work") as other:
            await told(other, done)
            stopped.send_signal(signal.SIGCONT)
            await told(stopped, done)
            for worker in (stopped, other):
                worker.send_signal(signal.SIGTERM)
                assert await worker.wait() == 0

    rows = await synced(engine, store)
    assert (len(rows), set(rows)) == (
        250,
        {row for row in EXPECTED if row[0] == "acme"},
    )
    ledger = sandbox.ledger
    assert (ledger.refreshes, ledger.reuse, ledger.lost_grants) == (2, 0, 0)
