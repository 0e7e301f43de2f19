"""A server of raw bytes that answers what it likes, and a Client that talks to it."""

from __future__ import annotations

import asyncio
import contextlib
import tracemalloc
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio
from attrs import evolve

from everbearer import Client, Registration, TemporarilyUnavailable, Timing, Token
from everbearer.providers import BILLIT, standard_provider
from everbearer.stores import MemoryStore
from everbearer.tokens import AccountKey

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

KEY = AccountKey("standard", "acme")
# A machine that is busy may take its seconds; what has to be waited for is short.
TIMING = Timing(
    lease=0.3, deadline=5.0, linger=0.05, grace=0.05, connect=5.0, back_off=0.02
)
GOOD = b'{"access_token":"access-2","refresh_token":"refresh-2","expires_in":3600}'


def http(status: str, body: bytes = b"", *headers: str) -> bytes:
    """A complete answer."""
    lines = [f"HTTP/1.1 {status}", *headers, f"Content-Length: {len(body)}", "", ""]
    return "\r\n".join(lines).encode() + body


class Server:
    """Answers at ``/token`` and elsewhere as it is told to; keeps what it was asked.

    An answer is bytes, or a function that is given this server and a writer.

    Attributes:
        token, api: The answers.

        asked: Request lines, in order.

        heads: What came before the bodies.

        written: Bytes that the network took, of the answer under way or the last one.

        go_on: Set before an answer that waits for it may continue.
    """

    def __init__(self):
        self.token = http("200 OK", GOOD, "Content-Type: application/json")
        self.api = http("200 OK", b"[]", "Content-Type: application/json")
        self.asked = []
        self.heads = []
        self.written = 0
        self.go_on = asyncio.Event()
        self.ended = asyncio.Event()
        self.url = ""

    @property
    def token_requests(self):
        return sum(line.startswith(b"POST /token ") for line in self.asked)

    async def serve(self, reader, writer):
        """One request; the connection is closed after its answer."""
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            for line in head.split(b"\r\n"):
                if line.lower().startswith(b"content-length:"):
                    await reader.readexactly(int(line.split(b":")[1]))
            line = head.split(b"\r\n")[0]
            self.asked.append(line)
            self.heads.append(head)
            self.written = 0
            answer = self.token if line.startswith(b"POST /token ") else self.api
            if callable(answer):
                await answer(self, writer)
            else:
                await self.write(writer, answer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            self.ended.set()
            writer.close()

    async def write(self, writer, part):
        """Write *part*, and wait until the network has taken nearly all of it."""
        writer.write(part)
        await writer.drain()
        self.written += len(part)


@pytest_asyncio.fixture
async def server() -> AsyncIterator[Server]:
    """It, on a loopback port."""
    running = Server()
    listening = await asyncio.start_server(running.serve, "127.0.0.1", 0)
    running.url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    yield running
    running.go_on.set()
    listening.close()
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(listening.wait_closed(), 1)


@pytest.fixture
def timing() -> Timing:
    """Deadlines; a test about slowness has shorter ones."""
    return TIMING


@pytest.fixture
def registration(server: Server) -> Registration:
    """With a provider whose API says in the body what is wrong, as Billit's does."""
    provider = standard_provider(
        "standard",
        authorize_url=f"{server.url}/authorize",
        token_url=f"{server.url}/token",
        api_base=server.url,
        keep_extra=("business_info",),
    )
    signals = provider.expiry_signals[:1] + BILLIT.expiry_signals
    return Registration(
        evolve(provider, expiry_signals=signals), "client-id", "client-secret"
    )


@pytest.fixture
def store():
    """A store to look into."""
    return MemoryStore()


@pytest_asyncio.fixture
async def client(registration, store, timing) -> AsyncIterator[Client]:
    """A Client on that store."""
    async with Client(registration, store=store, timing=timing) as client:
        yield client


@pytest_asyncio.fixture
async def connected(client):
    """The session of an account whose token is good."""
    ends = datetime.now(UTC) + timedelta(hours=1)
    await client.adopt(*KEY, Token("access-1", "refresh-1", ends))
    return client.session(*KEY)


@pytest_asyncio.fixture
async def expired(client):
    """The session of an account whose token has to be refreshed first."""
    ended = datetime.now(UTC) - timedelta(hours=1)
    await client.adopt(*KEY, Token("access-1", "refresh-1", ended))
    return client.session(*KEY)


@pytest.fixture
def recovered(server):
    """Call again, as often and as late as the errors say, until it works."""

    async def call(session, tries=20):
        while True:
            try:
                response = await session.get("/v1/orders")
            except TemporarilyUnavailable as error:
                tries -= 1
                if not tries:
                    raise
                await asyncio.sleep(error.retry_after + 0.01)
            else:
                return response

    return call


@pytest.fixture
def peak():
    """The most memory taken at once since the last call, in bytes."""
    tracemalloc.start(1)

    def read():
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.reset_peak()
        return most

    yield read
    tracemalloc.stop()
