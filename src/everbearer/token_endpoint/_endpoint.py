"""The only file that posts to a token endpoint.

Its one hard duty is to know whether the grant left this host: before that everything
that fails is "not sent", after it everything that fails is ambiguous, and an answer
means what `_response` says.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final

import aiohttp
from attrs import field, frozen

from everbearer import vocabulary as v
from everbearer._redact import excerpt
from everbearer.token_endpoint._document import decompressed
from everbearer.token_endpoint._grant import RedirectUris, Revocation
from everbearer.token_endpoint._guarded_body import GuardedBody
from everbearer.token_endpoint._outcome import (
    Ambiguous,
    Granted,
    NotSent,
    Unrecognised,
)
from everbearer.token_endpoint._request import call_for, token_request
from everbearer.token_endpoint._response import classify, classify_tokenless
from everbearer.token_endpoint._skew import Skews

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from aiohttp.client_middlewares import ClientHandlerType
    from aiohttp.typedefs import LooseHeaders

    from everbearer._clock import Clock
    from everbearer.providers import Registration, TokenCall
    from everbearer.token_endpoint._grant import Grant
    from everbearer.token_endpoint._outcome import Outcome
    from everbearer.token_endpoint._request import TokenRequest

__all__ = ["TokenEndpoint"]

_log = logging.getLogger("everbearer.token_endpoint")

_LONGEST_ANSWER: Final = 1024 * 1024
_CHUNK: Final = 64 * 1024
# aiohttp takes a total of 0 for "no limit".
_SHORTEST_TOTAL: Final = 0.001

_TOKENLESS: Final = (Revocation, RedirectUris)
# RFC 9110 sections 15.5.5 and 15.5.6: there is nothing here that takes a grant.
_NOT_HERE: Final = frozenset({404, 405})

# What aiohttp raises.  A connector that others wrote, or a resolver, may raise more.
_EXPECTED: Final = (aiohttp.ClientError, TimeoutError, OSError)

# What a token request is made of.  Whatever else a session's defaults, its cookies or
# a netrc add, such as somebody's Authorization header, is nobody's business here.
_NEEDED: Final = frozenset(
    {
        "accept",
        "accept-encoding",
        "connection",
        "content-length",
        "content-type",
        "host",
        "user-agent",
    }
)


@frozen
class _Answer:
    """A complete answer, or one whose body could not be had because of *trouble*."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(default=b"", repr=False)
    trouble: str = ""


class TokenEndpoint:
    """Posts grants and sorts the answers.

    Args:
        http: Gives the session to post with.  It should be one of its own, without
            default headers, cookies or middlewares, and with ``force_close``: a kept
            connection that the server closes while it is taken from the pool makes an
            answer ambiguous for nothing.

        clock: Where lifetimes count from.

    Attributes:
        skews: How far that clock is from each provider's.
    """

    def __init__(
        self, http: Callable[[], Awaitable[aiohttp.ClientSession]], clock: Clock
    ) -> None:
        self._http = http
        self._clock = clock
        self.skews = Skews(clock)
        self._answering: dict[tuple[str, TokenCall], str] = {}

    async def ask(
        self,
        registration: Registration,
        grant: Grant,
        *,
        total: float,
        connect: float,
        before_sending: Callable[[], Awaitable[None]] | None = None,
        account: str = "",
    ) -> Outcome:
        """Present *grant* once; no redirect is followed, nothing is repeated.

        Where the provider's description names other paths, the next is asked only if
        the one before does not exist.

        Trouble with the network is an outcome, not an exception.  When the caller is
        cancelled the connection is closed, and if the grant was sent by then nobody
        learns what became of it: so cancel nothing that is under way.

        Args:
            registration: Whose client credentials are used.

            grant: What is presented.

            total: Seconds for the whole call.

            connect: Seconds for a connection: pool, DNS, TCP and TLS.

            before_sending: Awaited when the connection stands and nothing is written;
                what it raises is raised here, and nothing was sent.

            account: For the log.

        Raises:
            ConfigurationError: The client secret cannot be had, or the provider has no
                such call.
        """
        secret = registration.secret()
        call = call_for(registration.provider, grant)
        known = (registration.provider.base.token, call)
        first = self._answering.get(known, call.path)
        paths = dict.fromkeys((first, call.path, *call.other_paths))
        until = self._clock.elapsed() + total
        outcome: Outcome = NotSent("no path")
        for path in paths:
            outcome = await self._ask(
                registration,
                grant,
                token_request(registration, grant, secret, path),
                total=until - self._clock.elapsed(),
                connect=connect,
                before_sending=before_sending,
                account=account,
            )
            if isinstance(outcome, Granted):
                self._answering[known] = path
            if not isinstance(outcome, Unrecognised) or outcome.status not in _NOT_HERE:
                break
        return outcome

    async def _ask(
        self,
        registration: Registration,
        grant: Grant,
        request: TokenRequest,
        *,
        total: float,
        connect: float,
        before_sending: Callable[[], Awaitable[None]] | None,
        account: str,
    ) -> Outcome:
        session = await self._http()
        started_at = self._clock.elapsed()
        body = GuardedBody(
            request.body,
            before_sending,
            self._clock,
            content_type=request.headers["Content-Type"],
        )
        timeout = aiohttp.ClientTimeout(
            total=max(total, _SHORTEST_TOTAL), connect=connect, sock_connect=connect
        )
        came: _Answer | Exception
        try:
            came = await _post(session, request, body, timeout)
        except Exception as error:  # noqa: BLE001 - resolvers, SOCKS: any may come
            came = error
        finally:
            body.withdraw()
        if body.refusal is not None:
            raise body.refusal from None
        extra = {"provider": registration.name, "account": account}
        if isinstance(came, Exception):
            if not isinstance(came, _EXPECTED):
                _log.warning(
                    "token endpoint: the way there failed with a %s",
                    type(came).__name__,
                    extra=extra,
                )
            outcome = _unanswered(body, came, request.secrets)
        else:
            sent_at = started_at if body.sent_at is None else body.sent_at
            self.skews.heard(
                registration.name,
                came.headers,
                sent_at,
                self._clock.elapsed(),
                account=account,
            )
            read = classify_tokenless if isinstance(grant, _TOKENLESS) else classify
            outcome = read(
                registration.provider,
                status=came.status,
                headers=came.headers,
                body=came.body,
                asked_at=self.skews.at(registration.name, sent_at),
                now=self.skews.now(registration.name),
                secrets=request.secrets,
                trouble=came.trouble,
            )
        _log.debug(
            "token endpoint: %s to a %s, HTTP status %d",
            outcome.kind,
            type(grant).__name__,
            came.status if isinstance(came, _Answer) else 0,
            extra=extra,
        )
        return outcome


