"""A pooler in transaction mode, as PgBouncer is one, in front of a throwaway server.

It knows as much of PostgreSQL's protocol as that takes ("Message Formats" in its
manual).  As in PgBouncer 1.18, against which it was compared: each transaction goes to
any of a few server connections; prepared statements and LISTEN are passed on to that
one, and stay there; and what a server connection says when it serves nobody, such as a
notification, nobody hears.
"""

from __future__ import annotations

import asyncio
import random
import struct
from contextlib import suppress
from urllib.parse import parse_qs, urlsplit

import pytest_asyncio

_SSL_REQUEST = 80877103
_CANCEL_REQUEST = 80877102
_VERSION_3 = 196608
_GONE = (ConnectionError, asyncio.IncompleteReadError)


class _Server:
    """A connection to the server, and the client that it serves now."""

    def __init__(self, reader, writer, greeting):
        self.reader, self.writer, self.greeting = reader, writer, greeting
        self.client = None


class _Client:
    """A client, the connection that its transaction is on, and what it waits for."""

    def __init__(self, reader, writer):
        self.reader, self.writer = reader, writer
        self.server, self.due, self.unsynced = None, 0, False


class TransactionPooler:
    """Listens on a loopback port; lets whoever logs in in, as user ``postgres``.

    Args:
        url: Of a database on a server in whose socket's folder anybody is trusted.

        size: Connections to the server.
    """

    def __init__(self, url, size=3):
        parts = urlsplit(url)
        self._folder = parse_qs(parts.query)["host"][0]
        self._database = parts.path.removeprefix("/")
        self._size = size
        self._free = asyncio.Queue()
        self._tasks, self._writers, self._over = set(), set(), False

    async def __aenter__(self):
        for _ in range(self._size):
            await self._add()
        self._listening = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        port = self._listening.sockets[0].getsockname()[1]
        self.url = f"postgresql://postgres@127.0.0.1:{port}/{self._database}"
        return self

    async def __aexit__(self, *_):
        self._over = True
        self._listening.close()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for writer in self._writers:
            writer.transport.abort()
            with suppress(*_GONE):
                await writer.wait_closed()

    async def _add(self):
        path = f"{self._folder}/.s.PGSQL.5432"
        reader, writer = await asyncio.open_unix_connection(path)
        self._writers.add(writer)
        words = f"user\0postgres\0database\0{self._database}\0\0".encode()
        writer.write(struct.pack("!ii", len(words) + 8, _VERSION_3) + words)
        greeting = b""
        while not greeting.endswith(b"Z\0\0\0\x05I"):
            greeting += await _message(reader)
        server = _Server(reader, writer, greeting)
        self._start(self._from_server(server))
        await self._free.put(server)

    def _start(self, work):
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _from_server(self, server):
        try:
            while message := await _message(server.reader):
                client = server.client
                if client is None:
                    continue
                client.writer.write(message)
                if message[:1] == b"Z":
                    client.due -= 1
                    if message[5:] == b"I" and not client.due and not client.unsynced:
                        client.server = server.client = None
                        await self._free.put(server)
        except _GONE:
            if server.client is not None:
                server.client.writer.close()
        finally:
            server.writer.close()

    async def _serve(self, reader, writer):
        client = _Client(reader, writer)
        self._tasks.add(asyncio.current_task())
        self._writers.add(writer)
        try:
            with suppress(*_GONE):
                if await self._greeted(client):
                    await self._from_client(client)
        finally:
            self._tasks.discard(asyncio.current_task())
            writer.close()
            if (
                client.server is not None and not self._over
            ):  # In the middle of a transaction.
                client.server.writer.close()
                await self._add()

    async def _greeted(self, client):
        length, code = struct.unpack("!ii", await client.reader.readexactly(8))
        if code == _SSL_REQUEST:
            client.writer.write(b"N")
            return await self._greeted(client)
        if code == _CANCEL_REQUEST:
            return False
        await client.reader.readexactly(length - 8)
        server = await self._any()
        client.writer.write(server.greeting)
        await self._free.put(server)
        return True

    async def _any(self):
        """Any of those that are free, not the one that was used last."""
        server = await self._free.get()
        for _ in range(random.randrange(self._free.qsize() + 1)):
            await self._free.put(server)
            server = await self._free.get()
        return server

    async def _from_client(self, client):
        while (message := await _message(client.reader))[:1] != b"X":
            if client.server is None:
                client.server = await self._any()
                client.server.client = client
            client.unsynced = message[:1] not in {b"Q", b"S"}
            client.due += not client.unsynced
            client.server.writer.write(message)


async def _message(reader):
    head = await reader.readexactly(5)
    (length,) = struct.unpack("!i", head[1:])
    return head + await reader.readexactly(length - 4)


@pytest_asyncio.fixture
async def pooler(restartable_postgres):
    """A pooler in transaction mode before an empty database."""
    async with TransactionPooler(restartable_postgres.new_database()) as running:
        yield running
