"""A store that grants every lease: ``everbearer demo --break lease``.

It shows what the lease is for: with it, two processes spend one refresh token.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from everbearer.stores import Acquired

if TYPE_CHECKING:
    from everbearer.stores import Asked, TokenStore
    from everbearer.tokens import AccountKey

__all__ = ["UnleasedStore"]


class UnleasedStore:
    """Passes everything on to *store*, but takes no lease and records no intent."""

    def __init__(self, store: TokenStore) -> None:
        self._store = store

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def acquire(self, key: AccountKey, asked: Asked) -> Acquired | None:
        """Grant it, whoever holds it."""
        return await self._granted(key)

    async def renew(
        self, key: AccountKey, asked: Asked, *, spending: str | None = None
    ) -> Acquired | None:
        """Say that it is still held."""
        return await self._granted(key)

    async def _granted(self, key: AccountKey) -> Acquired | None:
        record = await self._store.load(key)
        if record is None:
            return None
        return Acquired(record, granted=True, found=None, now=await self._store.now())
