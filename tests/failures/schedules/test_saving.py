"""A rotation is saved: late, against a failing store, and without harming another."""

from __future__ import annotations

import asyncio

import pytest

from everbearer import (
    ConfigurationError,
    StoreError,
    TemporarilyUnavailable,
    Token,
)
from everbearer.events import RefreshConflict, SavedLate, SaveFailed
from everbearer.providers import BILLIT
from everbearer.stores import Rotation
from everbearer.token_endpoint import Granted, Refused, Throttled
from everbearer.tokens import Standing

pytestmark = pytest.mark.asyncio

# Freed at D = 60, answered at 67: within X of the sending.
LATE = {"connect": 9, "process": 1, "answer": 57}


# ---- rule 11: answers after the deadline


async def test_a_late_answer_ends_the_grace_of_the_next_flight(world):
    """Rule 11: what comes between D and X is saved, and sent for no second time."""
    await world.connect()
    a = world.process("A", LATE)
    assert await a.outcome() == "TemporarilyUnavailable"
    assert world.time.passed == pytest.approx(a.refresher.timing.deadline)
    await asyncio.sleep(2)
    assert await a.outcome() == "access-r1"
    assert world.time.passed == pytest.approx(67)
    assert [event.version for event in a.told(SavedLate)] == [2]
    assert world.sent == ["A r0"]


async def test_who_holds_an_unsaved_pair_sends_nothing(world):
    """Rule 11: the late r1 cannot be saved, so A's own grace for r0 is over."""
    await world.connect()
    a = world.process("A", LATE)
    a.store.trouble("replace", error=StoreError("disk full"))
    assert await a.outcome() == "TemporarilyUnavailable"
    await asyncio.sleep(2)
    assert await a.outcome() == "access-r1"
    assert world.time.passed == pytest.approx(67, abs=4)
    await asyncio.sleep(120)
    assert await a.outcome() == "access-r1"
    assert world.sent == ["A r0"]
    a.store.heal()
    await world.until(lambda: a.told(SavedLate))
    assert (await world.record()).token.refresh_token == "r1"


@pytest.mark.parametrize(
    ("second_answer", "meanwhile"),
    [
        pytest.param(None, "AuthorizationRequired", id="refused"),
        pytest.param(Throttled(600.0, ""), "TemporarilyUnavailable", id="503"),
    ],
)
async def test_a_late_save_beats_what_a_second_attempt_was_told(
    world, second_answer, meanwhile
):
    """Rules 11 and 15: A holds r1 while B presents r0; A's save makes it good."""
    world.issuer.revokes = False
    await world.connect()
    a = world.process("A", LATE)
    b = world.process("B", {"outcome": second_answer})
    a.calls()
    await world.until(lambda: world.sent)
    a.store.trouble("replace", "renew", error=StoreError("cut off"))
    await asyncio.sleep(52)
    assert await b.outcome() == meanwhile
    assert world.sent == ["A r0", "B r0"]
    a.store.heal()
    await world.until(lambda: a.told(SavedLate))
    assert await a.outcome() == await b.outcome() == "access-r1"
    assert (await world.record()).standing is Standing.CONNECTED


async def test_a_throttle_outlives_the_save_of_another(world):
    """Rule 16: told to stay away for 600 s by B's 503, r1 is not spent before."""
    await world.connect()
    a = world.process("A", LATE)
    b = world.process("B", {"outcome": Throttled(600.0, "")})
    a.calls()
    await world.until(lambda: world.sent)
    a.store.trouble("replace", "renew", error=StoreError("cut off"))
    await asyncio.sleep(52)
    assert await b.outcome() == "TemporarilyUnavailable"
    throttled_at = world.time.passed
    a.store.heal()
    await world.until(lambda: a.told(SavedLate))
    assert await b.account.replacement_for("access-r0") == "access-r1"
    a.account.reject("access-r1")
    assert await a.outcome() == "TemporarilyUnavailable"
    assert world.sent == ["A r0", "B r0"]
    assert await a.patiently() == "access-r2"
    assert world.sent_at[2] - throttled_at >= 600


# ---- rules 12 to 15: against an authorization, a disconnect, another successor


@pytest.mark.parametrize("disconnected", [False, True], ids=["over it", "after a gap"])
@pytest.mark.parametrize(
    "answer",
    [
        pytest.param({}, id="rotation"),
        pytest.param({"outcome": Refused("invalid_grant", "", 400)}, id="refusal"),
    ],
)
async def test_a_late_answer_about_r0_does_not_touch_the_adopted_s0(
    world, key, disconnected, answer
):
    """Rules 12, 13 and 15: neither the save nor the refusal of an older grant."""
    await world.connect()
    a, b = world.process("A", {"process": 20, **answer}), world.process("B")
    first = a.calls()
    await world.until(lambda: world.sent)
    if disconnected:
        await world.store.delete(key)
    stored = await world.connect("s0", lifetime=3600)
    assert await first == await b.outcome() == "access-s0"
    assert await world.record() == stored


async def test_a_rotation_that_nobody_wants_is_revoked(world, key):
    """Rule 14: disconnected meanwhile, the new pair is dropped and ended."""
    await world.connect()
    a = world.process("A", {"process": 20}, revoke=BILLIT.refresh)
    first = a.calls()
    await world.until(lambda: world.sent)
    await world.store.delete(key)
    assert await first == "AuthorizationRequired"
    await a.refresher.aclose()
    assert a.line.revoked == ["r1"]
    assert [event.resolution for event in a.told(RefreshConflict)] == ["dropped"]
    assert await world.record() is None


