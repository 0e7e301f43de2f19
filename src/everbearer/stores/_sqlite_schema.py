"""What a SQLite token store needs before its first record can be read."""

from __future__ import annotations

import sqlite3
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from everbearer.errors import ConfigurationError, StoreError
from everbearer.stores._files import make_private, warn_if_shared
from everbearer.stores._sql import statements

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["BUSY_SECONDS", "SQL", "connect", "explained", "prepare", "transaction"]

SQL: Final = statements("sqlite")

# The schema only ever grows: a release reads every schema whose `min_reader` is not
# above its own number, and writes the columns that it knows.
#   1  the tables
#   2  the index everbearer_records_due
_SCHEMA: Final = 2
_MIN_READER: Final = 1
# Each makes what is missing: on a new file all, on an older release's the rest.
_STEPS: Final = ("create_meta", "create_records", "create_pending", "create_due_index")

# Half a lease: a renewal that waits for longer has lost it anyway.
BUSY_SECONDS: Final = 5.0
_WAL_PAUSE: Final = 0.02

_WHAT_TO_DO: Final = {
    sqlite3.SQLITE_BUSY: (
        f"another process held its write lock for {BUSY_SECONDS:.0f} s: look for one "
        "that is stopped, or for a tool that has the file open"
    ),
    sqlite3.SQLITE_LOCKED: "another connection of this process holds it",
    sqlite3.SQLITE_READONLY: "make the file and its folder writable for this user",
    sqlite3.SQLITE_PERM: "make the file and its folder writable for this user",
    sqlite3.SQLITE_CANTOPEN: "check that its folder exists and is writable",
    sqlite3.SQLITE_FULL: "the disk is full: make room",
    sqlite3.SQLITE_IOERR: "check the disk, and that it is a local one",
    sqlite3.SQLITE_CORRUPT: "restore it from a backup",
    sqlite3.SQLITE_NOTADB: "it is not a SQLite database: give another path",
}


def explained(path: Path, error: sqlite3.Error | OSError) -> StoreError:
    """*error* as a StoreError that says what to do."""
    if isinstance(error, OSError):
        said = f"{type(error).__name__}: {error.strerror}"
        advice = "check that its folder exists, is local and writable for this user"
    else:
        said = str(error)
        # Extended codes keep the primary one in their low byte (sqlite.org/rescode).
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        advice = _WHAT_TO_DO.get(code, "the record is as it was")
    return StoreError(f"token store {path}: {said}; {advice}")


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """Hold the write lock until the end of the block, and nothing after it."""
    connection.execute(SQL["begin"])
    try:
        yield
        connection.execute(SQL["commit"])
    finally:
        if connection.in_transaction:
            connection.rollback()


def connect(path: Path) -> sqlite3.Connection:
    """A connection to *path*, which is made, for its owner only, if it is missing.

    The -wal and -shm files that SQLite makes beside it get the same mode.

    Raises:
        OSError: The file cannot be made.

        sqlite3.Error: It cannot be opened.
    """
    if not path.exists():
        make_private(path)
    warn_if_shared(path)
    connection = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None)
    try:
        connection.row_factory = sqlite3.Row
        connection.execute(SQL["sync_every_commit"])
    except BaseException:  # Whatever it is: no file is left open.
        connection.close()
        raise
    return connection


def prepare(connection: sqlite3.Connection, path: Path) -> bool:
    """Bring the schema up to date; say whether anything in it is sealed.

    Raises:
        ConfigurationError: A newer release wrote it, and says that this one cannot
            read it.

        StoreError: The disk cannot do what several processes need.
    """
    _use_wal(connection, path)
    with transaction(connection):
        if connection.execute(SQL["has_meta"]).fetchone()[0]:
            _check_reader(connection, path)
        for step in _STEPS:
            connection.execute(SQL[step])
        for name, value in (("schema", _SCHEMA), ("min_reader", _MIN_READER)):
            connection.execute(SQL["write_meta"], {"name": name, "value": str(value)})
        connection.execute(SQL["raise_schema"], {"schema": _SCHEMA})
        return bool(connection.execute(SQL["has_sealed"]).fetchone()[0])


def _use_wal(connection: sqlite3.Connection, path: Path) -> None:
    """Switch the file to write-ahead logging, which lasts.

    Of processes that start at once on a new file, all but one are told at once that it
    is locked: the busy timeout does not count for the switch.
    """
    for left in reversed(range(int(BUSY_SECONDS / _WAL_PAUSE))):
        try:
            mode = connection.execute(SQL["use_wal"]).fetchone()[0]
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or not left:
                raise
            time.sleep(_WAL_PAUSE)
            continue
        if mode != "wal":
            raise StoreError(
                f"token store {path}: its file system cannot do write-ahead logging "
                f"({mode!r}), which several processes need: put it on a local disk"
            )
        return


def _check_reader(connection: sqlite3.Connection, path: Path) -> None:
    row = connection.execute(SQL["read_meta"], {"name": "min_reader"}).fetchone()
    try:
        wanted = int(row["value"])
    except (TypeError, ValueError) as error:
        raise StoreError(
            f"token store {path}: its table everbearer_meta does not say who may read "
            "it: restore it from a backup"
        ) from error
    if wanted > _SCHEMA:
        raise ConfigurationError(
            f"token store {path} was written by a newer release and needs one that "
            f"reads schema {wanted}; this one reads {_SCHEMA}: upgrade everbearer"
        )
