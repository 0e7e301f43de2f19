"""What the change feed saves where a refresh ends the access token before it.

Several processes share a few accounts whose tokens live for a second, over a store on a
server; in every other round they are told nothing, as on a store that has no feed.  The
sandbox's ledger says how many calls carried a token that was dead already.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import sys
import tempfile
import time
from collections import Counter
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
from attrs import asdict, evolve
from figures import Section, Spread
from rich.table import Table

from everbearer import Client, EverbearerError, Keyring, Registration, Token
from everbearer.providers import BILLIT
from everbearer.sandbox import Sandbox
from everbearer.stores._swapping import SwappingStore

sys.path.append(str(Path(__file__).resolve().parents[1]))

from tests._servers import PostgresServer, RedisServer

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["measure"]

PROCESSES = 4
TASKS = 25
ACCOUNTS = tuple(f"company-{number}" for number in range(5))
LIFETIME = 1.0
PAUSE = 0.4
HEARING = {"told": True, "not told": False}


def _registration(url: str) -> Registration:
    provider = evolve(BILLIT.with_hosts(url, url, url), old_access_dies=True)
    return Registration(provider, "sandbox-client", "sandbox-secret")


# ---- in each process


async def _caller(
    client: Client, account: str, seconds: float, ends: Counter[str]
) -> None:
    session, until = client.session("billit", account), time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            async with session.get("/v1/whoami") as response:
                right = account.encode() in await response.read()
                ends["right" if right else f"status {response.status}"] += 1
        except (aiohttp.ClientError, EverbearerError, TimeoutError) as error:
            ends[type(error).__name__] += 1
        await asyncio.sleep(PAUSE)


async def _callers(url: str, store: str, seconds: float) -> Counter[str]:
    ends: Counter[str] = Counter()
    async with (
        Client(_registration(url), store=store) as client,
        asyncio.TaskGroup() as group,
    ):
        for number in range(TASKS):
            account = ACCOUNTS[number % len(ACCOUNTS)]
            group.create_task(_caller(client, account, seconds, ends))
    return ends


def _process(order: tuple[str, str, float, bool]) -> Counter[str]:
    *where, hears = order
    if not hears:
        del SwappingStore.subscribe  # As a store that tells nothing.
    return asyncio.run(_callers(*where))


# ---- a round


async def _round(store: str, seconds: float, *, hears: bool) -> dict[str, int]:
    """What the ledger says of it, and how many calls ended otherwise than well."""
    async with Sandbox(access_lifetime=LIFETIME, old_access_dies=True) as sandbox:
        async with Client(_registration(sandbox.url), store=store) as client:
            for account in ACCOUNTS:
                pair = sandbox.issue(account)
                ends = datetime.now(UTC) + timedelta(seconds=pair.expires_in)
                token = Token(pair.access_token, pair.refresh_token, ends)
                await client.adopt("billit", account, token)
        order = (sandbox.url, store, seconds, hears)
        with multiprocessing.get_context("spawn").Pool(PROCESSES) as pool:
            done = await asyncio.to_thread(
                pool.map, _process, [order] * PROCESSES, chunksize=1
            )
        ends = sum(done, Counter())
        ledger = sandbox.ledger
        return {
            "calls": ledger.calls,
            "unauthorized": ledger.unauthorized,
            "refreshes": ledger.refreshes,
            "failed": ends.total() - ends["right"],
            "reuse": ledger.reuse,
            "lost_grants": ledger.lost_grants,
        }


def _back_ends(stack: ExitStack) -> Iterator[tuple[str, str]]:
    yield "PostgreSQL", stack.enter_context(PostgresServer()).new_database()
    folder = stack.enter_context(tempfile.TemporaryDirectory())
    yield "Redis", stack.enter_context(RedisServer(folder)).url + "/0"


async def measure(*, rounds: int, seconds: float) -> Section:
    """Let all call for *seconds* on every store, told and not told in turn."""
    os.environ.setdefault("EVERBEARER_KEYS", Keyring.generate_key())
    table = Table(
        title=f"{PROCESSES} processes of {TASKS} tasks, {len(ACCOUNTS)} accounts, "
        f"tokens of {LIFETIME:g} s whose refresh ends them (quartiles)"
    )
    for heading in ("", "", "calls", "401 per rotation", "401 per 1,000 calls"):
        table.add_column(heading)
    figures: dict[str, Any] = {}
    wrong = []
    with ExitStack() as stack:
        for name, url in _back_ends(stack):
            seen: dict[str, list[dict[str, int]]] = {how: [] for how in HEARING}
            for _ in range(rounds):
                for how, hears in HEARING.items():
                    seen[how].append(await _round(url, seconds, hears=hears))
            for how, found in seen.items():
                each = [r["unauthorized"] / max(1, r["refreshes"]) for r in found]
                rate = [1e3 * r["unauthorized"] / max(1, r["calls"]) for r in found]
                calls = sum(r["calls"] for r in found)
                figures[f"{name}, {how}"] = {
                    "calls": calls,
                    "refreshes": sum(r["refreshes"] for r in found),
                    "401 per rotation": asdict(Spread.of(each)),
                    "401 per 1,000 calls": asdict(Spread.of(rate)),
                }
                shown = (Spread.of(each).show(), Spread.of(rate).show(1))
                table.add_row(name, how, f"{calls:,}", *shown)
                wrong += [
                    f"{name}, {how}: {what} is {r[what]}, not 0"
                    for r in found
                    for what in ("failed", "reuse", "lost_grants")
                    if r[what]
                ]
    return Section("feed", table, figures, wrong=tuple(wrong))
