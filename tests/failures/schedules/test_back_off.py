"""One failure is everybody's: processes on one store make one attempt per back-off."""

from __future__ import annotations

import asyncio

import pytest

from everbearer import ConfigurationError, Registration, TemporarilyUnavailable
from everbearer.providers import BILLIT
from everbearer.token_endpoint import (
    Ambiguous,
    Misconfigured,
    NotSent,
    Refused,
    Throttled,
    TooEarly,
    Unrecognised,
)
from everbearer.tokens import AccountKey

pytestmark = pytest.mark.asyncio


def crowd(world, outcome, count=4):
    """Processes that jitter shortens every pause of, all answered with *outcome*."""
    processes = [
        world.process(name, *[{"outcome": outcome}] * 1000) for name in "ABCD"[:count]
    ]
    for process in processes:
        process.refresher.jitter = lambda: 0.0
    return processes


async def told(call):
    """What one call gets."""
    try:
        return await call
    except ConfigurationError as error:
        return type(error).__name__


DOWN = NotSent("refused")
# What is wrong, what callers hear, how many requests there may be, how many calls.
DEAD = [
    pytest.param(DOWN, "TemporarilyUnavailable", 8, 100_000, id="100000-calls"),
    pytest.param(Ambiguous("500", 500), "TemporarilyUnavailable", 1, 4_000, id="500"),
    pytest.param(
        Throttled(None, ""), "TemporarilyUnavailable", 8, 4_000, id="throttled"
    ),
    pytest.param(
        TooEarly(None, ""), "TemporarilyUnavailable", 8, 4_000, id="too-early"
    ),
    pytest.param(
        Unrecognised(403, "", ""), "TemporarilyUnavailable", 8, 4_000, id="403"
    ),
    pytest.param(
        Misconfigured("", "", 401), "ConfigurationError", 8, 4_000, id="misconfigured"
    ),
    pytest.param(Refused("", "", 400), "AuthorizationRequired", 1, 4_000, id="refused"),
]


