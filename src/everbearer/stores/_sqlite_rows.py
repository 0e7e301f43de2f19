"""Rows of a SQLite store: read and opened, sealed and written."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from everbearer.stores._protocol import Due
from everbearer.stores._seal import TOKEN, open_sealed, seal
from everbearer.stores._serialize import (
    Stored,
    dump_record,
    dump_secret,
    parse_record,
    sealed_alike,
)
from everbearer.stores._sqlite_schema import SQL
from everbearer.tokens import AccountKey

if TYPE_CHECKING:
    import sqlite3

    from everbearer.stores.keyring import Keyring
    from everbearer.tokens import TokenRecord

__all__ = ["due", "parsed", "save", "select"]


def select(
    connection: sqlite3.Connection, keyring: Keyring, key: AccountKey
) -> tuple[Stored, bytes] | None:
    """The record of *key* and what is sealed of it; None if there is none."""
    row = connection.execute(SQL["load"], key._asdict()).fetchone()
    return (parsed(dict(row), keyring), row["sealed"]) if row else None


def parsed(row: dict[str, Any], keyring: Keyring) -> Stored:
    """What *row* says, opened."""
    key = AccountKey(row["provider"], row["account"])
    return parse_record(row, open_sealed(keyring, row["sealed"], TOKEN, key))


def save(
    connection: sqlite3.Connection,
    keyring: Keyring,
    found: tuple[Stored, bytes] | None,
    after: TokenRecord,
) -> None:
    """Write *after* over what was *found*; seal anew only what has changed."""
    before = found[0].record if found else None
    if found and before and sealed_alike(before, after):
        sealed = found[1]
    else:
        # What a newer release sealed beside the token is about that authorization.
        same = found and before and before.incarnation == after.incarnation
        plain = dump_secret(after, found[0].unknown if found and same else {})
        sealed = seal(keyring, plain, TOKEN, after.key)
    connection.execute(SQL["save"], dump_record(after) | {"sealed": sealed})


def due(
    connection: sqlite3.Connection,
    provider: str,
    before: float,
    limit: int,
    after: Due,
) -> tuple[Due, ...]:
    """Accounts by the age of their token; see `TokenStore.due`."""
    asked = {"provider": provider, "before": before, "size": limit}
    found = connection.execute(SQL["due"], asked | after._asdict())
    return tuple(Due(*row) for row in found)
