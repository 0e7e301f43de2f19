"""A sandbox whose clock stands still, and a caller that knows nothing of Everbearer."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
import pytest_asyncio
from attrs import define, field, frozen

from everbearer.sandbox import Sandbox

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from everbearer.sandbox._grants import RefreshToken


@define
class Clock:
    """Time that passes when a test says so."""

    now: float = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@frozen
class Answered:
    """An answer, read to its end; status 0 if there was none."""

    status: int
    body: bytes = field(default=b"", repr=False)
    headers: Any = field(factory=dict, repr=False)

    @property
    def document(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> str | None:
        """Of a token answer."""
        return self.document.get("error")

    @property
    def code(self) -> str:
        """Of an API answer."""
        (error,) = self.document["errors"]
        return error["Code"]


@define
class Caller:
    """Speaks HTTP to the sandbox."""

    sandbox: Sandbox
    http: aiohttp.ClientSession
    begun: list[Begun] = field(factory=list, repr=False)

    async def __call__(self, method: str, path: str, **options: Any) -> Answered:
        url = path if path.startswith("http") else self.sandbox.url + path
        try:
            async with self.http.request(
                method, url, allow_redirects=False, **options
            ) as answer:
                body = await answer.read()
                return Answered(answer.status, body, answer.headers)
        except aiohttp.ClientConnectionError:
            return Answered(0)

    async def get(self, path: str, token: str, **options: Any) -> Answered:
        """Call the API with *token*."""
        return await self.send("GET", path, token, **options)

    async def send(
        self, method: str, path: str, token: str, **options: Any
    ) -> Answered:
        """Call the API with *token*, by any method."""
        headers = {"Authorization": f"Bearer {token}", **options.pop("headers", {})}
        return await self(method, path, headers=headers, **options)

    def params(self, refresh_token: str, **changes: str) -> dict[str, str]:
        """Of a refresh."""
        return {
            "client_id": self.sandbox.settings.client_id,
            "client_secret": self.sandbox.settings.client_secret,
            "grant_type": "refresh_token",
            "refresh_token": refresh_token,
            **changes,
        }

    async def refresh(self, refresh_token: str, **changes: str) -> Answered:
        """Present *refresh_token*."""
        params = self.params(refresh_token, **changes)
        return await self("POST", "/OAuth2/token", json=params)

    async def exchange(self, code: str, redirect_uri: str) -> Answered:
        """Redeem *code*."""
        params = self.params("", grant_type="authorization_code", code=code)
        del params["refresh_token"]
        params["redirect_uri"] = redirect_uri
        return await self("POST", "/OAuth2/token", json=params)

    async def leave(self, refresh_token: str) -> None:
        """Present *refresh_token*, and be gone before the answer."""
        await (await self.begin(refresh_token)).leave()

    async def begin(self, refresh_token: str) -> Begun:
        """Present *refresh_token*, and decide later whether to stay.

        Returns once the sandbox has the request; it must not answer at once.
        """
        token = self.sandbox.grants.refresh_token(refresh_token)
        assert token is not None
        before = list(token.presented_on)
        host, port = self.sandbox.url.removeprefix("http://").split(":")
        _, writer = await asyncio.open_connection(host, port)
        self.begun.append(Begun(token, writer))
        body = json.dumps(self.params(refresh_token)).encode()
        head = (
            f"POST /OAuth2/token HTTP/1.1\r\nHost: {host}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        writer.write(head.encode() + body)
        await until(lambda: token.presented_on != before)
        return self.begun[-1]

    async def aclose(self) -> None:
        """Leave everything that was begun."""
        for each in self.begun:
            each.writer.close()
            await each.writer.wait_closed()


@define
class Begun:
    """A presentation on a connection of its own."""

    token: RefreshToken
    writer: asyncio.StreamWriter

    async def answered(self) -> None:
        """Wait until the sandbox has answered; the connection stays open."""
        await until(lambda: not self.token.presented_on)

    async def leave(self) -> None:
        """Close the connection; returns once the sandbox has noticed."""
        connection = self.token.presented_on[-1]
        self.writer.close()
        await self.writer.wait_closed()
        await until(lambda: connection.closed)


async def until(condition: Callable[[], object]) -> None:
    """Let the server work until *condition* holds."""
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.002)


@pytest.fixture
def clock() -> Clock:
    """The sandbox's time."""
    return Clock()


@pytest_asyncio.fixture
async def sandbox(clock: Clock) -> AsyncIterator[Sandbox]:
    """Billit on a loopback port, by that clock."""
    async with Sandbox(clock=clock) as running:
        yield running


@pytest_asyncio.fixture
async def caller(sandbox: Sandbox) -> AsyncIterator[Caller]:
    """Somebody with a connection for each request, as the Client has for tokens."""
    connector = aiohttp.TCPConnector(force_close=True)
    async with aiohttp.ClientSession(connector=connector) as http:
        caller = Caller(sandbox, http)
        yield caller
        await caller.aclose()


@pytest.fixture(name="until")
def _until() -> Callable[..., object]:
    """Wait for evidence."""
    return until
