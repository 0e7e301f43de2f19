"""A token source with knobs, an API on port 0 with a ledger, and a way to wire them."""

from __future__ import annotations

import asyncio
import hashlib
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
import pytest_asyncio
from aiohttp import web
from attrs import define, evolve, field, frozen

from everbearer.events import Hooks
from everbearer.providers import IdentityHeader, Provider, standard_provider
from everbearer.tokens import AccountKey, AccountStatus
from everbearer.transport import AccountSession, ApiBase

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from datetime import timedelta

    from aiohttp.typedefs import StrOrURL

    from everbearer.events import Event


class FakeAccount:
    """Implements `everbearer.transport.Account`: token-1, token-2, and so on.

    Attributes:
        calls: What it was asked, in order, `current` and `accepted` left out.

        error: Raised instead of an answer.

        helpless: Answer None instead of refreshing.

        stored: What another process has put in the store.

        gate: Set before a refresh may end.
    """

    def __init__(self) -> None:
        self.number = 1
        self.known = True
        self.calls: list[tuple[Any, ...]] = []
        self.taken: list[str] = []
        self.margins: list[float] = []
        self.refreshes = 0
        self.under_way = 0
        self.most_under_way = 0
        self.error: BaseException | None = None
        self.helpless = False
        self.stored: str | None = None
        self.gate = asyncio.Event()
        self.gate.set()
        self.refreshing = asyncio.Event()

    @property
    def token(self) -> str:
        return f"token-{self.number}"

    def current(self, margin: float = 0.0) -> str | None:
        self.margins.append(margin)
        return self.token if self.known else None

    def accepted(self, access_token: str) -> None:
        self.taken.append(access_token)

    async def replacement_for(
        self, rejected: str | None, *, revoked: bool = False, margin: float = 0.0
    ) -> str | None:
        self.calls.append(("replacement_for", rejected, revoked, margin))
        self.refreshing.set()
        await self.gate.wait()
        if self.error is not None:
            raise self.error
        if self.helpless:
            return None
        if rejected == self.token:
            self.number += 1
            self.refreshes += 1
        self.known = True
        return self.token

    def reject(self, rejected: str) -> None:
        self.calls.append(("reject", rejected))

    def one_shot(self, change: int) -> None:
        self.under_way += change
        self.most_under_way = max(self.most_under_way, self.under_way)

    async def access_token(self, *, min_ttl: timedelta | float | None = None) -> str:
        self.calls.append(("access_token", min_ttl))
        return self.token

    async def refresh(self, *, rejected: str | None = None) -> AccountStatus:
        self.calls.append(("refresh", rejected))
        return await self.status()

    async def status(self) -> AccountStatus:
        return AccountStatus("standard", "acme", "connected")


@frozen
class Seen:
    """One request as the API received it."""

    method: str
    path: str
    token: str | None
    length: int
    sha256: str
    headers: Any = field(repr=False)


def is_token(value: str | None) -> str | None:
    return value.removeprefix("Bearer ") if value else None


