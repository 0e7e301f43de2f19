"""Mode 2: every session, middleware or client object brings a lock of its own.

Promised: the coordinator belongs to the account.  Whatever carries its token in a
Client shares one flight, and Clients on one store share one lease.
"""

from __future__ import annotations

import asyncio

import aiohttp
import pytest

from everbearer import Client

pytestmark = pytest.mark.asyncio


async def test_every_way_to_call_joins_one_flight(
    sandbox, client, store, connect
) -> None:
    """Sessions, views, middlewares and bare tokens are one account's, not their own."""
    await connect(expired=True)
    sandbox.settings.token_delay = 0.2

    def new():
        return client.session("billit", "acme")

    async def status(answer) -> int:
        async with answer as response:
            return response.status

    async with (
        aiohttp.ClientSession(sandbox.url, middlewares=(new().middleware,)) as theirs,
        aiohttp.ClientSession(sandbox.url, middlewares=(new().middleware,)) as others,
        new().client_session() as ours,
    ):
        calls = [each.get("/v1/whoami") for each in (new(), new(), theirs, others)]
        calls += [ours.get("/v1/whoami"), new().with_headers({}).get("/v1/whoami")]
        *statuses, one, other = await asyncio.gather(
            *map(status, calls), new().access_token(), new().access_token()
        )
    assert statuses == [200] * len(calls)
    assert one == other
    assert store.asked["acquire"] == 1
    assert len(sandbox.ledger.token_requests) == 1


async def test_two_clients_share_one_lease(
    sandbox, client, another, connect, call
) -> None:
    """Two Clients on one store behave as one."""
    await connect(expired=True)
    sandbox.settings.token_delay = 0.2
    other = await another()
    calls = [call(each) for each in (client, other) for _ in range(10)]
    assert set(await asyncio.gather(*calls)) == {"acme"}
    assert len(sandbox.ledger.token_requests) == 1


async def test_a_client_for_each_request_shares_it_too(
    sandbox, client, new_way, registration, timing, connect, call
) -> None:
    """Who makes a Client in every handler pays for its opening, not with a grant."""
    await connect(expired=True)
    sandbox.settings.token_delay = 0.2

    async def handler():
        async with Client(registration, store=new_way(), timing=timing) as own:
            return await call(own)

    assert set(await asyncio.gather(*(handler() for _ in range(10)))) == {"acme"}
    assert len(sandbox.ledger.token_requests) == 1
