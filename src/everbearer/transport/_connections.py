"""The aiohttp sessions of a Client: whose they are, and where tokens travel."""

from __future__ import annotations

import asyncio
import os
from asyncio import _get_running_loop
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakSet

import aiohttp

from everbearer.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

__all__ = ["Connections"]

_GIVEN_IS_CLOSED: Final = (
    "the session given to Client is closed; close it after the Client, or pass none"
)

# What makes a caller's connector reach hosts as it does; aiohttp has no copy().
_NETWORK_SETTINGS: Final = (
    "ssl",
    "resolver",
    "use_dns_cache",
    "family",
    "happy_eyeballs_delay",
    "interleave",
    "socket_factory",
)


# A forked child must not close what its parent uses, nor collect it as garbage: its
# selector is the parent's too, and would forget the parent's connections.
_open: Final[WeakSet[Connections]] = WeakSet()
_inherited: Final[list[object]] = []


def _keep_inherited() -> None:
    _inherited.extend([each._detached() for each in _open])  # noqa: SLF001 - its own


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_keep_inherited)


class Connections:
    """The aiohttp sessions of a Client: one for the API, one for token endpoints.

    Attributes:
        own, loop: See `everbearer.transport.Http`.
    """

    def __init__(
        self,
        ensure_open: Callable[[], Awaitable[None]],
        given: aiohttp.ClientSession | None,
    ) -> None:
        self._ensure_open = ensure_open
        self._given = given
        self._session: aiohttp.ClientSession | None = None
        self.own: aiohttp.ClientSession | None = None
        self.loop: asyncio.AbstractEventLoop | None = None
        self.token_session: aiohttp.ClientSession | None = None

    @property
    def given(self) -> bool:
        """Whether the API session is the caller's own."""
        return self._given is not None

    @property
    def session(self) -> aiohttp.ClientSession | None:
        """The API session, if it is open and the running loop is its own.

        A forked child, which runs a loop of its own too, must not write into the
        connections of its parent.
        """
        session = self._session
        # None outside of a loop: a call may be made now and awaited later, in one.
        if session is None or _get_running_loop() is not self.loop:
            return None
        return session if self._given is None or not session.closed else None

    async def open(self) -> aiohttp.ClientSession:
        """The API session, opening the Client if need be.

        Raises:
            ConfigurationError: It cannot be used, or not from here.
        """
        await self._ensure_open()
        return self._usable(self._session)

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
        self.loop = asyncio.get_running_loop()
        _open.add(self)
        if self._given is not None:
            self.token_session = _beside(self._given)
            self._session = self._given
            return
        # Cookies are one jar per session, and this one serves many accounts.
        self.own = aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar())
        self._session = self.own
        # A pooled connection that the server has just closed would make a refresh
        # ambiguous, which is the one thing it must not be: always a new connection.
        self.token_session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(force_close=True),
            cookie_jar=aiohttp.DummyCookieJar(),
        )

    def _detached(self) -> object:
        """What is open, which is not ours any more."""
        kept = self._session, self.token_session, self.loop
        self._session = self.own = self.token_session = None
        return kept

    async def aclose(self) -> None:
        """Close what is ours."""
        _open.discard(self)
        session, self._session, self.own = self._session, None, None
        token_session, self.token_session = self.token_session, None
        if token_session is not None:
            await token_session.close()
        if session is not None and self._given is None:
            await session.close()


def _beside(given: aiohttp.ClientSession) -> aiohttp.ClientSession:
    """A session for token calls, with *given*'s TLS settings and proxy.

    None of its default headers, cookies or middlewares: a default Authorization header
    reaches the token endpoint even with middlewares=().
    """
    if given.closed:
        raise ConfigurationError(_GIVEN_IS_CLOSED)
    running = asyncio.get_running_loop()
    # aiohttp itself would notice at the first call, if at all.
    if getattr(given, "_loop", running) is not running:
        raise ConfigurationError(
            "the session given to Client belongs to another event loop; make both in "
            "the same one"
        )
    connector, ours = _connector_beside(given.connector)
    return aiohttp.ClientSession(
        connector=connector,
        connector_owner=ours,
        cookie_jar=aiohttp.DummyCookieJar(),
        trust_env=given.trust_env,
        proxy=getattr(given, "_default_proxy", None),
        proxy_auth=getattr(given, "_default_proxy_auth", None),
    )


def _connector_beside(
    given: aiohttp.BaseConnector | None,
) -> tuple[aiohttp.BaseConnector | None, bool]:
    """One like *given* that keeps no connection, and whether it is ours to close.

    Not *given* itself: a thousand calls that queue for its hundred connections would
    keep the refresh waiting that they all wait for.  A connector of a kind of its own
    (a SOCKS proxy, a Unix socket) is shared: nobody knows what it is made of.
    """
    if type(given) is not aiohttp.TCPConnector:
        return given, False
    settings: dict[str, Any] = {
        name: getattr(given, f"_{name}") for name in _NETWORK_SETTINGS
    }
    if local := getattr(given, "_local_addr_infos", None):
        settings["local_addr"] = local[0][-1][:2]
    return aiohttp.TCPConnector(force_close=True, **settings), True
