"""Who is compared on the fast path, each set up as its own documentation says."""

from __future__ import annotations

import time
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import aiohttp
import httpx2
from aiohttp_oauth2_client.grant.client_credentials import ClientCredentialsGrant
from aiohttp_oauth2_client.middleware import OAuth2Middleware
from attrs import frozen
from authlib.integrations.httpx_client import AsyncOAuth2Client

from everbearer import Client, Registration, Token
from everbearer.providers import standard_provider
from everbearer.stores import MemoryStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping

    from everbearer import AccountSession

    _Gets = aiohttp.ClientSession | AccountSession

__all__ = [
    "AUTHLIB",
    "BARE",
    "BARE_EACH",
    "OURS",
    "OURS_EACH",
    "Contestant",
    "everybody",
]

PATH = "/v1/orders"
HOUR = 3600

BARE = "bare aiohttp"
BARE_EACH = "bare, session per account"
OURS = "everbearer"
OURS_EACH = "everbearer, all accounts"
AUTHLIB = "Authlib on httpx2"

Pair = dict[str, Any]
"""A token response, as the server gave it."""


@frozen
class Contestant:
    """A way to make an authorized call.

    Attributes:
        call: Makes the call number n and says which account the server saw.

        accounts: The accounts that the calls go through, in turn.
    """

    name: str
    call: Callable[[int], Awaitable[str]]
    accounts: tuple[str, ...]


def _by_turns(name: str, url: str, each: Mapping[str, _Gets]) -> Contestant:
    sessions, count = tuple(each.values()), len(each)

    async def call(number: int) -> str:
        async with sessions[number % count].get(url) as response:
            account: str = (await response.json())["account"]
            return account

    return Contestant(name, call, tuple(each))


def _session(**options: Any) -> aiohttp.ClientSession:  # noqa: ANN401
    # Everbearer keeps no cookies, so that nobody here is charged for them.
    return aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar(), **options)


def _bearer(pair: Pair) -> str:
    return f"Bearer {pair['access_token']}"


@asynccontextmanager
async def _bare(
    base: str, pairs: dict[str, Pair], name: str
) -> AsyncIterator[Contestant]:
    """The header as a session's default: what authorization costs at the least."""
    async with AsyncExitStack() as stack:
        connector = aiohttp.TCPConnector()
        stack.push_async_callback(connector.close)
        sessions = {
            account: await stack.enter_async_context(
                _session(
                    connector=connector,
                    connector_owner=False,
                    headers={"Authorization": _bearer(pair)},
                )
            )
            for account, pair in pairs.items()
        }
        yield _by_turns(name, base + PATH, sessions)


@asynccontextmanager
async def _constant_header(
    base: str, pairs: dict[str, Pair]
) -> AsyncIterator[Contestant]:
    """A middleware that sets the header and thinks of nothing."""
    ((account, pair),) = pairs.items()
    value = _bearer(pair)

    async def middleware(
        req: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        req.headers["Authorization"] = value
        return await handler(req)

    async with _session(middlewares=(middleware,)) as session:
        yield _by_turns("constant header middleware", base + PATH, {account: session})


@asynccontextmanager
async def _everbearer(
    base: str, pairs: dict[str, Pair], name: str
) -> AsyncIterator[Contestant]:
    """A session for each account, taken in turn."""
    provider = standard_provider(
        "bench",
        authorize_url=f"{base}/authorize",
        token_url=f"{base}/token",
        api_base=base,
    )
    registration = Registration(provider, "bench-client", "bench-secret")
    expires_at = datetime.now(UTC) + timedelta(seconds=HOUR)
    async with Client(registration, store=MemoryStore()) as client:
        for account, pair in pairs.items():
            token = Token(pair["access_token"], pair["refresh_token"], expires_at)
            await client.adopt("bench", account, token)
        sessions = {account: client.session("bench", account) for account in pairs}
        yield _by_turns(name, PATH, sessions)


@asynccontextmanager
async def _authlib(base: str, pairs: dict[str, Pair]) -> AsyncIterator[Contestant]:
    """Authlib's asynchronous client, which prefers httpx2 to httpx."""
    assert issubclass(AsyncOAuth2Client, httpx2.AsyncClient), "Authlib fell back"
    ((account, pair),) = pairs.items()
    token = pair | {"expires_at": int(time.time()) + HOUR}
    async with AsyncOAuth2Client("bench-client", "bench-secret", token=token) as client:
        url = base + PATH

        async def call(_: int) -> str:
            seen: str = (await client.get(url)).json()["account"]
            return seen

        yield Contestant(AUTHLIB, call, (account,))


@asynccontextmanager
async def _aiohttp_oauth2_client(
    base: str, pairs: dict[str, Pair]
) -> AsyncIterator[Contestant]:
    """The middleware of aiohttp-oauth2-client."""
    ((account, pair),) = pairs.items()
    async with (
        ClientCredentialsGrant(
            f"{base}/token", "bench-client", "bench-secret", token=dict(pair)
        ) as grant,
        _session(middlewares=(OAuth2Middleware(grant),)) as session,
    ):
        yield _by_turns("aiohttp-oauth2-client", base + PATH, {account: session})


@asynccontextmanager
async def everybody(
    base: str, issue: Callable[[Iterable[str]], Awaitable[dict[str, Pair]]], count: int
) -> AsyncIterator[list[Contestant]]:
    """All contestants, the ones with *count* accounts included.

    Args:
        issue: Has the server give a grant to each of these accounts.
    """
    one = await issue(["alone"])
    async with AsyncExitStack() as stack:
        yield [
            await stack.enter_async_context(each)
            for each in (
                _bare(base, one, BARE),
                _bare(base, one, "bare aiohttp, once more"),
                _constant_header(base, one),
                _everbearer(base, one, OURS),
                _bare(base, await issue(f"bare-{n}" for n in range(count)), BARE_EACH),
                _everbearer(
                    base, await issue(f"ours-{n}" for n in range(count)), OURS_EACH
                ),
                _aiohttp_oauth2_client(base, one),
                _authlib(base, one),
            )
        ]
