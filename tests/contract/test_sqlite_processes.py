"""Several processes on one SQLite file, some of which die."""

from __future__ import annotations

import subprocess
import sys
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from everbearer.stores import SqliteStore

WORKER = Path(__file__).with_name("sqlite_worker.py")


@contextmanager
def worker(verb, path):
    """A worker that waits for its start, and does not outlive the test."""
    process = subprocess.Popen(
        [sys.executable, WORKER, verb, path],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout.readline() == "ready\n", process.stderr.read()
        yield process
    finally:
        process.kill()
        process.communicate()


def start(process):
    process.stdin.write("\n")
    process.stdin.flush()


def run_at_once(verb, path, count):
    """Run *count* workers from a common start to their ends."""
    with ExitStack() as stack:
        processes = [stack.enter_context(worker(verb, path)) for _ in range(count)]
        for process in processes:
            start(process)
        for process in processes:
            said, complained = process.communicate(timeout=50)
            assert (said, complained, process.returncode) == ("done\n", "", 0)


@pytest.mark.asyncio
async def test_never_two_holders_in_four_processes(tmp_path, make):
    """Four processes take turns 200 times each, and never two hold the lease."""
    path = tmp_path / "tokens.db"
    store = SqliteStore(path)
    await store.open()
    await store.put(make.key, make.grant())
    run_at_once("take_turns", path, 4)
    record = await store.load(make.key)
    assert (record.lease, record.intent, record.version) == (None, None, 1)
    await store.aclose()


@pytest.mark.asyncio
async def test_processes_that_make_the_store_at_once(tmp_path):
    """Six processes that find no store make one, with one key that opens it all."""
    path = tmp_path / "tokens.db"
    run_at_once("connect_one", path, 6)
    store = SqliteStore(path)
    await store.open()
    assert len([record async for record in store.list()]) == 6
    await store.aclose()
    assert [each.name for each in tmp_path.glob("*.new")] == []


@pytest.mark.asyncio
async def test_a_holder_killed_in_mid_write(tmp_path, make):
    """A process killed inside a transaction leaves no lock and no half of it."""
    path = tmp_path / "tokens.db"
    store = SqliteStore(path)
    await store.open()
    before = await store.put(make.key, make.grant())
    with worker("stop_in_mid_write", path) as process:
        start(process)
        assert process.stdout.readline() == "holding\n"
        assert await store.load(make.key) == before
        process.kill()
        process.wait()
        assert await store.load(make.key) == before
        assert (await store.acquire(make.key, make.asked())).granted
    await store.aclose()


def test_a_forgotten_store_does_not_keep_its_process(tmp_path):
    """A process that never closed its store ends all the same."""
    run_at_once("forget", tmp_path / "tokens.db", 1)