@pytest.mark.parametrize(("outcome", "error", "most", "calls"), DEAD)
async def test_calls_in_a_minute(outcome, error, most, calls, world):
    """A dead account, four processes: at most 8 token requests, whatever is wrong."""
    await world.connect()
    processes = crowd(world, outcome)
    waiting = []
    for _ in range(60):
        for process in processes:
            each = (process.account.access_token() for _ in range(calls // 240 + 1))
            waiting.append(asyncio.gather(*each, return_exceptions=True))
        await asyncio.sleep(1)
    assert 1 <= sum(each.line.asked for each in processes) <= most
    heard = {type(told) for group in waiting for told in await group}
    assert {kind.__name__ for kind in heard} == {error}


@pytest.mark.parametrize(
    ("outcome", "pause"),
    [
        pytest.param(NotSent("refused"), 1.0, id="not-sent"),
        pytest.param(Throttled(600.0, "later"), 600.0, id="retry-after"),
        pytest.param(TooEarly(30.0, "young"), 30.0, id="too-early"),
    ],
)
async def test_others_and_those_who_come_later_wait_too(outcome, pause, world):
    """It is remembered in the store: by a sibling, and after a restart."""
    await world.connect()
    a, b = world.process("A", {"outcome": outcome}), world.process("B")
    assert await a.outcome() == await b.outcome() == "TemporarilyUnavailable"
    await asyncio.sleep(pause - 0.5)
    later = world.process("C")
    with pytest.raises(TemporarilyUnavailable) as caught:
        await later.account.access_token()
    assert 0 < caught.value.retry_after <= 0.5
    await asyncio.sleep(0.6)
    assert await later.outcome() == await b.outcome() == "access-r1"
    assert [each.line.asked for each in (a, b, later)] == [1, 0, 1]


async def test_a_back_off_is_a_tokens_own(world):
    """Rule 16: a new authorization does not wait for the failures of the old one."""
    await world.connect()
    a, b = world.process("A", *[{"outcome": NotSent("down")}] * 9), world.process("B")
    for _ in range(5):
        await a.outcome()
        await asyncio.sleep(20)
    await world.connect("s0")
    assert await b.outcome() == "access-s1"


# ---- a refusal that says nothing, and tokens that are rejected, in several processes


async def test_refusals_without_a_reason_are_counted_together(world):
    """Three over ten minutes, each in another process."""
    await world.connect()
    names = "ABCDEFGHIJKLMNOP"
    ended = []
    for name in names:
        process = world.process(name, {"outcome": Unrecognised(400, "", "")})
        process.refresher.granted("billit")
        ended.append(await process.outcome())
        await asyncio.sleep(110)
    refused = ended.index("AuthorizationRequired")
    assert set(ended[:refused]) == {"TemporarilyUnavailable"}
    assert set(ended[refused:]) == {"AuthorizationRequired"}
    assert world.sent_at[-1] - world.sent_at[0] >= 600
    assert len(world.sent) >= 3


async def test_a_rotation_between_them_starts_the_count_anew(world):
    """Another refresh token, other refusals."""
    await world.connect()
    nothing = {"outcome": Unrecognised(400, "", "")}
    a = world.process("A", nothing, nothing, {}, *[nothing] * 2)
    a.refresher.granted("billit")
    for _ in range(2):
        assert await a.outcome() == "TemporarilyUnavailable"
        await asyncio.sleep(301)
    assert await a.outcome() == "access-r1"
    for _ in range(2):
        world.time.stop(3600)
        a.refresher.granted("billit")
        assert await a.outcome() == "TemporarilyUnavailable"
    assert (await world.record()).reason is None


async def test_tokens_that_are_rejected_are_counted_together(world):
    """Rule 20: two processes spend no more on a permission error than one does."""
    await world.connect(lifetime=3600)
    processes = [world.process("A"), world.process("B")]
    for turn in range(180):
        account = processes[turn % 2].account
        await account.refresh(rejected=await account.access_token())
        await asyncio.sleep(20)
    assert len(world.sent) <= 12


# ---- a new secret


def with_secret(world, process, secret):
    """The same process, whose registration has that secret or callable."""
    mine = Registration(BILLIT, "id", secret, "https://app.example/callback")
    process.refresher.registrations = {"billit": mine}
    process.account.registration = mine
    return process


UNKNOWN = {"outcome": Misconfigured("invalid_client", "", 401)}


async def test_a_new_secret_is_tried_at_once(world):
    """Rule 16: the same process, whose callable returns another one from now on."""
    await world.connect()
    secrets = ["old-secret"]
    a = with_secret(world, world.process("A", UNKNOWN), lambda: secrets[-1])
    for _ in range(3):
        assert await told(a.outcome()) == "ConfigurationError"
    assert a.line.asked == 1
    secrets.append("new-secret")
    assert await told(a.outcome()) == "access-r1"
    assert world.time.passed < 1


async def test_a_new_secret_in_another_process(world):
    """Rule 16: the one with the old secret goes on waiting, the other one does not."""
    await world.connect()
    a = with_secret(world, world.process("A", UNKNOWN), "old-secret")
    b = with_secret(world, world.process("B"), "old-secret")
    c = with_secret(world, world.process("C"), "new-secret")
    assert await told(a.outcome()) == await told(b.outcome()) == "ConfigurationError"
    assert await told(c.outcome()) == "access-r1"
    # What is stored is everybody's.
    assert await told(a.outcome()) == await told(b.outcome()) == "access-r1"
    assert world.sent == ["A r0", "C r0"]


async def test_a_new_secret_serves_every_account(world):
    """The circuit is the registration's: mended once, mended for all."""
    keys = [AccountKey("billit", name) for name in "abcdef"]
    for key in keys:
        await world.connect(f"{key.account}0", key=key)
    secrets = ["old-secret"]
    a = with_secret(world, world.process("A", *[UNKNOWN]), lambda: secrets[-1])
    accounts = [a.refresher.account(key) for key in keys]
    for account in accounts:
        with pytest.raises(ConfigurationError):
            await account.access_token()
    assert a.line.asked == 1
    secrets.append("new-secret")
    tokens = [await account.access_token() for account in accounts]
    assert tokens == [f"access-{key.account}1" for key in keys]


async def test_a_throttle_after_a_success_begins_anew(world):
    """Rule 16: it outlives a success, but its count does not."""
    throttled = {"outcome": Throttled(None, "busy")}
    a = world.process("A", *[throttled] * 5, {}, throttled, {})
    await world.connect()
    assert await a.patiently() == "access-r1"
    throttle = (await world.record()).throttle
    assert throttle.attempts == 5
    await asyncio.sleep(3600)
    before = world.time.passed
    assert await a.patiently() == "access-r2"
    assert (await world.record()).throttle.attempts == 1
    assert world.time.passed - before <= 2 * world.timing.back_off
