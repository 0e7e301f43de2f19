"""Two parties to hold a document against: the sandbox, and a server that records."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest_asyncio
from attrs import define, field, frozen

from everbearer.sandbox import Sandbox

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@frozen
class Arrived:
    """One request, byte for byte."""

    line: str
    headers: dict[str, str]
    body: bytes

    @classmethod
    def read(cls, head: bytes, body: bytes) -> Arrived:
        """Take the head apart; a header that comes twice is an error."""
        line, *fields = head.decode("ascii").rstrip("\r\n").split("\r\n")
        pairs = [each.split(": ", 1) for each in fields]
        headers = {name.lower(): value for name, value in pairs}
        assert len(headers) == len(pairs)
        return cls(line, headers, body)


@define
class Recorder:
    """Keeps what it is sent, and answers what it is told, in that order.

    Attributes:
        answers: Status and body, or what has to be awaited for them.

        headers: A further line for answers of a status.
    """

    url: str = ""
    answers: list[Any] = field(factory=list)
    headers: dict[int, str] = field(factory=dict)
    arrived: list[Arrived] = field(factory=list)

    async def handle(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Serve one request of a connection."""
        head = await reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
        body = await reader.readexactly(int(length[1]) if length else 0)
        self.arrived.append(Arrived.read(head, body))
        answer = self.answers.pop(0)
        status, text = await answer() if callable(answer) else answer
        more = f"{self.headers[status]}\r\n" if status in self.headers else ""
        writer.write(
            f"HTTP/1.1 {status} Answer\r\n"
            f"Content-Type: application/json\r\n{more}"
            f"Content-Length: {len(text.encode())}\r\n"
            "Connection: close\r\n\r\n"
            f"{text}".encode()
        )
        await writer.drain()
        writer.close()
        await writer.wait_closed()


@pytest_asyncio.fixture
async def recorder() -> AsyncIterator[Recorder]:
    """A recording server on a loopback port."""
    recorder = Recorder()
    server = await asyncio.start_server(recorder.handle, "127.0.0.1", 0)
    async with server:
        host, port = server.sockets[0].getsockname()
        recorder.url = f"http://{host}:{port}"
        yield recorder


@pytest_asyncio.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    """Billit on a loopback port."""
    async with Sandbox(orders_per_account=3) as running:
        yield running


@pytest_asyncio.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    """A session that knows nothing of tokens."""
    async with aiohttp.ClientSession() as session:
        yield session
