"""What must hold before a refresh token leaves a process, and who may send it next."""

from __future__ import annotations

import asyncio
import logging

import pytest
from attrs import evolve

from everbearer import StoreError
from everbearer.events import RefreshStarted
from everbearer.token_endpoint import NotSent, Refused, Throttled

pytestmark = pytest.mark.asyncio


# ---- rules 2, 3 and 4: what a sending leaves behind


async def test_a_connect_error_does_not_clear_somebody_elses_sending(world):
    """Rule 2: A sends and dies, B cannot connect: the token is unfinished still."""
    await world.connect()
    a = world.process("A", {"process": 5})
    b = world.process("B", {"outcome": NotSent("refused")})
    a.calls()
    await world.until(lambda: world.sent)
    a.kill()
    assert await b.outcome() == "TemporarilyUnavailable"
    intent = (await world.record()).live_intent
    assert intent.holder == "A"
    assert await b.patiently() == "rotation_lost"
    started = [event.attempt for event in b.told(RefreshStarted)]
    assert started == ["last_resort", "last_resort"]


async def test_an_answer_after_the_deadline_is_not_overtaken(world):
    """Rule 3: A is freed at D with its request out: B waits for what A may save."""
    await world.connect()
    a = world.process("A", {"connect": 9, "process": 1, "answer": 58})
    b = world.process("B")
    assert await a.outcome() == "TemporarilyUnavailable"
    record = await world.record()
    assert record.lease is None
    assert record.live_intent.holder == "A"
    assert await b.patiently() == "access-r1"
    assert world.sent == ["A r0"]


async def test_a_living_access_token_is_used_up_before_anything_is_sent_again(world):
    """Rule 4: after a lost answer nobody spends while there is something to lose."""
    await world.connect(lifetime=3600)
    world.time.stop(3600 - 500)
    a = world.process("A", {"lost": True}, leeway=600)
    b = world.process("B", leeway=600)
    assert await a.outcome() == "access-r0"
    await world.until(lambda: world.sent)
    # Much longer than any grace.
    for _ in range(40):
        await asyncio.sleep(11)
        assert await a.outcome() == await b.outcome() == "access-r0"
    assert world.sent == ["A r0"]
    await asyncio.sleep(60)
    assert await b.patiently() == "rotation_lost"
    assert world.sent == ["A r0", "B r0"]


# ---- rules 7 and 8: whose lease, and what its record says


async def test_a_late_clean_up_does_not_release_the_next_lease(world):
    """Rule 7: A's flight for r0 ends while another of A's spends the adopted s0."""
    await world.connect()
    a = world.process("A", {"outcome": NotSent("reset"), "connect": 5})
    b = world.process("B")
    first = a.calls()
    await world.until(lambda: a.line.asked)
    await world.connect("s0")
    # One more of that process: the lease id is the flight's.
    other = world.process("A", {"process": 20})
    second = other.calls()
    await asyncio.sleep(6)
    assert await first == "TemporarilyUnavailable"
    assert (await world.record()).live_intent.holder == "A"
    assert await b.outcome() == await second == "access-s1"
    assert world.sent == ["A s0"]


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        pytest.param(Throttled(60.0, "busy"), "TemporarilyUnavailable", id="throttle"),
        pytest.param(
            Refused("invalid_grant", "", 400), "AuthorizationRequired", id="refusal"
        ),
    ],
)
async def test_what_is_recorded_while_a_lease_is_asked_for_counts(
    world, answer, outcome
):
    """Rule 8: B looks before A's answer is stored, and gets the lease after it."""
    await world.connect()
    a = world.process("A", {"outcome": answer, "answer": 1})
    b = world.process("B")
    b.store.trouble("acquire", before=5)
    assert await asyncio.gather(a.outcome(), b.outcome()) == [outcome, outcome]
    assert world.sent == ["A r0"]


async def test_a_lease_whose_acknowledgement_was_lost_is_given_back(world):
    """Rule 2: A's flight sent nothing, and its next one says so: nobody waits."""
    await world.connect()
    a = world.process("A")
    a.store.trouble("acquire", error=StoreError("reset"), applied=True, times=1)
    with pytest.raises(StoreError):
        await a.account.access_token()
    assert (await world.record()).live_intent.holder == "A"
    assert await a.outcome() == "access-r1"
    assert world.time.passed < 1
    assert world.sent == ["A r0"]


# ---- rules 9 and 10: the lease, just before the bytes are written


async def test_a_process_that_slept_after_acquiring_does_not_send(world):
    """Rule 9: stopped between lease and write while B refreshes, A uses B's token."""
    # So that it is the lease that forbids it, and not the time left for an answer.
    patient = evolve(world.timing, connect=80)
    await world.connect()
    a, b = world.process("A", {"connect": 8}, timing=patient), world.process("B")
    first = a.calls()
    await world.until(lambda: a.line.asked)
    world.time.stop(30)
    assert await b.outcome() == "access-r1"
    assert await first == "access-r1"
    assert world.sent == ["B r0"]