def _unanswered(
    body: GuardedBody, failure: Exception, secrets: tuple[str, ...]
) -> Outcome:
    """Say what failed.

    Only of a failed connection the text, with host and system error; other texts may
    quote the request.
    """
    why = type(failure).__name__
    if isinstance(failure, aiohttp.ClientConnectorError):
        why = excerpt(f"{why}: {failure}", secrets)
    return Ambiguous(f"no answer: {why}") if body.sent else NotSent(why)


async def _post(
    session: aiohttp.ClientSession,
    request: TokenRequest,
    body: GuardedBody,
    timeout: aiohttp.ClientTimeout,
) -> _Answer:
    headers = {**request.headers, "Accept-Encoding": "identity"}
    # Set by the middleware: beside a session's default auth, aiohttp refuses it here.
    authorization = headers.pop(v.AUTHORIZATION, None)
    async with session.post(
        request.url,
        data=body,
        headers=headers,
        timeout=timeout,
        allow_redirects=False,
        raise_for_status=False,
        # Decompressed here, within bounds: a bomb must not get far.
        auto_decompress=False,
        # They replace the session's own.
        middlewares=(_NothingInherited(headers, authorization),),
    ) as response:
        # Before Python 3.12 aiohttp's writer may not have had its first turn.
        await asyncio.sleep(0)
        if body.begun and not body.sent:
            # A server that says 408 to a connection that is silent for too long: an
            # answer to nothing, and no word about the grant, whatever it says.
            body.withdraw()
            response.close()
            raise AnsweredBeforeSending
        return await _read(response)


class AnsweredBeforeSending(aiohttp.ClientConnectionError):
    """The server answered before anything was sent."""


class _NothingInherited:
    """The one middleware that runs on a token request."""

    def __init__(self, headers: LooseHeaders, authorization: str | None) -> None:
        self._headers = headers
        self._authorization = authorization

    async def __call__(
        self, request: aiohttp.ClientRequest, handler: ClientHandlerType
    ) -> aiohttp.ClientResponse:
        for name in {name.lower() for name in request.headers} - _NEEDED:
            del request.headers[name]
        request.headers.update(self._headers)
        if self._authorization is not None:
            request.headers[v.AUTHORIZATION] = self._authorization
        return await handler(request)


async def _read(response: aiohttp.ClientResponse) -> _Answer:
    """Read the body within bounds; whatever becomes of it, let the connection go."""
    body: bytes | None = b""
    trouble = ""
    try:
        body = await _bounded(response)
    except _EXPECTED as error:
        trouble = f"the answer's body broke off ({type(error).__name__})"
    finally:
        response.close()
    if body is None:
        body, trouble = b"", "the answer's body is longer than any token response"
    return _Answer(response.status, dict(response.headers), body, trouble)


async def _bounded(response: aiohttp.ClientResponse) -> bytes | None:
    """The body as sent, without its content coding; None if it is too long."""
    # In one piece: a megabyte that comes in single bytes would be fifty of objects.
    body = bytearray()
    async for part in response.content.iter_chunked(_CHUNK):
        body += part
        if len(body) > _LONGEST_ANSWER:
            return None
    codings = response.headers.get("Content-Encoding", "")
    return decompressed(bytes(body), codings, _LONGEST_ANSWER)
