"""A process of one release: rotates one account's token in turn with another release.

Arguments: where the release is installed, URL of the store, ``this`` or ``next``, and
how often.  The next release is the one that `test_releases.py` makes up.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import everbearer
from everbearer.stores import Asked, Replacement, Rotation, open_store
from everbearer.tokens import AccountKey, Token

KEY = AccountKey("billit", "acme")


async def turn(store, release):
    """The record, once its version says that it is this release's turn."""
    while True:
        record = await store.load(KEY)
        if record is not None and record.version % 2 == (release == "next"):
            return record
        await store.changed(KEY, record, 1.0)


async def main(where, url, release, times) -> None:
    """Take turns; the next release finds what it wrote the last time."""
    assert Path(everbearer.__file__).is_relative_to(where)
    store = open_store(url)
    await store.open()
    wrote = None
    for number in range(times):
        record = await turn(store, release)
        new = {"hint": f"hint {number}"} if release == "next" else {}
        if release == "next":
            assert record.token.hint == wrote, "a sealed field is lost"
            assert record.note == (wrote or ""), "a column is lost"
            wrote = new["hint"]
        flight = f"{release} {number}"
        taken = await store.acquire(KEY, Asked(flight, release, 10.0))
        assert taken.granted
        token = Token(f"access of {flight}", f"refresh of {flight}", **new)
        saved = await store.replace(
            KEY, Rotation(record.incarnation, record.version, token, flight)
        )
        assert saved.outcome is Replacement.STORED
    await store.aclose()


if __name__ == "__main__":
    _, installed, at, kind, often = sys.argv
    asyncio.run(main(installed, at, kind, int(often)))
