"""Which store objects are in use, by how many Clients of this process."""

from __future__ import annotations

import os
import threading
from collections import Counter
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from everbearer.stores._protocol import TokenStore

__all__ = ["hold", "let_go"]

# By process: what a parent has open when it forks is not open in the child.
_users: Final[Counter[tuple[int, int]]] = Counter()
_guard = threading.Lock()


def hold(store: TokenStore) -> None:
    """Note that somebody is about to open *store*."""
    with _guard:
        _users[os.getpid(), id(store)] += 1


def let_go(store: TokenStore) -> bool:
    """Take one `hold` back; whether it was the last, so that *store* is to be closed.

    A Client that closes a store which another one is using would have its rotated
    tokens refused.
    """
    user = os.getpid(), id(store)
    with _guard:
        _users[user] -= 1
        if last := _users[user] <= 0:
            del _users[user]
    return last


def _unlock() -> None:
    """After a fork: a thread of the parent may have held it in that instant."""
    global _guard  # noqa: PLW0603 - a lock is not reset in place
    _guard = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_unlock)
