"""The core of a store on a server: read, decide, and swap if nobody wrote in between.

What becomes of a record is decided by `_transitions`, as in every store, and written
by one statement that takes effect only if the record is still the one that was read.
That it wrote is the proof that nothing had changed and that the store is writable.  No
connection, lock or transaction is held between the two.

The time is the server's: it comes with what is read, and the statement refuses a time
that is not the server's any more, so that a process that was stopped in between cannot
write what was decided before.
"""

from __future__ import annotations

import asyncio
import secrets
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

from attrs import field, frozen

from everbearer.errors import StoreError
from everbearer.stores import _transitions as transitions
from everbearer.stores._feed import told_of
from everbearer.stores._seal import TOKEN, open_sealed, seal
from everbearer.stores._serialize import (
    Stored,
    dump_record,
    dump_secret,
    parse_record,
    sealed_alike,
)
from everbearer.stores._spill_home import SpillHome
from everbearer.stores._wakeups import Wakeups, is_news, mark_of, nap
from everbearer.stores._writes import Outcome
from everbearer.tokens import AccountKey

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from everbearer._clock import Clock
    from everbearer.stores._feed import Change
    from everbearer.stores._wakeups import Mark
    from everbearer.stores.keyring import Keyring
    from everbearer.tokens import TokenRecord

__all__ = ["STALE_AFTER", "Row", "SwappingStore", "parsed"]

STALE_AFTER: Final = 1.0
"""Seconds after which a time that was read is not written any more."""

# Somebody wrote in between every time: with so many writers of one account there is
# something wrong.
_MOST_TRIES: Final = 100
_MOST_REMEMBERED: Final = 1000
# Seconds between two looks of whoever waits, not all at once: where changes are heard,
# and where they are not (as behind PgBouncer in transaction mode).
_LOOK_TOO: Final = (0.5, 1.0)
_LOOK: Final = (0.05, 0.15)


class _Abandoned(Protocol):
    """The connections of one event loop."""

    def abandon(self) -> None:
        """Begin to close them, in that loop."""
        ...


_A = TypeVar("_A", bound=_Abandoned)
_O = TypeVar("_O", bound=Outcome)
_C = TypeVar("_C", bound=Outcome | None)


@frozen
class Row:
    """A record as the server has it.

    Attributes:
        columns: As `_serialize` names them.

        sealed: The secret part.

        revision: Random, a new one with every write, so that no two states of an
            account ever have the same.

        rotated: Whether it is to bring another token than was there before.
    """

    columns: Mapping[str, Any]
    sealed: bytes = field(repr=False)
    revision: str
    rotated: bool = False


@frozen
class _Seen:
    """A row that was read or written.

    Attributes:
        row: As it is there; None if there was none.

        stored: What it holds, opened.

        now: The server's clock then.

        at: This process's clock when the answer was here.
    """

    row: Row | None
    stored: Stored | None
    now: float
    at: float


def parsed(columns: Mapping[str, Any], sealed: bytes, keyring: Keyring) -> Stored:
    """What a row says, opened.

    Raises:
        ConfigurationError, StoreError: See `open_sealed` and `parse_record`.
    """
    key = AccountKey(columns["provider"], columns["account"])
    return parse_record(columns, open_sealed(keyring, sealed, TOKEN, key))


