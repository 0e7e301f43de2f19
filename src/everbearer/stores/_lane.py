"""A thread with a connection of its own, where blocking work is done one by one.

Why not aiosqlite: with one call there is a hop to the thread for each statement, so
that a transaction is open across the event loop's pauses, and a caller cancelled in
the middle leaves the database locked.  Its thread also keeps a process from ending
whose connection was not closed, and dies with the first answer that comes after its
event loop was closed (all seen with 0.22.1).  Here a transaction is one function, which
runs from BEGIN to its end whatever happens to whoever asked for it.
"""

from __future__ import annotations

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final, TypeVar

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable

__all__ = ["Lane"]

_T = TypeVar("_T")

# A connection must not be closed, nor finalized, in a process that forked it off
# (sqlite.org/howtocorrupt.html section 2.6).
_inherited: Final[list[object]] = []


class Lane:
    """One thread, and the connection that it makes with *connect* when first used.

    A call waits for another process's lock for *busy* seconds, its turn included.

    Nothing belongs to an event loop: each call may come from another one.
    """

    __slots__ = ("_busy", "_connect", "_connection", "_executor", "_guard", "_name")

    def __init__(
        self, name: str, connect: Callable[[], sqlite3.Connection], busy: float
    ) -> None:
        self._name = name
        self._busy = busy
        self._connect = connect
        self._connection: sqlite3.Connection | None = None
        self._executor: ThreadPoolExecutor | None = None
        self._guard = threading.Lock()

    async def run(self, work: Callable[[sqlite3.Connection], _T]) -> _T:
        """Do *work* after all that was asked for before.

        A cancelled caller leaves at once.  Work that has begun goes on to its end, and
        work that has not is not done.
        """
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(
            self._thread(), self._do, work, time.monotonic()
        )

    async def aclose(self) -> None:
        """Finish what was asked for, close the connection, end the thread."""
        with self._guard:
            executor, self._executor = self._executor, None
        if executor is None:
            return
        closing = executor.submit(self._close)
        executor.shutdown(wait=False)
        # A cancelled caller must not take the closing back.
        await asyncio.shield(asyncio.wrap_future(closing))

    def abandon(self) -> None:
        """After a fork: forget the parent's thread and connection, untouched."""
        _inherited.append((self._connection, self._executor))
        self._connection = self._executor = None
        # The parent may have held it in the instant of the fork.
        self._guard = threading.Lock()

    def _thread(self) -> ThreadPoolExecutor:
        with self._guard:
            if self._executor is None:
                self._executor = ThreadPoolExecutor(1, f"everbearer-{self._name}")
            return self._executor

    def _do(self, work: Callable[[sqlite3.Connection], _T], asked_at: float) -> _T:
        if self._connection is None:
            self._connection = self._connect()
        # Waiting in the queue is waiting too: while the lock is held elsewhere, the
        # hundredth caller must not wait for a hundred busy timeouts.
        left = max(0.0, self._busy - (time.monotonic() - asked_at))
        self._connection.execute(f"PRAGMA busy_timeout = {int(1000 * left)}")
        return work(self._connection)

    def _close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()
