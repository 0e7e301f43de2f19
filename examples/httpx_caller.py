"""Another HTTP library: httpx asks Everbearer for the token, and for a new one.

It shows: `access_token()`, which is good now; `is_rejection(...)`, which knows the
provider's way of saying that it is not; and `refresh(rejected=...)`, which replaces a
token once however many calls were refused with it.

    pip install 'everbearer[cli]' httpx2
    everbearer sandbox                     # in another terminal
    python examples/notebook.py acme       # connects the account
    python examples/httpx_caller.py acme

For the real Billit set the variables that settings.py names, for both programs.
"""

import asyncio
import sys
from collections.abc import AsyncGenerator

import httpx2 as httpx  # the names are those of httpx

from everbearer import AccountSession, Client
from settings import REGISTRATION, STORE


class AccountAuth(httpx.Auth):
    """An account's token for an httpx.AsyncClient that calls one API."""

    def __init__(self, account: AccountSession) -> None:
        self.account = account

    async def async_auth_flow(
        self, request: httpx.Request
    ) -> AsyncGenerator[httpx.Request, httpx.Response]:
        token = await self.account.access_token()
        request.headers["Authorization"] = f"Bearer {token}"
        response = yield request
        body = await response.aread() if response.is_error else b""
        if self.account.is_rejection(response.status_code, response.headers, body):
            await self.account.refresh(rejected=token)
            token = await self.account.access_token()
            request.headers["Authorization"] = f"Bearer {token}"
            yield request  # once: a second refusal is the caller's


async def main(account: str) -> None:
    async with (
        Client(REGISTRATION, store=STORE) as client,
        httpx.AsyncClient(
            base_url=REGISTRATION.provider.base.api,
            auth=AccountAuth(client.session("billit", account)),
        ) as http,
    ):
        pages = await asyncio.gather(
            *(
                http.get("/v1/orders", params={"$top": 50, "$skip": skip})
                for skip in range(0, 250, 50)
            )
        )
    for page in pages:
        page.raise_for_status()
    count = sum(len(page.json()["Items"]) for page in pages)
    print(account, "has", count, "orders")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else "acme"))
