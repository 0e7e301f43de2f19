"""The reference back end: records in a dict.  Read this one first."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from everbearer._clock import SystemClock
from everbearer.stores import _transitions as transitions
from everbearer.stores._protocol import TakenAuthorization

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from everbearer._clock import Clock
    from everbearer.stores._transitions import (
        Acquired,
        Asked,
        NewGrant,
        Refusal,
        Released,
        Replaced,
        Rotation,
        Settlement,
    )
    from everbearer.tokens import AccountKey, PendingAuthorization, TokenRecord

__all__ = ["MemoryStore"]


class MemoryStore:
    """Tokens of this process, gone with it: for tests and for trying things out."""

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self._records: dict[AccountKey, TokenRecord] = {}
        self._pending: dict[str, PendingAuthorization | None] = {}
        self._watchers: dict[AccountKey, set[asyncio.Event]] = {}

    async def open(self) -> None:
        """Nothing to open."""

    async def aclose(self) -> None:
        """Nothing to close; the records stay."""

    async def now(self) -> float:
        """This process's clock."""
        return self._clock.wall()

    async def load(self, key: AccountKey) -> TokenRecord | None:
        """The record of *key*, or None."""
        return self._records.get(key)

    def _write(self, key: AccountKey, record: TokenRecord | None) -> None:
        if record is None:
            self._records.pop(key, None)
        else:
            self._records[key] = record
        for watcher in self._watchers.get(key, ()):
            watcher.set()

    async def acquire(self, key: AccountKey, asked: Asked) -> Acquired | None:
        """Take the lease and record the intent, if nobody holds it."""
        record = self._records.get(key)
        if record is None:
            return None
        answer = transitions.acquire(record, asked, self._clock.wall())
        if answer.granted:
            self._write(key, answer.record)
        return answer

    async def renew(
        self, key: AccountKey, asked: Asked, *, spending: str | None = None
    ) -> Acquired | None:
        """Prolong the asker's own lease."""
        record = self._records.get(key)
        if record is None:
            return None
        answer = transitions.renew(record, asked, self._clock.wall(), spending)
        if answer.granted:
            self._write(key, answer.record)
        return answer

    async def release(
        self, key: AccountKey, asked: Asked, settlement: Settlement
    ) -> Released | None:
        """Give the lease back and settle intent and back-off."""
        record = self._records.get(key)
        if record is None:
            return None
        answer = transitions.release(record, asked, settlement, self._clock.wall())
        self._write(key, answer.record)
        return answer

    async def replace(self, key: AccountKey, rotation: Rotation) -> Replaced:
        """Compare and swap a rotated token."""
        answer = transitions.replace(
            self._records.get(key), rotation, self._clock.wall()
        )
        if answer.outcome is transitions.Replacement.STORED:
            self._write(key, answer.record)
        return answer

    async def refuse(self, key: AccountKey, refusal: Refusal) -> Replaced:
        """Mark that the user must act."""
        answer = transitions.refuse(self._records.get(key), refusal, self._clock.wall())
        if answer.outcome in {
            transitions.Replacement.STORED,
            transitions.Replacement.SAME,
        }:
            self._write(key, answer.record)
        return answer

    async def put(self, key: AccountKey, grant: NewGrant) -> TokenRecord:
        """Store a new authorization."""
        record = transitions.put(
            self._records.get(key), key, grant, self._clock.wall()
        )
        self._write(key, record)
        return record

    async def delete(self, key: AccountKey) -> TokenRecord | None:
        """Forget *key*."""
        record = self._records.get(key)
        self._write(key, None)
        return record

    async def list(self, provider: str | None = None) -> AsyncIterator[TokenRecord]:
        """All records, by provider and account."""
        for key in sorted(self._records):
            record = self._records.get(key)
            if record is not None and provider in {None, key.provider}:
                yield record

    async def changed(
        self, key: AccountKey, seen: TokenRecord | None, within: float
    ) -> None:
        """Return at the next write of *key*, or after *within* seconds."""
        if self._records.get(key) is not seen:
            return
        watcher = asyncio.Event()
        watchers = self._watchers.setdefault(key, set())
        watchers.add(watcher)
        try:
            await asyncio.wait_for(watcher.wait(), within)
        except TimeoutError:
            pass
        finally:
            watchers.discard(watcher)
            if not watchers:
                self._watchers.pop(key, None)

    async def put_pending(self, pending: PendingAuthorization) -> None:
        """Keep a started authorization."""
        self._pending[pending.state_fingerprint] = pending

    async def take_pending(self, state_fingerprint: str) -> TakenAuthorization:
        """Hand out a started authorization, once."""
        used = (
            state_fingerprint in self._pending
            and self._pending[state_fingerprint] is None
        )
        pending = self._pending.get(state_fingerprint)
        if pending is not None:
            self._pending[state_fingerprint] = None
        return TakenAuthorization(pending, used, self._clock.wall())
