"""What happens beside a flight: foreign leases, stores that fail late, cold starts."""

from __future__ import annotations

import asyncio

import pytest

from everbearer.errors import (
    AuthorizationRequired,
    ConfigurationError,
    StoreError,
    TemporarilyUnavailable,
)
from everbearer.events import SavedLate
from everbearer.token_endpoint import Ambiguous, Throttled, Unrecognised

pytestmark = pytest.mark.asyncio

WINDOWED = {"replay_window": 600.0}


async def test_what_was_saved_over_a_foreign_lease_waits_for_its_end(world):
    """Rule 19: A saves r1 late, while B's replay of r0 is on its way: nobody uses r1.

    Its first use could close the window that B's replay relies on.
    """
    world.issuer.replays = True
    await world.connect()
    a = world.process("A", {"answer": 65.0}, **WINDOWED)
    b = world.process("B", {"answer": 20.0}, **WINDOWED)
    c = world.process("C", **WINDOWED)
    a.store.trouble("replace", before=10.0)
    first = a.calls()
    await asyncio.sleep(1)
    second = world.spawn(b.patiently())
    await first
    await world.until(lambda: len(world.sent) == 2)
    replayed_at = world.time.passed
    await world.until(lambda: world.time.passed > replayed_at + 10.0)
    record = await world.record()
    assert (record.token.refresh_token, record.lease is None) == ("r1", False)
    assert a.account.current() is None
    third = c.calls()
    await asyncio.sleep(1)
    assert not third.done()
    assert await third == await second == "access-r1"
    assert world.time.passed >= replayed_at + 19.9
    assert world.sent == ["A r0", "B r0"]
    assert not world.issuer.revoked


async def test_an_unsaved_token_is_not_used_where_that_closes_a_window(world):
    """Rule 19: while the store does not take r1, its callers wait."""
    await world.connect()
    a = world.process("A", **WINDOWED)
    a.store.trouble("replace", error=StoreError("full"), times=3)
    assert await a.outcome() == "TemporarilyUnavailable"
    assert await a.patiently() == "access-r1"
    assert world.sent == ["A r0"]


async def test_what_was_unsaved_and_is_stored_over_a_lease_waits_for_its_end(world):
    """Rule 19: A comes back to the store with r1 while B's replay of r0 travels."""
    world.issuer.replays = True
    await world.connect()
    a = world.process("A", {"process": 5.0}, **WINDOWED)
    b = world.process("B", {"process": 30.0}, **WINDOWED)
    first = a.calls()
    await world.until(lambda: world.sent)
    a.store.trouble("replace", "renew", "acquire", error=StoreError("cut off"))
    assert await first == "TemporarilyUnavailable"
    second = world.spawn(b.patiently())
    await world.until(lambda: len(world.sent) == 2)
    replayed_at = world.time.passed
    a.store.heal()
    await asyncio.sleep(15)
    record = await world.record()
    assert (record.token.refresh_token, record.lease.holder) == ("r1", "B")
    assert a.account.current() is None
    assert await a.patiently() == await second == "access-r1"
    assert world.time.passed >= replayed_at + 30
    assert world.sent == ["A r0", "B r0"]


async def test_a_late_answer_whose_save_fails_takes_the_lease_again(world):
    """Rule 11: A has r1 and no lease any more; B must not present r0 meanwhile."""
    await world.connect()
    a, b = world.process("A", {"answer": 61.0}), world.process("B")
    a.store.trouble("replace", error=StoreError("full"), times=20)
    await a.outcome()
    await asyncio.sleep(2)
    later = world.spawn(b.patiently())
    await world.until(lambda: a.told(SavedLate))
    assert await later == "access-r1"
    assert world.sent == ["A r0"]
    assert not world.issuer.revoked


async def test_a_throttle_that_the_store_did_not_take_is_remembered_here(world):
    """Rule 16: Retry-After counts, though the lease could not be given back."""
    await world.connect()
    a = world.process("A", {"outcome": Throttled(600.0, "slow down")})
    a.store.trouble("release", error=StoreError("gone"), times=3)
    assert await a.outcome() == "TemporarilyUnavailable"
    assert await a.patiently() == "access-r1"
    first, second = world.sent_at
    assert second - first >= 600.0


async def test_a_cold_start_does_not_wait_for_a_slow_endpoint(world):
    """Rule 21: a stale token that lives is used at once, as in a warm process."""
    await world.connect(lifetime=3600)
    world.time.stop(3600 - 30)
    started = world.time.passed
    a = world.process("A", {"answer": 50.0})
    assert await a.outcome() == "access-r0"
    assert world.time.passed - started < 1.0
    await asyncio.sleep(55)
    assert await a.outcome() == "access-r1"
    assert world.sent == ["A r0"]


async def test_an_api_that_refuses_all_is_asked_about_ever_more_rarely(world):
    """Rule 20: whoever polls every 20 s spends few tokens on a permission error."""
    await world.connect(lifetime=3600)
    a = world.process("A")
    for _ in range(180):
        await a.account.refresh(rejected=await a.account.access_token())
        await asyncio.sleep(20)
    assert len(world.sent) <= 12


NO_REASON = {"outcome": Unrecognised(400, "odd", "we do not say")}


async def account_after(world, seconds, *, others_succeed):
    """What a caller gets after so long of refusals without a reason, 3 at least."""
    await world.connect()
    a = world.process("A", *[NO_REASON] * 40)
    end = world.time.passed + seconds
    while True:
        if others_succeed:
            a.refresher.granted("billit")
        try:
            await a.account.access_token()
        except TemporarilyUnavailable as wait:
            if world.time.passed >= end and len(world.sent) >= 3:
                return "still waiting"
            await asyncio.sleep(max(wait.retry_after, 0.1))
        except (AuthorizationRequired, ConfigurationError) as error:
            return type(error).__name__


async def test_refusals_without_a_reason_are_believed_in_the_end(world):
    """Three over ten minutes, while others succeed: it is this grant."""
    ended = await account_after(world, 3600, others_succeed=True)
    assert ended == "AuthorizationRequired"
    assert world.time.passed >= 600
    record = await world.record()
    assert record.reason == "refused"


async def test_refusals_without_a_reason_may_be_the_registrations_fault(world):
    """Nobody succeeds: then no user is asked to connect again."""
    ended = await account_after(world, 3600, others_succeed=False)
    assert ended == "ConfigurationError"
    assert (await world.record()).reason is None


async def test_refusals_without_a_reason_are_not_believed_early(world):
    """Nine minutes are an outage that speaks badly."""
    ended = await account_after(world, 300, others_succeed=True)
    assert ended == "still waiting"


async def test_where_nothing_rotates_a_lost_answer_is_no_matter(world):
    """The refresh token is presented again at once: that harms nobody."""
    await world.connect()
    a = world.process("A", {"outcome": Ambiguous("lost")}, rotation="never")
    assert await a.patiently() == "access-r1"
    assert world.time.passed < 70
    first, second = world.sent_at
    assert second - first < 15
