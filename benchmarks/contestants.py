"""Who is compared on the fast path, each set up as its own documentation says."""

from __future__ import annotations

import time
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import aiohttp
import httpx2
from aiohttp_oauth2_client.grant.client_credentials import ClientCredentialsGrant
from aiohttp_oauth2_client.middleware import OAuth2Middleware
from api_server import FIXED
from attrs import frozen
from authlib.integrations.httpx_client import AsyncOAuth2Client

from everbearer import Client, Registration, Token
from everbearer.providers import standard_provider
from everbearer.stores import MemoryStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

__all__ = [
    "ALONE",
    "Contestant",
    "aiohttp_oauth2_client",
    "authlib",
    "bare",
    "constant_header",
    "everbearer",
]

PATH = "/v1/orders"
HOUR = 3600
ALONE = (FIXED,)

Pairs = dict[str, dict[str, Any]]
"""Token responses by account, as the server gave them."""


@frozen
class Contestant:
    """A way to make an authorized call.

    Attributes:
        call: Makes the call number n and says which account the server saw.

        accounts: The accounts that the calls go through, in turn.
    """

    name: str
    call: Callable[[int], Awaitable[str]]
    accounts: tuple[str, ...] = ALONE


def _with_aiohttp(name: str, session: aiohttp.ClientSession, base: str) -> Contestant:
    url = base + PATH

    async def call(_: int) -> str:
        async with session.get(url) as response:
            account: str = (await response.json())["account"]
            return account

    return Contestant(name, call)


def _session(**options: Any) -> aiohttp.ClientSession:  # noqa: ANN401
    # Everbearer keeps no cookies, so that nobody here is charged for them.
    return aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar(), **options)


@asynccontextmanager
async def bare(base: str, pairs: Pairs, name: str) -> AsyncIterator[Contestant]:
    """The header as a default of the session: what authorization costs at the least."""
    header = {"Authorization": f"Bearer {pairs[FIXED]['access_token']}"}
    async with _session(headers=header) as session:
        yield _with_aiohttp(name, session, base)


@asynccontextmanager
async def constant_header(base: str, pairs: Pairs) -> AsyncIterator[Contestant]:
    """A middleware that sets the header and thinks of nothing."""
    value = f"Bearer {pairs[FIXED]['access_token']}"

    async def middleware(
        req: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        req.headers["Authorization"] = value
        return await handler(req)

    async with _session(middlewares=(middleware,)) as session:
        yield _with_aiohttp("aiohttp, middleware with a constant header", session, base)


@asynccontextmanager
async def everbearer(base: str, pairs: Pairs) -> AsyncIterator[Contestant]:
    """A session for each account, taken in turn."""
    accounts = tuple(account for account in pairs if account != FIXED)
    provider = standard_provider(
        "bench",
        authorize_url=f"{base}/authorize",
        token_url=f"{base}/token",
        api_base=base,
    )
    registration = Registration(provider, "bench-client", "bench-secret")
    expires_at = datetime.now(UTC) + timedelta(seconds=HOUR)
    async with Client(registration, store=MemoryStore()) as client:
        for account in accounts:
            pair = pairs[account]
            token = Token(pair["access_token"], pair["refresh_token"], expires_at)
            await client.adopt("bench", account, token)
        sessions = [client.session("bench", account) for account in accounts]
        count = len(sessions)

        async def call(number: int) -> str:
            async with sessions[number % count].get(PATH) as response:
                account: str = (await response.json())["account"]
                return account

        yield Contestant("everbearer", call, accounts)


@asynccontextmanager
async def authlib(base: str, pairs: Pairs) -> AsyncIterator[Contestant]:
    """Authlib's asynchronous client, which prefers httpx2 to httpx."""
    assert issubclass(AsyncOAuth2Client, httpx2.AsyncClient), "Authlib fell back"
    token = pairs[FIXED] | {"expires_at": int(time.time()) + HOUR}
    async with AsyncOAuth2Client("bench-client", "bench-secret", token=token) as client:
        url = base + PATH

        async def call(_: int) -> str:
            account: str = (await client.get(url)).json()["account"]
            return account

        yield Contestant("Authlib on httpx2", call)


@asynccontextmanager
async def aiohttp_oauth2_client(base: str, pairs: Pairs) -> AsyncIterator[Contestant]:
    """The middleware of aiohttp-oauth2-client."""
    async with (
        ClientCredentialsGrant(
            f"{base}/token", "bench-client", "bench-secret", token=dict(pairs[FIXED])
        ) as grant,
        _session(middlewares=(OAuth2Middleware(grant),)) as session,
    ):
        yield _with_aiohttp("aiohttp-oauth2-client", session, base)