@define
class Api:
    """An API that takes some tokens and refuses others, in a way that can be set.

    Attributes:
        good: The tokens that are taken; None takes everything.

        refuse: Makes the refusal.

        answer: Makes the answer to a taken token; by default what arrived.

        early: Refuse before the body is read.
    """

    good: set[str] | None = None
    refuse: Callable[[web.Request], Awaitable[web.StreamResponse]] | None = None
    answer: Callable[[web.Request], Awaitable[web.StreamResponse]] | None = None
    early: bool = False
    seen: list[Seen] = field(factory=list)
    url: str = ""
    connections: set[Any] = field(factory=set)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer any request."""
        self.connections.add(request.transport)
        token = is_token(request.headers.get("Authorization"))
        refused = self.good is not None and token not in self.good
        body = b"" if refused and self.early else await request.read()
        self.seen.append(
            Seen(
                request.method,
                request.raw_path,
                token,
                len(body),
                hashlib.sha256(body).hexdigest(),
                request.headers.copy(),
            )
        )
        if refused:
            return await (self.refuse or bare_401)(request)
        if self.answer is not None:
            return await self.answer(request)
        return web.json_response(
            {"length": len(body), "sha256": hashlib.sha256(body).hexdigest()}
        )

    @property
    def tokens(self) -> list[str | None]:
        return [seen.token for seen in self.seen]


async def bare_401(request: web.Request) -> web.StreamResponse:
    return web.Response(status=401, text="who are you?")


def refusing(
    status: int = 401,
    body: bytes | str = b"",
    content_type: str = "application/json",
    **headers: str,
) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    """A refusal with this status, body and headers."""

    async def refuse(request: web.Request) -> web.StreamResponse:
        return web.Response(
            status=status,
            body=body.encode() if isinstance(body, str) else body,
            headers={
                "Content-Type": content_type,
                **{name.replace("_", "-"): value for name, value in headers.items()},
            },
        )

    return refuse


@pytest_asyncio.fixture(name="serve")
async def _serve() -> AsyncIterator[Callable[[], Awaitable[Api]]]:
    """Start an `Api` on a free loopback port."""
    runners: list[web.AppRunner] = []

    async def start() -> Api:
        api = Api()
        app = web.Application(client_max_size=2**30)
        app.router.add_route("*", "/{tail:.*}", api.handle)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        runners.append(runner)
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        host, port = runner.addresses[0][:2]
        api.url = f"http://{host}:{port}"
        return api

    yield start
    for runner in runners:
        await runner.cleanup()


@pytest_asyncio.fixture(name="api")
async def _api(serve: Callable[[], Awaitable[Api]]) -> Api:
    """The account's API: takes token-2 and refuses token-1."""
    api = await serve()
    api.good = {"token-2"}
    return api


@pytest_asyncio.fixture(name="stranger")
async def _stranger(serve: Callable[[], Awaitable[Api]]) -> Api:
    """Another origin, which takes everything and records what it is sent."""
    return await serve()


@define
class FakeHttp:
    """Implements `everbearer.transport.Http` over one aiohttp session."""

    session: aiohttp.ClientSession | None = None
    own: None = None
    loop: None = None

    async def open(self) -> aiohttp.ClientSession:
        if self.session is None:
            self.session = aiohttp.ClientSession()
        return self.session


@define
class World:
    """An account's session with everything that it is wired to."""

    account: FakeAccount
    api: Api
    provider: Provider
    http: FakeHttp
    events: list[Event]
    key: AccountKey

    def session(
        self, provider: Provider | None = None, **options: Any
    ) -> AccountSession:
        return AccountSession(
            self.account,
            self.key,
            provider or self.provider,
            self.http,
            Hooks([self.events.append]),
            base=ApiBase((provider or self.provider).base.api),
            **options,
        )

    def signalling(self, *signals: Any, **changes: Any) -> AccountSession:
        """A session of a provider with these expiry signals."""
        return self.session(evolve(self.provider, expiry_signals=signals, **changes))

    def named(self) -> list[str]:
        return [type(event).__name__ for event in self.events]

    async def use(self, **options: Any) -> aiohttp.ClientSession:
        """Send through an aiohttp session made with *options*."""
        assert self.http.session is None
        self.http.session = aiohttp.ClientSession(**options)
        return self.http.session


@pytest_asyncio.fixture(name="world")
async def _world(api: Api) -> AsyncIterator[World]:
    provider = evolve(
        standard_provider(
            "standard",
            authorize_url="https://login.example/authorize",
            token_url="https://login.example/token",
            api_base=api.url,
        ),
        identity_headers=(IdentityHeader("PartyID"),),
        idempotency_headers=("Idempotency-Key",),
    )
    key = AccountKey("standard", "acme")
    world = World(FakeAccount(), api, provider, FakeHttp(), [], key)
    yield world
    if world.http.session is not None:
        await world.http.session.close()


@pytest.fixture(name="acme")
def _acme(world: World) -> AccountSession:
    """The session under test."""
    return world.session()


@pytest.fixture(name="fetch")
def _fetch() -> Callable[..., Awaitable[tuple[int, bytes]]]:
    """Send a request and read the answer to its end."""

    async def fetch(
        session: AccountSession | aiohttp.ClientSession,
        url: StrOrURL = "/v1/orders",
        method: str = "GET",
        **options: Any,
    ) -> tuple[int, bytes]:
        async with session.request(method, url, **options) as response:
            return response.status, await response.read()

    return fetch


@pytest.fixture(name="refusing_with")
def _refusing_with() -> Callable[
    ..., Callable[[web.Request], Awaitable[web.StreamResponse]]
]:
    """Makes a refusal with some status, body and headers."""
    return refusing
