"""Accounts by the age of their token: what a keeper looks for."""

from __future__ import annotations

import math

import pytest
from attrs import evolve

from everbearer.stores import BEGINNING, Due
from everbearer.tokens import AccountKey

pytestmark = pytest.mark.asyncio


async def accounts(store, **asked):
    asked = {"before": math.inf, "limit": 100} | asked
    return [due.account for due in await store.due("billit", **asked)]


@pytest.fixture(name="connect")
def _connect(store, make):
    async def connected(account, *, provider="billit", **members):
        grant = evolve(make.grant(f"r-{account}", f"i-{account}"), **members)
        return await store.put(AccountKey(provider, account), grant)

    return connected


async def test_the_oldest_token_comes_first(store, clock, connect):
    """Accounts come by the age of their token, and those of one age by name."""
    for account in ("first", "second", "b", "a"):
        await connect(account)
        if account not in {"b", "a"}:
            clock.advance(1)
    assert await accounts(store) == ["first", "second", "a", "b"]
    assert await store.due("billit", math.inf, 1) == (Due(clock.now - 2, "first"),)


@pytest.mark.parametrize(
    ("later", "found"),
    [
        pytest.param(-0.001, [], id="a-moment-before"),
        pytest.param(0.0, ["acme"], id="at-that-moment"),
        pytest.param(0.001, ["acme"], id="a-moment-after"),
    ],
)
async def test_before_is_inclusive(store, clock, connect, later, found):
    """A token that was issued at that very moment is due."""
    await connect("acme")
    assert await accounts(store, before=clock.now + later) == found


async def test_only_that_provider(store, connect):
    """Names of others that begin alike do not come along."""
    await connect("acme")
    for provider in ("bill", "billit2", "a"):
        await connect("other", provider=provider)
    assert await accounts(store) == ["acme"]
    assert await store.due("nobody", math.inf, 100) == ()


async def test_only_connected_accounts(store, make, connected):
    """Who needs its user has nothing to keep; connected again, it has."""
    await store.refuse(make.key, make.refusal(connected))
    assert await accounts(store) == []
    await store.put(make.key, make.grant("r9", "i9"))
    assert await accounts(store) == ["acme"]
    await store.delete(make.key)
    assert await accounts(store) == []


async def test_a_rotation_makes_a_token_young(store, make, clock, connected):
    """What was refreshed moves to the end, and a lease moves nothing."""
    clock.advance(100)
    await store.acquire(make.key, make.asked())
    assert await store.due("billit", clock.now - 1, 9) == (
        Due(clock.now - 100, "acme"),
    )
    await store.replace(make.key, make.rotation(connected))
    assert await store.due("billit", clock.now - 1, 9) == ()
    assert await store.due("billit", clock.now, 9) == (Due(clock.now, "acme"),)


async def test_an_adopted_token_may_be_old(store, clock, connect):
    """A token that was issued elsewhere counts from then, by the store's clock."""
    await connect("young")
    record = await connect("old", age=50.0)
    assert record.minted_at == clock.now - 50
    assert await accounts(store) == ["old", "young"]


@pytest.mark.parametrize("limit", [1, 7, 100])
async def test_pages(store, clock, connect, limit):
    """Page by page each account comes once, also where many are of one age."""
    names = [f"{number:02}" for number in range(20)]
    for number, name in enumerate(names):
        if number % 5 == 0:
            clock.advance(1)
        await connect(name)
    seen, last = [], BEGINNING
    while page := await store.due("billit", math.inf, limit, last):
        assert len(page) <= limit
        seen += [due.account for due in page]
        last = page[-1]
    assert seen == names
