"""Disks, locks, loops and processes that a SQLite store meets."""

from __future__ import annotations

import asyncio
import os
import random
import sqlite3
import warnings
from contextlib import closing

import pytest
import pytest_asyncio

from everbearer.errors import StoreError
from everbearer.stores import Replacement, SqliteStore, _sqlite_schema
from everbearer.tokens import AccountKey

pytestmark = pytest.mark.asyncio


@pytest.fixture(name="path")
def _path(tmp_path):
    return tmp_path / "tokens.db"


@pytest_asyncio.fixture(name="store")
async def _store(path, clock):
    store = SqliteStore(path, clock=clock)
    await store.open()
    yield store
    await store.aclose()


# ---- a disk and processes that do not cooperate


@pytest.mark.parametrize(
    ("prepare", "said"),
    [
        pytest.param(lambda path: path.mkdir(), "folder", id="a folder"),
        pytest.param(
            lambda path: path.write_bytes(b"no database " * 500),
            "not a SQLite database",
            id="another file",
        ),
        pytest.param(lambda path: path.parent.rmdir(), "folder", id="no folder"),
    ],
)
async def test_a_path_that_cannot_be_used(path, prepare, said):
    """What is wrong with the path is said once, typed, with what to do."""
    prepare(path)
    store = SqliteStore(path)
    with pytest.raises(StoreError, match=said):
        await store.open()
    with pytest.raises(StoreError, match="not open"):
        await store.now() and await store.load(AccountKey("a", "b"))
    await store.aclose()


async def test_a_damaged_file(path, store, make):
    """A file that was overwritten is a StoreError that says to restore it."""
    await store.put(make.key, make.grant())
    await store.aclose()
    content = bytearray(path.read_bytes())
    content[4096:] = bytes(len(content) - 4096)
    path.write_bytes(content)

    async def look() -> None:
        await store.open()
        await store.load(make.key)

    with pytest.raises(StoreError, match="restore it"):
        await look()


async def test_a_store_that_is_not_open(path, make):
    """Using a store before open, or after aclose, says so."""
    store = SqliteStore(path)
    for _ in range(2):
        with pytest.raises(StoreError, match="not open"):
            await store.load(make.key)
        with pytest.raises(StoreError, match="not open"):
            await store.acquire(make.key, make.asked())
        await store.open()
        await store.aclose()


async def test_a_lock_that_is_not_given_back(path, make, monkeypatch):
    """Writes that waited long enough fail and say why; reads go on meanwhile."""
    monkeypatch.setattr(_sqlite_schema, "BUSY_SECONDS", 0.05)
    store = SqliteStore(path)
    await store.open()
    record = await store.put(make.key, make.grant())
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError, match="write lock"):
            await store.acquire(make.key, make.asked())
        assert await store.load(make.key) == record
    assert (await store.acquire(make.key, make.asked())).granted
    await store.aclose()


async def test_callers_cancelled_while_they_wait_for_the_lock(path, store, make):
    """Nobody's lock is left behind by callers that leave while it is waited for."""
    await store.put(make.key, make.grant())
    dice = random.Random(7)
    for number in range(20):
        with closing(sqlite3.connect(path, isolation_level=None)) as blocker:
            blocker.execute("BEGIN IMMEDIATE")
            tasks = [
                asyncio.create_task(
                    store.acquire(make.key, make.asked(f"flight-{number}-{each}"))
                )
                for each in range(5)
            ]
            for task in dice.sample(tasks, 5):
                for _ in range(dice.randrange(8)):
                    await asyncio.sleep(0)
                task.cancel()
            await asyncio.sleep(0.002 * dice.random())
        await asyncio.gather(*tasks, return_exceptions=True)
        # Whatever was under way has ended when this one has.
        await store.put(make.key, make.grant(f"r{number}", f"i{number}"))
        with closing(sqlite3.connect(path, timeout=0)) as other:
            other.execute("BEGIN IMMEDIATE")
    record = await store.load(make.key)
    assert (record.lease, record.intent) == (None, None)


async def test_closing_waits_for_a_write(path, store, make):
    """What was asked for before aclose is stored before the file is closed."""
    record = await store.put(make.key, make.grant())
    with closing(sqlite3.connect(path, isolation_level=None)) as blocker:
        blocker.execute("BEGIN IMMEDIATE")
        saving = asyncio.create_task(store.replace(make.key, make.rotation(record)))
        await asyncio.sleep(0)
        closing_store = asyncio.create_task(store.aclose())
        await asyncio.sleep(0.01)
        assert not closing_store.done()
    await closing_store
    assert (await saving).outcome is Replacement.STORED
    await store.open()
    assert (await store.load(make.key)).token.refresh_token == "r1"


# ---- other stores, loops and processes


async def test_two_stores_on_one_file(path, store, make):
    """Two Clients in one process see each other's writes, and are woken by them."""
    other = SqliteStore(path)
    await other.open()
    record = await store.put(make.key, make.grant())
    waiting = asyncio.create_task(other.changed(make.key, record, 30))
    await asyncio.sleep(0.01)
    await store.replace(make.key, make.rotation(record))
    await waiting
    await other.aclose()
    assert (await store.acquire(make.key, make.asked())).granted


@pytest.mark.asyncio(loop_scope="function")
async def test_a_store_in_another_loop(path, store, make):
    """A store may be used from a second event loop, in another thread."""
    record = await store.put(make.key, make.grant())
    waiting = asyncio.create_task(store.changed(make.key, record, 30))
    await asyncio.sleep(0.01)

    def elsewhere():
        return asyncio.run(store.replace(make.key, make.rotation(record)))

    await asyncio.to_thread(elsewhere)
    await waiting


@pytest.mark.skipif(not hasattr(os, "fork"), reason="nothing forks here")
async def test_a_store_that_was_forked(path, store, make):
    """The child opens the file for itself, and the parent's store goes on."""
    await store.put(make.key, make.grant())
    with warnings.catch_warnings():
        # Python 3.12 warns of forking with threads: that is what is tried here.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if not child:
        os._exit(_in_child(store, make))
    _, status = await asyncio.to_thread(os.waitpid, child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    assert (await store.load(make.key)).incarnation == "i1"
    assert (await store.acquire(make.key, make.asked())).granted


def _in_child(store, make):
    async def use():
        assert await store.load(make.key) is not None
        await store.put(make.key, make.grant("s0", "i1"))
        await store.aclose()

    try:
        asyncio._set_running_loop(None)
        asyncio.run(use())
    except BaseException:  # noqa: BLE001 - a child must not run on into pytest
        return 1
    return 0
