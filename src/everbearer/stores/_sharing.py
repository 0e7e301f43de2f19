"""Which store objects are in use, by how many Clients of this process."""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Final
from weakref import finalize

from attrs import define

if TYPE_CHECKING:
    from everbearer.stores._protocol import TokenStore

__all__ = ["hold", "let_go"]


# By process: what a parent has open when it forks is not open in the child.
_User = tuple[int, int]


@define
class _Use:
    """How many Clients use a store; and what forgets that when it is gone."""

    clients: int = 0
    end: finalize[[_User, None], TokenStore] | None = None


_users: Final[dict[_User, _Use]] = {}
_guard = threading.Lock()


def hold(store: TokenStore) -> None:
    """Note that somebody is about to open *store*."""
    user = os.getpid(), id(store)
    with _guard:
        use = _users.setdefault(user, _Use())
        use.clients += 1
        if use.end is None:
            # A Client that was forgotten lets go of nothing, and another store may
            # come to be where this one was.  Without the guard, which a garbage
            # collection in here would wait for.
            with suppress(TypeError):  # It has no weak references.
                use.end = finalize(store, _users.pop, user, None)
                use.end.atexit = False


def let_go(store: TokenStore) -> bool:
    """Take one `hold` back; whether it was the last, so that *store* is to be closed.

    A Client that closes a store which another one is using would have its rotated
    tokens refused.
    """
    user = os.getpid(), id(store)
    with _guard:
        use = _users.get(user, _Use())
        use.clients -= 1
        if use.clients > 0:
            return False
        if use.end is not None:
            use.end.detach()
        _users.pop(user, None)
        return True


def _unlock() -> None:
    """After a fork: a thread of the parent may have held it in that instant."""
    global _guard  # noqa: PLW0603 - a lock is not reset in place
    _guard = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_unlock)
