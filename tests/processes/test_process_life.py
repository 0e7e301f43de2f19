"""Programs fork, spawn, preload, run threads and loops: it works, or says what to do.

Whatever they do, no refresh token is spent twice and no grant is lost.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path

import pytest

from everbearer import Client, ConfigurationError, Token
from everbearer.sandbox import Sandbox
from everbearer.stores import MemoryStore
from everbearer.testing import connected, registration_at

pytestmark = [pytest.mark.asyncio, pytest.mark.timeout(60)]

LIVES = Path(__file__).with_name("lives.py")
ACCOUNTS = ("company-1", "company-2")
LIFETIME = 1.0
CHILDREN = 3

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")


async def live(how, tmp_path):
    """What program *how* saw, and the sandbox's ledger."""
    store = f"sqlite:///{tmp_path / 'tokens.db'}"
    async with Sandbox(access_lifetime=LIFETIME, token_delay=0.05) as sandbox:
        async with Client(registration_at(sandbox), store=store) as client:
            for account in ACCOUNTS:
                pair = sandbox.issue(account)
                await connected(client, "billit", account, token=pair)
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-W",
            "default::ResourceWarning",
            LIVES,
            how,
            json.dumps({"url": sandbox.url, "store": store}),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            said, complained = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
        assert (process.returncode, complained.decode()) == (0, "")
        return json.loads(said), sandbox.ledger


@pytest.mark.parametrize(
    ("how", "besides"),
    [
        pytest.param("fork", {"exit 0": CHILDREN}, marks=needs_fork, id="fork"),
        pytest.param("spawn", {"exit 0": CHILDREN}, id="spawn"),
        pytest.param("preload", {"exit 0": CHILDREN}, marks=needs_fork, id="preload"),
        pytest.param(
            "preload_opened",
            {"exit 0": CHILDREN, "forked": CHILDREN},
            marks=needs_fork,
            id="preload, opened",
        ),
        pytest.param("process_pool", {"not pickled": 1}, id="a pool of processes"),
        pytest.param("threads", {}, id="a Client in each thread"),
        pytest.param("threads_on_one_store", {}, id="one store object"),
        pytest.param(
            "threads_on_one_client",
            {"another event loop; use one Client": 2},
            id="one Client in three threads",
        ),
        pytest.param("from_other_threads", {}, id="calls from other threads"),
        pytest.param(
            "two_loops", {"another event loop; use one Client": 1}, id="two loops"
        ),
        pytest.param("jobs", {}, id="a run for each job"),
        pytest.param(
            "jobs_left_open",
            {"loop, which has ended; close it": 1},
            id="a run for each job, left open",
        ),
        pytest.param("reopened", {"enter it again": 4}, id="reopened"),
    ],
)
async def test_nothing_is_lost(tmp_path, how, besides):
    """Each call is answered or raises the error that says what to do instead."""
    seen, ledger = await live(how, tmp_path)
    for words, times in besides.items():
        [found] = [outcome for outcome in seen if words in outcome]
        assert seen.pop(found) == times
    assert set(seen) == {"ok"}
    assert (ledger.reuse, ledger.last_resort, ledger.lost_grants) == (0, 0, 0)
    assert {ledger.max_concurrency_of(account) for account in ACCOUNTS} <= {0, 1}


@needs_fork
async def test_a_memory_store_does_not_fork(everbearer_sandbox):
    """Copies of one refresh token in two processes would end the grant."""
    store = MemoryStore()
    async with Client(registration_at(everbearer_sandbox), store=store) as client:
        await client.adopt("billit", "acme", Token("access", "refresh"))
    store._pid -= 1  # As in a child of the process that it was filled in.
    with pytest.raises(ConfigurationError, match="filled before the process forked"):
        await client.open()
    empty = MemoryStore()
    empty._pid -= 1
    await empty.open()
    assert empty._pid == os.getpid()
