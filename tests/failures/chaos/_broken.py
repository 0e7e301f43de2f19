"""Guards that can be left out, to see that the run notices."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from attrs import evolve

from everbearer.cli._unleased import without_leases
from everbearer.refresh import _flight
from everbearer.stores import Replaced, Replacement
from everbearer.tokens import TokenRecord

__all__ = ["BREAKS"]

LATE = 0.5


class _Hasty:
    """Says that a rotated token is stored, and stores it later."""

    def __init__(self, store: Any) -> None:
        self._store = store
        self._saving: set[asyncio.Task[Any]] = set()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def replace(self, key, rotation) -> Replaced:
        record: TokenRecord | None = await self._store.load(key)
        now = await self._store.now()
        if record is None or record.version != rotation.version:
            return await self._store.replace(key, rotation)
        saving = asyncio.create_task(self._later(key, rotation))
        self._saving.add(saving)
        saving.add_done_callback(self._saving.discard)
        stored = evolve(
            record,
            token=rotation.token,
            version=record.version + 1,
            minted_at=now,
            lease=None,
            intent=None,
        )
        return Replaced(Replacement.STORED, stored, now)

    async def _later(self, key, rotation) -> None:
        await asyncio.sleep(LATE)
        await self._store.replace(key, rotation)


def _without_grace(store: Any) -> Any:
    async def at_once(attempt, store, lease, acquired):
        return acquired.record

    _flight.grace = at_once
    return store


BREAKS: dict[str, Callable[[Any], Any]] = {
    "": lambda store: store,
    "lease": without_leases,
    "save": _Hasty,
    "grace": _without_grace,
}
