"""What each store costs, beside its bare driver making as many round trips.

A refresh is one look and two writes: the lease, and the rotated token.  The driver
reads and writes a row of the same size in a table of its own, as durably; both sides
take turns, in as many processes, each with eight tasks.  Waking is measured from the
moment that the write is acknowledged here to the moment that another process, which
waited for it, has loaded the new token.

Both are measured on the spot, where all is the CPU of this one machine, and over a link
of a millisecond each way, as a network between hosts has it.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import sqlite3
import sys
import tempfile
import time
from contextlib import ExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import asyncpg
from attrs import asdict
from figures import Section, Spread, Target
from link import stretched
from redis.asyncio import Redis
from rich.table import Table

from everbearer import Keyring, Token
from everbearer.stores import Asked, NewGrant, Rotation, open_store
from everbearer.tokens import AccountKey

sys.path.append(str(Path(__file__).resolve().parents[1]))

from tests._servers import PostgresServer, RedisServer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

__all__ = ["measure"]

PROCESSES = (1, 4, 8)
TASKS = 8
SECONDS = 1.5
LEAST_OF_RAW = 0.7
MOST_ROUND_TRIPS = 3.0
WAKES = 60
EACH_WAY = 1  # Millisecond, of the link.
PAYLOAD = b"x" * 900  # As long as a sealed token of 500 bytes and its columns.
KEY = AccountKey("bench", "waking")


# ---- one refresh, by the store and by the bare driver


@asynccontextmanager
async def _ours(url: str) -> AsyncIterator[Any]:
    store = open_store(url)
    await store.open()

    async def refresh(account: str) -> None:
        key = AccountKey("bench", account)
        record = await store.load(key)
        if record is None:
            token = Token("a" * 250, "r" * 250)
            record = await store.put(key, NewGrant("i", token, "id", "origin"))
        asked = Asked(os.urandom(8).hex(), "bench", 10.0)
        await store.acquire(key, asked)
        token = Token("a" * 250, os.urandom(125).hex())
        await store.replace(key, Rotation("i", record.version, token, asked.id))

    try:
        yield refresh
    finally:
        await store.aclose()


async def _left_as_it_was(_: object) -> None:
    """Undo nothing."""


@asynccontextmanager
async def _asyncpg(url: str) -> AsyncIterator[Any]:
    # As the store's: a connection that is given back costs no round trip.
    async with asyncpg.create_pool(
        url, min_size=1, max_size=10, reset=_left_as_it_was
    ) as pool:
        with suppress(asyncpg.UniqueViolationError):  # Another process was faster.
            await pool.execute(
                "CREATE TABLE IF NOT EXISTS bare (name text PRIMARY KEY, value bytea)"
            )

        async def refresh(account: str) -> None:
            await pool.fetch("SELECT value FROM bare WHERE name = $1", account)
            for _ in range(2):
                await pool.fetch(
                    "INSERT INTO bare VALUES ($1, $2) ON CONFLICT (name) "
                    "DO UPDATE SET value = $2 RETURNING 1",
                    account,
                    PAYLOAD,
                )

        yield refresh


@asynccontextmanager
async def _redis(url: str) -> AsyncIterator[Any]:
    async with Redis.from_url(url) as client:

        async def refresh(account: str) -> None:
            await client.get("bare:" + account)
            for _ in range(2):
                await client.set("bare:" + account, PAYLOAD)

        yield refresh


@asynccontextmanager
async def _sqlite3(url: str) -> AsyncIterator[Any]:
    connection = sqlite3.connect(
        url.removeprefix("sqlite:///"), isolation_level=None, timeout=30
    )
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("CREATE TABLE IF NOT EXISTS bare (name PRIMARY KEY, value)")

    async def refresh(account: str) -> None:
        connection.execute("SELECT value FROM bare WHERE name = ?", (account,))
        for _ in range(2):
            connection.execute(
                "INSERT OR REPLACE INTO bare VALUES (?, ?)", (account, PAYLOAD)
            )
        await asyncio.sleep(0)

    try:
        yield refresh
    finally:
        connection.close()


_BARE = {"postgresql": _asyncpg, "redis": _redis, "sqlite": _sqlite3}


async def _many(side: str, url: str) -> tuple[int, float]:
    """Refreshes, and the seconds that they took, of one process."""
    opened = _ours(url) if side == "ours" else _BARE[url.partition(":")[0]](url)
    async with opened as refresh:
        await refresh(f"{os.getpid()}-0")
        began, count = time.monotonic(), 0

        async def task(number: int) -> None:
            nonlocal count
            while time.monotonic() - began < SECONDS:
                await refresh(f"{os.getpid()}-{number}")
                count += 1

        await asyncio.gather(*(task(number) for number in range(TASKS)))
        return count, time.monotonic() - began


def _process(order: tuple[str, str]) -> tuple[int, float]:
    return asyncio.run(_many(*order))


def _rate(side: str, url: str, processes: int) -> float:
    """Refreshes per second of all processes; each runs as long as the others."""
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        done = pool.map(_process, [(side, url)] * processes, chunksize=1)
    return sum(count / seconds for count, seconds in done)


# ---- one call, and waking another process


async def _timed(call: Callable[[], Awaitable[object]], times: int) -> list[float]:
    took = []
    for _ in range(times):
        began = time.perf_counter()
        await call()
        took.append((time.perf_counter() - began) * 1e3)
    return took


def _wait(url: str, said: Any) -> None:  # noqa: ANN401 - a connection
    async def wait() -> None:
        store = open_store(url)
        await store.open()
        record = await store.load(KEY)
        said.send(0.0)
        for _ in range(WAKES):
            await store.changed(KEY, record, 60.0)
            record = await store.load(KEY)
            said.send(time.monotonic())
        await store.aclose()

    asyncio.run(wait())


async def _delays(url: str) -> list[float]:
    """Milliseconds from the acknowledged write to its being loaded elsewhere."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    store = open_store(url)
    await store.open()
    record = await store.put(KEY, NewGrant("i", Token("a", "r"), "id", "origin"))
    other = context.Process(target=_wait, args=(url, there))
    other.start()
    await asyncio.to_thread(here.recv)
    await asyncio.sleep(1.0)  # Until the other one listens.
    took = []
    for number in range(WAKES):
        token = Token(f"a{number}", f"r{number}")
        rotation = Rotation("i", record.version, token, "")
        record = (await store.replace(KEY, rotation)).record or record
        written = time.monotonic()
        took.append((await asyncio.to_thread(here.recv) - written) * 1e3)
        await asyncio.sleep(0.02)
    other.join()
    await store.aclose()
    return [max(0.0, each) for each in took]


