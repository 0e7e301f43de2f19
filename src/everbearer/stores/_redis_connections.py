"""Connections to Redis: a client for each event loop, and one that listens."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import random
import re
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final, TypeVar

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import (
    AuthenticationError,
    MovedError,
    RedisError,
    ResponseError,
)
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from everbearer.errors import ConfigurationError, StoreError
from everbearer.stores._feed import change_in
from everbearer.stores._files import NO_ACCOUNT

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from everbearer.stores._feed import Change

__all__ = [
    "ELSEWHERE",
    "SCRIPTS",
    "SECONDS",
    "Connections",
    "check_server",
    "explained",
]

_log = logging.getLogger("everbearer.stores")

SECONDS: Final = 5.0
"""For a connection, and for a command: half a lease, or it comes too late."""

_RECONNECT: Final = (0.5, 1.5)
# Seconds: what a rotation may wait for a replica, and between looks for any.
_REPLICATED_WITHIN: Final = 0.5
_ASK_REPLICAS: Final = 10.0
# Seconds without a word after which the server is asked whether it is there.
_QUIET: Final = 15.0

ELSEWHERE: Final = (
    "the server is a node of a cluster, and its keys are on another one: use the URL "
    "of that node, or of an endpoint that leads to it; redirections are not followed"
)
"""For errors."""

_HASH_TAG: Final = re.compile(r"[^{]*\{[^}]+\}")

_T = TypeVar("_T")

_LUA: Final = files("everbearer.stores") / "lua"
SCRIPTS: Final = {
    name: (_LUA / f"{name}.lua").read_text("utf-8")
    for name in (
        "load",
        "swap",
        "exchange",
        "delete",
        "due",
        "save_pending",
        "use_pending",
    )
}


def explained(error: Exception) -> StoreError | ConfigurationError:
    """*error* as one that says what to do, and neither host nor password."""
    name = type(error).__name__
    if isinstance(error, ValueError):
        return ConfigurationError(
            f"the URL of the Redis store is not one that redis-py knows ({name})"
        )
    if isinstance(error, (RedisTimeoutError, TimeoutError)):
        return StoreError(
            f"the Redis token store did not answer within {SECONDS:.0f} s: look at "
            "its load and its slow log"
        )
    if isinstance(error, MovedError):
        return StoreError(f"the Redis token store has moved: {ELSEWHERE}")
    if isinstance(error, (AuthenticationError, ResponseError)):
        return StoreError(
            f"the Redis token store refused ({name}): check user, password and "
            "rights, and whether it is a replica or out of memory"
        )
    return StoreError(
        f"the Redis token store cannot be reached ({name}): check that the server "
        "runs, its address and its TLS settings"
    )


def check_server(
    info: Mapping[str, Any], store: str, prefix: str, *, may_evict: bool
) -> None:
    """Whether a server keeps what it is given; CONFIG is forbidden at many services.

    Args:
        info: What INFO says.

        store: How the messages call it.

        prefix, may_evict: See `RedisStore`.

    Raises:
        ConfigurationError: It may drop refresh tokens, or spread them.
    """
    policy = info.get("maxmemory_policy")
    if policy is None:
        _log.warning(
            "%s: the server does not tell its eviction policy; it must not drop "
            "keys that have no end of their own",
            store,
            extra=NO_ACCOUNT,
        )
    elif policy.startswith("allkeys") and not may_evict:
        raise ConfigurationError(
            f"{store}: the server may drop refresh tokens when its memory is full "
            f"(maxmemory-policy {policy}): set noeviction or a volatile policy, or "
            "pass RedisStore(..., may_evict=True)"
        )
    if not info.get("aof_enabled"):
        _log.warning(
            "%s: the server keeps no append-only file: rotated tokens are lost "
            "when it restarts (appendonly yes)",
            store,
            extra=NO_ACCOUNT,
        )
    if info.get("cluster_enabled"):
        if not _HASH_TAG.match(prefix):
            raise ConfigurationError(
                f"{store}: the server is a node of a cluster, where only keys with one "
                "hash tag stay together: put a part of the prefix in braces, as in "
                "'{everbearer}:'"
            )
        _log.warning(
            "%s: the server is a node of a cluster: when its keys move to another "
            "node, the store needs that one's URL",
            store,
            extra=NO_ACCOUNT,
        )


async def _heeding(work: Awaitable[_T]) -> _T:
    """What *work* comes to, unless this task was cancelled meanwhile.

    On Python 3.11 redis-py loses a cancellation that comes while it sends, because
    asyncio.wait_for does: who waits for the end of a task that goes on, waits for ever.
    """
    task = asyncio.current_task()
    before = task.cancelling() if task is not None else 0
    try:
        return await work
    finally:
        if task is not None and task.cancelling() > before:
            raise asyncio.CancelledError


class _MadeAnew:
    """A connection that is made anew if its server was lost while it was idle.

    redis-py does not see it with every parser, nor where the server that was killed has
    reset the connection: the next command would fail although the server is back.
    """

    _reader: asyncio.StreamReader | None

    async def connect(self, *arguments: Any, **options: Any) -> None:  # noqa: ANN401
        """Called before each command."""
        this: Any = super()
        reader = self._reader
        if reader is not None and (reader.at_eof() or reader.exception() is not None):
            await this.disconnect(nowait=True)
        await this.connect(*arguments, **options)


class Connections:
    """The connections of one store in one event loop.

    Args:
        url: Of the server.

        size: Most connections at a time; the one that listens is beside them.

        channel: Where changes are told.

        heard: Called with each.

    Raises:
        ValueError: redis-py does not know such a URL.
    """

    def __init__(
        self, url: str, size: int, channel: str, heard: Callable[[Change], None]
    ) -> None:
        # Never again by itself: what it would send twice may have been done.
        self.client: Any = Redis.from_url(
            url,
            max_connections=size + 1,
            socket_timeout=SECONDS,
            socket_connect_timeout=SECONDS,
            retry=Retry(NoBackoff(), 0),
            retry_on_error=[],
        )
        pool = self.client.connection_pool
        pool.connection_class = type(
            "Connection", (_MadeAnew, pool.connection_class), {}
        )
        # As many at once as there are connections: redis-py would raise.
        self._free = asyncio.Semaphore(size)
        self.scripts = {
            name: self.client.register_script(text) for name, text in SCRIPTS.items()
        }
        self._channel = channel
        self._heard = heard
        self._ask_replicas_at = -math.inf
        self._replicas = 0
        self._listener: asyncio.Task[None] | None = None
        self._closing: asyncio.Task[None] | None = None
        self.listening = False

    def start(self) -> None:
        """Begin to listen.  Twice is fine."""
        if self._listener is None:
            self._listener = asyncio.create_task(
                self._listen(), name="everbearer-listen"
            )

    async def aclose(self) -> None:
        """Close everything."""
        # More than once: on Python 3.11 redis-py may swallow a cancellation.
        while self._listener is not None and not self._listener.done():
            self._listener.cancel()
            await asyncio.wait({self._listener}, timeout=0.1)
        with contextlib.suppress(RedisError, OSError):
            await self.client.aclose()

    def abandon(self) -> None:
        """Begin to close everything; in its own event loop, and nobody waits."""
        self._closing = asyncio.create_task(self.aclose(), name="everbearer-close")

    async def do(
        self, work: Callable[[Connections], Awaitable[_T]], *, again: bool
    ) -> _T:
        """Do *work*, as soon as there is a connection.

        Args:
            again: Whether to do it once more if its connection was lost.  Where packets
                have vanished, an idle one only looks alive, and so may all others.
        """
        async with self._free:
            try:
                return await _heeding(work(self))
            except RedisConnectionError:
                if not again:
                    raise
            await self.client.connection_pool.disconnect(inuse_connections=False)
            return await _heeding(work(self))

    async def replicated(
        self, script: str, keys: Sequence[str | bytes], arguments: Sequence[Any]
    ) -> Any:  # noqa: ANN401
        """Run *script*, and give a replica a moment to have what it wrote.

        A replica that takes over without it has a refresh token that is spent.  WAIT
        counts what its own connection wrote, hence the pipeline.
        """
        if not await self._has_replicas():
            return await self.scripts[script](keys, arguments)
        pipeline = self.client.pipeline(transaction=False)
        pipeline.eval(SCRIPTS[script], len(keys), *keys, *arguments)
        pipeline.execute_command("WAIT", 1, round(_REPLICATED_WITHIN * 1000))
        outcome, replicas = await pipeline.execute(raise_on_error=False)
        if isinstance(outcome, Exception):
            raise outcome
        if not isinstance(replicas, int) or replicas < 1:
            self._ask_replicas_at = -math.inf
            _log.warning(
                "no replica of the Redis store has acknowledged a rotated token: a "
                "fail-over now would lose it",
                extra=NO_ACCOUNT,
            )
        return outcome

    async def _has_replicas(self) -> bool:
        """Ask now and then; where INFO is forbidden there are none."""
        now = asyncio.get_running_loop().time()
        if now >= self._ask_replicas_at:
            with contextlib.suppress(ResponseError):
                info = await self.client.info("replication")
                self._replicas = int(info.get("connected_slaves", 0))
            self._ask_replicas_at = now + _ASK_REPLICAS
        return self._replicas > 0

    async def _listen(self) -> None:
        """Hear of changes for as long as the store is open.

        Nothing depends on it: whoever waits looks now and then as well.
        """
        while True:
            try:
                with contextlib.suppress(RedisError, OSError):
                    await self._listen_once()
            finally:  # Whatever it was: who waits has to look by itself.
                self.listening = False
            _log.info(
                "not listening for changes in the Redis store; trying again",
                extra=NO_ACCOUNT,
            )
            await asyncio.sleep(random.uniform(*_RECONNECT))  # noqa: S311 - no secret

    async def _listen_once(self) -> None:
        async with self.client.pubsub(ignore_subscribe_messages=True) as hearing:
            await hearing.subscribe(self._channel)
            self.listening, asked = True, False
            while True:
                message = await hearing.get_message(
                    timeout=SECONDS if asked else _QUIET
                )
                if message is None:
                    if asked:
                        return  # Packets vanish: such a connection looks alive.
                    # At once if TCP gave it up: redis-py takes that for a quiet time.
                    await hearing.ping()
                elif message["type"] == "message":
                    self._on_change(message["data"])
                asked = message is None

    def _on_change(self, told: bytes) -> None:
        if (change := change_in(told)) is not None:
            self._heard(change)
