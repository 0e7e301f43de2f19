"""Answers as values, and how they are put on the wire, whole or spoilt."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from aiohttp import web
from attrs import evolve, field, frozen

from everbearer.sandbox._connection import Connection

if TYPE_CHECKING:
    from everbearer.sandbox.faults import Fault

__all__ = ["JSON", "Answer", "deliver", "spoil"]

JSON: Final = "application/json"
_CHUNK: Final = 65_536
_OPEN: Final = b'{"padding":"'
_CLOSE: Final = b'"}'


@frozen
class Answer:
    """A status, a body and headers; *error* is what a JSON error body says."""

    status: int = 200
    body: bytes = field(default=b"", repr=False)
    headers: Mapping[str, str] = field(factory=dict, repr=False)
    error: str | None = None

    @classmethod
    def of(
        cls,
        content: Mapping[str, Any] | list[Any],
        status: int = 200,
        error: str | None = None,
    ) -> Answer:
        """Write *content* as JSON."""
        return cls(status, json.dumps(content).encode(), {"Content-Type": JSON}, error)

    def response(self) -> web.Response:
        """What aiohttp sends."""
        return web.Response(status=self.status, body=self.body, headers=self.headers)


def spoil(fault: Fault, truth: Answer | None) -> Answer:
    """What is answered under *fault*, where *truth* is what would have been."""
    if fault.status is not None or truth is None:
        return Answer(fault.status or 500, fault.body, fault.headers)
    if fault.cut:
        return evolve(truth, body=truth.body[: len(truth.body) // 2])
    if fault.without is not None:
        content = json.loads(truth.body)
        content.pop(fault.without, None)
        return Answer.of(content, truth.status)
    return truth


async def deliver(
    request: web.Request, answer: Answer, *, size: int = 0
) -> tuple[web.StreamResponse, bool]:
    """Write *answer* now; the flag says whether the client was there to the end.

    What is in the kernel's buffer counts as read: a client that dies just then is
    `Script.killed`'s business.
    """
    connection = Connection(request)
    response = _endless(answer) if size else answer.response()
    try:
        await response.prepare(request)
        if size:
            await _pad(response, size)
        await response.write_eof()
    except ConnectionError:
        return response, False
    return response, not connection.closed


def _endless(answer: Answer) -> web.StreamResponse:
    return web.StreamResponse(status=answer.status, headers=answer.headers)


async def _pad(response: web.StreamResponse, size: int) -> None:
    """Stream one JSON object of *size* bytes, a chunk at a time."""
    await response.write(_OPEN)
    left = max(0, size - len(_OPEN) - len(_CLOSE))
    while left:
        chunk = b"x" * min(left, _CHUNK)
        await response.write(chunk)
        left -= len(chunk)
    await response.write(_CLOSE)
