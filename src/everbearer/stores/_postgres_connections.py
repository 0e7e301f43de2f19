"""Connections to PostgreSQL: a pool for each event loop, and one that listens."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import secrets
from typing import TYPE_CHECKING, Any, Final, TypeVar

import asyncpg

from everbearer.errors import ConfigurationError, StoreError
from everbearer.stores._feed import change_in
from everbearer.stores._files import NO_ACCOUNT

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from everbearer.stores._feed import Change
    from everbearer.stores._postgres_sql import Statement

__all__ = ["SECONDS", "TROUBLE", "Connections", "explained"]

_log = logging.getLogger("everbearer.stores")

SECONDS: Final = 5
"""For a connection, and for a statement: half a lease, or it comes too late."""

TROUBLE: Final = (
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # A connection that was ended in the middle of a call.
    OSError,  # TimeoutError is one.
    ValueError,
)
"""What asyncpg raises."""

# Another client's statement has the name, or ours was prepared on another connection.
_NOT_PREPARED: Final = (
    asyncpg.DuplicatePreparedStatementError,
    asyncpg.InvalidSQLStatementNameError,
)
_LOST: Final = (
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    ConnectionResetError,
    BrokenPipeError,
)

_RECONNECT: Final = (0.5, 1.5)
# Seconds without a word after which the server is asked whether it is there; and that a
# connection may be idle, which what stands between may forget without a word.
_QUIET: Final = 15.0
_IDLE: Final = 60.0
# Seconds within which a listener hears itself; the first and the longest pause of one
# that does not, as through a pooler in transaction mode.
_ECHO: Final = 5.0
_DEAF: Final = (10.0, 600.0)

_T = TypeVar("_T")


def explained(error: Exception) -> StoreError | ConfigurationError:
    """*error* as one that says what to do, and neither host nor password."""
    name = type(error).__name__
    if isinstance(error, ValueError):
        return ConfigurationError(
            f"the URL of the PostgreSQL store is not one that libpq knows ({name})"
        )
    if isinstance(error, TimeoutError):
        return StoreError(
            f"the PostgreSQL token store did not answer within {SECONDS} s: look "
            "at its load, its locks and the number of its connections"
        )
    if isinstance(error, _NOT_PREPARED):
        return StoreError(
            "a pooler such as PgBouncer gives every transaction of the PostgreSQL "
            f"token store another server connection ({name}): pass "
            "PostgresStore(..., prepared=False), or set max_prepared_statements in "
            "PgBouncer 1.21 or newer"
        )
    if isinstance(error, asyncpg.PostgresError):
        state = getattr(error, "sqlstate", None)
        return StoreError(
            f"the PostgreSQL token store refused ({name}, SQLSTATE {state}): check the "
            "role's rights, the tables and the server's log"
        )
    return StoreError(
        f"the PostgreSQL token store cannot be reached ({name}): check that the server "
        "runs, its address and the number of its connections"
    )


class Connections:
    """The connections of one store in one event loop.

    Args:
        url: Of the database.

        size: Most connections of the pool; the one that listens is beside it.

        options: For `asyncpg.connect`.

        channel: Where changes are told.

        tell: The statement that tells a text to who listens.

        heard: Called with each.
    """

    def __init__(
        self,
        url: str,
        size: int,
        options: dict[str, Any],
        channel: str,
        tell: Statement,
        heard: Callable[[Change], None],
    ) -> None:
        self._url = url
        self._options = options
        self._size = size
        self._channel = channel
        self._tell = tell
        self._heard = heard
        self._echo = "", asyncio.Event()
        self.pool: Any = asyncpg.create_pool(
            url,
            min_size=0,
            max_size=size,
            command_timeout=SECONDS,
            timeout=SECONDS,
            max_inactive_connection_lifetime=_IDLE,
            reset=_left_as_it_was,
            **options,
        )
        self._starting = asyncio.Lock()
        self._listener: asyncio.Task[None] | None = None
        self._closing: asyncio.Task[None] | None = None
        self.listening = False

    async def start(self) -> None:
        """Begin to listen; connections are made when one is needed.  Twice is fine."""
        async with self._starting:
            if self._listener is None:
                await self.pool
                self._listener = asyncio.create_task(
                    self._listen(), name="everbearer-listen"
                )

    @property
    def started(self) -> bool:
        """Whether it has been."""
        return self._listener is not None

    async def do(self, work: Callable[[Any], Awaitable[_T]], *, again: bool) -> _T:
        """Do *work*, as soon as there is a connection.

        Args:
            again: Whether to do it again if its connection was lost.  Where packets
                have vanished, an idle one only looks alive, and so may all others.
        """
        for _ in range(self._size if again else 0):
            with contextlib.suppress(*_LOST):
                return await self._do(work)
        return await self._do(work)

    async def _do(self, work: Callable[[Any], Awaitable[_T]]) -> _T:
        async with self.pool.acquire(timeout=SECONDS) as connection:
            return await work(connection)

    async def aclose(self) -> None:
        """Close everything."""
        if self._listener is not None:
            self._listener.cancel()
            await asyncio.wait({self._listener})
        try:
            async with asyncio.timeout(SECONDS):
                await self.pool.close()
        except TimeoutError:
            self.pool.terminate()

    def abandon(self) -> None:
        """Begin to close everything; in its own event loop, and nobody waits."""
        self._closing = asyncio.create_task(self.aclose(), name="everbearer-close")

    async def _listen(self) -> None:
        """Hear of changes for as long as the store is open.

        Nothing depends on it: whoever waits looks now and then as well.
        """
        deaf = _DEAF[0]
        while True:
            pause = random.uniform(*_RECONNECT)  # noqa: S311 - no secret
            with contextlib.suppress(*TROUBLE):
                if await self._listen_once():
                    deaf = _DEAF[0]
                else:
                    pause, deaf = deaf, min(deaf * 2, _DEAF[1])
            _log.info(
                "not listening for changes in the PostgreSQL store; trying again in "
                "%.0f s",
                pause,
                extra=NO_ACCOUNT,
            )
            await asyncio.sleep(pause)

    async def _listen_once(self) -> bool:
        """Hear until the connection is lost; whether anything was ever heard.

        LISTEN succeeds through a pooler in transaction mode, and nothing is heard: the
        server connection that listens is handed on.  So it counts from when this
        process has heard itself, whose voice came over another connection.
        """
        connection = await asyncpg.connect(
            self._url, timeout=SECONDS, command_timeout=SECONDS, **self._options
        )
        lost = asyncio.Event()
        try:
            connection.add_termination_listener(lambda _: lost.set())
            await connection.add_listener(self._channel, self._on_change)
            if not await self._hears_itself():
                await connection.remove_listener(self._channel, self._on_change)
                return False
            self.listening = True
            while not lost.is_set():
                # Where packets vanish, it looks alive for ever.
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_QUIET):
                        await lost.wait()
                        return True
                await connection.execute("SELECT 1")
            return True
        finally:  # Whatever it was: who waits has to look by itself.
            self.listening = False
            connection.terminate()

    async def _hears_itself(self) -> bool:
        voice, heard = self._echo = secrets.token_hex(8), asyncio.Event()
        arguments = self._tell.arguments({"channel": self._channel, "told": voice})
        await self.do(
            lambda connection: connection.execute(self._tell.text, *arguments),
            again=True,
        )
        try:
            async with asyncio.timeout(_ECHO):
                return await heard.wait()
        except TimeoutError:
            return False

    def _on_change(
        self, _connection: object, _pid: int, _channel: str, told: str
    ) -> None:
        voice, heard = self._echo
        if told == voice:
            heard.set()
        elif (change := change_in(told)) is not None:
            self._heard(change)


async def _left_as_it_was(_: object) -> None:
    """Nothing is undone, which would be a round trip for every statement.

    No statement of the store leaves anything behind in its session.
    """
