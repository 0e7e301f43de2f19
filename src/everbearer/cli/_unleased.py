"""A store that grants every lease: ``everbearer demo --break lease``.

It shows what the lease is for: with it, two processes spend one refresh token.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from everbearer.stores import Acquired

if TYPE_CHECKING:
    from everbearer.stores import Asked, TokenStore
    from everbearer.tokens import AccountKey

__all__ = ["without_leases"]


def without_leases(store: TokenStore) -> TokenStore:
    """*store*, but whoever asks for a lease gets it."""
    return cast("TokenStore", _Unleased(store))


class _Unleased:
    """Passes everything on to *store*, but takes no lease and records no intent."""

    def __init__(self, store: TokenStore) -> None:
        self._store = store

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - the store's methods
        return getattr(self._store, name)

    async def acquire(self, key: AccountKey, _: Asked) -> Acquired | None:
        """Grant it, whoever holds it."""
        return await self._granted(key)

    async def renew(self, key: AccountKey, *_: object, **__: object) -> Acquired | None:
        """Say that it is still held."""
        return await self._granted(key)

    async def _granted(self, key: AccountKey) -> Acquired | None:
        record = await self._store.load(key)
        if record is None:
            return None
        return Acquired(record, granted=True, found=None, now=await self._store.now())
