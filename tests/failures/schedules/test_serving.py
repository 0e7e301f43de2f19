"""Which token callers get: never a rejected, a dropped or an older one, and in time."""

from __future__ import annotations

import asyncio

import pytest

from everbearer import TemporarilyUnavailable
from everbearer.stores import Asked
from everbearer.token_endpoint import Ambiguous, Throttled

pytestmark = pytest.mark.asyncio

THROTTLED = {"outcome": Throttled(600.0, "busy")}


# ---- rule 20


async def test_a_rejected_token_stays_rejected(world):
    """Rule 20: also in a process that learns of the rejection before it has looked."""
    await world.connect(lifetime=3600)
    a = world.process("A", THROTTLED)
    for _ in range(2):
        with pytest.raises(TemporarilyUnavailable):
            await a.account.refresh(rejected="access-r0")
        assert a.account.current() is None
    assert a.account.rejected == {"access-r0"}
    assert world.sent == ["A r0"]


async def test_one_refresh_for_one_rejected_token(world):
    """Rule 20: both are told no; B compares, and uses what A has got."""
    await world.connect(lifetime=3600)
    a, b = world.process("A"), world.process("B")
    assert await a.outcome() == await b.outcome() == "access-r0"
    assert await a.account.replacement_for("access-r0") == "access-r1"
    assert await b.account.replacement_for("access-r0") == "access-r1"
    assert world.sent == ["A r0"]


async def test_a_siblings_token_is_used_even_if_it_is_stale(world):
    """Rule 20: what replaced the rejected token has not been rejected itself."""
    await world.connect(lifetime=7200)
    a, b = world.process("A"), world.process("B")
    assert await b.outcome() == "access-r0"
    assert await a.account.replacement_for("access-r0") == "access-r1"
    world.time.stop(3600 - 30)
    assert await b.account.replacement_for("access-r0") == "access-r1"
    assert world.sent == ["A r0"]


async def test_nobody_walks_back_to_an_older_version(world):
    """Rule 20: a look-up that was answered before the rotation changes nothing."""
    await world.connect(lifetime=3600)
    a = world.process("A")
    older = await world.record()
    assert await a.account.replacement_for("access-r0") == "access-r1"
    a.account.adopt(older)
    assert a.account.current() == "access-r1"


async def test_an_api_that_rejects_every_token_is_not_refreshed_for(world):
    """Rule 20: the interval doubles until a successor is accepted, then anew."""
    await world.connect(lifetime=3600)
    a = world.process("A")

    async def an_hour_of_calls():
        before = len(world.sent)
        for _ in range(180):
            token = await a.account.access_token()
            # Sent, and sent once more with the successor, as a session does.
            token = await a.account.replacement_for(token)
            if token is not None:
                await a.account.replacement_for(token)
            await asyncio.sleep(20)
        return len(world.sent) - before

    assert 5 < await an_hour_of_calls() <= 10
    assert await an_hour_of_calls() <= 2
    a.account.accepted(await a.account.access_token())
    assert await an_hour_of_calls() > 5
    assert not world.issuer.revoked


@pytest.mark.parametrize(
    ("what", "served"), [("disconnect", None), ("adopt", "access-s0")]
)
async def test_a_look_up_under_way_does_not_bring_an_old_grant_back(
    world, key, what, served
):
    """Rules 13 and 20: read before it was disconnected or authorized anew."""
    await world.connect(lifetime=3600)
    a = world.process("A")
    a.store.trouble("load", after=5, times=1)
    first = a.calls()
    await asyncio.sleep(1)
    if what == "disconnect":
        await world.store.delete(key)
        a.account.forget()
    else:
        await a.adopts("s0")
    await first
    assert a.account.current() == served


# ---- rules 4a and 16: a living token is used


@pytest.mark.parametrize(
    "trip",
    [
        pytest.param(THROTTLED, id="503"),
        pytest.param({"outcome": Ambiguous("lost")}, id="lost"),
    ],
)
async def test_a_cold_start_uses_a_token_that_lives_still(world, trip):
    """Rules 4 and 16: the refresh of a stale token fails: nobody's call does."""
    await world.connect(lifetime=3600)
    world.time.stop(3600 - 30)
    a = world.process("A", trip)
    assert await a.outcome() == "access-r0"
    await asyncio.sleep(1)
    assert await a.outcome() == "access-r0"
    assert world.sent == ["A r0"]


async def test_a_lost_answer_is_no_news_to_the_next_thousand(world):
    """Rule 4: while the old token lives there are no more background flights."""
    await world.connect(lifetime=3600)
    world.time.stop(3600 - 50)
    a = world.process("A", {"lost": True})
    await a.outcome()
    await world.until(lambda: world.sent)
    looks = a.store.calls["load"]
    for _ in range(1000):
        assert await a.outcome() == "access-r0"
        await asyncio.sleep(0.04)
    assert a.store.calls["load"] <= looks + 2


# ---- rule 21


async def test_waiting_for_others_has_an_end(world, key):
    """Rule 21: a holder that never ends: L + G + D, and a TemporarilyUnavailable."""
    await world.connect()
    b = world.process("B")

    async def hang():
        asked = Asked("of A", "A", 10.0)
        await world.store.acquire(key, asked)
        while True:
            await asyncio.sleep(3)
            await world.store.renew(key, asked)

    world.spawn(hang())
    await asyncio.sleep(0)
    with pytest.raises(TemporarilyUnavailable) as caught:
        await b.account.access_token()
    assert world.time.passed == pytest.approx(b.refresher.timing.patience, abs=1)
    assert caught.value.retry_after > 0
    assert not world.sent


async def test_a_living_grant_yields_a_token_in_time(world):
    """Rule 21: A is lost and so was its request: 2 L + G + D + back-off is enough."""
    await world.connect()
    a = world.process("A", {"outcome": Ambiguous("lost"), "answer": 50})
    b = world.process("B")
    a.calls()
    await world.until(lambda: world.sent)
    a.kill()
    assert await b.patiently() == "access-r1"
    t = world.timing
    assert world.time.passed <= 2 * t.lease + t.grace + t.deadline + t.back_off


async def test_a_dead_holder_costs_a_lease_term(world, key):
    """Rule 21: even if it has sent nothing, its intent costs X once it is found."""
    await world.connect()
    b = world.process("B")
    await world.store.acquire(key, Asked("of the dead", "dead", 10.0))
    assert await b.patiently() == "access-r1"
    t = world.timing
    assert world.time.passed <= 2 * t.lease + t.grace + t.deadline + t.back_off
