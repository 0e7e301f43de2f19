"""The store for pools on many hosts: one PostgreSQL database.

What is done to a record is in `_swapping`; here are the statements.  A statement is a
transaction of its own, so that no connection is held between two of them, and none
while a token endpoint is asked; PgBouncer may hand each to another server connection.
"""

from __future__ import annotations

import asyncio
import logging
import os
from typing import TYPE_CHECKING, Any, Final, TypeVar

from everbearer._clock import Clock, SystemClock
from everbearer.errors import ConfigurationError, StoreError
from everbearer.stores._files import NO_ACCOUNT
from everbearer.stores._pending import FORGOTTEN_AFTER
from everbearer.stores._postgres_connections import (
    TROUBLE,
    Connections,
    explained,
)
from everbearer.stores._postgres_sealed import PostgresSealed
from everbearer.stores._postgres_sql import Names, statements_for
from everbearer.stores._protocol import BEGINNING, Due, TakenAuthorization
from everbearer.stores._seal import PENDING, open_sealed, seal
from everbearer.stores._serialize import dump_pending, parse_pending
from everbearer.stores._swapping import STALE_AFTER, Row, SwappingStore, parsed
from everbearer.stores._wakeups import Mark, Wakeups
from everbearer.stores.keyring import Keyring
from everbearer.tokens import AccountKey

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

    from everbearer.stores._postgres_sql import Statement
    from everbearer.stores._resealing import SealedRecords
    from everbearer.tokens import PendingAuthorization, TokenRecord

__all__ = ["PostgresStore"]

_log = logging.getLogger("everbearer.stores")

# The schema only ever grows: a release works on every schema whose `min_reader` is not
# above its own number, and writes the columns that it knows.
_SCHEMA: Final = 1
_MIN_READER: Final = 1
_STEPS: Final = ("create_meta", "create_records", "create_pending", "create_due_index")

_PAGE: Final = 100
_READING: Final = {
    "due",
    "load",
    "load_pending",
    "mark",
    "now",
    "page",
    "page_of_pending",
    "page_of_provider",
}

# A forked child must not collect its parent's connections as garbage: closing a socket
# that both have would end the parent's session.
_inherited: Final[list[object]] = []

_T = TypeVar("_T")