class SwappingStore(ABC):
    """What stores on a server have in common.

    Args:
        keyring: Opens and seals.

        clock: This process's own, to count on from what the server said.

        standing: Whether *clock* takes the server's place, in tests.
    """

    _url: str

    def __init__(self, keyring: Keyring, clock: Clock, *, standing: bool) -> None:
        self._keyring = keyring
        self._clock = clock
        self._standing = standing
        self._seen: dict[AccountKey, _Seen] = {}
        self._wakeups = Wakeups()

    def spill_home(self) -> SpillHome:
        """In folders of this user, sealed with the keys of the records."""
        # Without user, password and options: the same place after they are changed.
        where = self._url.rpartition("@")[2].partition("?")[0]
        return SpillHome(f"{type(self).__name__} {where} {self!r}", self._keyring)

    @staticmethod
    def _left_of(others: Mapping[asyncio.AbstractEventLoop, _A]) -> list[_A]:
        """Have *others* closed by their own event loops, as nobody else may.

        Returns:
            Those whose loop was closed: what listened in it has ended with it.
        """
        left = []
        for loop, connections in others.items():
            try:
                loop.call_soon_threadsafe(connections.abandon)
            except RuntimeError:
                left.append(connections)
        return left

    # ---- what a back end brings

    @abstractmethod
    async def _read(self, key: AccountKey) -> tuple[Row | None, float]:
        """The row of *key*, and the server's clock."""

    @abstractmethod
    async def _swap(
        self, row: Row, there: Row | None, now: float | None, told: str | None
    ) -> bool:
        """Write *row* in the place of what is *there*, if it still is.

        Args:
            now: What the server's clock must be, give or take `STALE_AFTER`; None: it
                does not matter.

            told: What others are told; None: nobody waits for this change.
        """

    @abstractmethod
    async def _remove(self, key: AccountKey, expected: str, told: str) -> bool:
        """Delete the row of *key* if the revision is the *expected* one."""

    @abstractmethod
    async def _server_now(self) -> float:
        """The server's clock."""

    @abstractmethod
    async def _mark(self, key: AccountKey) -> Mark | None:
        """What tells somebody who waits for the record of *key* that it changed."""

    @abstractmethod
    async def _hears(self) -> bool:
        """Whether changes that others make are told here."""

    # ---- what they all do

    async def now(self) -> float:
        """The server's clock, in seconds since the epoch."""
        return self._time(await self._server_now())

    async def load(self, key: AccountKey) -> TokenRecord | None:
        """The record of *key*, or None."""
        stored = (await self._look(key)).stored
        return stored.record if stored else None

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
        while True:
            seen = await self._look(key)
            if seen.stored is None or seen.row is None:
                return None
            if await self._remove(key, seen.row.revision, told_of(key._asdict())):
                self._seen.pop(key, None)
                return seen.stored.record

    async def changed(
        self, key: AccountKey, seen: TokenRecord | None, within: float
    ) -> None:
        """Return when the record of *key* differs from *seen*, or *within* seconds.

        This process's own writes wake it at once, those of others as soon as the
        server tells; and it looks by itself too, so that a lost notification only
        costs the time between two looks.
        """
        before = mark_of(seen)
        # Not by cancelling what is under way: drivers have swallowed that.
        end = asyncio.get_running_loop().time() + within
        with self._wakeups.watching(key) as woken:
            while await self._mark(key) == before:
                left = end - asyncio.get_running_loop().time()
                if left <= 0:
                    return
                look = _LOOK_TOO if await self._hears() else _LOOK
                await nap(woken, look, left)
                woken.clear()

    def subscribe(self, hear: Callable[[Change], None]) -> Callable[[], None]:
        """See `everbearer.stores.Telling.subscribe`."""
        return self._wakeups.subscribe(hear)

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
        # What was read a moment ago will often do: then one statement is all it takes,
        # because a swap that succeeds has found the record unchanged.
        seen = self._remembered(key)
        known = seen is not None
        for _ in range(_MOST_TRIES):
            if seen is None:
                seen, known = await self._look(key), False
            now = seen.now + self._clock.elapsed() - seen.at
            before = seen.stored.record if seen.stored else None
            outcome = change(before, now)
            after = outcome.record if outcome is not None else None
            if after is not None and after is not before:
                if await self._swapped(seen, after, now):
                    return outcome
            elif not known:
                return outcome
            # Nothing is concluded from what is only remembered.
            seen = None
        raise StoreError(
            f"the record of account {key.account!r} at {key.provider!r} was written "
            f"by others {_MOST_TRIES} times in a row: nothing was written here"
        )

    async def _swapped(self, seen: _Seen, after: TokenRecord, now: float) -> bool:
        before = seen.stored.record if seen.stored else None
        unknown = seen.stored.unknown if seen.stored else {}
        if before is None or before.incarnation != after.incarnation:
            unknown = {}  # It was about another authorization.
        if seen.row is None or before is None or not sealed_alike(before, after):
            plain = dump_secret(after, unknown)
            sealed = seal(self._keyring, plain, TOKEN, after.key)
        else:
            sealed = seen.row.sealed
        rotated = before is None or before.token is not after.token
        row = Row(dump_record(after), sealed, secrets.token_hex(8), rotated)
        at = self._clock.elapsed()
        swapped = await self._swap(
            row,
            seen.row,
            None if self._standing else now,
            told_of(row.columns) if is_news(mark_of(before), mark_of(after)) else None,
        )
        if swapped:
            self._remember(after.key, _Seen(row, Stored(after, unknown), now, at))
        return swapped

    async def _look(self, key: AccountKey) -> _Seen:
        row, now = await self._read(key)
        at = self._clock.elapsed()
        stored = parsed(row.columns, row.sealed, self._keyring) if row else None
        seen = _Seen(row, stored, self._time(now), at)
        self._remember(key, seen)
        return seen

    def _time(self, servers: float) -> float:
        return self._clock.wall() if self._standing else servers

    def _remember(self, key: AccountKey, seen: _Seen) -> None:
        if len(self._seen) >= _MOST_REMEMBERED:
            self._seen.clear()
        self._seen[key] = seen

    def _remembered(self, key: AccountKey) -> _Seen | None:
        seen = self._seen.pop(key, None)
        if seen is None or self._clock.elapsed() - seen.at >= STALE_AFTER:
            return None
        return seen
