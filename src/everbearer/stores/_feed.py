"""What a store tells of a change, and to whom: the change feed.

It is a help and no promise: a change that is not told, as behind PgBouncer in
transaction mode, is found out by whoever uses what it ended.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from attrs import frozen

from everbearer.tokens import AccountKey

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from everbearer.stores._protocol import TokenStore

__all__ = ["Change", "Telling", "change_in", "subscribe", "told_of"]


@frozen
class Change:
    """A record was written or deleted.

    Attributes:
        key: Whose it is.

        incarnation: Of the record as it is from then on; None where there is none any
            more, or where whoever wrote did not say.

        version, standing: The same record's.
    """

    key: AccountKey
    incarnation: str | None = None
    version: int = 0
    standing: str = ""


@runtime_checkable
class Telling(Protocol):
    """A store with this method tells the Clients on it what others write.

    One without it is as good: what another process has ended costs a rejected call
    then, which is sent again.
    """

    def subscribe(self, hear: Callable[[Change], None]) -> Callable[[], None]:
        """Call *hear* in the running event loop with each change, once it is open.

        Changes may be told late, twice, out of order or not at all; also those of
        the listener itself.

        Returns:
            What ends it; calling that twice is fine.
        """
        ...


def subscribe(store: TokenStore, hear: Callable[[Change], None]) -> Callable[[], None]:
    """Have *hear* called with the changes of *store*, if it tells any."""
    return store.subscribe(hear) if isinstance(store, Telling) else _nothing


def _nothing() -> None:
    """There is nothing to end."""


def told_of(columns: Mapping[str, Any]) -> str:
    """What is told of a record that was written; or deleted, if there is only a key.

    Nothing of it is secret: see "What is stored" in docs/reference/stores.md.
    """
    names = ("provider", "account", "incarnation", "version", "standing")
    return json.dumps([columns[name] for name in names if name in columns])


def change_in(told: str | bytes) -> Change | None:
    """What was told; None if it cannot be understood.

    A later release may say more, behind what this one knows.
    """
    try:
        said = json.loads(told)
    except (ValueError, RecursionError):
        return None
    match said:
        case [str(provider), str(account), str(at), int(version), str(standing), *_]:
            return Change(AccountKey(provider, account), at, version, standing)
        case [str(provider), str(account), *_]:
            return Change(AccountKey(provider, account))
    return None
