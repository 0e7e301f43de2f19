"""A request body that knows whether it left this host.

aiohttp holds the headers back until the body is written, and asks for the body when
the connection stands: past the pool, DNS, TCP, TLS and a proxy's CONNECT.  So until
`GuardedBody.sent`, not one byte of the request has left, whatever fails.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from aiohttp import ClientConnectionResetError
from aiohttp.http import StreamWriter
from aiohttp.payload import Payload

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from aiohttp.abc import AbstractStreamWriter

    from everbearer._clock import Clock

__all__ = ["GuardedBody"]

# A pooled connection may have been closed by the server a moment ago, perhaps with a
# last word (408).  Each turn of the loop polls the socket once: the first finds the
# word, the next the FIN; one more acts on it, and one lets the reader close.
_TURNS: Final = 4


class GuardedBody(Payload):
    """Asks for leave before its first byte, and then goes in one piece.

    Attributes:
        begun: Whether aiohttp came for it.

        sent_at: When it was written, on the elapsed clock; None if it was not.

        refusal: What *leave* raised, or None.
    """

    _autoclose = True  # bytes in memory: nothing to close

    def __init__(
        self,
        body: bytes,
        leave: Callable[[], Awaitable[None]] | None,
        clock: Clock,
        *,
        content_type: str,
    ) -> None:
        super().__init__(body, content_type=content_type)
        self._size = len(body)
        self._leave = leave
        self._clock = clock
        self._withdrawn = False
        self.begun = False
        self.sent_at: float | None = None
        self.refusal: Exception | None = None

    @property
    def sent(self) -> bool:
        """Whether a byte of it may have left this host."""
        return self.sent_at is not None

    def withdraw(self) -> None:
        """Forbid the write from now on.

        Whoever was told "not sent" must be right a moment later too: aiohttp cancels
        its writer when a request ends, and cancelling is a request, not a fact.
        """
        self._withdrawn = True

    def decode(  # the signature is aiohttp's
        self,
        encoding: str = "utf-8",  # noqa: ARG002 - as Payload has it
        errors: str = "strict",  # noqa: ARG002 - as Payload has it
    ) -> str:
        """Never shown: it holds a grant."""
        return ""

    async def write(self, writer: AbstractStreamWriter) -> None:
        """Write everything, with leave."""
        await self.write_with_length(writer, None)

    async def write_with_length(
        self,
        writer: AbstractStreamWriter,
        content_length: int | None,  # noqa: ARG002 - it is the size given above
    ) -> None:
        """Write everything, with leave.  Raises what *leave* raises."""
        self.begun = True
        for _ in range(_TURNS):
            await asyncio.sleep(0)
        if self._leave is not None:
            try:
                await self._leave()
            except Exception as refusal:
                self.refusal = refusal
                raise
        # From here to the write nothing is awaited.
        if self._withdrawn or _is_closed(writer):
            raise ClientConnectionResetError("closed before anything was sent")
        self.sent_at = self._clock.elapsed()
        await writer.write(self._value)


def _is_closed(writer: AbstractStreamWriter) -> bool:
    # Only aiohttp's own writer has a transport; a test's double may not.
    if not isinstance(writer, StreamWriter):
        return False
    return writer.transport is None or writer.transport.is_closing()
