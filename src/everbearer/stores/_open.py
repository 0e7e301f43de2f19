"""From the URL of a store to the store."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from everbearer.errors import ConfigurationError
from everbearer.stores.memory import MemoryStore
from everbearer.stores.sqlite import SqliteStore

if TYPE_CHECKING:
    from everbearer._clock import Clock
    from everbearer.stores._protocol import TokenStore
    from everbearer.stores.keyring import Keyring

__all__ = ["open_store"]

_KNOWN: Final = (
    "memory://, sqlite:///relative.db, sqlite:////absolute.db and "
    "postgresql://user:password@host/database are known, or pass a TokenStore"
)
_POSTGRES: Final = ("postgresql", "postgres")
_NOT_YET: Final = ("redis", "rediss")


def open_store(
    store: str | TokenStore,
    *,
    keyring: Keyring | None = None,
    clock: Clock | None = None,
) -> TokenStore:
    """The store that *store* says; nothing is connected to and no file is made yet.

    Args:
        store: ``memory://``, which warns at the first rotation;
            ``sqlite:///relative.db`` or ``sqlite:////absolute.db``, taken literally,
            without percent-encoding; ``postgresql://user:password@host/database``;
            or a TokenStore, which comes back as it is.

        keyring: For a store that seals; see `SqliteStore` for the default.

        clock: Of a store that has no clock of its own.

    Raises:
        ConfigurationError: No such URL is known.  The text never repeats the URL,
            which may hold a password.
    """
    if not isinstance(store, str):
        if isinstance(store, os.PathLike):
            raise ConfigurationError(
                "a store is given as a URL: sqlite:///tokens.db, or SqliteStore(path)"
            )
        if not hasattr(store, "take_pending"):
            raise ConfigurationError(f"the store is not a URL: {_KNOWN}")
        return store
    scheme, separator, rest = store.partition("://")
    scheme = scheme.lower()
    if not separator:
        raise ConfigurationError(f"the store is not a URL: {_KNOWN}")
    if scheme == "memory":
        if rest:
            raise ConfigurationError("memory:// takes nothing after it")
        return MemoryStore(clock, warn_at_rotation=True)
    if scheme == "sqlite":
        return SqliteStore(_sqlite_path(rest), keyring, clock=clock)
    if scheme in _POSTGRES:
        return _postgres(store, keyring)
    if scheme.partition("+")[0] in _NOT_YET:
        raise ConfigurationError(
            f"{scheme}:// stores are not in this release: {_KNOWN}"
        )
    raise ConfigurationError(
        f"no store is known for {scheme}:// URLs: {_KNOWN}"
        if scheme.isalnum()
        else f"the store is not a URL: {_KNOWN}"
    )


def _postgres(url: str, keyring: Keyring | None) -> TokenStore:
    try:
        # Only who has such a store needs its driver.
        from everbearer.stores.postgres import PostgresStore  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            "a PostgreSQL store needs asyncpg: pip install 'everbearer[postgres]'"
        ) from error
    return PostgresStore(url, keyring)


def _sqlite_path(rest: str) -> str:
    if not rest.startswith("/"):
        raise ConfigurationError(
            "a sqlite URL has three slashes before a relative path and four before an "
            f"absolute one: {_KNOWN}"
        )
    path = rest[1:]
    if not path or path.endswith("/"):
        raise ConfigurationError(f"the sqlite URL names no file: {_KNOWN}")
    if path == ":memory:":
        raise ConfigurationError(
            "a SQLite database in memory is not shared by connections: use memory://"
        )
    if "?" in path or "#" in path:
        raise ConfigurationError(
            "a sqlite URL takes no options: for a path with ? or # in its name, pass "
            "SqliteStore(path)"
        )
    return path
