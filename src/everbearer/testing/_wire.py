"""A connection that goes nowhere: a request is read off it, and an answer put on it.

Everything else is aiohttp's own: how a request is written, how an answer is parsed,
redirects, cookies, middlewares, ``raise_for_status`` and timeouts.  Works with 3.12.15
to 3.14, and has a test for what it takes from aiohttp.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from aiohttp import StreamReader, hdrs
from aiohttp.base_protocol import BaseProtocol
from aiohttp.client_proto import ResponseHandler
from aiohttp.http import HttpRequestParser

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from aiohttp.http import RawRequestMessage, RawResponseMessage

__all__ = ["MockedConnection", "answer"]

_LIMIT: Final = 2**16
_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
_BODILESS: Final = frozenset({204, 304})


def answer(
    method: str,
    status: int,
    reason: str,
    headers: Iterable[tuple[str, str]],
    body: bytes,
) -> bytes:
    """An answer to *method* as it travels: head and body, with the body's length."""
    lines = [f"HTTP/1.1 {status} {reason}"]
    framing = {hdrs.TRANSFER_ENCODING.lower()}
    if method != hdrs.METH_HEAD:
        framing.add(hdrs.CONTENT_LENGTH.lower())
    lines += [
        f"{name}: {value}" for name, value in headers if name.lower() not in framing
    ]
    if method == hdrs.METH_HEAD or status in _BODILESS:
        body = b""
    else:
        lines.append(f"{hdrs.CONTENT_LENGTH}: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode() + body


class MockedConnection(ResponseHandler):
    """What `aiohttp.BaseConnector.connect` hands out, for one request.

    Args:
        loop: The running one.

        respond: Given the request's body, says what travels back.  What it raises is
            raised out of the call.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        respond: Callable[[bytes], Awaitable[bytes]],
    ) -> None:
        super().__init__(loop=loop)
        self._respond = respond
        self._sent = _SentRequest(loop)
        self._told_to_go_on = self._answered = False
        self.connection_made(_Nowhere(self, self._sent, loop))
        self.force_close()  # Nobody else's request may be written on it.

    async def read(self) -> tuple[RawResponseMessage, StreamReader]:
        """Wait for the request as a server would, then for the answer."""
        if not self._answered:
            message, body = await asyncio.shield(self._sent.head)
            if hdrs.EXPECT in message.headers and not self._told_to_go_on:
                self._told_to_go_on = True
                self.data_received(_CONTINUE)
            else:
                self._answered = True
                self.data_received(await self._respond(await body.read()))
        return await super().read()


class _SentRequest:
    """Parses what a client writes."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.head: asyncio.Future[tuple[RawRequestMessage, StreamReader]]
        self.head = loop.create_future()
        reader = BaseProtocol(loop)
        reader.connection_made(
            asyncio.Transport()
        )  # A body is read while there is one.
        self._parser = HttpRequestParser(reader, loop, _LIMIT)

    def feed(self, data: bytes) -> None:
        """Take the next bytes."""
        messages, _, _ = self._parser.feed_data(data)
        for message, body in messages:
            self.head.set_result((message, body))


class _Nowhere(asyncio.Transport):
    """Hands what is written to *sent*."""

    def __init__(
        self,
        protocol: asyncio.BaseProtocol,
        sent: _SentRequest,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        super().__init__()
        self._connected: asyncio.BaseProtocol | None = protocol
        self._sent = sent
        self._loop = loop

    def write(self, data: bytes | bytearray | memoryview[int]) -> None:
        """What is written after closing is lost, as in a socket."""
        if self._connected is not None:
            self._sent.feed(bytes(data))

    def is_closing(self) -> bool:
        """Whether it was closed."""
        return self._connected is None

    def close(self) -> None:
        """Tell the protocol, a turn of the loop later."""
        if self._connected is not None and not self._loop.is_closed():
            self._loop.call_soon(self._connected.connection_lost, None)
        self._connected = None

    def abort(self) -> None:
        """Nothing is buffered here."""
        self.close()

    def pause_reading(self) -> None:
        """The whole answer is there already."""

    def resume_reading(self) -> None:
        """As `pause_reading`."""
