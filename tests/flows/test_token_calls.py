"""What a token request carries, and where it goes: only what is its own, only there."""

from __future__ import annotations

import secrets

import aiohttp
import pytest

from everbearer import Client, EverbearerError
from everbearer.sandbox import faults
from everbearer.stores import MemoryStore

pytestmark = pytest.mark.asyncio


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_no_redirect_is_followed(sandbox, client, connect, store, status):
    """A 307 would have the refresh token sent on to whoever the answer names."""
    await connect(expired=True)
    elsewhere = {"Location": f"{sandbox.other_origin}/token"}
    sandbox.script.add(faults.answer(b"", status=status, headers=elsewhere))
    with pytest.raises(EverbearerError):
        await client.session("billit", "acme").access_token()
    assert len(sandbox.ledger.token_requests) == 1
    assert not sandbox.ledger.other_origin


async def test_nothing_of_the_callers_session_goes_along(
    sandbox, registration, connect
):
    """Its headers, its cookies and its credentials are nobody's business there."""
    private = secrets.token_urlsafe()
    jar = aiohttp.CookieJar(unsafe=True)
    jar.update_cookies({"sid": private})
    async with (
        aiohttp.ClientSession(
            headers={"X-Api-Key": private, "Authorization": f"Bearer {private}"},
            cookie_jar=jar,
        ) as given,
        Client(registration, store=MemoryStore(), session=given) as client,
    ):
        await connect(to=client, expired=True)
        await client.session("billit", "acme").access_token()
    (asked,) = sandbox.ledger.token_requests
    assert (asked.status, dict(asked.cookies)) == (200, {})
    assert private not in repr(dict(asked.headers))
