"""The aiohttp session of one account."""

from __future__ import annotations

from asyncio import _get_running_loop
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol, overload

import aiohttp
from aiohttp.client import _BaseRequestContextManager, _RequestContextManager

from everbearer.errors import ConfigurationError
from everbearer.tokens import TokenSource
from everbearer.transport._callers import (
    brings_authorization,
    middlewares_of,
    session_beside,
)
from everbearer.transport._foreign import is_rejection
from everbearer.transport._middleware import AccountMiddleware

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import timedelta
    from typing import Unpack

    from aiohttp import ClientMiddlewareType, ClientResponse, ClientWebSocketResponse
    from aiohttp.client import _RequestOptions, _WSConnectOptions
    from aiohttp.typedefs import StrOrURL

    from everbearer.events import Hooks
    from everbearer.providers import Provider
    from everbearer.tokens import AccountKey, AccountStatus
    from everbearer.transport._http import Http
    from everbearer.transport._middleware import Respects
    from everbearer.transport._origin import ApiBase

__all__ = ["Account", "AccountSession"]


# Arguments with which a call neither brings an Authorization nor middlewares.
_ORDINARY: Final = frozenset({"allow_redirects", "data", "json", "params", "timeout"})


class Account(TokenSource, Protocol):
    """A token source that can also be asked for a token, a refresh and a status."""

    async def access_token(self, *, min_ttl: timedelta | float | None = None) -> str:
        """See `AccountSession.access_token`."""
        ...

    async def refresh(self, *, rejected: str | None = None) -> AccountStatus:
        """See `AccountSession.refresh`."""
        ...

    async def status(self) -> AccountStatus:
        """See `AccountSession.status`."""
        ...


