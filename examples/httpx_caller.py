"""Another HTTP library: httpx asks Everbearer for the token, and for a new one.

It shows: `access_token()`, which is good now, and `refresh(rejected=...)`, which
replaces a token once however many calls were refused with it.

    pip install everbearer httpx2
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
        if await refused_for_its_token(response):
            await self.account.refresh(rejected=token)
            token = await self.account.access_token()
            request.headers["Authorization"] = f"Bearer {token}"
            yield request  # once: a second refusal is for the caller


async def refused_for_its_token(response: httpx.Response) -> bool:
    """Billit says it in the body; a bare 401 also means "not your order"."""
    if not response.is_error:
        return False
    said = await response.aread()
    return b"AccessTokenExpired" in said or b"InvalidAccessToken" in said


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
    asyncio.run(main(*sys.argv[1:]))
