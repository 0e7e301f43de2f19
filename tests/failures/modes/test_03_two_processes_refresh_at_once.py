"""Mode 3: two processes refresh at once; it often shows one token lifetime later.

Promised: the lease spans reading, asking and saving; whoever gets it after that reads
again, and finds the successor.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections import Counter
from pathlib import Path

import pytest

from everbearer import Client

pytestmark = pytest.mark.asyncio

CALLER = Path(__file__).parents[2] / "processes/caller.py"
PROCESSES = 2
SECONDS = 3.0
LIFETIME = 1.0


async def run_process(order) -> Counter[str]:
    """What the callers of one process saw."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, CALLER, json.dumps(order), stdout=asyncio.subprocess.PIPE
    )
    try:
        said, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
    return Counter(json.loads(said))


async def test_processes_take_turns_for_several_lifetimes(
    sandbox, registration, connect, client, tmp_path
) -> None:
    """No process spends what another has spent, and none of them sees a failure."""
    store = f"sqlite:///{tmp_path / 'tokens.db'}"
    async with Client(registration, store=store) as first:
        await connect(to=first, expired=True)
    sandbox.settings.access_lifetime = LIFETIME
    # As long as most of a look-up and a save: processes without a lease would meet.
    sandbox.settings.token_delay = 0.2
    order = {
        "url": sandbox.url,
        "store": store,
        "accounts": ["acme"],
        "tasks": 3,
        "seconds": SECONDS,
        "pause": 0.02,
        "described": {},
    }
    seen = await asyncio.gather(*(run_process(order) for _ in range(PROCESSES)))
    assert [set(each) for each in seen] == [{"ok"}] * PROCESSES
    ledger = sandbox.ledger
    assert ledger.refreshes >= 3
    assert ledger.max_concurrency == 1
    assert (ledger.reuse, ledger.last_resort, ledger.lost_grants) == (0, 0, 0)


async def test_who_comes_second_finds_the_successor(
    sandbox, client, another, connect, call, new_way, until
) -> None:
    """Who waited for the lease reads the record again, and spends nothing."""
    await connect(expired=True)
    sandbox.settings.token_delay = 0.2
    first = asyncio.create_task(call(client))
    await until(lambda: sandbox.ledger.max_concurrency)
    way = new_way()
    assert await call(await another(way)) == "acme"
    assert await first == "acme"
    assert (way.asked["load"], way.asked["acquire"]) == (2, 1)
    assert len(sandbox.ledger.token_requests) == 1
