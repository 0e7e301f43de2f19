"""The aiohttp sessions of a Client: whose they are, and where tokens travel."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import aiohttp

from everbearer.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

__all__ = ["Connections"]

_GIVEN_IS_CLOSED: Final = (
    "the session given to Client is closed; close it after the Client, or pass none"
)


class Connections:
    """The aiohttp sessions of a Client: one for the API, one for token endpoints."""

    def __init__(
        self,
        ensure_open: Callable[[], Awaitable[None]],
        given: aiohttp.ClientSession | None,
    ) -> None:
        self._ensure_open = ensure_open
        self._given = given
        self.session: aiohttp.ClientSession | None = None
        self.token_session: aiohttp.ClientSession | None = None

    @property
    def given(self) -> bool:
        """Whether the API session is the caller's own."""
        return self._given is not None

    async def open(self) -> aiohttp.ClientSession:
        """The API session, opening the Client if need be."""
        await self._ensure_open()
        return self._usable(self.session)

    async def open_for_tokens(self) -> aiohttp.ClientSession:
        """The token endpoint's session, opening the Client if need be."""
        await self._ensure_open()
        return self._usable(self.token_session)

    def _usable(self, session: aiohttp.ClientSession | None) -> aiohttp.ClientSession:
        if session is None:
            raise ConfigurationError("the Client is closed")
        if self._given is not None and self._given.closed:
            raise ConfigurationError(_GIVEN_IS_CLOSED)
        return session

    def start(self) -> None:
        """Make the sessions, in the running loop."""
        if self._given is not None:
            self.token_session = _beside(self._given)
            self.session = self._given
            return
        # Cookies are one jar per session, and this one serves many accounts.
        self.session = aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar())
        # A pooled connection that the server has just closed would make a refresh
        # ambiguous, which is the one thing it must not be: always a new connection.
        self.token_session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(force_close=True),
            cookie_jar=aiohttp.DummyCookieJar(),
        )

    async def aclose(self) -> None:
        """Close what is ours."""
        session, self.session = self.session, None
        token_session, self.token_session = self.token_session, None
        if token_session is not None:
            await token_session.close()
        if session is not None and self._given is None:
            await session.close()


def _beside(given: aiohttp.ClientSession) -> aiohttp.ClientSession:
    """A session for token calls, on *given*'s connections.

    Through the caller's connector, TLS settings and proxy, but with none of its
    default headers, cookies or middlewares: a default Authorization header reaches the
    token endpoint even with middlewares=().
    """
    if given.closed:
        raise ConfigurationError(_GIVEN_IS_CLOSED)
    try:
        return aiohttp.ClientSession(
            connector=given.connector,
            connector_owner=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=given.trust_env,
            proxy=getattr(given, "_default_proxy", None),
            proxy_auth=getattr(given, "_default_proxy_auth", None),
        )
    except RuntimeError as error:
        raise ConfigurationError(
            "the session given to Client belongs to another event loop; make both in "
            "the same one"
        ) from error
