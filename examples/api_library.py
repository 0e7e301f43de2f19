"""A library for an API, written for aiohttp by somebody who never heard of tokens.

It shows: `OrdersApi` wants an aiohttp.ClientSession and gets a real one, on the
Client's connections, which carries one account's token to the API and nowhere else.
A 401 that is not about the token reaches the library as it came.

    pip install 'everbearer[cli]'
    everbearer sandbox                     # in another terminal
    python examples/notebook.py acme       # connects the account
    python examples/api_library.py acme

For the real Billit set the variables that settings.py names, for both programs.
"""

import asyncio
import sys
from collections.abc import AsyncIterator
from http import HTTPStatus
from typing import Any

import aiohttp

from everbearer import Client
from settings import REGISTRATION, STORE

# ---- the library: it could be anybody's, and imports nothing of ours


class OrdersApi:
    """Orders, page by page."""

    def __init__(self, http: aiohttp.ClientSession, page: int = 100) -> None:
        self._http = http
        self._page = page

    async def orders(self) -> AsyncIterator[dict[str, Any]]:
        skip = 0
        while items := await self._items(skip):
            for order in items:
                yield order
            skip += len(items)

    async def _items(self, skip: int) -> list[dict[str, Any]]:
        window = {"$top": self._page, "$skip": skip}
        async with self._http.get("v1/orders", params=window) as response:
            response.raise_for_status()
            items: list[dict[str, Any]] = (await response.json())["Items"]
            return items

    async def order(self, order_id: int) -> dict[str, Any] | None:
        """One order, or None if it is somebody else's, which Billit answers 401."""
        async with self._http.get(f"v1/orders/{order_id}") as response:
            if response.status == HTTPStatus.UNAUTHORIZED:
                return None
            response.raise_for_status()
            order: dict[str, Any] = await response.json()
            return order


# ---- your program


async def main(account: str) -> None:
    async with (
        Client(REGISTRATION, store=STORE) as client,
        client.session("billit", account).client_session() as http,
    ):
        api = OrdersApi(http)
        ids = [order["OrderID"] async for order in api.orders()]
        print(account, "has", len(ids), "orders")
        for found in await asyncio.gather(*map(api.order, ids[:3])):
            print(found and found["OrderNumber"])
        print("somebody else's:", await api.order(1))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else "acme"))
