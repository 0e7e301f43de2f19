"""Between the workers and one token endpoint: answers are reset, cut, late or lost.

Each worker has a port of its own, so that every exchange is known to be somebody's.
Whenever an answer cannot reach its client, the refresh token that bought it is put in
doubt at the sandbox, with the cause: the ledger then calls the next presentation of it
a last resort.  Nothing else puts a token in doubt; what a client does by itself is
written down as its own doing.
"""

from __future__ import annotations

import asyncio
import json
import math
from collections import defaultdict, deque
from contextlib import suppress
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

from attrs import define, field

if TYPE_CHECKING:
    from collections.abc import Callable

    from everbearer.sandbox import Sandbox

__all__ = ["CLIENTS_OWN", "Exchange", "Proxy"]

CLIENTS_OWN = "its client left by itself"
SLOW = "an answer after X"
_PAGE = b"<!doctype html><title>Maintenance</title><h1>Back soon</h1>"
_LENGTH = b"Content-Length: %d\r\nConnection: close\r\n\r\n" % len(_PAGE)
_REPLACED = {
    "html-for-json": b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n"
    + _LENGTH
    + _PAGE,
    "status-500": b"HTTP/1.1 500 Internal Server Error\r\nContent-Type: text/html\r\n"
    + _LENGTH
    + _PAGE,
}
_GONE = (ConnectionError, asyncio.IncompleteReadError, TimeoutError)
_HOLDS = 30.0
_ON_THE_WAY = 0.3


@define(eq=False)
class Exchange:
    """One token request on its way.

    Attributes:
        token: The sandbox's own record of the refresh token that it presents.

        fault: What the proxy does to it, or "".

        why_gone: Why its client is not there any more, if the run knows: killed.

        answered_at: When the whole answer was handed to the client's socket.
    """

    slot: int
    company: str
    token: object = field(repr=False)
    began: float
    fault: str = ""
    lasts: float = 0.0
    note: Callable[[str, str], None] = field(repr=False, kw_only=True)
    why_gone: str = ""
    answered_at: float | None = None

    def doubt(self, cause: str) -> None:
        """Nobody will read this answer, because of *cause*."""
        if self.token.successor is None or not self.token.successor.used:
            self.token.doubt = cause
            self.said(f"cannot read its answer: {cause}")

    def said(self, what: str) -> None:
        """Remember it, for a reader of a run that went wrong."""
        spent = "spent" if self.token.spent_at else "unspent"
        name = f"{id(self.token):x}"[-5:]
        self.note(self.company, f"worker {self.slot}, {spent} token {name}: {what}")


