"""A server of raw bytes that is the judge of what was sent.

It keeps whatever arrives, past TLS.  After every call the endpoint's word is compared
with that: "not sent" is a promise that not one byte of the request came through.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from contextlib import asynccontextmanager, suppress

import aiohttp
import pytest
import pytest_asyncio
from attrs import define, field

from everbearer import Registration
from everbearer._clock import SystemClock
from everbearer.providers import standard_provider
from everbearer.token_endpoint import OutcomeKind, RefreshGrant, TokenEndpoint

REFRESH_TOKEN = "canary-refresh-token-that-is-spent"


@define(eq=False)
class Judge:
    """A server, and all that it has seen.

    Attributes:
        handler: What it does with a connection; `request` reads one.

        seen: Every byte that arrived, but for a CONNECT to a proxy.

        gone: Set when a connection was closed from here.
    """

    handler: object = None
    seen: bytearray = field(factory=bytearray, repr=False)
    connections: list = field(factory=list)
    gone: asyncio.Event = field(factory=asyncio.Event)
    port: int = 0

    async def serve(self, reader, writer):
        self.connections.append(writer)
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            await self.handler(self, reader, writer)
        writer.close()
        self.gone.set()
        while chunk := await self._more(reader):
            self.seen += chunk

    @staticmethod
    async def _more(reader):
        try:
            return await reader.read(65536)
        except OSError:
            return b""

    async def request(self, reader):
        """One request, whole."""
        head = await self._keep(reader.readuntil(b"\r\n\r\n"))
        length = 0
        for line in head.lower().split(b"\r\n"):
            if line.startswith(b"content-length:"):
                length = int(line.split(b":")[1])
        return head + await self._keep(reader.readexactly(length))

    async def _keep(self, reading):
        try:
            part = await reading
        except asyncio.IncompleteReadError as error:
            self.seen += error.partial
            raise
        self.seen += part
        return part

    @staticmethod
    def reset(writer):
        """Close with a RST instead of a FIN."""
        linger = struct.pack("ii", 1, 0)
        sock = writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        writer.transport.abort()

    @property
    def url(self):
        """Its token endpoint's base, without TLS."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def tls_url(self):
        """The same with TLS."""
        return f"https://localhost:{self.port}"

    @property
    def has_the_token(self):
        """Whether the refresh token came through."""
        return REFRESH_TOKEN.encode() in self.seen


@asynccontextmanager
async def serving(handler, tls=None):
    """A `Judge` on a loopback port."""
    judge = Judge(handler)
    tasks = set()

    def connected(reader, writer):
        tasks.add(asyncio.ensure_future(judge.serve(reader, writer)))

    server = await asyncio.start_server(connected, "127.0.0.1", 0, ssl=tls)
    judge.port = server.sockets[0].getsockname()[1]
    try:
        yield judge
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for writer in judge.connections:
            writer.transport.abort()
        await asyncio.sleep(0)


@define(eq=False)
class Caller:
    """Asks a token endpoint through a session of its own."""

    connector: aiohttp.BaseConnector | None = None
    options: dict = field(factory=dict)

    async def ask(self, url, **options):
        """Present the refresh token; the outcome."""
        connector = self.connector or aiohttp.TCPConnector(force_close=True)
        async with aiohttp.ClientSession(
            connector=connector, cookie_jar=aiohttp.DummyCookieJar(), **self.options
        ) as session:
            return await self.asked(session, url, **options)

    async def asked(self, session, url, **options):
        """The same through *session*."""

        async def opened():
            return session

        provider = standard_provider(
            "standard",
            authorize_url=f"{url}/authorize",
            token_url=f"{url}/token",
            api_base=url,
        )
        options = {"connect": 10.0, "total": 10.0, **options}
        return await TokenEndpoint(opened, SystemClock()).ask(
            Registration(provider, "id", "a-client-secret"),
            RefreshGrant(REFRESH_TOKEN),
            **options,
        )


@pytest_asyncio.fixture(name="serving")
async def _serving():
    return serving


@pytest.fixture(name="caller")
def _caller():
    return Caller


@pytest.fixture(name="judged")
def _judged():
    """Compare an outcome with the evidence of the server that was asked."""

    def judged(outcome, kind, judge):
        if outcome.kind is OutcomeKind.NOT_SENT:
            assert bytes(judge.seen) == b"", "it was sent"
        assert outcome.kind is kind, outcome
        assert REFRESH_TOKEN not in repr(outcome)

    return judged