@pytest.mark.parametrize(
    ("revokes", "ended"),
    [
        pytest.param(("access_token",), ["access-new"], id="by-access-token"),
        pytest.param(("company", "id"), [], id="by-company"),
    ],
)
async def test_what_names_a_company_is_not_revoked(revokes, ended, world, key):
    """Rule 14: ending the dropped pair must not end the grant that replaced it."""
    await world.connect()
    new = Token("access-new", "r1", extra={"company": {"id": "KH1"}})
    a = world.process(
        "A",
        {"process": 20, "outcome": Granted(new)},
        revoke=BILLIT.refresh,
        revokes=revokes,
    )
    first = a.calls()
    await world.until(lambda: world.sent)
    await world.store.delete(key)
    assert await first == "AuthorizationRequired"
    await a.refresher.aclose()
    assert a.line.revoked == ended


async def test_a_lost_acknowledgement_is_a_success(world):
    """Rule 14: the pair that is stored is our own: nothing is dropped or refreshed."""
    await world.connect()
    a = world.process("A")
    a.store.trouble("replace", error=StoreError("reset"), applied=True, times=1)
    assert await a.outcome() == "access-r1"
    await world.until(lambda: a.told(SavedLate))
    assert (await world.record()).version == 2
    assert a.account.unsaved is None
    assert not a.told(RefreshConflict)
    assert world.sent == ["A r0"]


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param({}, id="rotation"),
        pytest.param({"outcome": Refused("invalid_grant", "", 400)}, id="refusal"),
    ],
)
async def test_a_flight_that_came_second_gives_its_lease_back(world, key, answer):
    """Rules 12 and 14: an older flight's pair is there already: use it, and let go."""
    before = await world.connect()
    a, b = world.process("A", {"process": 5, **answer}), world.process("B")
    first = a.calls()
    await world.until(lambda: world.sent)
    pair = world.issuer.process("q0").token
    late = Rotation(before.incarnation, before.version, pair, "an older flight")
    await world.store.replace(key, late)
    assert await first == "access-q1"
    assert (await world.record()).lease is None
    started = world.time.passed
    assert await b.account.replacement_for("access-q1") == "access-q2"
    assert world.time.passed == started


# ---- a store that fails at the save


@pytest.mark.parametrize(
    "errors",
    [
        pytest.param([StoreError("busy")], id="store error"),
        pytest.param([TimeoutError("pool")], id="any other"),
        pytest.param([StoreError("busy"), TimeoutError("pool")], id="any other later"),
        pytest.param([ConfigurationError("no such key")] * 3, id="a wrong key"),
    ],
)
async def test_whatever_the_store_raises_the_rotation_lives_on(world, errors):
    """Rule 11: an answer that came is served, and saved as soon as that can be."""
    await world.connect()
    a, b = world.process("A"), world.process("B")
    for error in errors:
        a.store.trouble("replace", error=error)
        if error is errors[0]:
            assert await a.outcome() == "access-r1"
        await asyncio.sleep(1)
    a.store.heal()
    await world.until(lambda: a.told(SavedLate))
    assert a.told(SaveFailed)
    assert a.account.unsaved is None
    assert (await world.record()).token.refresh_token == "r1"
    assert await a.outcome() == await b.outcome() == "access-r1"
    assert world.sent == ["A r0"]


async def test_an_unsaved_token_that_is_rejected_is_not_refreshed(world):
    """Rule 11: neither is r0 presented again, nor r1 while only A knows it."""
    await world.connect()
    a = world.process("A")
    a.store.trouble("replace", "renew", error=StoreError("cut off"))
    assert await a.outcome() == "access-r1"
    await asyncio.sleep(60)
    with pytest.raises(TemporarilyUnavailable, match="not taken the last rotation"):
        await a.account.replacement_for("access-r1")
    assert world.sent == ["A r0"]
    a.store.heal()
    await world.until(lambda: a.told(SavedLate))
    assert await a.account.replacement_for("access-r1") == "access-r2"


async def test_nobody_takes_over_while_the_pair_is_in_good_hands(world):
    """Rule 11: only the save fails; A renews, so that B does not present r0."""
    await world.connect()
    a, b = world.process("A"), world.process("B")
    a.store.trouble("replace", error=StoreError("the larger row does not fit"))
    assert await a.outcome() == "access-r1"
    waiting = world.spawn(b.patiently())
    await asyncio.sleep(600)
    assert (await world.record()).lease.holder == "A"
    assert not waiting.done()
    a.store.heal()
    assert await waiting == "access-r1"
    assert world.sent == ["A r0"]


@pytest.mark.parametrize(
    ("what", "served"),
    [
        pytest.param("another successor", "access-r9", id="another successor"),
        pytest.param("disconnected", None, id="disconnected"),
        pytest.param("authorized anew", "access-s0", id="authorized anew"),
    ],
)
async def test_an_unsaved_pair_that_lost_is_served_no_more(world, key, what, served):
    """Rule 14: what the store took meanwhile is what this process serves, too."""
    before = await world.connect()
    a = world.process("A")
    a.store.trouble("replace", error=StoreError("busy"))
    assert await a.outcome() == "access-r1"
    if what == "another successor":
        pair = world.issuer.pair("r9")
        other = Rotation(before.incarnation, before.version, pair, "another flight")
        await world.store.replace(key, other)
    elif what == "disconnected":
        await world.store.delete(key)
    else:
        await world.connect("s0", lifetime=3600)
    a.store.heal()
    await world.until(lambda: a.told(RefreshConflict))
    assert a.account.current() == served
    assert a.account.unsaved is None
