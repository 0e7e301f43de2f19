"""One of several processes on one SQLite store: ``sqlite_worker.py <verb> <path>``.

It says "ready" and starts when it reads a line, so that all start at once.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from pathlib import Path

from everbearer import Token
from everbearer.stores import Asked, NewGrant, Settlement, SqliteStore
from everbearer.tokens import AccountKey

KEY = AccountKey("billit", "acme")
ROUNDS = 200


async def take_turns(store, path):
    """Take and give back the lease, with a file that only one may have made."""
    marker = Path(f"{path}.marker")
    for number in range(ROUNDS):
        asked = Asked(f"{os.getpid()}-{number}", str(os.getpid()), 30.0)
        while not (acquired := await store.acquire(KEY, asked)).granted:
            await store.changed(KEY, acquired.record, 1.0)
        os.close(os.open(marker, os.O_CREAT | os.O_EXCL))
        await asyncio.sleep(0)
        marker.unlink()  # noqa: ASYNC240 - a moment
        await store.release(KEY, asked, Settlement(acquired.found, restore=True))


async def connect_one(store, path):
    """Connect an account of this process's own."""
    grant = NewGrant(
        str(os.getpid()), Token("access", "refresh"), "client", "https://l.example"
    )
    await store.put(AccountKey("billit", str(os.getpid())), grant)


async def stop_in_mid_write(store, path):
    """Take the write lock, write half a change, and never go on."""

    def half(connection):
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("UPDATE everbearer_records SET version = 99, sealed = x'00'")
        print("holding", flush=True)
        time.sleep(600)

    await store._writer.run(half)


async def forget(store, path):
    """Use the store and end without closing it."""
    FORGOTTEN.append(store)
    await store.load(KEY)


FORGOTTEN: list[SqliteStore] = []
VERBS = {each.__name__: each for each in (take_turns, connect_one, forget)}
VERBS["stop_in_mid_write"] = stop_in_mid_write


async def main(verb, path):
    store = SqliteStore(path)
    print("ready", flush=True)
    sys.stdin.readline()
    await store.open()
    await VERBS[verb](store, path)
    if store not in FORGOTTEN:
        await store.aclose()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
    print("done", flush=True)
