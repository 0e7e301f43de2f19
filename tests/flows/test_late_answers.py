"""An answer of the token endpoint that comes late, or never."""

from __future__ import annotations

import asyncio

import pytest

from everbearer import (
    AuthorizationRequired,
    Client,
    Registration,
    TemporarilyUnavailable,
    Timing,
)
from everbearer.events import RefreshStarted, SavedLate
from everbearer.sandbox import faults
from everbearer.stores import Asked, MemoryStore

pytestmark = pytest.mark.asyncio

# Short enough for tests, and still D + G > X.
TIMING = Timing(
    lease=0.6, deadline=1.0, linger=1.0, grace=0.3, connect=1.0, back_off=0.1
)


async def whoami(client: Client, account: str = "acme", **options: object) -> str:
    """Which company the API took the caller for."""
    session = client.session("billit", account)
    async with session.get("/v1/whoami", raise_for_status=True, **options) as response:
        return (await response.json())["company"]


class CountingStore(MemoryStore):
    """A store that counts the leases it grants."""

    granted = 0

    async def acquire(self, key, asked):
        acquired = await super().acquire(key, asked)
        self.granted += acquired.granted
        return acquired


async def test_an_answer_after_three_lease_terms_is_not_lost(
    sandbox, registration, connect
) -> None:
    """The lease is renewed while the request is out, and nobody takes it over."""
    store = CountingStore()
    sandbox.settings.token_delay = 0.5
    timing = Timing(lease=0.15, deadline=2, linger=2, grace=0.3, back_off=0.1)
    async with (
        Client(registration, store=store, timing=timing) as one,
        Client(registration, store=store, timing=timing) as two,
    ):
        await connect(to=one, expired=True)
        assert await asyncio.gather(whoami(one), whoami(two)) == ["acme", "acme"]
    assert sandbox.ledger.refreshes == 1
    assert sandbox.ledger.reuse == 0
    assert store.granted == 1


async def test_an_answer_after_the_deadline_is_saved(
    sandbox, client, connect, events
) -> None:
    """Rule 11: waiters are freed at D, and what comes until X is kept."""
    await connect(expired=True)
    sandbox.script.add(faults.slow(1.5, rotates="before"))
    timing_total = TIMING.connect + TIMING.linger
    assert timing_total > 1.5 > TIMING.deadline
    with pytest.raises(TemporarilyUnavailable) as caught:
        await whoami(client)
    assert caught.value.retry_after > 0
    while not any(isinstance(event, SavedLate) for event in events):
        await asyncio.sleep(0.05)
    assert await whoami(client) == "acme"
    assert sandbox.ledger.refreshes == 1
    assert sandbox.ledger.reuse == 0
    assert sandbox.ledger.lost_grants == 0


async def test_a_lost_answer_is_presented_once_more_at_the_end(
    sandbox, client, connect, events
) -> None:
    """Rule 4c: nothing is left to lose; then the user is told when and by whom."""
    await connect(expired=True)
    sandbox.script.add(faults.rotate_and_drop())
    with pytest.raises(TemporarilyUnavailable):
        await whoami(client)
    for _ in range(50):
        try:
            await whoami(client)
        except TemporarilyUnavailable as wait:
            await asyncio.sleep(wait.retry_after)
        except AuthorizationRequired as required:
            error = required
            break
    assert error.reason == "rotation_lost"
    assert client._refresher.holder in str(error)
    started = [e.attempt for e in events if isinstance(e, RefreshStarted)]
    assert started == ["spend", "last_resort"]
    assert sandbox.ledger.reuse == 0
    assert sandbox.ledger.last_resort == 1


async def test_a_lost_answer_costs_nothing_inside_a_replay_window(
    sandbox, store, connect, client, provider, events
) -> None:
    """Rule 18: where the provider declares a window, the lost answer is fetched."""
    from attrs import evolve

    sandbox.settings.replay_window = 60.0
    windowed = Registration(
        evolve(provider, replay_window=60.0),
        sandbox.settings.client_id,
        sandbox.settings.client_secret,
    )
    await connect(expired=True)
    sandbox.script.add(faults.rotate_and_drop())
    async with Client(
        windowed, store=store, timing=TIMING, hooks=[events.append]
    ) as patient:
        for _ in range(50):
            try:
                assert await whoami(patient) == "acme"
                break
            except TemporarilyUnavailable as wait:
                await asyncio.sleep(wait.retry_after)
    started = [e.attempt for e in events if isinstance(e, RefreshStarted)]
    assert started == ["spend", "replay"]
    assert sandbox.ledger.reuse == 0
    assert sandbox.ledger.lost_grants == 0


async def test_a_holder_that_dies_before_sending_costs_a_lease_term(
    sandbox, registration, connect, store, client
) -> None:
    """Its lease runs out, nothing was sent, and the next in line refreshes."""
    await connect(expired=True)
    dead = Asked("a-dead-flight", "a-dead-process", TIMING.lease)
    assert (await store.acquire(client.session("billit", "acme").key, dead)).granted
    assert await whoami(client) == "acme"
    assert sandbox.ledger.refreshes == 1
    assert sandbox.ledger.last_resort == 0


async def test_a_holder_that_dies_after_sending_is_waited_for(
    sandbox, registration, connect, store, client, events
) -> None:
    """Its request may still arrive: the token is presented again after the grace."""
    await connect(expired=True)
    key = client.session("billit", "acme").key
    dead = Asked("a-dead-flight", "a-dead-process", TIMING.lease)
    assert (await store.acquire(key, dead)).granted
    record = await store.load(key)
    await store.renew(key, dead, spending=record.refresh_fingerprint)
    sent_at = sandbox.clock()
    assert await whoami(client) == "acme"
    assert sandbox.clock() - sent_at >= TIMING.linger
    started = [e.attempt for e in events if isinstance(e, RefreshStarted)]
    assert started == ["last_resort"]
    assert sandbox.ledger.refreshes == 1
