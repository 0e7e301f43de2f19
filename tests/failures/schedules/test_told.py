"""The change feed: what a store tells of others' writes, and what it must not cause."""

from __future__ import annotations

import asyncio

import pytest
from attrs import evolve

from everbearer import StoreError
from everbearer.stores import Asked, Change, Rotation
from everbearer.tokens import AccountKey

pytestmark = pytest.mark.asyncio

LIFETIME = 3600.0
DIES = {"old_access_dies": True}


@pytest.fixture(name="tell")
def _tell(world, key):
    """Tell a process what is stored now, as a store does; or something else."""

    async def told(process, **otherwise):
        record = await world.record()
        change = Change(key)
        if record is not None:
            change = Change(
                key, record.incarnation, record.version, record.standing.value
            )
        process.refresher._told(evolve(change, **otherwise))

    return told


@pytest.fixture(name="both")
def _both(world):
    """A and B, which both serve the first token of the account."""

    async def served(*trips, **provider):
        await world.connect(lifetime=LIFETIME)
        a = world.process("A", *trips, **provider)
        b = world.process("B", **provider)
        assert await a.outcome() == await b.outcome() == "access-r0"
        return a, b

    return served


async def test_a_rotation_that_was_told_of_is_looked_for(both, tell):
    """Where the old token dies, the next call has the new one: no 401, one look."""
    a, b = await both(**DIES)
    await a.account.refresh()
    await tell(b)
    assert b.account.current() is None
    looks = b.store.calls["load"]
    assert [await b.outcome() for _ in range(5)] == ["access-r1"] * 5
    assert b.store.calls["load"] == looks + 1
    assert b.line.asked == 0


async def test_being_told_costs_nothing(world, both, tell):
    """Who holds the account and does not use it reads nothing, however often."""
    a, b = await both(**DIES)
    calls = b.store.calls.copy()
    for _ in range(10):
        await a.account.refresh()
        await tell(b)
        await asyncio.sleep(60)
    assert b.store.calls == calls
    assert not [line for line in world.sent if line.startswith("B")]


async def test_an_account_that_is_not_served_here_is_none_of_our_business(world, tell):
    """Fifty thousand accounts are told of: nothing is kept of any of them."""
    await world.connect(lifetime=LIFETIME)
    b = world.process("B", **DIES)
    await tell(b, version=7)
    await tell(b, key=AccountKey("billit", "another"))
    await tell(b, key=AccountKey("unheard of", "acme"))
    assert set(b.refresher._accounts) == {b.account.key}
    assert await b.outcome() == "access-r0"
    assert b.account.current() == "access-r0"


@pytest.mark.parametrize(
    ("provider", "otherwise"),
    [
        pytest.param({}, {"version": 9}, id="the old token goes on working"),
        pytest.param(DIES, {}, id="the version that is served: a lease was taken"),
        pytest.param(DIES, {"version": 0}, id="an older version, late"),
    ],
)
async def test_what_ends_no_token_changes_nothing(both, tell, provider, otherwise):
    """The token goes on being served without a look."""
    _, b = await both(**provider)
    await tell(b, **otherwise)
    assert b.account.current() == "access-r0"


@pytest.mark.parametrize("provider", [{}, DIES], ids=["lives on", "dies"])
async def test_a_disconnected_account_is_not_called_for(
    world, key, both, tell, provider
):
    """Wherever it was disconnected: nobody goes on with a token that lives still."""
    _, b = await both(**provider)
    await world.store.delete(key)
    await tell(b)
    assert await b.outcome() == "AuthorizationRequired"


async def test_an_account_whose_user_must_act_is_not_called_for(world, both, tell):
    """As in the process that was told so by the provider."""
    a, b = await both()
    world.issuer.revoked.add("r")
    with pytest.raises(Exception, match="acme"):
        await a.account.refresh()
    await tell(b)
    assert await b.outcome() == "AuthorizationRequired"
    assert b.line.asked == 0


