"""The emulated provider as servers on loopback ports."""

from __future__ import annotations

import asyncio
import re
import time
from email.utils import formatdate
from functools import partial
from html import unescape
from typing import TYPE_CHECKING, Any, Final, Self

import aiohttp
from aiohttp import web
from attrs import field, frozen

from everbearer.providers import Provider
from everbearer.sandbox._api import Api
from everbearer.sandbox._control import Control
from everbearer.sandbox._described import described
from everbearer.sandbox._login import LoginPage
from everbearer.sandbox._other_origin import OtherOrigin
from everbearer.sandbox._settings import Settings
from everbearer.sandbox._token import TokenEndpoint
from everbearer.sandbox._twins import TWINS
from everbearer.sandbox._world import World

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from everbearer.sandbox._grants import Grants
    from everbearer.sandbox._ledger import Ledger
    from everbearer.sandbox._script import Script
    from everbearer.sandbox._twin import Twin

__all__ = ["IssuedPair", "LoginRefused", "Sandbox", "run"]

_BACKLOG: Final = 4096
_SHUTDOWN: Final = 0.5
_FOUND: Final = 302
_REASON: Final = re.compile(r"<p>(.*?)</p>", re.DOTALL)


class LoginRefused(Exception):
    """The login page did not send the user back; the message is what it shows."""


@frozen
class IssuedPair:
    """Tokens of a grant that was made without the login page."""

    access_token: str = field(repr=False)
    refresh_token: str = field(repr=False)
    expires_in: float


