"""The API that the contestants call: aiohttp.web in a process of its own.

It answers every call with the account whose token it saw, so that each caller can tell
whether the right token went out.  Run as a program it prints its port and serves until
it is terminated.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import subprocess
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["running"]

# About what a signed token with its claims takes in an Authorization header.
_TOKEN_BYTES = 660


class Api:
    """Tokens, an API call, a token endpoint and the evidence."""

    def __init__(self) -> None:
        self.by_access: dict[str, str] = {}
        self.by_refresh: dict[str, str] = {}
        self.spent: set[str] = set()
        self.calls = self.refused = self.refreshes = self.reuse = 0
        self.routes = {
            "/v1/orders": self.orders,
            "/token": self.token,
            "/_bench/issue": self.issue,
            "/_bench/expire": self.expire,
            "/_bench/figures": self.figures,
        }

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        return await self.routes[request.path](request)

    async def orders(self, request: web.BaseRequest) -> web.Response:
        self.calls += 1
        bearer = request.headers.get("Authorization", "")
        account = self.by_access.get(bearer.removeprefix("Bearer "))
        if account is None:
            self.refused += 1
            return web.Response(
                status=401, headers={"WWW-Authenticate": 'Bearer error="invalid_token"'}
            )
        return web.Response(
            body=b'{"account": "%b", "orders": []}' % account.encode(),
            content_type="application/json",
        )

    def pair(self, account: str) -> dict[str, object]:
        access = secrets.token_urlsafe(_TOKEN_BYTES)
        refresh = secrets.token_urlsafe(32)
        self.by_access[access] = self.by_refresh[refresh] = account
        return {
            "access_token": access,
            "refresh_token": refresh,
            "token_type": "Bearer",
            "expires_in": 3600,
        }

    async def token(self, request: web.BaseRequest) -> web.Response:
        """Single-use refresh tokens; one that comes again is counted."""
        presented = str((await request.post()).get("refresh_token"))
        if presented in self.spent:
            self.reuse += 1
        account = self.by_refresh.pop(presented, None)
        if account is None:
            return web.json_response({"error": "invalid_grant"}, status=400)
        self.spent.add(presented)
        self.refreshes += 1
        return web.json_response(self.pair(account))

    async def issue(self, request: web.BaseRequest) -> web.Response:
        """A grant for each account in the body."""
        return web.json_response(
            {account: self.pair(account) for account in await request.json()}
        )

    async def expire(self, request: web.BaseRequest) -> web.Response:
        """End the access tokens of the accounts in the body."""
        over = set(await request.json())
        self.by_access = {t: a for t, a in self.by_access.items() if a not in over}
        return web.Response()

    async def figures(self, _: web.BaseRequest) -> web.Response:
        return web.json_response(
            {
                "calls": self.calls,
                "refused": self.refused,
                "refreshes": self.refreshes,
                "reuse": self.reuse,
                "cpu": time.process_time(),
            }
        )


async def _serve() -> None:
    # Without an Application and its router: the less the server takes, the surer it is
    # that a client is what limits the throughput.
    runner = web.ServerRunner(web.Server(Api(), access_log=None))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(json.dumps(runner.addresses[0][1]), flush=True)
    await asyncio.Event().wait()


@contextmanager
def running() -> Iterator[str]:
    """The base URL of a server that lives as long as the context."""
    with subprocess.Popen(
        [sys.executable, __file__], stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            yield f"http://127.0.0.1:{json.loads(process.stdout.readline())}"
        finally:
            process.terminate()


if __name__ == "__main__":
    asyncio.run(_serve())
