"""What a process does before it presents a refresh token that others have sent."""

from __future__ import annotations

import asyncio

import pytest
from attrs import evolve

from everbearer import StoreError
from everbearer.events import RefreshStarted
from everbearer.stores import Asked, Settlement
from everbearer.token_endpoint import Ambiguous
from everbearer.tokens import BackOff, BackOffKind

pytestmark = pytest.mark.asyncio

EVERYTHING = ("load", "acquire", "renew", "release", "replace", "changed")


def attempts(process):
    """Which kinds of request *process* has made."""
    return [event.attempt for event in process.told(RefreshStarted)]


async def test_an_answer_that_is_about_to_be_saved_is_waited_for(world):
    """Rule 5: A is cut off from the store with r1 in hand, and saves it in time."""
    await world.connect()
    a, b = world.process("A", {"process": 5}), world.process("B")
    first = a.calls()
    await world.until(lambda: world.sent)
    a.store.trouble(*EVERYTHING, error=StoreError("cut off"))
    assert await first == "access-r1"
    second = b.calls()
    await asyncio.sleep(40)
    assert (await world.record()).lease.holder == "B"
    a.store.heal()
    assert await second == "access-r1"
    assert world.sent == ["A r0"]


async def test_a_grace_starts_again_when_a_store_call_fails(world):
    """Rule 5: what a flapping store did not tell B may be that A has saved r1."""
    await world.connect()
    a = world.process("A", {"connect": 9, "process": 1, "answer": 55})
    b = world.process("B")
    a.calls()
    await asyncio.sleep(11)
    a.store.trouble("renew", "replace", error=StoreError("cut off"))
    waiting = world.spawn(b.patiently())
    await asyncio.sleep(66 - 11)
    b.store.trouble("load", "changed", error=StoreError("flapping"))
    await asyncio.sleep(5)
    b.store.heal()
    await asyncio.sleep(75 - 71)
    # X after A's sending, and G after B took over, are past.
    assert world.sent == ["A r0"]
    a.store.heal()
    assert await waiting == "access-r1"
    assert world.sent == ["A r0"]


async def test_a_grace_longer_than_the_lease_keeps_the_lease(world):
    """Rule 5: B renews while it waits, or C and B would take turns for ever."""
    timing = evolve(world.timing, grace=35)
    await world.connect()
    a = world.process("A", {"outcome": Ambiguous("lost"), "answer": 50})
    b, c = (world.process(name, timing=timing) for name in "BC")
    a.calls()
    await world.until(lambda: world.sent)
    a.kill()
    waiting = [world.spawn(each.patiently()) for each in (b, c)]
    await asyncio.sleep(15)
    for _ in range(45):
        await asyncio.sleep(1)
        assert (await world.record()).lease.holder == "B"
    assert await asyncio.gather(*waiting) == ["access-r1", "access-r1"]
    assert world.sent == ["A r0", "B r0"]


async def test_a_last_resort_is_a_sending_like_any_other(world):
    """Rule 6: A and B are lost in turn; C waits for B's answer, not just for A's."""
    await world.connect()
    a = world.process("A", {"outcome": Ambiguous("lost"), "answer": 50})
    b, c = world.process("B", {"process": 40}), world.process("C")
    a.calls()
    await world.until(lambda: world.sent)
    a.kill()
    world.spawn(b.patiently())
    await world.until(lambda: len(world.sent) == 2)
    b.store.trouble("renew", error=StoreError("cut off"))
    assert await c.patiently() == "access-r1"
    assert world.sent == ["A r0", "B r0"]
    assert world.sent_at[1] >= c.refresher.timing.linger


async def test_three_crashes_in_a_row_never_overlap(world):
    """Rules 5 and 6: each attempt comes X after the one before it, whoever made it."""
    await world.connect()
    lost = {"outcome": Ambiguous("lost"), "answer": 50}
    for name in "ABC":
        process = world.process(name, lost)
        world.spawn(process.patiently())
        await world.until(lambda name=name: f"{name} r0" in world.sent)
        process.kill()
    assert await world.process("D").patiently() == "access-r1"
    pauses = [b - a for a, b in zip(world.sent_at, world.sent_at[1:], strict=False)]
    assert len(pauses) == 3
    assert min(pauses) >= world.timing.linger


async def test_a_lease_lost_in_the_grace_is_waited_for_again(world, key):
    """Rules 5 and 10: stopped for longer than L, B goes back to the queue, quietly."""
    await world.connect()
    await world.store.acquire(key, Asked("of the dead", "dead", 0.01))
    b = world.process("B")
    waiting = world.spawn(b.patiently())
    await asyncio.sleep(20)
    world.time.stop(11)
    assert (await world.store.acquire(key, Asked("of C", "C", 10.0))).granted
    await asyncio.sleep(9)
    assert not world.sent
    assert await waiting == "access-r1"
    assert attempts(b) == ["last_resort"]
    assert b.store.calls["load"] < 100


async def test_what_is_recorded_during_the_grace_counts(world, key):
    """Rules 5 and 8: the holder that was given up reports a 503: B asks for nothing."""
    await world.connect()
    asked = Asked("of A", "A", 5.0)
    acquired = await world.store.acquire(key, asked)
    b = world.process("B")
    first = b.calls()
    await asyncio.sleep(20)
    throttled = BackOff(BackOffKind.THROTTLED, 600.0, "", 1, 0.0, "Retry-After: 600")
    await world.store.release(
        key, asked, Settlement(acquired.found, restore=True, back_off=throttled)
    )
    assert await first == "TemporarilyUnavailable"
    assert not world.sent


# ---- rule 18


async def test_a_replay_waits_for_the_grace_too(world):
    """Rule 18: inside the provider's window, but not before the first is answered."""
    world.issuer.replays = True
    await world.connect()
    a = world.process("A", {"lost": True}, replay_window=600)
    b = world.process("B", replay_window=600)
    assert await a.outcome() == "TemporarilyUnavailable"
    # As long as the failure is remembered, and nothing like X.
    await asyncio.sleep(2)
    assert await b.patiently() == "access-r1"
    assert attempts(a) + attempts(b) == ["spend", "replay"]
    assert world.sent_at[1] - world.sent_at[0] >= b.refresher.timing.linger


@pytest.mark.parametrize(
    ("connect", "kinds"),
    [
        pytest.param(1.0, ["replay"], id="open"),
        # 63.3 s of grace and 9.5 s: processed 60 s later it would be outside.
        pytest.param(9.5, ["replay", "last_resort"], id="closed while connecting"),
    ],
)
async def test_the_window_is_looked_at_again_when_sending(world, key, connect, kinds):
    """Rule 18: not sent as a replay unless processed inside the window for certain."""
    await world.connect()
    await world.store.acquire(key, Asked("of the dead", "dead", 0.01))
    b = world.process("B", {"connect": connect}, replay_window=130)
    assert await b.patiently() == "access-r1"
    assert attempts(b) == kinds
    assert world.sent == ["B r0"]


async def test_a_window_shorter_than_a_grace_is_none(world):
    """Rule 18: W < D + G + X: presented again as the last resort only."""
    world.issuer.replays = True
    await world.connect(lifetime=3600)
    world.time.stop(3600 - 50)
    a = world.process("A", {"lost": True}, replay_window=129)
    assert await a.outcome() == "access-r0"
    await asyncio.sleep(51)
    assert await a.patiently() == "access-r1"
    assert attempts(a) == ["spend", "last_resort"]
