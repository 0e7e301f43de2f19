"""The reference back end: a dictionary.  Read it first.

Everything is forgotten when the process ends, and other processes see none of it: for
tests, and for providers whose tokens are cheap to lose.
"""

from __future__ import annotations

import asyncio
import heapq
import logging
import os
import threading
import warnings
from typing import TYPE_CHECKING

from attrs import evolve, frozen

from everbearer._clock import Clock, SystemClock
from everbearer.errors import ConfigurationError
from everbearer.stores import _transitions as transitions
from everbearer.stores._pending import FORGOTTEN_AFTER
from everbearer.stores._protocol import BEGINNING, Due, TakenAuthorization
from everbearer.stores._wakeups import Wakeups, mark_of
from everbearer.tokens import Standing

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from everbearer.tokens import AccountKey, PendingAuthorization, TokenRecord

__all__ = ["MemoryStore"]

_log = logging.getLogger("everbearer.stores")


@frozen
class _Pending:
    authorization: PendingAuthorization
    used: bool = False


class MemoryStore:
    """Records in this process's memory.

    Several Clients in one process may share one, in any thread or event loop.

    Args:
        clock: Where the store's time comes from.

        warn_at_rotation: Whether the first rotation warns that nobody else will ever
            see it, and that it is gone with the process.  A store made from the URL
            ``memory://`` does; whoever makes a MemoryStore by hand knows it.
    """

    def __init__(
        self, clock: Clock | None = None, *, warn_at_rotation: bool = False
    ) -> None:
        self._clock = clock or SystemClock()
        # As in `SqliteClock`: a wall clock that is set must not end a lease.
        self._ahead = self._clock.wall() - self._clock.elapsed()
        self._records: dict[AccountKey, TokenRecord] = {}
        self._pending: dict[str, _Pending] = {}
        self._wakeups = Wakeups()
        # Two threads behave like two processes, so that even a read and a write that
        # no await separates need it.  Nothing waits while holding it.
        self._lock = threading.Lock()
        self._warns = warn_at_rotation
        self._pid = os.getpid()

    async def open(self) -> None:
        """Nothing to do, but in a process that was forked off.

        Raises:
            ConfigurationError: Its records are copies of those of another process.
        """
        if self._pid == os.getpid():
            return
        if self._records or self._pending:
            raise ConfigurationError(
                "this MemoryStore was filled before the process forked; two processes "
                "with copies of one refresh token end the grant: use sqlite:///"
            )
        self._pid, self._lock, self._wakeups = os.getpid(), threading.Lock(), Wakeups()

    async def aclose(self) -> None:
        """Nothing to do: the records stay, as they would in any other store."""

    async def now(self) -> float:
        """Seconds since the epoch, as this store counts them."""
        return self._now()

    def _now(self) -> float:
        return self._clock.elapsed() + self._ahead

    async def load(self, key: AccountKey) -> TokenRecord | None:
        """The record of *key*, or None."""
        return self._records.get(key)

    async def acquire(
        self, key: AccountKey, asked: transitions.Asked
    ) -> transitions.Acquired | None:
        """Take the lease, if it is free."""
        with self._lock:
            record = self._records.get(key)
            if record is None:
                return None
            acquired = transitions.acquire(record, asked, self._now())
            self._write(key, acquired.record)
            return acquired

    async def renew(
        self, key: AccountKey, asked: transitions.Asked, *, spending: str | None = None
    ) -> transitions.Acquired | None:
        """Prolong the lease, if it is still the asker's."""
        with self._lock:
            record = self._records.get(key)
            if record is None:
                return None
            renewed = transitions.renew(record, asked, self._now(), spending)
            self._write(key, renewed.record)
            return renewed

    async def release(
        self,
        key: AccountKey,
        asked: transitions.Asked,
        settlement: transitions.Settlement,
    ) -> transitions.Released | None:
        """Give the lease back, if it is still the asker's, and settle the rest."""
        with self._lock:
            record = self._records.get(key)
            if record is None:
                return None
            released = transitions.release(record, asked, settlement, self._now())
            self._write(key, released.record)
            return released

    async def replace(
        self, key: AccountKey, rotation: transitions.Rotation
    ) -> transitions.Replaced:
        """Store a rotated token, if the version is the expected one."""
        with self._lock:
            before = self._records.get(key)
            replaced = transitions.replace(before, rotation, self._now())
            self._write(key, replaced.record)
        if before is not None and replaced.record is not None:
            self._warn(before, replaced.record)
        return replaced

    async def refuse(
        self, key: AccountKey, refusal: transitions.Refusal
    ) -> transitions.Replaced:
        """Mark that the user must act, if the refused token is still the one."""
        with self._lock:
            refused = transitions.refuse(self._records.get(key), refusal, self._now())
            self._write(key, refused.record)
            return refused

    async def put(self, key: AccountKey, grant: transitions.NewGrant) -> TokenRecord:
        """Store a new authorization."""
        with self._lock:
            record = transitions.put(self._records.get(key), key, grant, self._now())
            self._write(key, record)
            return record

    async def delete(self, key: AccountKey) -> TokenRecord | None:
        """Forget *key*; return what was there."""
        with self._lock:
            record = self._records.pop(key, None)
        self._wakeups.wake(key)
        return record

    async def list(self, provider: str | None = None) -> AsyncIterator[TokenRecord]:
        """All records, by provider and account; each as it is when it is handed out."""
        for key in sorted(self._records):
            record = self._records.get(key)
            if record is not None and provider in {None, key.provider}:
                yield record

    async def due(
        self, provider: str, before: float, limit: int, after: Due = BEGINNING
    ) -> tuple[Due, ...]:
        """Connected accounts of *provider*, the one with the oldest token first."""
        with self._lock:
            found = [
                Due(record.minted_at, key.account)
                for key, record in self._records.items()
                if key.provider == provider
                and record.standing is Standing.CONNECTED
                and record.minted_at <= before
            ]
        return tuple(heapq.nsmallest(limit, (each for each in found if each > after)))

    async def changed(
        self, key: AccountKey, seen: TokenRecord | None, within: float
    ) -> None:
        """Return when the record of *key* differs from *seen*, or *within* seconds."""
        with self._wakeups.watching(key) as woken:
            try:
                async with asyncio.timeout(within):
                    while mark_of(self._records.get(key)) == mark_of(seen):
                        await woken.wait()
                        woken.clear()
            except TimeoutError:
                return

    async def put_pending(self, pending: PendingAuthorization) -> None:
        """Keep *pending*; drop those that ended long ago.  Twice is fine."""
        with self._lock:
            horizon = self._now() - FORGOTTEN_AFTER
            for state, other in tuple(self._pending.items()):
                if other.authorization.expires_at < horizon:
                    del self._pending[state]
            self._pending.setdefault(pending.state_fingerprint, _Pending(pending))

    async def take_pending(self, state_fingerprint: str) -> TakenAuthorization:
        """Hand out a started authorization, once, even if its time has passed."""
        with self._lock:
            now = self._now()
            found = self._pending.get(state_fingerprint)
            if found is None or found.used:
                return TakenAuthorization(None, used=found is not None, now=now)
            # RFC 7636 section 4.5: the verifier is of no use any more.
            self._pending[state_fingerprint] = _Pending(
                evolve(found.authorization, code_verifier=None), used=True
            )
            return TakenAuthorization(found.authorization, used=False, now=now)

    def _write(self, key: AccountKey, record: TokenRecord | None) -> None:
        if record is not None and record is not self._records.get(key):
            self._records[key] = record
            self._wakeups.wake(key)

    def _warn(self, before: TokenRecord, after: TokenRecord) -> None:
        if not self._warns or before.refresh_fingerprint == after.refresh_fingerprint:
            return
        self._warns = False
        said = (
            "a refresh token was rotated in a memory:// store: other processes cannot "
            "see the new one, and it is gone when this process ends; "
            "use sqlite:///tokens.db to keep it"
        )
        try:
            warnings.warn(said, RuntimeWarning, stacklevel=3)
        except RuntimeWarning:
            # Where warnings are errors: the token is stored, and raising now would
            # make a lost refresh out of it.
            _log.warning(said, extra=after.key._asdict())
