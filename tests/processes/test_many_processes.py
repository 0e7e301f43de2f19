"""Eight processes share accounts whose tokens live one second and are single-use."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections import Counter
from pathlib import Path

import pytest

from everbearer import Client, Registration, Token
from everbearer._clock import instant
from everbearer.providers import BILLIT
from everbearer.sandbox import Sandbox

pytestmark = [pytest.mark.asyncio, pytest.mark.timeout(120)]

CALLER = Path(__file__).with_name("caller.py")
ACCOUNTS = ["company-1", "company-2", "company-3", "company-4", "company-5"]
PROCESSES = 8
TASKS = 25
# The gate gives it 30 s, and on the oldest Python less.
SECONDS = float(os.environ.get("EVERBEARER_TEST_SECONDS", "10"))
LIFETIME = 1.0


async def connect_all(sandbox: Sandbox, store: str) -> None:
    """Give every account a grant, without the login page."""
    provider = BILLIT.with_hosts(sandbox.url, sandbox.url, sandbox.url)
    registration = Registration(provider, "sandbox-client", "sandbox-secret")
    async with Client(registration, store=store) as client:
        for account in ACCOUNTS:
            pair = sandbox.issue(account)
            expires_at = instant(sandbox.clock() + pair.expires_in)
            token = Token(pair.access_token, pair.refresh_token, expires_at)
            await client.adopt("billit", account, token)


async def run_callers(
    sandbox: Sandbox,
    store: str,
    seconds: float,
    *,
    processes: int = PROCESSES,
    loops: int = 1,
    **described: object,
) -> Counter[str]:
    """What the callers of all processes saw."""
    order = json.dumps(
        {
            "url": sandbox.url,
            "store": store,
            "accounts": ACCOUNTS,
            "tasks": TASKS,
            "seconds": seconds,
            "pause": 0.4,
            "loops": loops,
            "described": described,
        }
    )
    running = [
        await asyncio.create_subprocess_exec(
            sys.executable,
            CALLER,
            order,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        for _ in range(processes)
    ]
    try:
        said = await asyncio.gather(*(each.communicate() for each in running))
    finally:
        for each in running:
            if each.returncode is None:
                each.kill()
    assert [complained for _, complained in said] == [b""] * processes
    return sum((Counter(json.loads(seen)) for seen, _ in said), Counter())


@pytest.mark.parametrize(
    "delay",
    [
        pytest.param(0.0, id="token-endpoint-at-once"),
        pytest.param(0.3, id="token-endpoint-takes-300-ms"),
    ],
)
async def test_two_hundred_callers_in_eight_processes(store_url, delay) -> None:
    """No reuse, no lost grant, no failed call, and no refresh beyond what is due."""
    async with Sandbox(access_lifetime=LIFETIME, token_delay=delay) as sandbox:
        await connect_all(sandbox, store_url)
        began = sandbox.clock()
        seen = await run_callers(sandbox, store_url, SECONDS)
        took = sandbox.clock() - began
        assert set(seen) == {"ok"}
        ledger = sandbox.ledger
        assert (ledger.reuse, ledger.last_resort, ledger.lost_grants) == (0, 0, 0)
        # A token is stale when half its second is over; one more for a first look.
        most = took / (LIFETIME - LIFETIME / 2) + 1
        refreshes = [ledger.company(account).refreshes for account in ACCOUNTS]
        assert max(refreshes) <= most
        assert min(refreshes) >= SECONDS / 3
        concurrency = {ledger.max_concurrency_of(account) for account in ACCOUNTS}
        assert concurrency == {1}


async def test_two_clients_and_two_event_loops_in_one_process(store_url) -> None:
    """They share nothing but the store, and behave as two processes do."""
    async with Sandbox(access_lifetime=LIFETIME) as sandbox:
        await connect_all(sandbox, store_url)
        began = sandbox.clock()
        seen = await run_callers(sandbox, store_url, 5.0, processes=1, loops=2)
        took = sandbox.clock() - began
        assert set(seen) == {"ok"}
        ledger = sandbox.ledger
        assert (ledger.reuse, ledger.last_resort, ledger.lost_grants) == (0, 0, 0)
        refreshes = [ledger.company(account).refreshes for account in ACCOUNTS]
        assert max(refreshes) <= took / (LIFETIME - LIFETIME / 2) + 1
        assert {ledger.max_concurrency_of(account) for account in ACCOUNTS} == {1}


@pytest.mark.parametrize(
    ("played", "described"),
    [
        pytest.param({"rotation": "never"}, {"rotation": "never"}, id="never"),
        pytest.param(
            {"old_access_dies": True}, {"old_access_dies": True}, id="old-one-dies"
        ),
        pytest.param(
            {"replay_window": 600.0}, {"replay_window": 600.0}, id="with-a-window"
        ),
        pytest.param(
            {"rotation": "sometimes"}, {"rotation": "sometimes"}, id="now-and-then"
        ),
    ],
)
async def test_every_family_of_rotation(tmp_path, played, described) -> None:
    """The same figures wherever a refresh replaces the refresh token, or does not."""
    store = f"sqlite:///{tmp_path / 'tokens.db'}"
    async with Sandbox(access_lifetime=LIFETIME, **played) as sandbox:
        await connect_all(sandbox, store)
        began = sandbox.clock()
        seen = await run_callers(sandbox, store, 8.0, **described)
        took = sandbox.clock() - began
        assert set(seen) == {"ok"}
        ledger = sandbox.ledger
        assert (ledger.reuse, ledger.last_resort, ledger.lost_grants) == (0, 0, 0)
        refreshes = [ledger.company(account).refreshes for account in ACCOUNTS]
        assert max(refreshes) <= took / (LIFETIME - LIFETIME / 2) + 1
        assert min(refreshes) >= 5
