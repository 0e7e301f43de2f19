# ruff: noqa: SLF001 - mocks replace what aiohttp and aioresponses keep for themselves
"""`aioresponses`, with the middlewares run around the mocked answers."""

from __future__ import annotations

import contextlib
import copy
import inspect
import json
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakKeyDictionary

from aiohttp import BaseConnector, ClientConnectionError, ClientSession, hdrs
from aiohttp.connector import Connection
from aiohttp.payload import Payload
from aioresponses import aioresponses as original
from aioresponses.compat import normalize_url
from aioresponses.core import RequestCall
from attrs import define
from multidict import CIMultiDict

from everbearer.testing._wire import MockedConnection, answer
from everbearer.transport import middlewares_of

if TYPE_CHECKING:
    from aiohttp import ClientRequest, ClientResponse, ClientTimeout
    from aiohttp.tracing import Trace
    from aioresponses.core import CallbackResult, RequestMatch
    from yarl import URL

__all__ = ["aioresponses"]

# What aiohttp adds to every request by itself, and aioresponses does not record.
_AUTOMATIC: Final = frozenset(
    {
        "accept",
        "accept-encoding",
        "connection",
        "content-encoding",
        "content-length",
        "content-type",
        "cookie",
        "host",
        "transfer-encoding",
        "user-agent",
    }
)


@define(eq=False)
class _Call:
    """One call of a session, which may send several requests."""

    session: ClientSession
    options: dict[str, Any]
    has_middlewares: bool
    url: URL | None = None


_OURS: Final = "middlewares"


class _Connection(Connection):
    """There is nothing in it that could be left open, so nothing to warn of."""

    def __del__(self, _warnings: object = None) -> None:
        pass


_current: ContextVar[_Call] = ContextVar("everbearer_mocked_call")


