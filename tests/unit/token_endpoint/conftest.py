"""A server of raw bytes, so that every fault of a network can be made exactly."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

import aiohttp
import pytest
import pytest_asyncio

from everbearer._clock import SystemClock
from everbearer.providers import Registration, standard_provider
from everbearer.token_endpoint import TokenEndpoint

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

REFRESH_TOKEN = "canary-refresh-token/+="
CLIENT_SECRET = "canary client:secret/é"

GOOD = b'{"access_token":"new-access","refresh_token":"new-refresh","expires_in":3600}'


def http(status: str, body: bytes = b"", *headers: str) -> bytes:
    """A complete answer."""
    lines = [f"HTTP/1.1 {status}", *headers, f"Content-Length: {len(body)}", "", ""]
    return "\r\n".join(lines).encode() + body


class Server:
    """Answers every connection with `handler(reader, writer)`; keeps what arrived."""

    def __init__(self) -> None:
        self.connections = 0
        self.received = b""
        self.closed = asyncio.Event()
        self.handler: Callable[..., Awaitable[None]] = self.good
        self.url = ""

    async def serve(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """One connection; whatever the handler does, it is closed in the end."""
        self.connections += 1
        try:
            await self.handler(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()
            self.closed.set()

    async def request(self, reader: asyncio.StreamReader) -> bytes:
        """Read one request to its end."""
        head = await self._keep(reader.readuntil(b"\r\n\r\n"))
        length = 0
        for line in head.split(b"\r\n"):
            if line.lower().startswith(b"content-length:"):
                length = int(line.split(b":")[1])
        return head + await self._keep(reader.readexactly(length))

    async def _keep(self, reading: Awaitable[bytes]) -> bytes:
        try:
            part = await reading
        except asyncio.IncompleteReadError as error:
            self.received += error.partial
            raise
        self.received += part
        return part

    async def good(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """A token response."""
        await self.request(reader)
        writer.write(http("200 OK", GOOD, "Content-Type: application/json"))
        await writer.drain()

    def answers(self, answer: bytes) -> None:
        """Read the request, say *answer*, close."""

        async def handler(reader, writer) -> None:
            await self.request(reader)
            writer.write(answer)
            await writer.drain()

        self.handler = handler


@pytest_asyncio.fixture
async def server() -> AsyncIterator[Server]:
    """A raw server on a loopback port."""
    running = Server()
    listening = await asyncio.start_server(running.serve, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    running.url = f"http://127.0.0.1:{port}"
    yield running
    listening.close()
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(listening.wait_closed(), 1)


@pytest_asyncio.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    """As the Client makes one for token calls."""
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(force_close=True),
        cookie_jar=aiohttp.DummyCookieJar(),
    ) as opened:
        yield opened


def registration_at(url: str, **options) -> Registration:
    """A client of a standard provider whose token endpoint is at *url*."""
    return Registration(
        standard_provider(
            "standard",
            authorize_url=f"{url}/authorize",
            token_url=f"{url}/token",
            api_base=url,
            **{"client_authentication": "client_secret_post", **options},
        ),
        "client-id",
        CLIENT_SECRET,
    )


@pytest.fixture
def registration(server: Server) -> Registration:
    """A client whose token endpoint is the raw server."""
    return registration_at(server.url)


@pytest.fixture
def endpoint(session: aiohttp.ClientSession) -> TokenEndpoint:
    """What is tested."""
    return endpoint_of(session)


def endpoint_of(session: aiohttp.ClientSession) -> TokenEndpoint:
    """A token endpoint that posts through *session*."""

    async def opened() -> aiohttp.ClientSession:
        return session

    return TokenEndpoint(opened, SystemClock())
