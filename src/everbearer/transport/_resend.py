"""May this request be sent twice?  Decided before the rejected answer is let go."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

from aiohttp import hdrs

from everbearer.transport._body import sendable_twice

if TYPE_CHECKING:
    from collections.abc import Iterable

    from aiohttp import ClientHandlerType, ClientRequest, ClientResponse

    from everbearer.providers import ExpirySignal

__all__ = ["make_ready", "parting", "why_not"]

# RFC 9110 section 9.2.1.  Idempotent is not enough: a DELETE that was carried out
# answers 404 the second time, and a second PUT undoes what others wrote in between;
# the caller would be told of a failure, or of nothing.
_SAFE: Final = frozenset(
    {hdrs.METH_GET, hdrs.METH_HEAD, hdrs.METH_OPTIONS, hdrs.METH_TRACE}
)


_NOT_WANTED_FROM: Final = 300


def why_not(
    req: ClientRequest, signal: ExpirySignal, idempotency_headers: Iterable[str]
) -> Literal["body", "unsafe"] | None:
    """Why *req*, answered by *signal*, must not be sent again; None if it may.

    ``body``: it would not arrive whole.  ``unsafe``: it may have been carried out; an
    unsafe method needs an answer that proves the contrary, or a header that makes the
    provider recognise the repetition.
    """
    if not sendable_twice(req.body):
        return "body"
    if signal.proves_unprocessed or req.method in _SAFE:
        return None
    if any(name in req.headers for name in idempotency_headers):
        return None
    return "unsafe"


def make_ready(req: ClientRequest) -> None:
    """Prepare *req* for being sent once more.

    After an answer that came instead of ``100 Continue`` aiohttp's wait for it is
    over for good; the second send would fail on it.
    """
    if hdrs.EXPECT in req.headers:
        req.update_expect_continue(expect=True)


def parting(handler: ClientHandlerType) -> ClientHandlerType:
    """*handler*, for a request with a body that waits for ``100 Continue``.

    A server that answers at once still expects the body on that connection (RFC 9112
    section 9.3), so it must not be used again.  aiohttp 3.12 puts it into its pool,
    where the next request is swallowed as the missing body.
    """

    async def send(req: ClientRequest) -> ClientResponse:
        response = await handler(req)
        connection = response.connection
        if (
            response.status >= _NOT_WANTED_FROM
            and connection is not None
            and connection.protocol is not None
        ):
            connection.protocol.force_close()
        return response

    return send