class aioresponses(original):  # noqa: N801 - the name that tests know
    """Mock what servers answer to aiohttp; the drop-in for ``aioresponses``.

    Everything that ``aioresponses`` 0.7 takes, records and asserts works as there,
    with aiohttp 3.12.15 to 3.14.  These differ:

    * The call itself is aiohttp's.  Middlewares run around every mocked answer, of the
      session and of the call, so that a token is attached, a mocked 401 is refreshed
      and the request is sent again; then ``raise_for_status`` applies.  Redirects and
      cookies are followed as aiohttp does.
    * What is recorded in ``requests`` is what was sent: each resend is an entry of its
      own, with the headers that middlewares added, such as Authorization.  Arguments
      are deep copies; what cannot be copied is itself, a stream is the bytes that were
      sent, and ``middlewares`` are left out.

    Raises, out of a call:
        aiohttp.ClientConnectionError: No mock matches, as there.
    """

    # The classes that are mocked; Any, because their methods are replaced.
    _sessions: Any = ClientSession
    _connectors: Any = BaseConnector

    def start(self) -> None:
        """Mock from now on, in every session of this process."""
        self._responses: list[ClientResponse] = []
        self._matches: dict[str, RequestMatch] = {}
        self._real_request = self._sessions._request
        self._real_connect = self._connectors.connect
        self._retried: WeakKeyDictionary[ClientSession, bool] = WeakKeyDictionary()
        mocks = self

        async def _request(
            session: ClientSession, *args: object, **options: object
        ) -> ClientResponse:
            return await mocks._call(session, args, options)

        async def connect(
            connector: BaseConnector,
            req: ClientRequest,
            traces: list[Trace],
            timeout: ClientTimeout,
        ) -> Connection:
            return await mocks._connect(
                connector, req, {"traces": traces, "timeout": timeout}
            )

        self._sessions._request = _request
        self._connectors.connect = connect

    def stop(self) -> None:
        """Close what was answered, and forget all."""
        self._sessions._request = self._real_request
        self._connectors.connect = self._real_connect
        for session, retried in self._retried.items():
            session._retry_connection = retried
        for response in self._responses:
            response.close()
        self.clear()

    # ---- a call

    async def _call(
        self,
        session: ClientSession,
        args: tuple[object, ...],
        options: dict[str, Any],
    ) -> ClientResponse:
        # Copied before the call: what it was given may change while it runs.
        given = {name: _copied(options[name]) for name in options.keys() - {_OURS}}
        middlewares = options.get(_OURS)
        if middlewares is None:
            middlewares = middlewares_of(session)
        # A disconnection that was mocked is not to be tried again behind the scenes.
        self._retried.setdefault(session, session._retry_connection)
        session._retry_connection = False
        outer = _current.set(_Call(session, given, bool(middlewares)))
        try:
            response: ClientResponse
            response = await self._real_request(session, *args, **options)
        finally:
            _current.reset(outer)
        self._responses.append(response)
        return response

    async def _connect(
        self, connector: BaseConnector, req: ClientRequest, how: dict[str, Any]
    ) -> Connection:
        url = normalize_url(req.url)
        if str(url).startswith(tuple(self._passthrough)):
            return await self._really_connect(connector, req, how)
        arguments = self._record(req, url)
        mock = self._take(req.method, url)
        if mock is None:
            if self.passthrough_unmatched:
                return await self._really_connect(connector, req, how)
            raise ClientConnectionError(f"Connection refused: {req.method} {url}")
        if mock.exception is not None:
            await _result(mock, url, arguments)
            raise mock.exception
        if mock.response_class is not None:
            req.response_class = mock.response_class

        async def respond(body: bytes) -> bytes:
            if _is_stream(arguments.get("data")):
                arguments["data"] = body
            return _travelling(req.method, await _result(mock, url, arguments))

        loop = connector._loop
        protocol = MockedConnection(loop, respond)
        return _Connection(connector, req.connection_key, protocol, loop)

    async def _really_connect(
        self, connector: BaseConnector, req: ClientRequest, how: dict[str, Any]
    ) -> Connection:
        connection: Connection = await self._real_connect(connector, req, **how)
        return connection

    def _take(self, method: str, url: URL) -> RequestMatch | None:
        """The first mock that matches, used once more."""
        for key, mock in self._matches.items():
            if mock.match(method, url):
                # True is for ever, and False is once.
                if mock.repeat is not True:
                    mock.repeat = int(mock.repeat) - 1
                    if mock.repeat <= 0:
                        del self._matches[key]
                return mock
        return None

    # ---- the record

    def _record(self, req: ClientRequest, url: URL) -> dict[str, Any]:
        """Note a request, unless a redirect led to it; its arguments, to complete."""
        call = _current.get()
        options = dict(call.options)
        headers = _as_sent(req, call)
        if headers:
            options["headers"] = headers
        recorded = self._build_request_call(req.method, **options)
        call.url = call.url or url
        if url == call.url:
            self.requests.setdefault((req.method, url), []).append(recorded)
        arguments: dict[str, Any] = recorded.kwargs
        return arguments

    def _build_request_call(
        self, method: str = hdrs.METH_GET, *args: object, **kwargs: object
    ) -> RequestCall:
        kwargs.pop(_OURS, None)
        kwargs.setdefault("allow_redirects", True)
        if method == hdrs.METH_POST:
            kwargs.setdefault("data", None)
        copied = {name: _copied(value) for name, value in kwargs.items()}
        return RequestCall(args, copied)


def _copied(value: object) -> object:
    """A deep copy, where there can be one."""
    if _is_stream(value):
        return value
    with contextlib.suppress(TypeError, ValueError):
        return copy.deepcopy(value)
    return value


def _is_stream(value: object) -> bool:
    return (
        isinstance(value, Payload)
        or hasattr(value, "__aiter__")
        or hasattr(value, "read")
    )


def _as_sent(req: ClientRequest, call: _Call) -> CIMultiDict[str]:
    """Headers of session and call and, if it has any, of the middlewares."""
    given = call.options.get("headers")
    if call.session.headers:
        given = call.session._prepare_headers(given)
    known = CIMultiDict(given or {})
    if not call.has_middlewares:
        return known
    own = {name.lower() for name in known}
    return CIMultiDict(
        (name, value)
        for name, value in req.headers.items()
        if name.lower() in own or name.lower() not in _AUTOMATIC
    )


async def _result(
    mock: RequestMatch, url: URL, arguments: dict[str, Any]
) -> RequestMatch | CallbackResult:
    """What *mock* answers: its callback's result, or itself."""
    if mock.callback is None:
        return mock
    result = mock.callback(url, **arguments)
    if inspect.isawaitable(result):
        result = await result
    return mock if result is None else result


def _travelling(method: str, result: RequestMatch | CallbackResult) -> bytes:
    body = result.body
    if result.payload is not None:
        body = json.dumps(result.payload)
    headers = CIMultiDict({hdrs.CONTENT_TYPE: result.content_type})
    headers.update(result.headers or {})
    return answer(
        method,
        result.status,
        result.reason or "",
        headers.items(),
        body.encode() if isinstance(body, str) else body,
    )
