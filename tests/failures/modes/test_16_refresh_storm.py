"""Mode 16: after a failure every call, every host and every loop asks again at once.

Promised: a refusal costs no further request until another refresh token is stored;
trouble is remembered in the store, for pauses that double, differ and respect
Retry-After; all who wait are told the same; a keeper survives what goes wrong.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter

import pytest
from attrs import evolve

from everbearer import (
    AuthorizationRequired,
    ConfigurationError,
    StoreError,
    TemporarilyUnavailable,
    Timing,
)
from everbearer.events import RefreshFailed
from everbearer.sandbox import faults
from everbearer.stores import MemoryStore

pytestmark = pytest.mark.asyncio

# The pauses as they are by default; what has to be waited for is short.
TIMING = Timing(lease=0.6, deadline=1.0, linger=1.0, grace=0.1, back_off=1.0)
MINUTE = 60
MOST = 8


def error(code):
    """A refusal, as often as it is asked for."""
    return faults.answer(json.dumps({"error": code}), status=400, times=None)


DEAD = {
    "refused": (error("invalid_grant"), AuthorizationRequired, 1),
    "503": (faults.spell(503), TemporarilyUnavailable, MOST),
    "500": (faults.spell(500), TemporarilyUnavailable, MOST),
    "empty 400": (faults.status(400, times=None), TemporarilyUnavailable, MOST),
    "html": (evolve(faults.html_200(), times=None), TemporarilyUnavailable, MOST),
    "Retry-After": (faults.spell(429, retry_after=50), TemporarilyUnavailable, 2),
    "unknown client": (error("invalid_client"), ConfigurationError, MOST),
}


@pytest.fixture(name="storm")
def _storm(scene):
    """What all calls of a minute come to, on two hosts; a few of them over HTTP."""

    async def call(session):
        async with session.get("/v1/whoami"):
            pass

    async def storm(calls, accounts=("acme",)):
        hosts = [await scene.client(timing=TIMING) for _ in range(2)]
        for name in accounts:
            await scene.connect(hosts[0], name, expired=True)
        sessions = [host.session("billit", name) for host in hosts for name in accounts]
        each = calls // MINUTE // len(sessions)
        told = Counter()
        for _ in range(MINUTE):
            waiting = [s.access_token() for s in sessions for _ in range(each)]
            ends = asyncio.gather(
                *waiting, *map(call, sessions), return_exceptions=True
            )
            told.update(type(end) for end in await ends)
            scene.clock.advance(1)
        assert told.total() >= calls
        return told

    return storm


@pytest.mark.parametrize(("fault", "error", "most"), DEAD.values(), ids=DEAD)
async def test_a_minute_of_calls(scene, storm, fault, error, most):
    """Whatever kills an account: all are told, and hardly anybody asks."""
    scene.sandbox.script.add(fault)
    assert set(await storm(2400)) == {error}
    assert 1 <= len(scene.ledger.token_requests) <= most


async def test_a_hundred_thousand_calls(scene, storm):
    """In a minute, on a dead account: at most eight token requests."""
    scene.sandbox.script.add(faults.spell(503))
    assert set(await storm(100_000 + 2 * MINUTE)) == {TemporarilyUnavailable}
    assert len(scene.ledger.token_requests) <= MOST


async def test_a_wrong_secret_is_one_failure_for_all_accounts(scene, storm):
    """It is about the registration: twenty accounts make no more attempts than one."""
    scene.sandbox.script.add(error("invalid_client"))
    accounts = [f"company-{number}" for number in range(20)]
    assert set(await storm(4800, accounts)) == {ConfigurationError}
    # Each host finds out for itself, and at first for all that ask together.
    assert len(scene.ledger.token_requests) <= 2 * (len(accounts) + MOST)


async def test_until_another_refresh_token_is_stored(scene, whoami):
    """A refusal is not forgotten by time, and is forgotten with its token."""
    client = await scene.client()
    acme = await scene.connect(client, expired=True)
    scene.sandbox.script.revoke("acme")
    for _ in range(24):
        with pytest.raises(AuthorizationRequired):
            await whoami(acme)
        scene.clock.advance(3600)
    assert len(scene.ledger.token_requests) == 1
    assert await whoami(await scene.connect(client)) == "acme"


async def test_hosts_do_not_come_back_in_step(scene, whoami):
    """Accounts that failed at the same moment are tried again at different ones."""
    client = await scene.client(timing=TIMING)
    scene.sandbox.script.add(faults.spell(503))
    sessions = [await scene.connect(client, f"c{n}", expired=True) for n in range(10)]
    await asyncio.gather(*map(whoami, sessions), return_exceptions=True)
    pauses = {event.retry_after for event in scene.told(RefreshFailed)}
    assert len(pauses) == 10
    assert 0.75 <= min(pauses) <= max(pauses) <= 1.0


class StoreWithBadDays(MemoryStore):
    """It fails whoever looks for what is due, for a while."""

    bad_days = 2

    async def due(self, *arguments):
        if self.bad_days:
            self.bad_days -= 1
            raise StoreError("down")
        return await super().due(*arguments)


async def test_a_keeper_survives_what_goes_wrong(scene):
    """The one loop in the background goes on after its first errors."""
    scene.store = StoreWithBadDays()
    client = await scene.client(refresh_idle_lifetime=10.0)
    await scene.connect(client)
    scene.clock.advance(8)
    scene.sandbox.script.add(faults.status(503))
    keeping = asyncio.create_task(client.keep())
    await scene.until(lambda: scene.ledger.refreshes or keeping.done())
    assert not keeping.done()
    assert scene.store.bad_days == 0
    assert len(scene.ledger.token_requests) == 2
    keeping.cancel()
