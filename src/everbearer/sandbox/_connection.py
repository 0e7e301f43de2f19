"""Who is still there to read an answer."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aiohttp import web

__all__ = ["Connection"]


class Connection:
    """The connection that a request came on, outliving the request."""

    __slots__ = ("_protocol",)

    def __init__(self, request: web.Request) -> None:
        self._protocol = request.protocol

    @property
    def closed(self) -> bool:
        """Whether the client is gone, as far as the event loop has noticed."""
        transport = self._protocol.transport
        return transport is None or transport.is_closing()

    def drop(self) -> None:
        """Close without sending what is still buffered."""
        transport = self._protocol.transport
        if isinstance(transport, asyncio.Transport):
            transport.abort()