class Sandbox:
    """A provider on a loopback port: login page, token endpoint and API.

    Use it as an async context manager, or call `start` and `aclose`.

    Args:
        provider: Which one: ``billit``, ``caminvoice``, ``flowaccount``,
            ``humansoft``, ``invoiced``, or ``standard``, a server that follows
            RFC 6749, 6750 and 7636; or any other's description, which is then played
            as it is.

        settings: How it behaves; or name single fields of `Settings`, whose other
            defaults are then those of the provider's document or description.

        clock: Seconds since the epoch, by which tokens expire.

        host: The address to listen on; anything but loopback exposes the control
            routes, which hand out tokens.

        port: 0 takes a free one.

    Raises:
        TypeError: Both settings and single fields are given, or an unknown field.

        ValueError: There is no such provider.
    """

    def __init__(
        self,
        provider: str | Provider = "billit",
        *,
        settings: Settings | None = None,
        clock: Callable[[], float] = time.time,
        host: str = "127.0.0.1",
        port: int = 0,
        **fields: Any,  # noqa: ANN401 - of Settings, which checks them
    ) -> None:
        if settings is not None and fields:
            message = "give either settings or single fields"
            raise TypeError(message)
        self._twin = twin = _twin_of(provider)
        chosen = settings or Settings(**{**twin.defaults, **fields})
        self._world = World.new(twin, chosen, clock)
        self._host = host
        self._port = port
        self._runners: list[web.AppRunner] = []
        self._other_port = 0

    def __repr__(self) -> str:
        where = self.url if self._runners else "not started"
        return f"<Sandbox: {where}>"

    @property
    def provider(self) -> str:
        """Which one it plays."""
        return self._twin.name

    @property
    def title(self) -> str:
        """Its name as people write it."""
        return self._twin.title

    @property
    def url(self) -> str:
        """Scheme, host and port of everything that the provider has."""
        return f"http://{self._host}:{self._port}"

    @property
    def login_url(self) -> str:
        """Base URL of the login, for `Provider.with_hosts`."""
        return self.url + self._twin.login_base

    @property
    def token_url(self) -> str:
        """Base URL of the token endpoint, for `Provider.with_hosts`."""
        return self.url + self._twin.token_base

    @property
    def api_url(self) -> str:
        """Base URL of the API, for `Provider.with_hosts`."""
        return self.url + self._twin.api_base

    @property
    def documents_path(self) -> str:
        """Path and query of the list that the document shows, below `api_url`."""
        return self._twin.api.documents

    @property
    def other_origin(self) -> str:
        """Base URL of the origin that records what it is sent."""
        return f"http://{self._host}:{self._other_port}"

    @property
    def settings(self) -> Settings:
        """How it behaves; change it at any time."""
        return self._world.settings

    @property
    def script(self) -> Script:
        """What is to go wrong."""
        return self._world.script

    @property
    def ledger(self) -> Ledger:
        """What happened."""
        return self._world.ledger

    @property
    def grants(self) -> Grants:
        """What was issued."""
        return self._world.grants

    @property
    def clock(self) -> Callable[[], float]:
        """Seconds since the epoch, as the sandbox sees them."""
        return self._world.clock

    async def start(self) -> None:
        """Listen.

        Raises:
            OSError: The port is taken.
        """
        provider, other = web.Application(), web.Application()
        provider.on_response_prepare.append(self._date)
        LoginPage(self._world).add_to(provider.router)
        TokenEndpoint(self._world).add_to(provider.router)
        Api(self._world).add_to(provider.router)
        for each in self._twin.own:
            handler = partial(each.handler, self._world)
            provider.router.add_route(each.method, each.path, handler)
        Control(self._world).add_to(provider.router)
        OtherOrigin(self.ledger).add_to(other.router)
        self._port = await self._listen(provider, self._port)
        self._other_port = await self._listen(other, 0)

    async def _date(self, _: web.Request, response: web.StreamResponse) -> None:
        """RFC 9110 section 6.6.1; aiohttp would take the machine's."""
        response.headers["Date"] = formatdate(self._world.clock(), usegmt=True)

    async def _listen(self, application: web.Application, port: int) -> int:
        # Handlers outlive their clients: a token is rotated whoever hangs up.
        runner = web.AppRunner(
            application,
            access_log=None,
            handler_cancellation=False,
            shutdown_timeout=_SHUTDOWN,
        )
        await runner.setup()
        self._runners.append(runner)
        await web.TCPSite(runner, self._host, port, backlog=_BACKLOG).start()
        return int(runner.addresses[0][1])

    async def aclose(self) -> None:
        """Stop listening and drop what is connected.  Twice is fine."""
        while self._runners:
            await self._runners.pop().cleanup()

    async def serve_forever(self) -> None:
        """Wait until cancelled."""
        await asyncio.Event().wait()

    async def __aenter__(self) -> Self:
        try:
            await self.start()
        except BaseException:  # Whatever it is: no port is left open.
            await self.aclose()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    def issue(self, company: str, *, access_expired: bool = False) -> IssuedPair:
        """Make a grant without the login page; with *access_expired*, an old one."""
        pair = self.grants.grant(company, self.settings.client_id)
        if access_expired:
            pair.access.grant.expired_up_to = pair.access.generation
        return IssuedPair(pair.access_token, pair.refresh_token, pair.expires_in)

    async def approve(self, connect_url: str, account: str | None = None) -> str:
        """Press Allow in the name of company *account*; return the callback URL.

        Raises:
            LoginRefused: The page does not accept the connect link.
        """
        company = account or self.settings.default_company
        return await _press(connect_url, {"decision": "allow", "company": company})

    async def deny(self, connect_url: str) -> str:
        """Press Deny; return the callback URL.

        Raises:
            LoginRefused: The page does not accept the connect link.
        """
        return await _press(connect_url, {"decision": "deny"})


def _twin_of(provider: str | Provider) -> Twin:
    if isinstance(provider, Provider):
        return described(provider)
    if provider not in TWINS:
        message = f"the sandbox plays {', '.join(TWINS)}, not {provider!r}"
        raise ValueError(message)
    return TWINS[provider]


async def _press(connect_url: str, form: dict[str, str]) -> str:
    async with (
        aiohttp.ClientSession() as session,
        session.post(connect_url, data=form, allow_redirects=False) as response,
    ):
        if response.status != _FOUND:
            found = _REASON.search(await response.text())
            raise LoginRefused(unescape(found[1]) if found else str(response.status))
        return response.headers["Location"]


async def run(
    provider: str = "billit",
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    ready: Callable[[Sandbox], object] | None = None,
    **settings: Any,  # noqa: ANN401 - as there
) -> None:
    """Serve until cancelled; *ready* is called once the port is known."""
    async with Sandbox(provider, host=host, port=port, **settings) as sandbox:
        if ready is not None:
            ready(sandbox)
        await sandbox.serve_forever()
