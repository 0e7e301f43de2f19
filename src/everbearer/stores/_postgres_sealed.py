"""What is sealed in a PostgreSQL store."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any, Final

from attrs import field, frozen

from everbearer.stores._resealing import Sealed
from everbearer.stores._seal import PENDING, TOKEN
from everbearer.tokens import AccountKey

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

    from everbearer.stores.keyring import Keyring

__all__ = ["PostgresSealed"]

_PAGE: Final = 100
# The table, the statement that reads a page of it, and what comes before its first row.
_TABLES: Final = (
    (TOKEN, "page", {"provider": "", "account": ""}),
    (PENDING, "page_of_pending", {"state_fingerprint": ""}),
)


@frozen
class PostgresSealed:
    """Implements `SealedRecords`; *rows* does a statement of the store's."""

    keyring: Keyring
    rows: Callable[[str, Mapping[str, Any]], Awaitable[Any]] = field(repr=False)

    async def all(self) -> AsyncIterator[Sealed]:
        """Every row, a page at a time."""
        for kind, statement, last in _TABLES:
            page: Any = [last]
            while page:
                after = {name: page[-1][name] for name in last}
                page = await self.rows(statement, after | {"size": _PAGE})
                for row in page:
                    key = AccountKey(row["provider"], row["account"])
                    yield Sealed(kind, key, dict(row), bytes(row["sealed"]))

    async def exchange(self, found: Sealed, anew: bytes) -> bytes | None:
        """One statement; a new revision makes whoever is about to write read again."""
        values = {
            **found.columns,
            "sealed": found.sealed,
            "anew": anew,
            "revision": secrets.token_hex(8),
        }
        table = "record" if found.kind == TOKEN else "pending"
        there = (await self.rows(f"exchange_{table}", values))[0]["sealed"]
        return None if there is None else bytes(there)
