"""A refused answer must not keep the connection that its own resend waits for."""

from __future__ import annotations

import asyncio

import aiohttp
import pytest

pytestmark = pytest.mark.asyncio


@pytest.fixture(name="refuse_at_length")
def _refuse_at_length(api, refusing_with) -> None:
    """The API refuses with more than any peek reads."""
    api.refuse = refusing_with(
        401, b"x" * 5_000_000, WWW_Authenticate='Bearer error="invalid_token"'
    )


@pytest.mark.timeout(20)
async def test_a_pool_of_one_connection_is_no_deadlock(
    world, fetch, refuse_at_length
) -> None:
    """Judged by its header alone, a 401 of 5 MB is let go before anybody waits."""
    await world.use(connector=aiohttp.TCPConnector(limit=1))
    acme = world.session()
    answers = await asyncio.gather(*(fetch(acme) for _ in range(5)))
    assert [status for status, _ in answers] == [200] * 5
    assert world.account.refreshes == 1
