"""What a session needs of the aiohttp sessions that it sends through."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import asyncio

    import aiohttp

__all__ = ["Http"]


class Http(Protocol):
    """Where the `aiohttp.ClientSession` to send through comes from.

    Attributes:
        own: The Client's own session, if that is what is open; for the fast path.

        loop: The event loop that `own` belongs to.
    """

    own: aiohttp.ClientSession | None
    loop: asyncio.AbstractEventLoop | None

    @property
    def session(self) -> aiohttp.ClientSession | None:
        """None until opened, after closing, and in another event loop."""
        ...

    async def open(self) -> aiohttp.ClientSession:
        """Open it if need be.  Raises ConfigurationError once closed."""
        ...
