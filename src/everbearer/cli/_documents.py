"""Where ``everbearer sync`` puts documents: a SQLite file that workers share."""

from __future__ import annotations

import asyncio
import sqlite3
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_T = TypeVar("_T")

__all__ = ["Documents"]

_SCHEMA = """
create table if not exists documents (
    account text, id text, arrivals integer not null, primary key (account, id)
) without rowid;
create table if not exists pages (
    account text, page integer, primary key (account, page)
) without rowid;
create table if not exists notes (account text, kind text, what text);
"""


class Documents:
    """Documents, the pages that are done, and notes of what went wrong."""

    def __init__(self, path: str) -> None:
        self._connection = sqlite3.connect(
            path, timeout=30.0, check_same_thread=False, isolation_level=None
        )
        self._connection.execute("pragma journal_mode=wal")
        self._connection.execute("pragma synchronous=normal")
        self._connection.executescript(_SCHEMA)
        self._lock = asyncio.Lock()

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    async def _run(self, work: Callable[[sqlite3.Connection], _T]) -> _T:
        async with self._lock:
            return await asyncio.to_thread(work, self._connection)

    async def has_page(self, account: str, page: int) -> bool:
        """Whether the page is in the file, documents and all."""
        found = await self._run(
            lambda db: db.execute(
                "select 1 from pages where account = ? and page = ?", (account, page)
            ).fetchone()
        )
        return found is not None

    async def add(self, account: str, page: int, ids: Iterable[str]) -> None:
        """Add a page and its documents in one transaction; count every arrival."""

        def work(db: sqlite3.Connection) -> None:
            db.execute("begin immediate")
            try:
                db.executemany(
                    "insert into documents values (?, ?, 1) "
                    "on conflict do update set arrivals = arrivals + 1",
                    [(account, document) for document in ids],
                )
                db.execute("insert into pages values (?, ?)", (account, page))
            except sqlite3.Error:
                db.execute("rollback")
                raise
            db.execute("commit")

        await self._run(work)

    async def note(self, account: str, kind: str, what: str) -> None:
        """Remember what happened to a caller."""
        await self._run(
            lambda db: db.execute(
                "insert into notes values (?, ?, ?)", (account, kind, what)
            )
        )

    def arrivals(self) -> dict[str, tuple[int, int]]:
        """For each account: how many documents, and how many of them not just once."""
        rows = self._connection.execute(
            "select account, count(*), sum(arrivals <> 1) from documents group by 1"
        )
        return {account: (count, odd) for account, count, odd in rows}

    def notes(self, kind: str) -> dict[str, int]:
        """For each account: how many notes of *kind*."""
        rows = self._connection.execute(
            "select account, count(*) from notes where kind = ? group by 1", (kind,)
        )
        return dict(rows.fetchall())