class PostgresStore(SwappingStore):
    """Records in the PostgreSQL database at *url*, sealed.

    Args:
        url: ``postgresql://user:password@host/database``, as libpq and asyncpg take it.

        keyring: Opens and seals; by default the keys in ``EVERBEARER_KEYS``.  Every
            process needs the same keys, so that none is made here.

        schema: PostgreSQL schema of the tables; it must exist.

        prefix: What the names of the tables begin with.

        create: Whether `open` makes and migrates the tables.

        connections: Most connections of this store at a time in one event loop, beside
            one that listens for changes.

        prepared: Whether statements are prepared once for each connection.  False
            behind a PgBouncer in transaction mode that is older than 1.21 or does not
            keep them (``max_prepared_statements``).

        clock: Takes the place of the server's, in tests.

    Raises:
        ConfigurationError: There is no key, or a name is not plain.

    A store may be used from any event loop and thread: each gets connections of its
    own.  In a process that was forked off, it connects again at the first use.
    """

    def __init__(
        self,
        url: str,
        keyring: Keyring | None = None,
        *,
        schema: str = "public",
        prefix: str = "everbearer_",
        create: bool = True,
        connections: int = 10,
        prepared: bool = True,
        clock: Clock | None = None,
    ) -> None:
        super().__init__(
            keyring or Keyring.from_environment(),
            clock or SystemClock(),
            standing=clock is not None,
        )
        self._url = url
        self._names = Names(schema, prefix)
        self._sql = statements_for(self._names)
        self._create = create
        self._size = connections
        self._options: dict[str, Any] = {} if prepared else {"statement_cache_size": 0}
        self._opened = False
        self._open: dict[asyncio.AbstractEventLoop, Connections] = {}
        self._pid: int | None = None

    def __repr__(self) -> str:
        return f"<PostgresStore {self._names.table('*')}>"

    async def open(self) -> None:
        """Connect, and make or migrate the tables.  Twice is fine, also at once.

        Raises:
            ConfigurationError: A newer release wrote them and says that this one
                cannot, or they are missing and `create` is False.

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
        for each in self._left_of(others):
            each.pool.terminate()
        if mine is not None:
            await mine.aclose()

    # ---- records

    async def _read(self, key: AccountKey) -> tuple[Row | None, float]:
        row = await self._row("load", key._asdict())
        if row is None or row["provider"] is None:
            return None, row["server_now"] if row else await self._server_now()
        return Row(dict(row), bytes(row["sealed"]), row["revision"]), row["server_now"]

    async def _server_now(self) -> float:
        return float((await self._row("now", {}))[0])

    async def _swap(
        self, row: Row, there: Row | None, now: float | None, told: str | None
    ) -> bool:
        # Text may hold every character but one (PostgreSQL manual, section 8.3).
        values = {
            name: value.replace("\0", "\N{REPLACEMENT CHARACTER}")
            if isinstance(value, str)
            else value
            for name, value in row.columns.items()
        }
        values |= {
            "sealed": row.sealed,
            "revision": row.revision,
            "expected": there.revision if there else None,
            "now": now,
            "stale_after": STALE_AFTER,
            "tell": told is not None,
            "told": told or "",
        }
        name = "insert" if there is None else "update"
        return await self._written(name, values)

    async def _remove(self, key: AccountKey, expected: str, told: str) -> bool:
        values = {**key._asdict(), "expected": expected, "told": told}
        return await self._written("delete", values)

    async def _written(self, name: str, values: Mapping[str, Any]) -> bool:
        key = AccountKey(values["provider"], values["account"])
        channel = {"channel": self._names.channel}
        try:
            row = await self._row(name, {**values, **channel})
        finally:
            # Also for a caller that was cancelled: the write may have taken place.
            self._wakeups.wake(key)
        return bool(row["written"])

    async def list(self, provider: str | None = None) -> AsyncIterator[TokenRecord]:
        """All records, by provider and account.

        They are read a page at a time, so that a slow consumer holds nothing up; what
        is written meanwhile may or may not be in it.
        """
        last = AccountKey(provider or "", "")
        name = "page" if provider is None else "page_of_provider"
        while True:
            page = await self._rows(name, {**last._asdict(), "size": _PAGE})
            for row in page:
                columns = dict(row)
                yield parsed(columns, bytes(row["sealed"]), self._keyring).record
            if len(page) < _PAGE:
                return
            last = AccountKey(page[-1]["provider"], page[-1]["account"])

    async def due(
        self, provider: str, before: float, limit: int, after: Due = BEGINNING
    ) -> tuple[Due, ...]:
        """Connected accounts of *provider*, the one with the oldest token first."""
        asked = {"provider": provider, "before": before, "size": limit}
        found = await self._rows("due", asked | after._asdict())
        return tuple(Due(row["minted_at"], row["account"]) for row in found)

    async def _mark(self, key: AccountKey) -> Mark | None:
        row = await self._row("mark", key._asdict())
        return Mark(*row) if row else None

    async def _hears(self) -> bool:
        return (await self._connections()).listening

    async def sealed(self) -> SealedRecords:
        """What is sealed, for `reseal`."""
        await self._connections()
        return PostgresSealed(self._keyring, self._rows)

    # ---- pending authorizations

    async def put_pending(self, pending: PendingAuthorization) -> None:
        """Keep *pending*; drop those that ended long ago.  Twice is fine."""
        row = {
            **pending.key._asdict(),
            "state_fingerprint": pending.state_fingerprint,
            "expires_at": pending.expires_at,
            "sealed": seal(self._keyring, dump_pending(pending), PENDING, pending.key),
        }
        horizon = await self.now() - FORGOTTEN_AFTER
        await self._rows("purge_pending", {"horizon": horizon})
        await self._rows("save_pending", row)

    async def take_pending(self, state_fingerprint: str) -> TakenAuthorization:
        """Hand out a started authorization, once, even if its time has passed."""
        state = {"state_fingerprint": state_fingerprint}
        row = await self._row("load_pending", state)
        now = self._time(row["server_now"])
        if row["provider"] is None or row["used"]:
            used = row["provider"] is not None
            return TakenAuthorization(None, used=used, now=now)
        key = AccountKey(row["provider"], row["account"])
        plain = open_sealed(self._keyring, bytes(row["sealed"]), PENDING, key)
        pending = parse_pending(dict(row), plain)
        if not await self._rows("use_pending", state):
            return TakenAuthorization(None, used=True, now=now)
        return TakenAuthorization(pending, used=False, now=now)

    # ---- connections

    async def _row(self, name: str, values: Mapping[str, Any]) -> Any:  # noqa: ANN401
        rows = await self._rows(name, values)
        return rows[0] if rows else None

    async def _rows(self, name: str, values: Mapping[str, Any]) -> Any:  # noqa: ANN401
        statement: Statement = self._sql[name]
        arguments = statement.arguments(values)
        return await self._on(
            lambda connection: connection.fetch(statement.text, *arguments),
            again=name in _READING,
        )

    async def _on(
        self, work: Callable[[Any], Awaitable[_T]], *, again: bool = False
    ) -> _T:
        try:
            return await (await self._connections()).do(work, again=again)
        except TROUBLE as error:
            trouble = explained(error)
        # Not in the handler: asyncpg's error may hold the arguments of the statement.
        raise trouble

    async def _connections(self) -> Connections:
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
                self._url,
                self._size,
                self._options,
                self._names.channel,
                self._sql["tell"],
                self._wakeups.tell,
            )
            self._open[loop] = known
        if not known.started:
            await known.start()
        return known

    async def _prepare(self, connection: Any) -> None:  # noqa: ANN401
        """Bring the tables up to date, one process at a time."""
        async with connection.transaction():
            await self._do(connection, "lock_schema", {"schema": self._names.table("")})
            there = await self._do(
                connection, "has_meta", {"meta": self._names.table("meta")}
            )
            if there[0][0]:
                await self._check_reader(connection)
            elif not self._create:
                raise ConfigurationError(
                    f"the tables {self._names.table('*')} are not there: run "
                    "`everbearer store init`, or let the store make them (create=True)"
                )
            if self._create:
                for step in _STEPS:
                    await connection.execute(self._sql[step].text)
                for name, value in (("schema", _SCHEMA), ("min_reader", _MIN_READER)):
                    fact = {"name": name, "value": str(value)}
                    await self._do(connection, "write_meta", fact)
                await self._do(connection, "raise_schema", {"schema": str(_SCHEMA)})
        durable = await self._do(connection, "is_durable", {})
        if not durable[0][0]:
            _log.warning(
                "%r: the server acknowledges what a crash may take back "
                "(synchronous_commit or fsync is off): rotated tokens can be lost",
                self,
                extra=NO_ACCOUNT,
            )

    async def _check_reader(self, connection: Any) -> None:  # noqa: ANN401
        found = await self._do(connection, "read_meta", {"name": "min_reader"})
        try:
            wanted = int(found[0]["value"])
        except (IndexError, ValueError) as error:
            raise StoreError(
                f"{self!r}: its table of facts does not say who may read it: restore "
                "it from a backup"
            ) from error
        if wanted > _SCHEMA:
            raise ConfigurationError(
                f"{self!r} was written by a newer release and needs one that reads "
                f"schema {wanted}; this one reads {_SCHEMA}: upgrade everbearer"
            )

    async def _do(self, connection: Any, name: str, values: Mapping[str, Any]) -> Any:  # noqa: ANN401
        statement = self._sql[name]
        return await connection.fetch(statement.text, *statement.arguments(values))
