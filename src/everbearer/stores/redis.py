"""The store for pools on many hosts: one Redis server.

What is done to a record is in `_swapping`; here are the scripts.  A script runs as one,
and no other command runs meanwhile (redis.io, "Scripting with Lua").  All keys begin
with one hash tag, so that in a cluster they are on one node.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
from typing import TYPE_CHECKING, Any, Final, TypeVar

from redis.exceptions import MovedError, RedisError

from everbearer._clock import Clock, SystemClock
from everbearer.errors import ConfigurationError, StoreError
from everbearer.stores._files import NO_ACCOUNT
from everbearer.stores._pending import FORGOTTEN_AFTER
from everbearer.stores._protocol import BEGINNING, Due, TakenAuthorization
from everbearer.stores._redis_connections import (
    ELSEWHERE,
    Connections,
    check_server,
    explained,
)
from everbearer.stores._redis_rows import (
    changes,
    columns_of,
    fields_of,
    flat,
    member_of,
    row_of,
)
from everbearer.stores._redis_sealed import RedisSealed
from everbearer.stores._seal import PENDING, open_sealed, seal
from everbearer.stores._serialize import dump_pending, parse_pending
from everbearer.stores._swapping import STALE_AFTER, Row, SwappingStore, parsed
from everbearer.stores._wakeups import Mark, Wakeups
from everbearer.stores.keyring import Keyring
from everbearer.tokens import AccountKey, Standing

if TYPE_CHECKING:
    from collections.abc import (
        AsyncIterator,
        Awaitable,
        Callable,
        Iterable,
        Sequence,
    )

    from everbearer.stores._resealing import SealedRecords
    from everbearer.tokens import PendingAuthorization, TokenRecord

__all__ = ["RedisStore"]

_log = logging.getLogger("everbearer.stores")

# As in the other stores: only what is written grows, and a release works on every
# schema whose `min_reader` is not above its own number.
_SCHEMA: Final = 1
_MIN_READER: Final = 1

_PAGE: Final = 100
_READING: Final = {"load", "due"}

# A forked child must not collect its parent's connections as garbage: closing a socket
# that both have would end the parent's session.
_inherited: Final[list[object]] = []

_T = TypeVar("_T")


class RedisStore(SwappingStore):
    """Records in the Redis server at *url*, sealed.

    Args:
        url: ``redis://user:password@host:6379/0``, or ``rediss://`` for TLS, as
            redis-py takes it.  In a cluster, of the node that has the store's keys: no
            redirection is followed.

        keyring: Opens and seals; by default the keys in ``EVERBEARER_KEYS``.  Every
            process needs the same keys, so that none is made here.

        prefix: What every key begins with.  What is between braces decides, in a
            cluster, on which node they are.

        may_evict: Whether to work on a server that is told to drop keys without an end
            of their own when its memory is full.  It would drop refresh tokens.

        connections: Most connections of this store at a time in one event loop, beside
            one that listens for changes.

        clock: Takes the place of the server's, in tests.

    Raises:
        ConfigurationError: There is no key, or the prefix is none.

    A store may be used from any event loop and thread: each gets connections of its
    own.  In a process that was forked off, it connects again at the first use.
    """

    def __init__(
        self,
        url: str,
        keyring: Keyring | None = None,
        *,
        prefix: str = "{everbearer}:",
        may_evict: bool = False,
        connections: int = 10,
        clock: Clock | None = None,
    ) -> None:
        super().__init__(
            keyring or Keyring.from_environment(),
            clock or SystemClock(),
            standing=clock is not None,
        )
        if not isinstance(prefix, str) or not prefix.isprintable() or not prefix:
            raise ConfigurationError(
                "the prefix of a Redis store is printable text, as '{everbearer}:'"
            )
        self._url = url
        self._prefix = prefix
        self._may_evict = may_evict
        self._size = connections
        self._opened = False
        self._open: dict[asyncio.AbstractEventLoop, Connections] = {}
        self._pid: int | None = None

    def __repr__(self) -> str:
        return f"<RedisStore {self._prefix}*>"

    async def open(self) -> None:
        """Connect, and look whether the server keeps what it is given.  Twice is fine.

        Raises:
            ConfigurationError: A newer release wrote the records and says that this
                one cannot, the server may evict them, or it is the wrong node of a
                cluster.

            StoreError: The server cannot be reached or refuses.
        """
        if self._opened and self._pid == os.getpid():
            return
        self._opened = True
        try:
            await self._keyring.load()
            await self._on(self._prepare)
        except BaseException:  # Whatever it is: nothing half open is left behind.
            await self.aclose()
            raise
        _log.info("token store %r, %r", self, self._keyring, extra=NO_ACCOUNT)

    async def aclose(self) -> None:
        """Close the connections of every event loop.  Twice is fine."""
        self._opened = False
        mine = self._open.pop(asyncio.get_running_loop(), None)
        others, self._open = self._open, {}
        if self._pid != os.getpid():
            _inherited.append((mine, others))  # They are the parent's.
            return
        _inherited.extend(self._left_of(others))
        if mine is not None:
            await mine.aclose()

    # ---- records

    async def _read(self, key: AccountKey) -> tuple[Row | None, float]:
        seconds, micros, members = await self._script("load", [self._record(key)])
        now = int(seconds) + int(micros) / 1_000_000
        if not members:
            return None, now
        return row_of(members), now

    async def _server_now(self) -> float:
        seconds, micros = await self._on(lambda each: each.client.time())
        return int(seconds) + int(micros) / 1_000_000

    async def _swap(
        self, row: Row, there: Row | None, now: float | None, told: str | None
    ) -> bool:
        columns = row.columns
        key = AccountKey(columns["provider"], columns["account"])
        connected = columns["standing"] == Standing.CONNECTED
        return await self._written(
            "swap",
            key,
            [
                there.revision if there else "",
                "" if now is None else repr(now),
                STALE_AFTER,
                "1" if told else "",
                self._channel,
                told or "",
                member_of(key),
                key.account,
                repr(columns["minted_at"]) if connected else "",
                *flat(changes(row, there)),
            ],
            rotated=row.rotated,
        )

    async def _remove(self, key: AccountKey, expected: str, told: str) -> bool:
        rest = [self._channel, told, member_of(key), key.account]
        return await self._written("delete", key, [expected, *rest])

    async def _written(
        self,
        script: str,
        key: AccountKey,
        arguments: list[Any],
        *,
        rotated: bool = False,
    ) -> bool:
        keys: list[str | bytes] = [
            self._record(key),
            self._prefix + "all",
            self._due(key.provider),
        ]
        try:
            if not rotated:
                return bool(await self._script(script, keys, arguments))
            return bool(
                await self._on(
                    lambda each: each.replicated(script, keys, arguments), again=False
                )
            )
        finally:
            # Also for a caller that was cancelled: the write may have taken place.
            self._wakeups.wake(key)

    async def list(self, provider: str | None = None) -> AsyncIterator[TokenRecord]:
        """All records, by provider and account.

        They are read a page at a time, so that a slow consumer holds nothing up; what
        is written meanwhile may or may not be in it.
        """
        after = b"-" if provider is None else b"[" + member_of(AccountKey(provider, ""))
        end = b"+" if provider is None else b"(" + f"{provider}\1".encode()
        while True:
            page = await self._page(after, end)
            for member in page:
                key = AccountKey(*member.decode().split("\0", 1))
                row, _ = await self._read(key)
                if row is not None:  # It may have gone in between.
                    yield parsed(row.columns, row.sealed, self._keyring).record
            if len(page) < _PAGE:
                return
            after = b"(" + page[-1]

    async def _page(self, after: bytes, end: bytes) -> Any:  # noqa: ANN401
        return await self._on(
            lambda each: each.client.zrangebylex(
                self._prefix + "all", after, end, start=0, num=_PAGE
            )
        )

    async def due(
        self, provider: str, before: float, limit: int, after: Due = BEGINNING
    ) -> tuple[Due, ...]:
        """Connected accounts of *provider*, the one with the oldest token first."""
        asked = [after.minted_at, after.account, before, limit]
        found = await self._script("due", [self._due(provider)], asked)
        pairs = zip(found[::2], found[1::2], strict=True)
        return tuple(Due(float(at), account.decode()) for at, account in pairs)

    async def _mark(self, key: AccountKey) -> Mark | None:
        found = await self._on(
            lambda each: each.client.hmget(self._record(key), Mark._fields)
        )
        if found[0] is None:
            return None
        return Mark(*(json.loads(value) for value in found))

    async def _hears(self) -> bool:
        return self._connections().listening

    async def sealed(self) -> SealedRecords:
        """What is sealed, for `reseal`."""
        self._connections()
        return RedisSealed(self._keyring, self._prefix, self._on, self._script)

    # ---- pending authorizations

    async def put_pending(self, pending: PendingAuthorization) -> None:
        """Keep *pending* for as long as it is of use.  Twice is fine."""
        row = {
            "provider": json.dumps(pending.key.provider),
            "account": json.dumps(pending.key.account),
            "state_fingerprint": json.dumps(pending.state_fingerprint),
            "expires_at": json.dumps(pending.expires_at),
            "used": "false",
            "sealed": seal(self._keyring, dump_pending(pending), PENDING, pending.key),
        }
        left = pending.expires_at + FORGOTTEN_AFTER - await self.now()
        await self._script(
            "save_pending",
            [self._pending(pending.state_fingerprint)],
            [max(1, round(left * 1000)), *flat(row)],
        )

    async def take_pending(self, state_fingerprint: str) -> TakenAuthorization:
        """Hand out a started authorization, once, even if its time has passed."""
        keys = [self._pending(state_fingerprint)]
        seconds, micros, members = await self._script("load", keys)
        now = self._time(int(seconds) + int(micros) / 1_000_000)
        fields = fields_of(members)
        columns = columns_of(fields)
        if not members or columns["expires_at"] < now - FORGOTTEN_AFTER:
            return TakenAuthorization(None, used=False, now=now)
        if columns["used"]:
            return TakenAuthorization(None, used=True, now=now)
        key = AccountKey(columns["provider"], columns["account"])
        plain = open_sealed(self._keyring, fields[b"sealed"], PENDING, key)
        pending = parse_pending(columns, plain)
        if not await self._script("use_pending", keys):
            return TakenAuthorization(None, used=True, now=now)
        return TakenAuthorization(pending, used=False, now=now)

    # ---- keys

    def _record(self, key: AccountKey) -> bytes:
        return self._prefix.encode() + b"record:" + member_of(key)

    def _due(self, provider: str) -> str:
        return f"{self._prefix}due:{provider}"

    def _pending(self, state_fingerprint: str) -> str:
        return f"{self._prefix}pending:{state_fingerprint}"

    @property
    def _channel(self) -> str:
        return self._prefix + "changed"

    # ---- connections

    async def _script(
        self, name: str, keys: Sequence[str | bytes], arguments: Iterable[Any] = ()
    ) -> Any:  # noqa: ANN401
        again = name in _READING
        return await self._on(
            lambda each: each.scripts[name](keys, arguments), again=again
        )

    async def _on(
        self, work: Callable[[Connections], Awaitable[_T]], *, again: bool = True
    ) -> _T:
        try:
            return await self._connections().do(work, again=again)
        except (RedisError, OSError, ValueError) as error:
            trouble = explained(error)
        # Not in the handler: redis-py's error may hold the arguments of the command.
        raise trouble

    def _connections(self) -> Connections:
        """Those of the running loop; a forked child has none of its parent's."""
        if not self._opened:
            raise StoreError(
                f"token store {self!r} is not open: await its open() first"
            )
        if self._pid != os.getpid():
            _inherited.append(self._open)
            self._open, self._wakeups, self._seen = {}, Wakeups(), {}
            self._pid = os.getpid()
        loop = asyncio.get_running_loop()
        known = self._open.get(loop)
        if known is None:
            known = Connections(
                self._url, self._size, self._channel, self._wakeups.tell
            )
            self._open[loop] = known
            known.start()
        return known

    async def _prepare(self, connections: Connections) -> None:
        client = connections.client
        facts = self._prefix + "meta"
        info = await client.info()
        check_server(info, repr(self), self._prefix, may_evict=self._may_evict)
        try:
            await client.hsetnx(facts, "schema", _SCHEMA)
        except MovedError:
            raise ConfigurationError(f"{self!r}: {ELSEWHERE}") from None
        await client.hsetnx(facts, "min_reader", _MIN_READER)
        try:
            wanted = int(await client.hget(facts, "min_reader"))
        except ValueError as error:
            raise StoreError(
                f"{self!r}: its facts do not say who may read it: restore it from a "
                "backup"
            ) from error
        if wanted > _SCHEMA:
            raise ConfigurationError(
                f"{self!r} was written by a newer release and needs one that reads "
                f"schema {wanted}; this one reads {_SCHEMA}: upgrade everbearer"
            )
