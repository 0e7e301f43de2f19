"""What schedules ask of stores: their clocks, their queues, and whose write counts."""

from __future__ import annotations

import asyncio
import sqlite3
import sys
import threading
from contextlib import aclosing, closing

import pytest

from everbearer import StoreError, Token
from everbearer.stores import (
    Asked,
    MemoryStore,
    NewGrant,
    Settlement,
    SqliteStore,
    _sqlite_schema,
)
from everbearer.token_endpoint import Ambiguous, Throttled
from everbearer.tokens import AccountKey, BackOff, BackOffKind

pytestmark = pytest.mark.asyncio


def failure(kind, seconds, about=""):
    return BackOff(kind, seconds, about, 1, 0.0, "token endpoint: 503")


# ---- rule 16: what a release remembers


async def test_a_shorter_throttle_does_not_cut_a_longer_one(world, key):
    """Rule 16: the last to report has lost its lease, and was told one second."""
    await world.connect()
    a, b = Asked("of A", "A", 1.0), Asked("of B", "B", 10.0)
    await world.store.acquire(key, a)
    await asyncio.sleep(2)
    await world.store.acquire(key, b)
    for asked, seconds in ((b, 300.0), (a, 1.0)):
        throttle = failure(BackOffKind.THROTTLED, seconds)
        await world.store.release(
            key, asked, Settlement(restore=True, back_off=throttle)
        )
    assert (await world.record()).throttle.until == world.time.wall() + 300


async def test_a_lost_lease_does_not_write_over_the_holders_back_off(world, key):
    """Rule 16: written by the statement that releases, so by who can release."""
    record = await world.connect()
    a, b = Asked("of A", "A", 1.0), Asked("of B", "B", 10.0)
    await world.store.acquire(key, a)
    await asyncio.sleep(2)
    await world.store.acquire(key, b)
    for asked, seconds in ((b, 300.0), (a, 1.0)):
        about = record.refresh_fingerprint
        back_off = failure(BackOffKind.UNAVAILABLE, seconds, about)
        await world.store.release(key, asked, Settlement(back_off=back_off))
    assert (await world.record()).back_off.until == world.time.wall() + 300


# ---- the host's date is set


async def test_a_date_set_ahead_ends_no_lease_and_no_grace(world):
    """Rules 5 and 7: A's request is out when the date moves on: B waits as before."""
    await world.connect()
    a, b = world.process("A", {"process": 40}), world.process("B")
    first = a.calls()
    await world.until(lambda: world.sent)
    world.time.set_ahead = 1000
    assert await b.patiently() == await first == "access-r1"
    assert world.sent == ["A r0"]


async def test_a_date_set_back_prolongs_no_dead_holders_lease(world):
    """Rule 21: L, X and G are counted, not read off a calendar."""
    await world.connect(lifetime=-7200)
    a = world.process("A", {"outcome": Ambiguous("lost"), "answer": 50})
    b = world.process("B")
    a.calls()
    await world.until(lambda: world.sent)
    a.kill()
    world.time.set_ahead = -3600
    t = world.timing
    assert await b.patiently() == "access-r1"
    assert world.time.passed <= 2 * t.lease + t.grace + t.deadline + t.back_off


async def test_a_date_set_back_prolongs_no_back_off(world):
    """Rule 21: a failure is remembered for as long as was said."""
    await world.connect(lifetime=-7200)
    a = world.process("A", {"outcome": Throttled(30.0, "busy")})
    assert await a.outcome() == "TemporarilyUnavailable"
    world.time.set_ahead = -3600
    assert await a.patiently() == "access-r1"
    assert 30 <= world.time.passed < 40


# ---- one thread, one file, several of each: in real time


async def test_callers_that_queue_for_the_lock_wait_together(tmp_path, monkeypatch):
    """Rule 21: while a stopped process holds it, the last is told when the first is."""
    monkeypatch.setattr(_sqlite_schema, "BUSY_SECONDS", 0.2)
    path, keys = tmp_path / "tokens.db", [AccountKey("billit", n) for n in "123456"]
    waits = []

    def note(statement):
        if "busy_timeout" in statement:
            waits.append(int(statement.partition("=")[2]))

    async with aclosing(SqliteStore(path)) as store:
        await store.open()
        for key in keys:
            await store.put(key, NewGrant("i0", Token("a0", "r0"), "id", "origin"))
        await store._writer.run(lambda connection: connection.set_trace_callback(note))
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            calls = [store.acquire(key, Asked("of A", "A", 10.0)) for key in keys]
            outcomes = await asyncio.gather(*calls, return_exceptions=True)
    assert {type(outcome) for outcome in outcomes} == {StoreError}
    # They wait one after the other; what the first has waited is off the others'.
    assert len(waits) == len(keys)
    assert sum(waits) < 2 * 200


async def test_waiters_in_many_threads_come_and_go(monkeypatch):
    """Rule 21: the last waiter of one loop leaves while another's first comes."""
    store, key, failures = MemoryStore(), AccountKey("billit", "acme"), []
    await store.put(key, NewGrant("i0", Token("a0", "r0"), "id", "origin"))

    async def come_and_go():
        for _ in range(5000):
            await store.changed(key, None, 0)

    def run():
        try:
            asyncio.run(come_and_go())
        except KeyError as error:
            failures.append(error)

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=run) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(before)
    assert not failures


async def test_who_has_waited_longest_is_woken_first():
    """And in that order they ask for the lease: so that a schedule is always the same.

    Twenty of them, whom no other order puts in line by chance.
    """
    store, key, woken = MemoryStore(), AccountKey("billit", "acme"), []

    async def waits(number):
        await store.changed(key, None, 30.0)
        woken.append(number)

    waiting = [asyncio.create_task(waits(number)) for number in range(20)]
    await asyncio.sleep(0)
    await store.put(key, NewGrant("i0", Token("a0", "r0"), "id", "origin"))
    await asyncio.gather(*waiting)
    assert woken == sorted(woken)