async def test_the_time_that_acquiring_took_counts(world):
    """Rule 9: the holder's clock starts before the acquire call, not at its answer."""
    await world.connect()
    a, b = world.process("A", {"process": 59}), world.process("B")
    a.store.trouble("acquire", after=12, times=1)
    first = a.calls()
    await asyncio.sleep(11)
    second = b.calls()
    assert await first == await second == "access-r1"
    assert len(world.sent) == 1


async def test_what_has_not_left_by_the_deadline_never_leaves(world):
    """Rule 9: a connection that comes while the lease is given back is too late."""
    patient = evolve(world.timing, connect=80)
    await world.connect()
    a, b = world.process("A", {"connect": 70}, timing=patient), world.process("B")
    a.store.trouble("release", before=20)
    assert await a.outcome() == "TemporarilyUnavailable"
    assert await b.patiently() == "access-r1"
    await asyncio.sleep(60)
    assert world.sent == ["B r0"]


async def test_a_pause_past_the_deadline_is_noted_in_the_record(world):
    """Rules 5 and 9: A sleeps, wakes, and sends at once: B's grace counts from then."""
    patient = evolve(world.timing, connect=70)
    await world.connect()
    a = world.process("A", {"connect": 50, "process": 30}, timing=patient)
    b = world.process("B")
    a.store.trouble("release", before=0.005)
    first = a.calls()
    await asyncio.sleep(5)
    world.time.stop(62)
    assert await first == "TemporarilyUnavailable"
    assert await b.patiently() == "access-r1"
    await asyncio.sleep(60)
    assert not world.issuer.revoked


async def test_the_sending_is_noted_and_not_only_the_lease(world):
    """Rules 5, 6 and 9: a slow connect does not shorten the grace of the next."""
    await world.connect()
    a, b = world.process("A", {"connect": 9.5, "process": 59}), world.process("B")
    a.calls()
    await world.until(lambda: world.sent)
    noted = (await world.record()).live_intent.last_sent_at
    assert world.time.wall() - noted <= a.refresher.timing.lease / 3
    a.kill()
    assert await b.patiently() == "rotation_lost"
    assert world.sent == ["A r0", "B r0"]
    assert world.sent_at[1] - world.sent_at[0] >= b.refresher.timing.linger


async def test_a_lost_lease_does_not_lose_the_answer(world):
    """Rule 10: A is cut off from the store for longer than L and has sent: it saves."""
    await world.connect()
    a, b = world.process("A", {"process": 30}), world.process("B")
    first = a.calls()
    await world.until(lambda: world.sent)
    a.store.trouble("renew", error=StoreError("cut off"))
    await asyncio.sleep(15)
    second = b.calls()
    await asyncio.sleep(5)
    assert (await world.record()).lease.holder == "B"
    # From now on A knows that it has lost the lease.
    a.store.heal()
    assert await first == await second == "access-r1"
    assert world.sent == ["A r0"]


async def test_a_failed_renewal_forbids_sending(world, caplog):
    """Rule 10: unsure of its lease A sends nothing, and that is an ordinary ending."""
    await world.connect()
    a = world.process("A", {"connect": 5}, {"connect": 5})
    a.store.trouble("renew", error=StoreError("busy"))
    for _ in range(2):
        with pytest.raises(StoreError, match="busy"):
            await a.account.access_token()
    assert not world.sent
    assert (await world.record()).live_intent is None
    assert not [each for each in caplog.records if each.levelno >= logging.ERROR]


@pytest.mark.parametrize(
    "error", [StoreError("busy"), OSError("reset"), KeyError("pool")], ids=repr
)
async def test_a_renewal_that_fails_is_tried_again(world, error):
    """Rule 10: whatever a store raises, the lease is renewed at the next third."""
    await world.connect()
    a, b = world.process("A", {"process": 50}), world.process("B")
    a.store.trouble("renew", error=error, times=1)
    first, second = a.calls(), b.calls()
    await asyncio.sleep(49)
    assert (await world.record()).lease.holder == "A"
    assert await first == await second == "access-r1"
    assert a.store.calls["renew"] > 10


async def test_a_store_too_slow_for_the_lease_frees_the_waiters(world):
    """Rules 9 and 21: two thirds are never left, so nothing is sent, and said so."""
    await world.connect()
    a = world.process("A")
    a.store.trouble("acquire", "renew", after=4)
    assert await a.outcome() == "TemporarilyUnavailable"
    assert world.time.passed <= a.refresher.timing.patience + 10
    assert not world.sent
    assert (await world.record()).live_intent is None


async def test_a_request_that_leaves_late_has_its_whole_time(world):
    """Rule 11: A stands still while it connects; the answer takes less than X."""
    trip = {"connect": 0.5, "answer": 20.0}
    a = world.process("A", trip, trip)
    await world.connect()
    call = a.calls()
    await asyncio.sleep(0.2)
    world.time.stop(55.0)
    assert await call == "access-r1"
    assert world.sent == ["A r0"]
