"""The process and the event loop that an open Client belongs to."""

from __future__ import annotations

import asyncio
import os
import threading
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from everbearer.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

__all__ = ["Home"]


class Home:
    """Where a Client is open, and who opens it.

    Attributes:
        opened: Whether it is open, here or elsewhere.
    """

    def __init__(self) -> None:
        self.opened = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._pid = os.getpid()
        self._opening = asyncio.Lock()
        self._entered = 0
        # Two threads may use one Client for the first time at once.
        self._guard = threading.Lock()

    @property
    def forked(self) -> bool:
        """Whether this process is another than the one it was opened in."""
        return self._pid != os.getpid()

    def check(self) -> None:
        """Raise unless it is open here.

        Raises:
            ConfigurationError: It is open in another process or event loop.
        """
        if self.forked:
            raise ConfigurationError(
                "this Client was opened before the process forked; make one in the "
                "child instead (two Clients on one store behave as one)"
            )
        if self._loop is asyncio.get_running_loop():
            return
        if self._ended():
            raise ConfigurationError(
                "this Client was left open in another event loop, which has ended; "
                "close it before its loop ends: each asyncio.run() that uses it needs "
                "an `async with client:`"
            )
        raise ConfigurationError(
            "this Client is open in another event loop; use one Client for each "
            "loop (two Clients on one store behave as one)"
        )

    def check_closing(self) -> None:
        """As `check`, but whoever closes it may do so for a loop that has ended."""
        if not self._ended():
            self.check()

    @asynccontextmanager
    async def entering(self) -> AsyncIterator[None]:
        """Open it in here: one at a time, and in one loop only.

        Raises:
            ConfigurationError: Another loop has it, or is opening it.
        """
        opening = self._claim()
        try:
            async with opening:
                yield
        finally:
            with self._guard:
                if self._opening is opening:
                    self._entered -= 1

    def _claim(self) -> asyncio.Lock:
        loop = asyncio.get_running_loop()
        if self.forked and not self.opened:
            # Somebody in the parent may have held it in the instant of the fork.
            self._guard = threading.Lock()
        with self._guard:
            if self._loop is not loop or self.forked:
                if self.opened or (self._entered and not self._left()):
                    self.check()
                self._loop, self._pid = loop, os.getpid()
                self._opening, self._entered = asyncio.Lock(), 0
            self._entered += 1
            return self._opening

    def _left(self) -> bool:
        return self.forked or self._ended()

    def _ended(self) -> bool:
        return self._loop is not None and self._loop.is_closed()