@define(eq=False)
class Proxy:
    """One listener for each worker in front of the token endpoint of *sandbox*.

    Attributes:
        note: Called with (company, what) of every step.

        felt: Called with (kind, company, begin, end) for every fault that took place.

        reused: Called with (company, slot, began, excuse) for a token presented once
            too often.

        longest: X, how long a client has to wait for its answer.

        excused: Why a token may be presented again although its successor was used.

        killed: When each worker last was.

        open, last: Exchanges under way, and the last answered one by (slot, company).
    """

    sandbox: Sandbox
    note: Callable[[str, str], None]
    felt: Callable[[str, str, float, float], None]
    reused: Callable[[str, int, float, str], None]
    ports: list[int] = field(factory=list)
    armed: defaultdict[str, deque[tuple[str, float]]] = field(
        factory=lambda: defaultdict(deque)
    )
    open: set[Exchange] = field(factory=set)
    last: dict[tuple[int, str], Exchange] = field(factory=dict)
    excused: dict[str, str] = field(factory=dict)
    killed: dict[int, float] = field(factory=dict)
    longest: float = 2.0
    unreachable: bool = False
    _servers: list[asyncio.Server] = field(factory=list)
    _tasks: set[asyncio.Task[None]] = field(factory=set)

    async def start(self, slots: int) -> None:
        """Listen on a free port for each worker."""
        for slot in range(slots):

            def accepted(reader, writer, slot=slot):
                task = asyncio.create_task(self._serve(reader, writer, slot))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

            server = await asyncio.start_server(accepted, "127.0.0.1", 0)
            self._servers.append(server)
            self.ports.append(server.sockets[0].getsockname()[1])

    async def aclose(self) -> None:
        """Stop listening, and drop what is connected."""
        for server in self._servers:
            server.close()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader, writer, slot: int) -> None:
        try:
            if self.unreachable:
                return
            request = await _message(reader)
            token = self.sandbox.grants.refresh_token(_refresh_token(request))
            if token is not None:
                await self._exchange(reader, writer, slot, request, token)
        except _GONE:
            pass  # A worker was killed, or gave up; nothing is left to be told.
        finally:
            writer.transport.abort()

    async def _exchange(self, reader, writer, slot: int, request: bytes, token) -> None:
        company, now = token.grant.company, asyncio.get_running_loop().time
        kind, lasts = "", 0.0
        if self.armed[company]:
            kind, lasts = self.armed[company].popleft()
        exchange = Exchange(slot, company, token, now(), kind, lasts, note=self.note)
        exchange.said(f"presents it; {kind or 'no fault'}, doubt {token.doubt}")
        figures = self.sandbox.ledger.company(company)
        reuse = figures.reuse
        self.open.add(exchange)
        watching = asyncio.create_task(self._watch(reader, exchange))
        try:
            await self._pass_on(writer, request, exchange)
            if kind == "swallow-answer":
                await asyncio.wait({watching}, timeout=_HOLDS)
        finally:
            self.open.discard(exchange)
            watching.cancel()
            await asyncio.wait({watching})
            if kind:
                self.felt(kind, company, exchange.began, now())
            if self.sandbox.ledger.company(company).reuse > reuse:
                excuse = self.excused.get(token.value, "")
                self.reused(company, slot, exchange.began, excuse)

    async def _pass_on(self, writer, request: bytes, exchange: Exchange) -> None:
        """Forward the request, and of its answer what the fault leaves."""
        if exchange.fault == "reset-unforwarded":
            exchange.doubt(exchange.fault)
            return
        answer = await self._ask(request)
        if exchange.fault in {"reset-answer", "cut-answer", "swallow-answer"}:
            exchange.doubt(exchange.fault)
            if exchange.fault == "cut-answer":
                writer.write(answer[: len(answer) - 40])
                await writer.drain()
                writer.close()
                await writer.wait_closed()
            return
        if exchange.fault in _REPLACED:
            exchange.doubt(exchange.fault)
            answer = _REPLACED[exchange.fault]
        if exchange.fault == "late-answer":
            await asyncio.sleep(exchange.lasts)
        writer.write(answer)
        await writer.drain()
        exchange.answered_at = asyncio.get_running_loop().time()
        self.last[exchange.slot, exchange.company] = exchange
        exchange.said("has its answer")
        writer.close()
        await writer.wait_closed()

    async def _ask(self, request: bytes) -> bytes:
        host, port = self.sandbox.url.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        try:
            writer.write(request)
            return await _message(reader)
        finally:
            writer.close()

    async def _watch(self, reader, exchange: Exchange) -> None:
        """Notice that the client is gone before its answer was."""
        with suppress(*_GONE):
            await reader.read(1)
        if exchange.answered_at is None:
            waited = asyncio.get_running_loop().time() - exchange.began
            late = exchange.fault in {"", "late-answer"} and waited > self.longest
            why = SLOW if late else exchange.fault or CLIENTS_OWN
            # Its request was on the way when it was killed.
            if exchange.began - self.killed.get(exchange.slot, -math.inf) < _ON_THE_WAY:
                why = "kill"
            exchange.doubt(exchange.why_gone or why)


async def _message(reader) -> bytes:
    """One HTTP message with a Content-Length, as it came."""
    head = await reader.readuntil(b"\r\n\r\n")
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.strip().lower() == b"content-length":
            return head + await reader.readexactly(int(value))
    return head


def _refresh_token(request: bytes) -> str:
    body = request.partition(b"\r\n\r\n")[2].decode()
    if body.startswith("{"):
        return str(json.loads(body).get("refresh_token", ""))
    return parse_qs(body).get("refresh_token", [""])[0]