class AccountSession:
    """Calls one account's API: aiohttp's session, with a token that never expires.

    Cheap to make, and safe to share between the tasks of one event loop.  Each method
    takes aiohttp's own arguments and returns what can be awaited or entered::

        async with acme.get("/v1/orders", params={"$top": 120}) as response:
            orders = await response.json()

    A path such as ``/v1/orders`` is appended to the provider's API base, prefix
    included.  An absolute URL gets the token if it is on the API's origin; on any
    other it is sent plain, with neither token nor identity headers.  An Authorization
    header, ``auth=`` or ``user:password@`` given in the call is respected; a session's
    default Authorization is overridden, with an `AuthorizationOverridden` event.

    A call may take as long as a refresh takes.  aiohttp's total timeout spans all of
    it and strikes the caller alone: the refresh goes on.  Beside aiohttp's own errors
    a call raises:

        AuthorizationRequired: The user must act; do not retry.

        TemporarilyUnavailable: No token can be had now; wait ``retry_after`` seconds.

        ConfigurationError: The Client is closed, or the provider does not know it.

        StoreError: The token store failed.
    """

    def __init__(
        self,
        account: Account,
        key: AccountKey,
        provider: Provider,
        http: Http,
        hooks: Hooks,
        *,
        base: ApiBase,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self._account = account
        self._key = key
        self._provider = provider
        self._http = http
        self._hooks = hooks
        self._identity = MappingProxyType(dict(headers or {}))
        self._base = base
        self._known = base.known
        self._insistent = self._make_middleware("none")
        self._sent_through: aiohttp.ClientSession | None = None
        self._middlewares: tuple[ClientMiddlewareType, ...] = ()

    def __repr__(self) -> str:
        return f"AccountSession({self._key.provider!r}, {self._key.account!r})"

    @property
    def key(self) -> AccountKey:
        """Provider and account id."""
        return self._key

    # ---- calls

    def request(
        self, method: str, url: StrOrURL, **options: Unpack[_RequestOptions]
    ) -> _RequestContextManager:
        """Send a request; see `aiohttp.ClientSession.request`."""
        return self._send(method, url, options)

    def get(
        self, url: StrOrURL, **options: Unpack[_RequestOptions]
    ) -> _RequestContextManager:
        """Send a GET request."""
        return self._send("GET", url, options)

    def options(
        self, url: StrOrURL, **options: Unpack[_RequestOptions]
    ) -> _RequestContextManager:
        """Send an OPTIONS request."""
        return self._send("OPTIONS", url, options)

    def head(
        self, url: StrOrURL, **options: Unpack[_RequestOptions]
    ) -> _RequestContextManager:
        """Send a HEAD request; redirects are not followed unless asked for."""
        options.setdefault("allow_redirects", False)
        return self._send("HEAD", url, options)

    def post(
        self, url: StrOrURL, **options: Unpack[_RequestOptions]
    ) -> _RequestContextManager:
        """Send a POST request.

        It is sent again after a rejected token only if the answer proves that it was
        not carried out, or it carries the provider's idempotency header.
        """
        return self._send("POST", url, options)

    def put(
        self, url: StrOrURL, **options: Unpack[_RequestOptions]
    ) -> _RequestContextManager:
        """Send a PUT request; what `post` says of a second sending holds."""
        return self._send("PUT", url, options)

    def patch(
        self, url: StrOrURL, **options: Unpack[_RequestOptions]
    ) -> _RequestContextManager:
        """Send a PATCH request; what `post` says of a second sending holds."""
        return self._send("PATCH", url, options)

    def delete(
        self, url: StrOrURL, **options: Unpack[_RequestOptions]
    ) -> _RequestContextManager:
        """Send a DELETE request; what `post` says of a second sending holds."""
        return self._send("DELETE", url, options)

    if TYPE_CHECKING:

        @overload
        def ws_connect(
            self,
            url: StrOrURL,
            *,
            decode_text: Literal[True] = ...,
            **options: Unpack[_WSConnectOptions],
        ) -> _BaseRequestContextManager[ClientWebSocketResponse[Literal[True]]]: ...

        @overload
        def ws_connect(
            self,
            url: StrOrURL,
            *,
            decode_text: Literal[False],
            **options: Unpack[_WSConnectOptions],
        ) -> _BaseRequestContextManager[ClientWebSocketResponse[Literal[False]]]: ...

    def ws_connect(
        self, url: StrOrURL, **options: Any
    ) -> _BaseRequestContextManager[Any]:
        """Open a WebSocket; see `aiohttp.ClientSession.ws_connect`.

        A handshake that is refused because of the token is tried again like any other
        call.
        """
        return _BaseRequestContextManager(self._ws_connect(url, options))

    def _send(
        self, method: str, url: StrOrURL, options: _RequestOptions
    ) -> _RequestContextManager:
        """Hand an ordinary call to aiohttp as it is; look closer at any other."""
        http = self._http
        session = http.own if http.loop is _get_running_loop() else None
        if session is None:
            session = http.session
        target = self._known.get(url)
        if (
            target is None
            or session is None
            or session is not self._sent_through
            or (options and not _ORDINARY.issuperset(options))
        ):
            return _RequestContextManager(self._request(method, url, options))
        options["middlewares"] = self._middlewares
        return session.request(method, target, **options)

    async def _request(
        self, method: str, url: StrOrURL, options: _RequestOptions
    ) -> ClientResponse:
        session = self._http.session or await self._http.open()
        if session is not self._sent_through:
            # The bound method: Python takes a detour to an instance's __call__.
            ours = self._insistent.__call__
            self._middlewares = (ours, *middlewares_of(session))
            self._sent_through = session
        options["middlewares"] = self._chain(session, url, options)
        return await session.request(method, self._base.resolve(url), **options)

    def _chain(
        self, session: aiohttp.ClientSession, url: StrOrURL, options: _RequestOptions
    ) -> tuple[ClientMiddlewareType, ...]:
        """Ours and, inside it, the caller's: those of the call, or of its session."""
        theirs = options.get("middlewares")
        own = brings_authorization(url, options)
        if theirs is None and not own:
            return self._middlewares
        ours = self._make_middleware("any") if own else self._insistent
        return (ours, *(middlewares_of(session) if theirs is None else theirs))

    async def _ws_connect(
        self, url: StrOrURL, options: dict[str, Any]
    ) -> ClientWebSocketResponse[bool]:
        session = self._http.session or await self._http.open()
        own = brings_authorization(url, options)
        ours = self._make_middleware("any") if own else self._insistent
        # ws_connect takes no middlewares: the handshake gets a session that has them.
        handshake = session_beside(session, (ours, *middlewares_of(session)))
        opened: ClientWebSocketResponse[bool]
        try:
            opened = await handshake.ws_connect(self._base.resolve(url), **options)
        finally:
            handshake.detach()
        return opened

    # ---- views, and the same transport elsewhere

    def with_headers(self, headers: Mapping[str, str]) -> AccountSession:
        """The same account with identity headers (Billit's ``PartyID``) added.

        They go where the token goes: to the API's origin, and on no hop of a redirect
        that leaves it.  One that a call itself brings wins over the view's.

        Raises:
            ConfigurationError: Authorization is not an identity header, or a value is
                not text.
        """
        if not all(isinstance(value, str) for value in headers.values()):
            raise ConfigurationError("header values are text: '4711', not 4711")
        if any(name.lower() == "authorization" for name in headers):
            raise ConfigurationError(
                "with_headers() takes identity headers; pass an Authorization of your "
                "own in the call that needs it"
            )
        return AccountSession(
            self._account,
            self._key,
            self._provider,
            self._http,
            self._hooks,
            base=self._base,
            headers={**self._identity, **headers},
        )

    @property
    def middleware(self) -> AccountMiddleware:
        """This account's token for a `aiohttp.ClientSession` that you own.

        Put it first: ``ClientSession(middlewares=(acme.middleware, ...))``.  That
        session's own default Authorization gives way; one given in a call does not,
        unless it equals the default.
        """
        return self._make_middleware("callers")

    def client_session(  # aiohttp gives its options no type of their own
        self,
        **options: Any,  # noqa: ANN401 - as the line above
    ) -> aiohttp.ClientSession:
        """A real `aiohttp.ClientSession` for a higher-level API client.

        It shares the Client's connector, which it does not close; it is yours to
        close.  *options* are `aiohttp.ClientSession`'s; ``middlewares`` run inside
        ours.

        ``base_url`` is the API base.  aiohttp resolves against it as RFC 3986 says:
        where the base has a path prefix, ``v1/orders`` keeps it and ``/v1/orders``
        does not.

        Raises:
            ConfigurationError: The Client is not open.
        """
        session = self._http.session
        if session is None:
            raise ConfigurationError(
                "client_session() shares the Client's connections: call "
                "`await client.open()` first, or use it inside `async with client:`"
            )
        theirs = options.pop("middlewares", None)
        if theirs is None:
            theirs = middlewares_of(session)
        options.setdefault("trust_env", session.trust_env)
        options.setdefault("proxy", getattr(session, "_default_proxy", None))
        options.setdefault("proxy_auth", getattr(session, "_default_proxy_auth", None))
        base = self._base.url
        options.setdefault("base_url", base if base.path.endswith("/") else base / "")
        options.setdefault("connector", session.connector)
        options.setdefault("connector_owner", False)
        return aiohttp.ClientSession(
            middlewares=(self._make_middleware("callers"), *theirs), **options
        )

    def _make_middleware(self, respects: Respects) -> AccountMiddleware:
        return AccountMiddleware(
            self._account,
            self._key,
            self._provider,
            self._base,
            self._hooks,
            identity=self._identity,
            respects=respects,
        )

    # ---- for other HTTP libraries

    async def access_token(self, *, min_ttl: timedelta | float | None = None) -> str:
        """A token that is good now, and for *min_ttl* (seconds) if that can be had.

        Raises:
            AuthorizationRequired: The user must act.

            TemporarilyUnavailable: Not now; the grant is intact.
        """
        return await self._account.access_token(min_ttl=min_ttl)

    async def refresh(self, *, rejected: str | None = None) -> AccountStatus:
        """Refresh on demand; does nothing if *rejected* is no longer the current token.

        Raises:
            AuthorizationRequired: The user must act.

            TemporarilyUnavailable: Not now; the grant is intact.
        """
        return await self._account.refresh(rejected=rejected)

    def is_rejection(
        self, status: int, headers: Mapping[str, str], body: bytes
    ) -> bool:
        """Whether an API answer says, in the provider's way, that the token is no good.

        If so call `refresh` with the rejected token.  A 401 alone may mean something
        else.  Whether the call may be sent again is another question: a 401 proves
        that it was not carried out (RFC 9110 section 15.5.2), other statuses do not.

        Args:
            status: Of the answer.

            headers: Of the answer, names in any letter case.

            body: Of the answer, at status 400 and above; ``b""`` may do below.
        """
        return is_rejection(self._provider.expiry_signals, status, headers, body)

    async def status(self) -> AccountStatus:
        """What is known of the account, without secrets and without a refresh."""
        return await self._account.status()
