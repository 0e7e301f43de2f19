"""A process of callers that is told what to do, a line at a time, and answers in JSON.

Its argument is JSON of ``url``, ``store``, ``accounts`` and ``lock_wait``.  It knows

* ``call``: a refresh and an API call for every account at once; says how each call
  ended, once no rotation is left that is neither stored nor spilled;
* ``told``: how often each event was seen so far;
* ``settle``: wait until the store has taken all that it had not;
* ``limit`` and ``unlimit``: no file may grow beyond a few kB, as on a full disk;
* ``read_only`` and ``writable``: what SQLite says of a file that may not be written.
"""

from __future__ import annotations

import asyncio
import json
import resource
import sys
from collections import Counter
from contextlib import suppress

import aiohttp

from everbearer import (
    Client,
    EverbearerError,
    Registration,
    StoreError,
    TemporarilyUnavailable,
    Timing,
)
from everbearer.events import SavedLate, SaveFailed, Spilled
from everbearer.providers import BILLIT
from everbearer.stores import _sqlite_schema

# A short lease, because some of us are killed; all else has time on a busy machine.
TIMING = Timing(lease=2.0, deadline=20.0, linger=20.0, grace=1.0, connect=10.0)
# One page of SQLite's log does not fit below, a spill does.
SMALL = 4096


class Worker:
    """Clients of one process, and what it is told."""

    def __init__(self, order):
        self._order = order
        self._unsaved, self._spilled, self.told = set(), set(), Counter()
        provider = BILLIT.with_hosts(order["url"], order["url"], order["url"])
        registration = Registration(provider, "sandbox-client", "sandbox-secret")
        self.client = Client(
            registration, store=order["store"], timing=TIMING, hooks=[self._note]
        )

    def _note(self, event):
        self.told[type(event).__name__] += 1
        match event:
            case SaveFailed(attempts=1):
                self._unsaved.add(event.account)
            case Spilled():
                self._spilled.add(event.account)
            case SavedLate():
                self._unsaved.discard(event.account)
                self._spilled.discard(event.account)

    async def call(self):
        """How a call for each account ended."""
        seen = Counter()
        calls = [self._call_for(account) for account in self._order["accounts"]]
        for outcome in await asyncio.gather(*calls):
            seen[outcome] += 1
        while not self._unsaved <= self._spilled:
            await asyncio.sleep(0.01)
        return seen

    async def _call_for(self, account):
        session = self.client.session("billit", account)
        # Told that the new token is not stored yet.
        with suppress(TemporarilyUnavailable, StoreError):
            await session.refresh()
        try:
            async with session.get("/v1/whoami") as response:
                company = (await response.json()).get("company")
                return "ok" if company == account else f"status {response.status}"
        except (EverbearerError, aiohttp.ClientError, TimeoutError) as error:
            return f"{type(error).__name__}: {error}"

    async def settle(self):
        """Nothing is unsaved any more."""
        while self._unsaved:
            await asyncio.sleep(0.01)
        return self.told

    async def obey(self, command):
        """Do what the line says."""
        match command:
            case "call":
                return await self.call()
            case "settle":
                return await self.settle()
            case "told":
                return self.told
            case "limit" | "unlimit":
                _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
                soft = SMALL if command == "limit" else hard
                resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
            case "read_only" | "writable":
                pragma = f"PRAGMA query_only = {int(command == 'read_only')}"
                writer = self.client._store._writer
                await writer.run(lambda opened: opened.execute(pragma).fetchall())
        return {}


async def main(order):
    """Obey until there is nothing more to read."""
    _sqlite_schema.BUSY_SECONDS = order["lock_wait"]
    lines, loop = asyncio.StreamReader(), asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    worker, doing = Worker(order), set()

    async def answer(command):
        said = {"did": command, "saw": await worker.obey(command)}
        print(json.dumps(said), flush=True)

    async with worker.client:
        while line := (await lines.readline()).decode().strip():
            doing.add(asyncio.create_task(answer(line)))
        await asyncio.gather(*doing)


if __name__ == "__main__":
    asyncio.run(main(json.loads(sys.argv[1])))
