"""Mode 1: tasks of one process notice the same ended token and each refresh it.

Promised: one flight per account, whose token all of them get; who notices after it has
landed uses what it brought; and what is spent is what is stored at that moment.
"""

from __future__ import annotations

import asyncio

import pytest

from everbearer.sandbox import faults

pytestmark = pytest.mark.asyncio


async def test_two_hundred_tasks_share_one_flight(
    sandbox, client, store, connect, call
) -> None:
    """Whoever notices joins the flight that is under way: one lease, one request."""
    await connect(expired=True)
    companies = await asyncio.gather(*(call(client) for _ in range(200)))
    assert set(companies) == {"acme"}
    assert store.asked["acquire"] == 1
    assert len(sandbox.ledger.token_requests) == 1


async def test_who_notices_after_the_landing_starts_nothing(
    sandbox, client, store, connect, call, until
) -> None:
    """A rejection of the old token that arrives late finds the new one."""
    await connect()
    sandbox.script.expire_now("acme")
    sandbox.script.add(faults.api_slow(0.3))
    late = asyncio.create_task(call(client))
    await until(lambda: not sandbox.script.planned)
    assert await call(client) == "acme"
    assert sandbox.ledger.refreshes == 1
    assert await late == "acme"
    assert [each.refusal is None for each in sandbox.ledger.api_calls] == [
        False,
        True,
        False,
        True,
    ]
    assert store.asked["acquire"] == 1


async def test_each_flight_spends_what_is_stored(sandbox, client, connect) -> None:
    """Demands at one time share a flight; a later one spends the successor."""
    await connect()
    session = client.session("billit", "acme")
    for number in (1, 2, 3):
        await asyncio.gather(*(session.refresh() for _ in range(5)))
        assert sandbox.ledger.refreshes == number
    assert sandbox.ledger.reuse == 0
