"""How a flight without a token ends: what is remembered, by whom, and for how long."""

from __future__ import annotations

import asyncio
import string

import pytest

from everbearer import AuthorizationRequired, ConfigurationError, StoreError
from everbearer.events import RefreshFailed
from everbearer.token_endpoint import Misconfigured, Refused, Throttled
from everbearer.tokens import AccountKey

pytestmark = pytest.mark.asyncio

REFUSED = {"outcome": Refused("invalid_grant", "the user removed the app", 400)}
THROTTLED = {"outcome": Throttled(600.0, "busy")}
UNKNOWN_CLIENT = {"outcome": Misconfigured("invalid_client", "", 401)}


async def test_a_refusal_that_could_not_be_marked_is_marked_again(world):
    """Rule 15: the refused token is presented once, and the reason is the true one."""
    await world.connect()
    a = world.process("A", REFUSED, REFUSED)
    a.store.trouble("refuse", error=StoreError("busy"), times=2)
    for _ in range(2):
        with pytest.raises(AuthorizationRequired) as caught:
            await a.account.access_token()
        assert caught.value.reason == "refused"
    assert world.sent == ["A r0"]
    record = await world.record()
    assert (record.lease, record.live_intent) == (None, None)


async def test_a_lease_that_could_not_be_given_back_runs_out(world):
    """Rules 3 and 16: callers are told at once; nobody knows that r0 was not spent."""
    await world.connect()
    a = world.process("A", THROTTLED)
    a.store.trouble("release", error=StoreError("busy"))
    assert await a.outcome() == "TemporarilyUnavailable"
    assert world.time.passed < a.refresher.timing.lease / 2
    a.store.heal()
    assert await a.patiently() == "access-r1"
    assert world.sent_at[1] - world.sent_at[0] >= a.refresher.timing.linger


# ---- rule 16: invalid_client is nobody's account's fault


async def all_told(process, keys):
    """What every account is told when all call at once."""
    calls = (process.refresher.account(key).access_token() for key in keys)
    return await asyncio.gather(*calls, return_exceptions=True)


async def connected(world):
    """Twenty accounts of one registration, each with a family of its own."""
    keys = [AccountKey("billit", name) for name in string.ascii_lowercase[:20]]
    for key in keys:
        await world.connect(f"{key.account}0", key=key)
    return keys


async def test_a_wrong_secret_is_asked_about_ever_more_rarely(world):
    """Rule 16: it is the credential's back-off: 20 accounts make one's attempts."""
    keys = await connected(world)
    a = world.process("A", *[UNKNOWN_CLIENT] * 1000)
    with pytest.raises(ConfigurationError):
        await a.refresher.account(keys[0]).access_token()
    for _ in range(60):
        for outcome in await all_told(a, keys):
            assert isinstance(outcome, ConfigurationError)
        await asyncio.sleep(1)
    assert 3 <= len(world.sent) <= 7
    assert {event.kind for event in a.told(RefreshFailed)} == {"misconfigured"}


async def test_a_wave_of_refused_clients_is_one_failure(world):
    """Rule 16: 20 at once do not double the pause 20 times, to the longest."""
    keys = await connected(world)
    a = world.process("A", *[UNKNOWN_CLIENT] * len(keys))
    await all_told(a, keys)
    await asyncio.sleep(2)
    assert await a.refresher.account(keys[0]).access_token() == "access-a1"
    assert all(isinstance(told, str) for told in await all_told(a, keys))
    assert len(world.sent) == 2 * len(keys)
