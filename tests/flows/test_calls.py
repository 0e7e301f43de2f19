"""Calls at volume, and calls whose token changes under them."""

from __future__ import annotations

import asyncio
from collections import Counter

import aiohttp
import pytest

from everbearer import Client, Timing
from everbearer.events import RefreshSucceeded
from everbearer.sandbox import faults
from everbearer.stores import MemoryStore

pytestmark = pytest.mark.asyncio

TIMING = Timing(
    lease=0.6, deadline=1.0, linger=1.0, grace=0.3, connect=1.0, back_off=0.1
)


@pytest.mark.timeout(120)
async def test_a_thousand_callers_through_a_hundred_connections(
    sandbox, registration, store, connect
) -> None:
    """A token that expires while its call waits for a connection costs no call."""
    sandbox.settings.access_lifetime = 2.0
    sandbox.settings.api_delay = 0.2
    seen: Counter[int] = Counter()
    connector = aiohttp.TCPConnector(limit=100)
    async with (
        aiohttp.ClientSession(connector=connector) as pool,
        Client(registration, store=store, session=pool, timing=TIMING) as busy,
    ):
        await connect(to=busy)
        session = busy.session("billit", "acme")

        async def caller() -> None:
            for _ in range(3):
                async with session.get("/v1/whoami") as response:
                    seen[response.status] += 1

        await asyncio.gather(*(caller() for _ in range(1000)))
    assert seen == {200: 3000}
    assert sandbox.ledger.refused > 0, "nothing waited: the test shows nothing"
    assert sandbox.ledger.reuse == 0
    assert sandbox.ledger.lost_grants == 0


@pytest.mark.timeout(180)
async def test_ten_thousand_calls_on_a_rejected_token_never_see_it(
    sandbox, client, connect
) -> None:
    """The provider ends a token before its time: one token request, and only 200s."""
    await connect()
    sandbox.script.expire_now("acme")
    session = client.session("billit", "acme")

    async def call() -> int:
        async with session.get("/v1/whoami") as response:
            return response.status

    statuses = await asyncio.gather(*(call() for _ in range(10_000)))
    assert Counter(statuses) == {200: 10_000}
    assert sandbox.ledger.refused > 0
    assert len(sandbox.ledger.token_requests) == 1


@pytest.mark.parametrize("old_dies", [True, False], ids=["old-dies", "old-lives"])
async def test_a_rotation_by_another_process_while_a_resend_is_in_flight(
    sandbox, registration, store, connect, client, old_dies
) -> None:
    """The resend carries a token that is dead on arrival; the caller sees 200."""
    sandbox.settings.old_access_dies = old_dies
    await connect(to=client)
    sandbox.script.expire_now("acme")
    other = client.session("billit", "acme")
    sent = []

    async def overtaken(request, handler):
        sent.append(request.headers["Authorization"])
        if len(sent) == 2:
            await other.refresh()
        return await handler(request)

    async with (
        aiohttp.ClientSession(middlewares=(overtaken,)) as pool,
        Client(registration, store=store, session=pool, timing=TIMING) as slow,
        slow.session("billit", "acme").get("/v1/whoami") as response,
    ):
        assert response.status == 200
    assert len(set(sent)) == (3 if old_dies else 2)
    assert sandbox.ledger.refreshes == 2
    assert sandbox.ledger.reuse == 0


async def test_a_refresh_does_not_need_a_connection_of_the_pool(
    sandbox, registration, store, connect
) -> None:
    """A pool of one connection, held by the refused call itself, is no deadlock."""
    connector = aiohttp.TCPConnector(limit=1)
    async with (
        aiohttp.ClientSession(connector=connector) as pool,
        Client(registration, store=store, session=pool, timing=TIMING) as narrow,
    ):
        await connect(to=narrow)
        sandbox.script.expire_now("acme")
        sandbox.settings.refusal_size = 50_000
        calls = [narrow.session("billit", "acme").get("/v1/whoami") for _ in range(5)]
        for response in await asyncio.gather(*calls):
            assert response.status == 200
            await response.read()
    assert sandbox.ledger.refreshes == 1


async def test_calls_of_many_accounts_carry_their_own_tokens(
    sandbox, client, connect
) -> None:
    """A hundred accounts at once, half of them expired, are never mixed up."""
    accounts = [f"company-{number}" for number in range(100)]
    for number, account in enumerate(accounts):
        await connect(account, expired=number % 2 == 0)

    async def company_of(account: str) -> str:
        async with client.session("billit", account).get("/v1/whoami") as response:
            return (await response.json())["company"]

    calls = [company_of(account) for account in accounts for _ in range(5)]
    assert await asyncio.gather(*calls) == [a for a in accounts for _ in range(5)]
    assert sandbox.ledger.refreshes == 50


async def test_a_leader_that_is_cancelled_before_the_request_leaves(
    sandbox, client, connect, events
) -> None:
    """The first caller leaves at once; the flight that it began serves the second."""
    await connect(expired=True)
    session = client.session("billit", "acme")
    leader = asyncio.create_task(session.access_token())
    await asyncio.sleep(0)
    leader.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leader
    assert await session.access_token()
    assert sum(isinstance(event, RefreshSucceeded) for event in events) == 1


async def test_an_event_that_ends_the_stored_successor_too(
    sandbox, registration, store, connect, client
) -> None:
    """One process still holds the token before last: it is refreshed, nobody sees."""
    await connect(to=client)
    session = client.session("billit", "acme")
    old = await session.access_token()
    async with Client(registration, store=store, timing=TIMING) as other:
        await other.session("billit", "acme").refresh()
    sandbox.script.expire_now("acme")
    assert await session.access_token() == old
    async with session.get("/v1/whoami") as response:
        assert response.status == 200
    assert sandbox.ledger.refused == 2
    assert sandbox.ledger.refreshes == 2
    assert sandbox.ledger.reuse == 0


async def test_rejections_far_apart_do_not_add_up(
    sandbox, registration, connect, shifted_clock
) -> None:
    """Users of other libraries never tell that a token was good: its age does."""
    clock = shifted_clock
    async with Client(
        registration, store=MemoryStore(clock), timing=TIMING, _clock=clock
    ) as client:
        await connect(to=client)
        session = client.session("billit", "acme")
        for number in range(1, 13):
            await session.refresh(rejected=await session.access_token())
            assert sandbox.ledger.refreshes == number
            clock.ahead += 400.0


async def test_rejections_in_a_row_double_the_wait(
    sandbox, registration, connect, shifted_clock
) -> None:
    """A token that nobody ever took is replaced after 5, 10, 20 ... seconds."""
    clock = shifted_clock
    async with Client(
        registration, store=MemoryStore(clock), timing=TIMING, _clock=clock
    ) as client:
        await connect(to=client)
        session = client.session("billit", "acme")
        refreshed_at = []
        for second in range(80):
            before = sandbox.ledger.refreshes
            await session.refresh(rejected=await session.access_token())
            if sandbox.ledger.refreshes > before:
                refreshed_at.append(second)
            clock.ahead += 1.0
    assert refreshed_at == [0, 5, 15, 35, 75]


async def test_an_api_that_refuses_every_token_costs_one_refresh(
    sandbox, client, connect
) -> None:
    """Rule 20: the provider's own answer goes to the caller, and nothing is burnt."""
    await connect()
    sandbox.script.add(faults.refuse(times=None))
    for _ in range(20):
        async with client.session("billit", "acme").get("/v1/whoami") as response:
            assert response.status == 401
            content = await response.json()
            assert content["errors"][0]["Code"] == "AccessTokenExpired"
    assert sandbox.ledger.refreshes == 1
