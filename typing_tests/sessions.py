"""What a type checker must see in a program that calls an API; never executed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import aiohttp
from yarl import URL

from everbearer.transport import AccountMiddleware, AccountSession

if TYPE_CHECKING:
    from everbearer.tokens import AccountStatus


async def answers(acme: AccountSession) -> list[aiohttp.ClientResponse]:
    """Each method takes aiohttp's arguments and gives aiohttp's answer."""
    async with acme.get("/v1/orders", params={"$top": 120}) as entered:
        first: aiohttp.ClientResponse = entered
    return [
        first,
        await acme.request("GET", "/v1/orders", headers={"Accept": "text/csv"}),
        await acme.get(URL("/v1/orders"), allow_redirects=False),
        await acme.options("/v1/orders"),
        await acme.head("/v1/orders", timeout=aiohttp.ClientTimeout(total=3)),
        await acme.post("/v1/orders", json={"a": 1}, raise_for_status=True),
        await acme.put("/v1/orders/1", data=b"x", compress="gzip"),
        await acme.patch("/v1/orders/1", data=aiohttp.FormData({"a": "b"})),
        await acme.delete("/v1/orders/1", middlewares=(acme.middleware,)),
    ]


async def misspelt(acme: AccountSession) -> None:
    """A keyword that aiohttp does not have, or of another type, is an error."""
    await acme.get("/", bogus=1)  # type: ignore[call-arg] # pyright: ignore[reportCallIssue]
    await acme.get("/", allow_redirects="no")  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    await acme.post("/", headers=3)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    await acme.ws_connect("/", bogus=1)  # type: ignore[call-overload] # pyright: ignore[reportCallIssue]
    await acme.get()  # type: ignore[call-arg] # pyright: ignore[reportCallIssue]


async def socket(acme: AccountSession) -> str:
    """A WebSocket is entered and read as aiohttp's."""
    async with acme.ws_connect("/feed", heartbeat=10.0, autoping=True) as opened:
        return await opened.receive_str()


async def elsewhere(acme: AccountSession) -> None:
    """The same transport serves sessions that somebody else owns."""
    middleware: AccountMiddleware = acme.middleware
    async with aiohttp.ClientSession(middlewares=(middleware,)) as session:
        await session.get("https://api.example/")
    async with acme.client_session() as own:
        await own.get("v1/orders")


async def other_libraries(acme: AccountSession) -> tuple[str, AccountStatus]:
    """A token for any HTTP library, and what is known of the account."""
    view: AccountSession = acme.with_headers({"PartyID": "1"})
    if view.is_rejection(401, {"Content-Type": "application/json"}, b"{}"):
        await view.refresh(rejected="x")
    return await acme.access_token(min_ttl=60), await acme.status()
