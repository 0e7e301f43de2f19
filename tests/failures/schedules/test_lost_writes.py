"""The store loses its newest writes: a replica took over, or a backup was put back."""

from __future__ import annotations

import asyncio

import pytest

from everbearer import StoreError
from everbearer.events import RefreshConflict, SavedLate
from everbearer.tokens import Standing

pytestmark = pytest.mark.asyncio

LIFETIME = 3600.0


@pytest.fixture(name="lose")
def _lose(world, key):
    """From now on the store has what it had when that record was read."""

    def lost(record):
        world.store._records[key] = record

    return lost


async def rotated(world, *processes):
    """Let each in turn replace the token; what is stored before that and after each."""
    records = [await world.record()]
    for process in processes:
        await process.account.refresh()
        records.append(await world.record())
    return records


async def test_a_living_holder_puts_a_missing_version_back(world, lose):
    """Rules 12 and 13: r0 is spent, r1 is in A's memory: nobody presents r0 again."""
    await world.connect(lifetime=LIFETIME)
    a, b = world.process("A"), world.process("B")
    before, after = await rotated(world, a)
    await asyncio.sleep(60)
    lose(before)
    await asyncio.sleep(LIFETIME)
    assert await a.patiently() == "access-r2"
    assert [event.resolution for event in a.told(RefreshConflict)] == ["restored"]
    assert await b.outcome() == "access-r2"
    assert world.sent == ["A r0", "A r1"]
    assert (await world.record()).version == after.version + 1


async def test_it_is_as_old_as_it_was(world, lose):
    """The keeper's order and every leeway count from when the token was issued."""
    await world.connect(lifetime=LIFETIME)
    a = world.process("A")
    before, after = await rotated(world, a)
    await asyncio.sleep(60)
    lose(before)
    a.account.launch()
    await world.until(lambda: a.told(RefreshConflict))
    restored = await world.record()
    assert (restored.token, restored.version) == (after.token, after.version)
    assert restored.minted_at == pytest.approx(after.minted_at)
    assert world.sent == ["A r0"]


@pytest.mark.parametrize("first", [0, 1], ids=["older first", "newest first"])
async def test_of_several_holders_the_newest_wins(world, lose, first):
    """Rule 20: C has r1 in memory and A has r2: in whatever order they look."""
    await world.connect(lifetime=LIFETIME)
    a, c = world.process("A"), world.process("C")
    before, _, newest = await rotated(world, c, a)
    assert c.account.current() == "access-r1"
    lose(before)
    for process in ((c, a), (a, c))[first]:
        await process.account.launch().landed()
        await process.account.launch().landed()
    stored = await world.record()
    assert (stored.version, stored.token) == (newest.version, newest.token)
    assert world.sent == ["C r0", "A r1"]


async def test_an_answer_that_comes_after_the_fail_over_is_stored(world, lose):
    """Rule 12: A spends r1 while the store falls back to r0; r2 descends from both."""
    await world.connect(lifetime=LIFETIME)
    a = world.process("A", {}, {"process": 5})
    before, _ = await rotated(world, a)
    refreshing = world.spawn(a.account.refresh())
    await world.until(lambda: len(world.sent) == 2)
    lose(before)
    await refreshing
    assert (await world.record()).token.refresh_token == "r2"
    assert (await world.record()).version == 3
    assert world.sent == ["A r0", "A r1"]


async def test_an_unsaved_pair_is_stored_in_a_store_that_fell_back(world, lose):
    """Rules 11 and 17: the primary fails when r1 is spent; the replica has only r0."""
    await world.connect(lifetime=LIFETIME)
    a = world.process("A")
    before, _ = await rotated(world, a)
    a.store.trouble("replace", error=StoreError("failing over"))
    await a.account.launch(unwanted="access-r1").landed()
    assert a.account.unsaved is not None
    lose(before)
    a.store.heal()
    await world.until(lambda: a.told(SavedLate))
    record = await world.record()
    assert (record.token.refresh_token, record.version) == ("r2", 3)
    assert world.sent == ["A r0", "A r1"]


async def test_a_refusal_of_the_old_token_is_void(world, lose):
    """Rule 15: B was refused r0, which the store had again; A's r1 lives."""
    world.issuer.revokes = False
    await world.connect(lifetime=LIFETIME)
    a, b = world.process("A"), world.process("B")
    before, _ = await rotated(world, a)
    lose(before)
    b.account.reject("access-r0")
    assert await b.outcome() == "AuthorizationRequired"
    a.account.launch()
    await world.until(lambda: a.told(RefreshConflict))
    assert (await world.record()).standing is Standing.CONNECTED
    assert await b.outcome() == "access-r1"


async def test_a_flight_that_began_on_the_old_record_sends_nothing(world, lose):
    """Rule 9: B has the lease on r0 and connects while A puts r1 back."""
    await world.connect(lifetime=LIFETIME)
    a, b = world.process("A"), world.process("B", {"connect": 8})
    before, after = await rotated(world, a)
    lose(before)
    b.account.reject("access-r0")
    calling = b.calls()
    await world.until(lambda: b.line.asked)
    a.account.launch()
    await world.until(lambda: a.told(RefreshConflict))
    assert await calling == after.token.access_token
    assert world.sent == ["A r0"]


async def test_another_authorization_is_not_put_back_over(world):
    """Rule 13: a new incarnation may have a lower version, and is the user's word."""
    await world.connect(lifetime=LIFETIME)
    a, b = world.process("A"), world.process("B")
    await rotated(world, a, a)
    await world.store.delete((await world.record()).key)
    await b.adopts("s0")
    await a.account.launch().landed()
    assert (await world.record()).token.refresh_token == "s0"
    assert await a.outcome() == "access-s0"
