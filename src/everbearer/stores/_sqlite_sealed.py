"""What is sealed in a SQLite store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from attrs import field, frozen

from everbearer.stores._resealing import Sealed
from everbearer.stores._seal import PENDING, TOKEN
from everbearer.stores._sqlite_schema import SQL
from everbearer.tokens import AccountKey

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import AsyncIterator, Awaitable, Callable

    from everbearer.stores.keyring import Keyring

__all__ = ["SqliteSealed"]

_PAGE: Final = 100
# The table, the statement that reads a page of it, and what comes before its first row.
_TABLES: Final = (
    (TOKEN, "page", {"provider": "", "account": ""}),
    (PENDING, "page_of_pending", {"state_fingerprint": ""}),
)


@frozen
class SqliteSealed:
    """Implements `SealedRecords`; *do* runs work on the store's writing thread."""

    keyring: Keyring
    do: Callable[[Callable[[sqlite3.Connection], Any]], Awaitable[Any]] = field(
        repr=False
    )

    async def all(self) -> AsyncIterator[Sealed]:
        """Every row, a page at a time."""
        for kind, statement, last in _TABLES:
            page: list[dict[str, Any]] = [last]
            while page:
                page = await self._page(statement, {n: page[-1][n] for n in last})
                for row in page:
                    key = AccountKey(row["provider"], row["account"])
                    yield Sealed(kind, key, row, row["sealed"])

    async def _page(
        self, statement: str, after: dict[str, Any]
    ) -> list[dict[str, Any]]:
        def read(connection: sqlite3.Connection) -> list[dict[str, Any]]:
            found = connection.execute(SQL[statement], after | {"size": _PAGE})
            return [dict(row) for row in found]

        rows: list[dict[str, Any]] = await self.do(read)
        return rows

    async def exchange(self, found: Sealed, anew: bytes) -> bytes | None:
        """Two statements: the first alone writes, and is a transaction of its own."""
        table = "record" if found.kind == TOKEN else "pending"
        values = dict(found.columns) | {"sealed": found.sealed, "anew": anew}

        def work(connection: sqlite3.Connection) -> bytes | None:
            connection.execute(SQL[f"exchange_{table}"], values)
            row = connection.execute(SQL[f"sealed_{table}"], values).fetchone()
            return row["sealed"] if row else None

        there: bytes | None = await self.do(work)
        return there
