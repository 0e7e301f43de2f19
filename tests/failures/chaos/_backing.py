"""What the workers' stores are in front of, and how it fails: for real.

``locked``: somebody else keeps them from writing.  ``restarted``: the server ends as in
a crash, and comes back.  ``frozen``: it is stopped with SIGSTOP, and goes on.  ``cut``:
it ends every connection.  ``down`` and ``deaf`` are played by each worker, which is
told by a file (`_store_trouble`).
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
import threading
from abc import ABC, abstractmethod
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import asyncpg
from redis.asyncio import Redis
from tests._servers import PostgresServer, RedisServer
from tests.failures.chaos._schedule import KINDS, SERVER_KINDS

from everbearer.stores import Keyring

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from tests.failures.chaos._schedule import Kind

__all__ = ["BACKINGS", "Backing", "backed"]


class Backing(ABC):
    """One place for records, in *folder*.

    Attributes:
        url: Of the store, for everybody.

        kinds: What can happen, to it and to the rest.
    """

    url: str
    kinds: tuple[Kind, ...]

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    async def start(self) -> None:
        """Be there."""
        return

    async def aclose(self) -> None:
        """Be gone, whatever has happened."""
        return

    async def trouble(self, kind: str, seconds: float) -> None:
        """Fail as *kind* says, for *seconds*."""
        match kind:
            case "locked":
                await self._lock(seconds)
            case "down" | "deaf":
                flag = self.folder / kind
                flag.touch()
                await asyncio.sleep(seconds)
                flag.unlink()

    @abstractmethod
    async def _lock(self, seconds: float) -> None:
        """Keep all others from writing."""

    async def is_locked(self, within: float) -> bool:
        """Whether somebody keeps others from writing for *within* seconds."""
        del within
        return False


class _Sqlite(Backing):
    kinds = KINDS

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._path = folder / "tokens.db"
        self.url = f"sqlite:///{self._path}"
        self._over = threading.Event()

    async def aclose(self) -> None:
        self._over.set()

    async def _lock(self, seconds: float) -> None:
        await asyncio.to_thread(self._hold_lock, seconds)

    def _hold_lock(self, seconds: float) -> None:
        connection = sqlite3.connect(self._path, timeout=5.0, isolation_level=None)
        try:
            connection.execute("BEGIN IMMEDIATE")
            self._over.wait(seconds)
            connection.execute("ROLLBACK")
        finally:
            connection.close()

    async def is_locked(self, within: float) -> bool:
        """A worker that is stopped in the middle of a write keeps its lock."""
        return await asyncio.to_thread(self._is_locked, within)

    def _is_locked(self, within: float) -> bool:
        connection = sqlite3.connect(self._path, timeout=within, isolation_level=None)
        try:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("ROLLBACK")
        except sqlite3.OperationalError:
            return True
        else:
            return False
        finally:
            connection.close()


class _Server(Backing):
    """A server of the run's own: one trouble at a time."""

    kinds = SERVER_KINDS

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._one = asyncio.Lock()
        self._server = self._made()

    @abstractmethod
    def _made(self) -> PostgresServer | RedisServer:
        """The server, not started yet."""

    async def start(self) -> None:
        os.environ["EVERBEARER_KEYS"] = Keyring.generate_key()
        await asyncio.to_thread(self._server.__enter__)
        self.url = self._server.url

    async def aclose(self) -> None:
        del os.environ["EVERBEARER_KEYS"]
        await asyncio.to_thread(self._server.__exit__, None, None, None)

    async def trouble(self, kind: str, seconds: float) -> None:
        async with self._one:
            match kind:
                case "restarted":
                    await asyncio.to_thread(self._crash)
                    await asyncio.sleep(seconds)
                    await asyncio.to_thread(self._server.start)
                case "frozen":
                    self._server.freeze()
                    try:
                        await asyncio.sleep(seconds)
                    finally:
                        self._server.thaw()
                case "cut":
                    await self._cut()
                case _:
                    await super().trouble(kind, seconds)

    @abstractmethod
    def _crash(self) -> None:
        """End it without a word."""

    @abstractmethod
    async def _cut(self) -> None:
        """End every connection but this one."""


class _Postgres(_Server):
    def _made(self) -> PostgresServer:
        # Beside the run's folder, which is ours alone: run by root, the server is
        # another user's.
        return PostgresServer(self.folder.parent)

    def _crash(self) -> None:
        self._server.stop("immediate")

    async def _lock(self, seconds: float) -> None:
        operator = await asyncpg.connect(self.url)
        try:
            async with operator.transaction():
                await operator.execute("LOCK TABLE everbearer_records")
                await asyncio.sleep(seconds)
        finally:
            await operator.close()

    async def _cut(self) -> None:
        operator = await asyncpg.connect(self.url)
        await operator.fetch(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        await operator.close()


class _Redis(_Server):
    fsync = "always"

    def _made(self) -> RedisServer:
        return RedisServer(self.folder, self.fsync)

    def _crash(self) -> None:
        self._server.stop()

    async def _lock(self, seconds: float) -> None:
        async with Redis.from_url(self.url) as operator:
            milliseconds = round(seconds * 1000)
            await operator.execute_command("CLIENT PAUSE", milliseconds, "WRITE")
        await asyncio.sleep(seconds)

    async def _cut(self) -> None:
        async with Redis.from_url(self.url) as operator:
            for kind in ("normal", "pubsub"):
                await operator.execute_command("CLIENT KILL", "TYPE", kind)


class _RedisEverySecond(_Redis):
    fsync = "everysec"


BACKINGS: dict[str, Callable[[Path], Backing]] = {
    "sqlite": _Sqlite,
    "postgres": _Postgres,
    "redis": _Redis,
    "redis-everysec": _RedisEverySecond,
}
"""By the name that a run is told."""


@asynccontextmanager
async def backed(name: str, folder: Path) -> AsyncIterator[Backing]:
    """The one of that *name*, while it is needed."""
    backing = BACKINGS[name](folder)
    await backing.start()
    try:
        yield backing
    finally:
        await backing.aclose()
