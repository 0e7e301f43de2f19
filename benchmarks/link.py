"""A link of some length between a process and its store: each byte comes later.

Nothing is lost, and nothing waits for anything but the time that it travels.  Run as a
program it prints its port and carries until it is terminated.
"""

from __future__ import annotations

import argparse
import asyncio
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit, urlunsplit

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["stretched"]


@contextmanager
def stretched(url: str, seconds: float) -> Iterator[str]:
    """*url* as it is reached over a link that takes *seconds* each way."""
    parts = urlsplit(url)
    (folder,) = parse_qs(parts.query).get("host", [""])
    far = f"{folder}/.s.PGSQL.5432" if folder else f"{parts.hostname}:{parts.port}"
    with subprocess.Popen(
        [sys.executable, __file__, far, str(seconds)], stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            near = f"127.0.0.1:{int(process.stdout.readline())}"
            user = parts.netloc.rpartition("@")[0]
            netloc = f"{user}@{near}" if user else near
            yield urlunsplit(parts._replace(netloc=netloc, query=""))
        finally:
            process.terminate()


class _End(asyncio.Protocol):
    """One end of a connection; the other hears what this one does, later."""

    def __init__(self, delay: float) -> None:
        self._delay = delay
        self._loop = asyncio.get_running_loop()
        self.transport: asyncio.Transport | None = None
        self.other: _End | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self._loop.call_later(self._delay, self._tell, data)

    def connection_lost(self, _: Exception | None) -> None:
        self._loop.call_later(self._delay, self._tell, b"")

    def _tell(self, data: bytes) -> None:
        transport = self.other.transport if self.other is not None else None
        if transport is None or transport.is_closing():
            return
        if data:
            transport.write(data)
        else:
            transport.close()


class _Near(_End):
    """The end that a client has connected to."""

    def __init__(self, far: str, delay: float) -> None:
        super().__init__(delay)
        self._far = far
        self._connecting: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        assert self.transport is not None
        self.transport.pause_reading()
        self._connecting = self._loop.create_task(self._connect())

    async def _connect(self) -> None:
        self.other = _End(self._delay)
        self.other.other = self
        host, _, port = self._far.rpartition(":")
        if host:
            await self._loop.create_connection(self._there, host, int(port))
        else:
            await self._loop.create_unix_connection(self._there, self._far)
        assert self.transport is not None
        self.transport.resume_reading()

    def _there(self) -> _End:
        assert self.other is not None
        return self.other


async def _carry(far: str, delay: float) -> None:
    server = await asyncio.get_running_loop().create_server(
        lambda: _Near(far, delay), "127.0.0.1", 0
    )
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("far", help="HOST:PORT, or a Unix socket")
    parser.add_argument("delay", type=float, help="seconds each way")
    given = parser.parse_args()
    asyncio.run(_carry(given.far, given.delay))
