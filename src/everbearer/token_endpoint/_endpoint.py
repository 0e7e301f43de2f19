"""The only file that posts to a token endpoint.

Its one hard duty is to know whether the grant left this host.  The body is a payload
of our own: until aiohttp has a connection and asks it to write, nothing of it has
been sent, whatever fails; from then on everything that fails is ambiguous.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

import aiohttp
from aiohttp.payload import Payload

from everbearer._redact import excerpt
from everbearer.token_endpoint._outcome import Ambiguous, NotSent
from everbearer.token_endpoint._request import token_request
from everbearer.token_endpoint._response import classify

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from aiohttp.abc import AbstractStreamWriter

    from everbearer._clock import Clock
    from everbearer.providers import Registration
    from everbearer.token_endpoint._grant import Grant
    from everbearer.token_endpoint._outcome import Outcome
    from everbearer.token_endpoint._request import TokenRequest

__all__ = ["TokenEndpoint"]

_log = logging.getLogger("everbearer.token_endpoint")

_LONGEST_ANSWER = 1024 * 1024


class _GuardedBody(Payload):
    """A body that asks for leave before its first byte, and remembers having gone."""

    def __init__(
        self, body: bytes, leave: Callable[[], Awaitable[None]] | None, **kwargs: Any
    ) -> None:
        super().__init__(body, **kwargs)
        self._size = len(body)
        self._leave = leave
        self.sent = False
        self.refusal: Exception | None = None

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        """Never shown: it holds a grant."""
        return ""

    async def write(self, writer: AbstractStreamWriter) -> None:
        await self.write_with_length(writer, None)

    async def write_with_length(
        self, writer: AbstractStreamWriter, content_length: int | None
    ) -> None:
        if self._leave is not None:
            try:
                await self._leave()
            except Exception as refusal:
                self.refusal = refusal
                raise
        self.sent = True
        await writer.write(self._value)


class TokenEndpoint:
    """Posts grants and sorts the answers."""

    def __init__(
        self, http: Callable[[], Awaitable[aiohttp.ClientSession]], clock: Clock
    ) -> None:
        self._http = http
        self._clock = clock

    async def ask(
        self,
        registration: Registration,
        grant: Grant,
        *,
        total: float,
        connect: float,
        before_sending: Callable[[], Awaitable[None]] | None = None,
    ) -> Outcome:
        """Present *grant* once; no redirect is followed, nothing is repeated.

        Args:
            registration: Whose client credentials are used.

            grant: What is presented.

            total: Seconds for the whole call.

            connect: Seconds for a connection: pool, DNS, TCP and TLS.

            before_sending: Awaited when the connection stands and nothing is written;
                what it raises is raised here, and nothing was sent.

        Raises:
            ConfigurationError: The client secret cannot be had, or the provider has no
                such call.
        """
        request = token_request(registration, grant, registration.secret())
        session = await self._http()
        asked_at = self._clock.wall()
        body = _GuardedBody(
            request.body, before_sending, content_type=request.headers["Content-Type"]
        )
        try:
            status, headers, answer = await self._post(
                session, request, body, total=total, connect=connect
            )
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            if body.refusal is not None:
                raise body.refusal from None
            # The class and not the text: it may quote what was sent.
            why = excerpt(type(error).__name__)
            return Ambiguous(why) if body.sent else NotSent(why)
        outcome = classify(
            registration.provider,
            status=status,
            headers=headers,
            body=answer,
            asked_at=asked_at,
            now=self._clock.wall(),
            secrets=request.secrets,
        )
        _log.debug(
            "token endpoint answered %d: %s",
            status,
            outcome.kind,
            extra={"provider": registration.name},
        )
        return outcome

    async def _post(
        self,
        session: aiohttp.ClientSession,
        request: TokenRequest,
        body: _GuardedBody,
        *,
        total: float,
        connect: float,
    ) -> tuple[int, dict[str, str], bytes]:
        timeout = aiohttp.ClientTimeout(
            total=total, connect=connect, sock_connect=connect
        )
        async with session.post(
            request.url,
            data=body,
            # Compressed answers could be bombs, and token answers are small.
            headers={**request.headers, "Accept-Encoding": "identity"},
            timeout=timeout,
            allow_redirects=False,
            raise_for_status=False,
            middlewares=(),
        ) as response:
            answer = await _bounded(response)
            return response.status, dict(response.headers), answer


async def _bounded(response: aiohttp.ClientResponse) -> bytes:
    """At most a mebibyte of the body; a longer one is no token response."""
    parts, length = [], 0
    async for part in response.content.iter_chunked(64 * 1024):
        parts.append(part)
        length += len(part)
        if length > _LONGEST_ANSWER:
            response.close()
            return b""
        await asyncio.sleep(0)
    return b"".join(parts)
