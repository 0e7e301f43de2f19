"""The embedded store: one SQLite file, several processes on one host.

Each method is one function on a thread of the store's own: take the write lock, read
the row, ask `_transitions` what becomes of it, write, commit.  The lock is held for
that and nothing else, least of all for a token request.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

from everbearer._clock import Clock, SystemClock
from everbearer.errors import StoreError
from everbearer.stores import _sqlite_rows as rows
from everbearer.stores import _sqlite_schema as schema
from everbearer.stores import _transitions as transitions
from everbearer.stores._files import NO_ACCOUNT
from everbearer.stores._lane import Lane
from everbearer.stores._pending import FORGOTTEN_AFTER
from everbearer.stores._protocol import BEGINNING, Due, TakenAuthorization
from everbearer.stores._seal import PENDING, open_sealed, seal
from everbearer.stores._serialize import dump_pending, parse_pending
from everbearer.stores._spill_home import SpillHome
from everbearer.stores._sqlite_clock import SqliteClock
from everbearer.stores._sqlite_schema import (
    SQL,
    connect,
    explained,
    prepare,
    transaction,
)
from everbearer.stores._sqlite_sealed import SqliteSealed
from everbearer.stores._wakeups import Mark, Wakeups, mark_of, nap
from everbearer.stores._writes import Outcome
from everbearer.stores.keyring import KEYS_VARIABLE, Keyring
from everbearer.tokens import AccountKey

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from everbearer.stores._resealing import SealedRecords
    from everbearer.tokens import PendingAuthorization, TokenRecord

__all__ = ["SqliteStore"]

_log = logging.getLogger("everbearer.stores")

_PAGE: Final = 100

_T = TypeVar("_T")


_O = TypeVar("_O", bound=Outcome)
_C = TypeVar("_C", bound=Outcome | None)


class SqliteStore:
    """Records in the SQLite file *path*, sealed.

    Args:
        path: Of the database, made with mode 0600 if it is missing.  Relative to the
            working directory of now, not of later.

        keyring: Opens and seals; by default the keys in ``EVERBEARER_KEYS``, or if
            that is not set those in the file ``<path>.key``, which is made beside a new
            database.

        clock: The host's, which all processes here share.

    A store may be used from any event loop and thread.  In a process that was forked
    off, it opens the file again at the first use.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        keyring: Keyring | None = None,
        *,
        clock: Clock | None = None,
    ) -> None:
        self._path = Path(path).absolute()
        self._given = keyring
        self._clock = SqliteClock(clock or SystemClock())
        self._opened: tuple[int, Keyring] | None = None
        # Two, so that readers need not wait while a writer waits for another process.
        busy = schema.BUSY_SECONDS
        self._writer = Lane("writer", self._connect, busy)
        self._reader = Lane("reader", self._connect_reader, busy)
        self._wakeups = Wakeups()

    def __repr__(self) -> str:
        return f"<SqliteStore {self._path}>"

    async def open(self) -> None:
        """Make or migrate the file.  Twice is fine, also at once.

        Raises:
            ConfigurationError: The keys are not the ones it was sealed with, or a newer
                release wrote it.

            StoreError: It cannot be opened.
        """
        if self._opened is not None and self._opened[0] == os.getpid():
            return
        if self._opened is not None:
            self._opened = None
            self._abandon()
        if self._given is not None:
            await self._given.load()
        try:
            keyring = await self._on(self._writer, self._prepare)
        except BaseException:  # Whatever it is: no thread is left behind.
            await self._writer.aclose()
            raise
        self._opened = os.getpid(), keyring
        _log.info("token store %s, %r", self._path, keyring, extra=NO_ACCOUNT)

    async def aclose(self) -> None:
        """Finish what was asked for and close the file.  Twice is fine."""
        opened, self._opened = self._opened, None
        if opened is not None and opened[0] != os.getpid():
            self._abandon()
        await self._writer.aclose()
        await self._reader.aclose()

    def _abandon(self) -> None:
        """After a fork: the threads, and whoever waits, are the parent's."""
        self._writer.abandon()
        self._reader.abandon()
        self._wakeups = Wakeups()

    async def now(self) -> float:
        """Seconds since the epoch, as all processes of this store count them."""
        return self._clock.now()

    async def load(self, key: AccountKey) -> TokenRecord | None:
        """The record of *key*, or None; no write of anybody holds it up."""
        keyring = await self._keyring()

        def read(connection: sqlite3.Connection) -> TokenRecord | None:
            found = rows.select(connection, keyring, key)
            return found[0].record if found else None

        return await self._on(self._reader, read)

    async def acquire(
        self, key: AccountKey, asked: transitions.Asked
    ) -> transitions.Acquired | None:
        """Take the lease, if it is free."""
        return await self._change(
            key, lambda record, now: transitions.acquire(record, asked, now)
        )

    async def renew(
        self, key: AccountKey, asked: transitions.Asked, *, spending: str | None = None
    ) -> transitions.Acquired | None:
        """Prolong the lease, if it is still the asker's."""
        return await self._change(
            key, lambda record, now: transitions.renew(record, asked, now, spending)
        )

    async def release(
        self,
        key: AccountKey,
        asked: transitions.Asked,
        settlement: transitions.Settlement,
    ) -> transitions.Released | None:
        """Give the lease back, if it is still the asker's, and settle the rest."""
        return await self._change(
            key, lambda record, now: transitions.release(record, asked, settlement, now)
        )

    async def replace(
        self, key: AccountKey, rotation: transitions.Rotation
    ) -> transitions.Replaced:
        """Store a rotated token, if the version is the expected one."""
        return await self._write(
            key, lambda record, now: transitions.replace(record, rotation, now)
        )

    async def refuse(
        self, key: AccountKey, refusal: transitions.Refusal
    ) -> transitions.Replaced:
        """Mark that the user must act, if the refused token is still the one."""
        return await self._write(
            key, lambda record, now: transitions.refuse(record, refusal, now)
        )

    async def put(self, key: AccountKey, grant: transitions.NewGrant) -> TokenRecord:
        """Store a new authorization."""

        def change(record: TokenRecord | None, now: float) -> transitions.Released:
            return transitions.Released(transitions.put(record, key, grant, now), now)

        return (await self._write(key, change)).record

    async def delete(self, key: AccountKey) -> TokenRecord | None:
        """Forget *key*; return what was there."""
        keyring = await self._keyring()

        def forget(connection: sqlite3.Connection) -> TokenRecord | None:
            with transaction(connection):
                found = rows.select(connection, keyring, key)
                connection.execute(SQL["delete"], key._asdict())
            return found[0].record if found else None

        try:
            return await self._on(self._writer, forget)
        finally:
            self._wakeups.wake(key)

    async def list(self, provider: str | None = None) -> AsyncIterator[TokenRecord]:
        """All records, by provider and account.

        They are read a page at a time, so that a slow consumer holds nothing up; what
        is written meanwhile may or may not be in it.
        """
        keyring = await self._keyring()
        last = AccountKey(provider or "", "")
        statement = SQL["page" if provider is None else "page_of_provider"]
        while True:

            def read(
                connection: sqlite3.Connection, after: AccountKey = last
            ) -> tuple[TokenRecord, ...]:
                page = connection.execute(statement, after._asdict() | {"size": _PAGE})
                return tuple(rows.parsed(dict(row), keyring).record for row in page)

            page = await self._on(self._reader, read)
            for record in page:
                yield record
            if len(page) < _PAGE:
                return
            last = page[-1].key

    async def due(
        self, provider: str, before: float, limit: int, after: Due = BEGINNING
    ) -> tuple[Due, ...]:
        """Connected accounts of *provider*, the one with the oldest token first."""
        await self._keyring()
        return await self._on(
            self._reader,
            lambda opened: rows.due(opened, provider, before, limit, after),
        )

    async def changed(
        self, key: AccountKey, seen: TokenRecord | None, within: float
    ) -> None:
        """Return when the record of *key* differs from *seen*, or *within* seconds.

        This process's own writes wake it at once, those of others within 50 ms.
        """
        before = mark_of(seen)
        with self._wakeups.watching(key) as woken:
            try:
                async with asyncio.timeout(within):
                    while await self._mark(key) == before:
                        await nap(woken)
                        woken.clear()
            except TimeoutError:
                return

    async def put_pending(self, pending: PendingAuthorization) -> None:
        """Keep *pending*; drop those that ended long ago.  Twice is fine."""
        keyring = await self._keyring()
        row = {
            **pending.key._asdict(),
            "state_fingerprint": pending.state_fingerprint,
            "expires_at": pending.expires_at,
            "sealed": seal(keyring, dump_pending(pending), PENDING, pending.key),
        }

        def keep(connection: sqlite3.Connection) -> None:
            with transaction(connection):
                horizon = self._clock.now() - FORGOTTEN_AFTER
                connection.execute(SQL["purge_pending"], {"horizon": horizon})
                connection.execute(SQL["save_pending"], row)

        await self._on(self._writer, keep)

    async def take_pending(self, state_fingerprint: str) -> TakenAuthorization:
        """Hand out a started authorization, once, even if its time has passed."""
        keyring = await self._keyring()
        state = {"state_fingerprint": state_fingerprint}

        def take(connection: sqlite3.Connection) -> TakenAuthorization:
            with transaction(connection):
                now = self._clock.now()
                row = connection.execute(SQL["load_pending"], state).fetchone()
                if row is None or row["used"]:
                    return TakenAuthorization(None, used=row is not None, now=now)
                key = AccountKey(row["provider"], row["account"])
                plain = open_sealed(keyring, row["sealed"], PENDING, key)
                pending = parse_pending(dict(row), plain)
                connection.execute(SQL["use_pending"], state)
            return TakenAuthorization(pending, used=False, now=now)

        return await self._on(self._writer, take)

    def spill_home(self) -> SpillHome:
        """Beside the database, sealed with its keys."""
        beside = self._path.with_name(f"{self._path.name}.spill")
        keyring = self._opened[1] if self._opened else self._given
        return SpillHome(os.path.realpath(self._path), keyring, beside)

    async def sealed(self) -> SealedRecords:
        """What is sealed, for `reseal`."""
        keyring = await self._keyring()
        return SqliteSealed(keyring, lambda work: self._on(self._writer, work))

    # ---- one change of one record

    async def _change(
        self, key: AccountKey, change: Callable[[TokenRecord, float], _O]
    ) -> _O | None:
        """As `_write`, but None where there is no record."""

        def if_there(record: TokenRecord | None, now: float) -> _O | None:
            return None if record is None else change(record, now)

        return await self._write(key, if_there)

    async def _write(
        self, key: AccountKey, change: Callable[[TokenRecord | None, float], _C]
    ) -> _C:
        keyring = await self._keyring()

        def work(connection: sqlite3.Connection) -> _C:
            with transaction(connection):
                # The time is read under the lock: waiting for it may take seconds,
                # which a lease's term must not be short of.
                now = self._clock.now()
                found = rows.select(connection, keyring, key)
                before = found[0].record if found else None
                outcome = change(before, now)
                after = outcome.record if outcome is not None else None
                if after is not None and after is not before:
                    rows.save(connection, keyring, found, after)
            return outcome

        try:
            return await self._on(self._writer, work)
        finally:
            # Also for a caller that was cancelled: the write may have taken place.
            self._wakeups.wake(key)

    async def _mark(self, key: AccountKey) -> Mark | None:
        await self._keyring()

        def read(connection: sqlite3.Connection) -> Mark | None:
            row = connection.execute(SQL["mark"], key._asdict()).fetchone()
            return Mark(*row) if row else None

        return await self._on(self._reader, read)

    # ---- connections

    async def _keyring(self) -> Keyring:
        """The keys, once the store is open in this process."""
        opened = self._opened
        if opened is None:
            raise StoreError(
                f"token store {self._path} is not open: await its open() first"
            )
        if opened[0] != os.getpid():
            await self.open()
            return await self._keyring()
        return opened[1]

    async def _on(self, lane: Lane, work: Callable[[sqlite3.Connection], _T]) -> _T:
        try:
            return await lane.run(work)
        except (sqlite3.Error, OSError) as error:
            raise explained(self._path, error) from error

    def _connect(self) -> sqlite3.Connection:
        return connect(self._path)

    def _connect_reader(self) -> sqlite3.Connection:
        connection = connect(self._path)
        connection.execute(SQL["never_write"])
        return connection

    def _prepare(self, connection: sqlite3.Connection) -> Keyring:
        sealed = prepare(connection, self._path)
        self._clock.agree(connection)
        if self._given is not None:
            return self._given
        if os.environ.get(KEYS_VARIABLE):
            return Keyring.from_environment()
        # A new key beside records that were sealed with a lost one helps nobody.
        beside = self._path.with_name(f"{self._path.name}.key")
        return Keyring.from_file(beside, create=not sealed)
