"""A process of callers: ``python -m tests.failures.chaos._worker <order>``.

The order is JSON.  Lines of JSON say what happened: calls that were answered, in bulk;
every call that was not; and from inside, what the judge needs to know of a moment.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import random
import socket
import sys
import time
from contextlib import suppress
from pathlib import Path

import aiohttp
from aiohttp.abc import AbstractResolver
from tests.failures.chaos._broken import BREAKS
from tests.failures.chaos._families import described
from tests.failures.chaos._memory import megabytes
from tests.failures.chaos._store_trouble import Troubled

from everbearer import Client, EverbearerError, Registration, StoreError
from everbearer.events import (
    RefreshConflict,
    RefreshStarted,
    SavedLate,
    SaveFailed,
    Spilled,
)
from everbearer.refresh import Timing
from everbearer.refresh._lease import HeldLease
from everbearer.stores import open_store

LAG = 0.3
SLOW = 3.0


def tell(what: str, **more: object) -> None:
    """One line, in one write: a killed worker leaves no half of it in the middle."""
    line = json.dumps({"what": what, "at": time.monotonic(), **more}) + "\n"
    os.write(1, line.encode())


class OwnPorts(AbstractResolver):
    """Leads this worker to its own ports of the proxies; the URL is everybody's."""

    def __init__(self, ports: dict[str, int]) -> None:
        self._ports = ports

    async def resolve(self, host, port=0, family=socket.AF_INET):
        return [
            {
                "hostname": host,
                "host": "127.0.0.1",
                "port": self._ports.get(str(port), port),
                "family": socket.AF_INET,
                "proto": 0,
                "flags": socket.AI_NUMERICHOST,
            }
        ]

    async def close(self) -> None:
        return


class Caller:
    """Calls for every account, until it is told to stop."""

    def __init__(self, client: Client, order: dict) -> None:
        self._client = client
        self._order = order
        self._dice = random.Random(order["seed"])
        self.stopping = False
        self.answered: dict[str, tuple[int, float]] = {}

    async def call_for(self, provider: str, account: str) -> None:
        session = self._client.session(provider, account)
        pause = self._order["pause"]
        while not self.stopping:
            await asyncio.sleep(pause * self._dice.uniform(0.5, 1.5))
            await self._call(session, account)

    async def _call(self, session, account: str) -> None:
        begin = time.monotonic()
        outcome, detail, wait = "ok", "", 0.0
        try:
            async with session.get("/v1/whoami") as response:
                if response.status != 200:
                    outcome, detail = "status", str(response.status)
                elif (said := await response.json()).get("company") != account:
                    outcome, detail = "another's answer", said.get("company")
        except (EverbearerError, aiohttp.ClientError, TimeoutError) as error:
            outcome, detail = type(error).__name__, str(error)
            wait = getattr(error, "retry_after", 0.0)
        end = time.monotonic()
        call = {"account": account, "begin": begin, "end": end}
        if outcome != "ok":
            tell("failed", **call, outcome=outcome, detail=detail, retry_after=wait)
            return
        count, _ = self.answered.get(account, (0, 0.0))
        self.answered[account] = count + 1, end
        if end - begin > SLOW:
            tell("slow", **call, outcome="slow", detail=f"{end - begin:.1f} s")


async def report(caller: Caller) -> None:
    """What was answered, in bulk; and whether this process gets its share of time."""
    while True:
        before = time.monotonic()
        await asyncio.sleep(0.1)
        lag = time.monotonic() - before - 0.1
        if lag > LAG:
            tell("lag", seconds=lag)
        if caller.answered:
            answered, caller.answered = caller.answered, {}
            tell("answered", calls=answered)


def watch_the_last_check() -> None:
    """Say when a lease was last checked: between that and the write nobody helps."""
    honest = HeldLease.ready_to_send

    async def noted(self: HeldLease, spending: str) -> None:
        await honest(self, spending)
        tell("checked", account=self._key.account)

    HeldLease.ready_to_send = noted


def heard(event: object) -> None:
    match event:
        case RefreshStarted(attempt="last_resort" | "replay" as attempt):
            tell("again", account=event.account, attempt=attempt)
        case SaveFailed(attempts=1):
            tell("unsaved", account=event.account)
        case Spilled():
            tell("spilled", account=event.account)
        case SavedLate() | RefreshConflict():
            tell("settled", account=event.account)


async def open_patiently(client: Client) -> None:
    """Open it, even if the store is down when this process starts."""
    while True:
        with suppress(StoreError):
            await client.open()
            return
        await asyncio.sleep(LAG)


async def main(order: dict) -> None:
    watch_the_last_check()
    registrations = [
        Registration(described(**hosts), "sandbox-client", "sandbox-secret")
        for hosts in order["providers"]
    ]
    store = Troubled(open_store(order["store"]), order["folder"], tell)
    connector = aiohttp.TCPConnector(resolver=OwnPorts(order["ports"]), limit=0)
    async with aiohttp.ClientSession(connector=connector) as session:
        client = Client(
            *registrations,
            store=BREAKS[order["broken"]](store),
            session=session,
            hooks=[heard],
            spill=Path(order["folder"], "spill"),
            timing=Timing(**order["timing"]),
        )
        await open_patiently(client)
        caller = Caller(client, order)
        reporting = asyncio.create_task(report(caller))
        stop = asyncio.create_task(asyncio.to_thread(sys.stdin.readline))
        calls = [
            asyncio.create_task(caller.call_for(provider, account))
            for provider, account in order["accounts"]
        ]
        await stop
        caller.stopping = True
        await asyncio.gather(*calls)
        await asyncio.sleep(0.25)
        reporting.cancel()
        with suppress(asyncio.CancelledError):
            await reporting
        await client.aclose()
    tell("memory", mb=megabytes())


if __name__ == "__main__":
    # What is logged is expected here; what is raised is told, or ends the process.
    logging.getLogger("everbearer").setLevel(logging.CRITICAL)
    asyncio.run(main(json.loads(sys.argv[1])))