async def _round_trip(url: str) -> list[float]:
    """Milliseconds of one bare read."""
    if url.startswith("postgresql"):
        connection = await asyncpg.connect(url)
        took = await _timed(lambda: connection.fetch("SELECT 1"), 300)
        await connection.close()
        return took
    async with Redis.from_url(url) as client:
        return await _timed(client.ping, 300)


async def _calls(url: str) -> dict[str, list[float]]:
    """Milliseconds of a look, and of a lease with its replacement."""
    async with _ours(url) as refresh:
        await refresh("calls")
        both = await _timed(lambda: refresh("calls"), 100)
    store = open_store(url)
    await store.open()
    looks = await _timed(lambda: store.load(AccountKey("bench", "calls")), 300)
    await store.aclose()
    return {"load": looks, "load, lease and replace": both}


# ---- all of it


def _back_ends(stack: ExitStack) -> Iterator[tuple[str, str]]:
    folder = stack.enter_context(tempfile.TemporaryDirectory())
    yield "SQLite", f"sqlite:///{folder}/tokens.db"
    other = stack.enter_context(tempfile.TemporaryDirectory())
    for name, url in (
        ("PostgreSQL", stack.enter_context(PostgresServer()).new_database()),
        ("Redis", stack.enter_context(RedisServer(other)).url + "/0"),
    ):
        yield name, url
        yield (
            f"{name}, {EACH_WAY:g} ms away",
            stack.enter_context(stretched(url, EACH_WAY / 1e3)),
        )


async def _rates(url: str, processes: int, rounds: int) -> tuple[Spread, Spread]:
    """Refreshes per second, and how many times the bare driver's that is."""
    rates: dict[str, list[float]] = {"ours": [], "bare": []}
    for _ in range(rounds):
        for side, rate in rates.items():
            rate.append(await asyncio.to_thread(_rate, side, url, processes))
    pairs = zip(rates["ours"], rates["bare"], strict=True)
    return Spread.of(rates["ours"]), Spread.of([ours / bare for ours, bare in pairs])


async def measure(*, rounds: int) -> Section:
    """Measure every back end; nothing can go wrong but an exception."""
    os.environ.setdefault("EVERBEARER_KEYS", Keyring.generate_key())
    table = Table(title="stores (quartiles)")
    for heading in ("", "what", "figure", "of the bare driver"):
        table.add_column(heading)
    figures: dict[str, Any] = {}
    targets = []
    with ExitStack() as stack:
        for name, url in _back_ends(stack):
            figures[name] = mine = {}
            for what, took in (await _calls(url)).items():
                mine[what] = asdict(Spread.of(took))
                table.add_row(name, what + ", ms", Spread.of(took).show(), "")
            for processes in PROCESSES:
                rate, ratio = await _rates(url, processes, rounds)
                what = f"refreshes/s, {processes} processes"
                mine[what] = asdict(rate) | {"ratio": asdict(ratio)}
                table.add_row(name, what, rate.show(0), ratio.show())
                if name != "SQLite":
                    said = f"{name}, {what}, of the bare driver"
                    targets.append(Target(said, ratio, LEAST_OF_RAW, "at least"))
            delays = Spread.of(await _delays(url))
            mine["waking another process, ms"] = asdict(delays)
            trips = None
            if name != "SQLite":
                trip = Spread.of(await _round_trip(url)).median
                mine["round trip, ms"] = trip
                trips = Spread(*(each / trip for each in asdict(delays).values()))
                said = f"{name}, waking another process, in round trips"
                targets.append(Target(said, trips, MOST_ROUND_TRIPS, "at most"))
            table.add_row(
                name,
                "waking another process, ms",
                delays.show(),
                f"{trips.show(1)} round trips of {trip:.2f} ms" if trips else "",
            )
    return Section("stores", table, figures, tuple(targets))