async def test_a_new_authorization_is_used_everywhere(world, both, tell):
    """Its user may have chosen another company: the old token is the old one's."""
    a, b = await both()
    await a.adopts("s0")
    await tell(b)
    assert await b.outcome() == "access-s0"
    assert not world.sent


async def test_a_change_during_a_look_is_not_forgotten(world, both, tell):
    """B has loaded r0 and waits for the answer when A rotates: it looks again."""
    a, b = await both(**DIES)
    b.store.trouble("load", after=5, times=1)
    looking = b.account.launch()
    await asyncio.sleep(1)
    await a.account.refresh()
    await tell(b)
    await looking.landed()
    assert b.account.served.token.access_token == "access-r0"
    assert b.account.current() is None
    assert await b.outcome() == "access-r1"
    assert world.sent == ["A r0"]


async def test_who_waits_for_the_holder_learns_of_its_token_once(world, both, tell):
    """B waits for A's lease when it is told: its flight brings r1, and no more."""
    a, b = await both({"process": 5.0}, **DIES)
    world.time.stop(LIFETIME + 1)
    first, second = a.calls(), b.calls()
    await world.until(lambda: world.sent)
    await asyncio.sleep(1)
    await first
    await tell(b)
    assert await second == "access-r1"
    looks = b.store.calls["load"]
    assert await b.outcome() == "access-r1"
    assert b.store.calls["load"] == looks


async def test_what_was_told_and_then_lost_is_looked_for_once(world, both, tell, key):
    """The primary failed with r1: what the store has is what there is."""
    a, b = await both(**DIES)
    before = await world.record()
    await a.account.refresh()
    await tell(b)
    world.store._records[key] = before
    assert await b.outcome() == "access-r0"
    looks = b.store.calls["load"]
    assert await b.outcome() == "access-r0"
    assert b.store.calls["load"] == looks


async def test_an_unsaved_pair_is_not_taken_away(world, both, tell):
    """Rule 11: r1 is in A's memory alone; whatever is told, its save finds out."""
    a, _ = await both(**DIES)
    a.store.trouble("replace", error=StoreError("down"))
    await a.account.launch(unwanted="access-r0").landed()
    await tell(a, version=5)
    await tell(a, incarnation=None)
    assert a.account.current() == "access-r1"
    a.store.heal()
    await world.until(lambda: a.account.unsaved is None)
    assert a.account.current() == "access-r1"


async def test_a_clock_that_is_corrected_brings_no_token_back(both, tell):
    """What is measured anew is not served anew."""
    a, b = await both(**DIES)
    await a.account.refresh()
    await tell(b)
    b.refresher._time_moved("billit")
    assert b.account.current() is None


async def test_a_token_under_a_foreign_lease_is_waited_for(world, both, tell, key):
    """Rule 19: told of r1, which was saved while another flight may replay r0."""
    _, b = await both(replay_window=600.0, **DIES)
    record = await world.record()
    asked = Asked("of C", "C", 10.0)
    await world.store.acquire(key, asked)
    pair = world.issuer.pair("r1")
    late = Rotation(record.incarnation, record.version, pair, flight="of A")
    await world.store.replace(key, late)
    await tell(b)
    began = world.time.passed
    assert await b.outcome() == "access-r1"
    assert world.time.passed - began == pytest.approx(10.0, abs=0.5)
    assert not world.sent


async def test_a_store_that_is_down_after_it_told_is_an_error_of_its_own(both, tell):
    """As it would be after a 401: the old token is dead, and nothing is asked."""
    a, b = await both(**DIES)
    await a.account.refresh()
    await tell(b)
    b.store.trouble("load", error=StoreError("down"), times=1)
    with pytest.raises(StoreError):
        await b.account.access_token()
    assert await b.outcome() == "access-r1"
    assert b.line.asked == 0
