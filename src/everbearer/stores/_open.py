"""From the URL of a store to the store."""

from __future__ import annotations

import os
from importlib import import_module
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
    "memory://, sqlite:///relative.db, sqlite:////absolute.db, "
    "postgresql://user:password@host/database and redis://host:6379/0 are known, "
    "or pass a TokenStore"
)
# Where the stores on a server are, and the extra with their driver, which only who has
# such a store needs.
_ON_A_SERVER: Final = {
    "postgresql": ("postgres", "PostgresStore"),
    "postgres": ("postgres", "PostgresStore"),
    "redis": ("redis", "RedisStore"),
    "rediss": ("redis", "RedisStore"),
}


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
            ``redis://user:password@host:6379/0``, or ``rediss://`` for TLS; or a
            TokenStore, which comes back as it is.

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
    if scheme in _ON_A_SERVER:
        return _on_a_server(store, scheme, keyring)
    raise ConfigurationError(
        f"no store is known for {scheme}:// URLs: {_KNOWN}"
        if scheme.isalnum()
        else f"the store is not a URL: {_KNOWN}"
    )


def _on_a_server(url: str, scheme: str, keyring: Keyring | None) -> TokenStore:
    name, kind = _ON_A_SERVER[scheme]
    try:
        module = import_module(f"everbearer.stores.{name}")
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"a {scheme}:// store needs its driver: pip install 'everbearer[{name}]'"
        ) from error
    store: TokenStore = getattr(module, kind)(url, keyring)
    return store


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
