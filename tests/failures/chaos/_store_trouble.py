"""A store that fails and comes back, for a worker: down, or deaf.

``down``: every call fails at once.  ``deaf``: what is written is written, but nobody is
told so.  What happens to a store for real is in `_backing`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from everbearer.errors import StoreError
from everbearer.stores import SpillHome

__all__ = ["Troubled"]

_WRITES = frozenset({"acquire", "renew", "release", "replace", "refuse"})
_ALL = _WRITES | {"load", "changed"}

# Seconds from which a call of the store is told of: a third of the lease.
_SLOW = 0.33


class Troubled:
    """*store*, which fails while there is a file ``down`` or ``deaf`` in *folder*."""

    def __init__(self, store: Any, folder: str, tell: Callable[..., None]) -> None:
        self._store = store
        self._down = Path(folder) / "down"
        self._deaf = Path(folder) / "deaf"
        self._tell = tell

    def spill_home(self) -> SpillHome:
        """Named here: a protocol does not see what `__getattr__` would find."""
        return self._store.spill_home()

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._store, name)
        if name not in _ALL:
            return method

        async def troubled(*args: Any, **more: Any) -> Any:
            if self._down.exists():
                raise StoreError("chaos: the store is down")
            begin = time.monotonic()
            saving = name == "replace"
            if saving:
                self._tell("saving", account=args[0].account)
            try:
                answer = await method(*args, **more)
            finally:
                took = time.monotonic() - begin
                if saving:
                    self._tell("saved", account=args[0].account)
                if name != "changed" and took > _SLOW:
                    account = args[0].account
                    self._tell("store", name=name, account=account, seconds=took)
            if name == "acquire" and answer and answer.granted and answer.found:
                self._tell("takeover", account=args[0].account)
            if name in _WRITES and self._deaf.exists():
                raise StoreError("chaos: the store does not say what it did")
            return answer

        return troubled
