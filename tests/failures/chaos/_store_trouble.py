"""A store that fails and comes back: locked, down, or deaf.

``locked``: another program holds the database's write lock, for real.  ``down``: every
call fails at once.  ``deaf``: what is written is written, but nobody is told so.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from everbearer.errors import StoreError
from everbearer.stores import SpillHome

__all__ = ["Troubled", "hold_lock"]

_WRITES = frozenset({"acquire", "renew", "release", "replace", "refuse"})
_ALL = _WRITES | {"load", "changed"}

# Seconds from which a call of the store is told of: a third of the lease.
_SLOW = 0.33


class Troubled:
    """*store*, which fails while there is a file ``down`` or ``deaf`` beside *path*."""

    def __init__(self, store: Any, path: str, tell: Callable[..., None]) -> None:
        self._store = store
        self._down = Path(path).with_name("down")
        self._deaf = Path(path).with_name("deaf")
        self._tell = tell

    def spill_home(self) -> SpillHome:
        """Named here: a protocol does not see what `__getattr__` would find."""
        return self._store.spill_home()

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._store, name)
        if name not in _ALL:
            return method

        async def troubled(*args: Any, **more: Any) -> Any:
            if self._down.exists():
                raise StoreError("chaos: the store is down")
            begin = time.monotonic()
            try:
                answer = await method(*args, **more)
            finally:
                took = time.monotonic() - begin
                if name != "changed" and took > _SLOW:
                    account = args[0].account
                    self._tell("store", name=name, account=account, seconds=took)
            if name == "acquire" and answer and answer.granted and answer.found:
                self._tell("takeover", account=args[0].account)
            if name in _WRITES and self._deaf.exists():
                raise StoreError("chaos: the store does not say what it did")
            return answer

        return troubled


def hold_lock(path: Path, seconds: float, over: threading.Event) -> None:
    """Hold the write lock of the database at *path*; *over* ends it early."""
    connection = sqlite3.connect(path, timeout=5.0, isolation_level=None)
    try:
        connection.execute("BEGIN IMMEDIATE")
        over.wait(seconds)
        connection.execute("ROLLBACK")
    finally:
        connection.close()


def is_locked(path: Path, within: float) -> bool:
    """Whether somebody keeps the write lock for *within* seconds."""
    connection = sqlite3.connect(path, timeout=within, isolation_level=None)
    try:
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("ROLLBACK")
    except sqlite3.OperationalError:
        return True
    else:
        return False
    finally:
        connection.close()
