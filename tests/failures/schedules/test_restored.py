"""A backup of the store was put back: which refresh tokens are spent, nobody knows."""

from __future__ import annotations

import asyncio

import pytest

from everbearer.events import RefreshStarted
from everbearer.stores import RESTORED, Asked, Doubt, Pace, doubt
from everbearer.tokens import AccountKey

pytestmark = pytest.mark.asyncio


def at_once():
    return Pace(first=1, pause=600.0, rate=1.0)


def later(pause):
    return Pace(first=0, pause=pause, rate=1.0)


def attempts(process):
    """Which kinds of request *process* has made."""
    return [event.attempt for event in process.told(RefreshStarted)]


@pytest.mark.parametrize(
    ("spent", "outcome"),
    [
        pytest.param(0, "access-r1", id="a-good-backup"),
        pytest.param(2, "rotation_lost", id="rotated-since"),
    ],
)
async def test_presented_once_and_not_before_a_late_answer(world, key, spent, outcome):
    """Rules 4 and 5: the last resort, after the grace, by whoever is first."""
    await world.connect()
    world.issuer._current["r"] = spent
    assert await doubt(world.store, key, at_once()) is Doubt.MARKED
    a, b = world.process("A"), world.process("B")
    waiting = [world.spawn(each.patiently()) for each in (a, b)]
    assert await asyncio.gather(*waiting) == [outcome] * 2
    assert len(world.sent) == 1
    assert world.sent_at[0] >= world.timing.linger
    assert sorted(attempts(a) + attempts(b)) == ["last_resort"]
    record = await world.record()
    assert record.intent is None
    assert (RESTORED in record.detail) == (outcome == "rotation_lost")


async def test_a_living_access_token_is_used_up_before(world, key):
    """Rule 4a: what the backup has of it is good until the clock or the API says no."""
    record = await world.connect(lifetime=3600.0)
    await doubt(world.store, key, at_once())
    a = world.process("A")
    await asyncio.sleep(3500)
    assert await a.outcome() == "access-r0"
    await asyncio.sleep(5)
    assert world.sent == []
    assert (await world.record()).version == record.version
    await asyncio.sleep(100)
    assert await a.patiently() == "access-r1"
    assert world.sent == ["A r0"]


async def test_not_before_its_turn(world, key):
    """Rule 16: until then callers are told when, whichever process they are in."""
    await world.connect()
    await doubt(world.store, key, later(600.0))
    a = world.process("A")
    assert await a.outcome() == "TemporarilyUnavailable"
    waiting = world.spawn(a.patiently())
    await asyncio.sleep(590)
    assert world.sent == []
    assert await waiting == "access-r1"
    assert world.sent == ["A r0"]


async def test_another_pace_for_what_waits(world, key):
    """The first ones were good: the others need not wait any longer."""
    await world.connect()
    done, gone = AccountKey("billit", "done"), AccountKey("billit", "gone")
    await world.connect("s0", key=done)
    await doubt(world.store, key, later(86_400.0))
    assert await doubt(world.store, done, at_once(), waiting=True) is Doubt.OTHERS
    assert await doubt(world.store, gone, at_once(), waiting=True) is Doubt.OTHERS
    assert (await world.store.load(done)).intent is None
    assert await doubt(world.store, key, at_once(), waiting=True) is Doubt.MARKED
    assert await world.process("A").patiently() == "access-r1"
    assert world.time.passed < 600


async def test_an_unfinished_attempt_in_the_backup_stays_one(world, key):
    """Rule 1: merged, never overwritten; and rule 5 counts from now."""
    await world.connect()
    a = world.process("A", {"lost": True, "answer": 1})
    a.calls()
    await world.until(lambda: world.sent)
    a.kill()
    before = (await world.record()).intent
    await asyncio.sleep(5)
    # Its lease is in the backup as well, and ends before anything is marked.
    assert await doubt(world.store, key, at_once()) is Doubt.MARKED
    after = (await world.record()).intent
    assert after.first_sent_at == before.first_sent_at
    assert after.last_sent_at > before.last_sent_at
    assert set(before.flights) < set(after.flights)
    assert (await world.record()).lease is None


@pytest.mark.parametrize(
    "lease",
    [
        pytest.param(10.0, id="renewed"),
        pytest.param(86_400.0, id="clock-set-back"),
    ],
)
async def test_what_a_process_refreshes_now_is_not_marked(world, key, lease):
    """It was started too early: told, and left to its holder."""
    await world.connect()
    asked = Asked("flight-a", "A", lease)
    await world.store.acquire(key, asked)
    marking = world.spawn(doubt(world.store, key, at_once()))
    await asyncio.sleep(9)
    await world.store.renew(key, asked)
    assert await marking is Doubt.HELD
    assert world.time.passed < 61
    assert (await world.record()).intent.holder == "A"


async def test_whoever_needs_authorization_is_left_alone(world, key):
    """There is nothing to be tried, and no intent to explain a refusal by."""
    await world.connect()
    world.issuer.revoked.add("r")
    a = world.process("A")
    assert await a.patiently() == "refused"
    assert await doubt(world.store, key, at_once()) is Doubt.NOTHING_TO_SPEND
    record = await world.record()
    assert (record.lease, record.intent) == (None, None)


async def test_a_few_first_and_the_others_slowly():
    """For each provider: what is wrong with one backup need not be with another."""
    pace = Pace(first=2, pause=600.0, rate=4.0)
    turns = [pace.next("billit") for _ in range(4)] + [pace.next("invoiced")]
    assert turns == [0.0, 0.0, 600.0, 600.25, 0.0]
    assert (pace.is_first("billit"), pace.is_first("invoiced")) == (False, True)
