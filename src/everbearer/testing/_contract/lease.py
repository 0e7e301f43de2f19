"""Leases and intents: who may refresh, and what is known of who tried."""

from __future__ import annotations

import asyncio

import pytest

from everbearer.stores import Settlement, TokenStore
from everbearer.testing._contract._made import Make, StandingClock
from everbearer.tokens import TokenRecord


async def test_acquire_of_an_unknown_account(store: TokenStore, make: Make) -> None:
    """There is nothing to lease where nothing is stored."""
    other = make.key._replace(account="nobody")
    assert await store.acquire(other, make.asked()) is None
    assert await store.renew(other, make.asked()) is None
    assert await store.release(other, make.asked(), Settlement()) is None


async def test_acquire_writes_lease_and_intent(
    store: TokenStore, make: Make, clock: StandingClock
) -> None:
    """One write takes the lease and records what is about to be spent."""
    acquired = await store.acquire(make.key, make.asked())
    stored = await store.load(make.key)
    assert acquired.granted
    assert acquired.found is None
    assert acquired.now == clock.now
    assert stored == acquired.record
    assert stored.lease.until == clock.now + 10
    assert stored.intent.fingerprint == stored.refresh_fingerprint
    assert stored.intent.flights == ("flight-a",)
    assert stored.version == 1


async def test_only_one_holds_the_lease(store: TokenStore, make: Make) -> None:
    """A second flight is told who holds it, and changes nothing."""
    first = await store.acquire(make.key, make.asked("flight-a"))
    second = await store.acquire(make.key, make.asked("flight-b"))
    assert not second.granted
    assert second.record == first.record
    assert second.found == first.record.intent
    assert await store.load(make.key) == first.record


async def test_of_many_at_once_one_gets_it(store: TokenStore, make: Make) -> None:
    """However many flights ask at once, exactly one is granted the lease."""
    asked = [make.asked(f"flight-{number}") for number in range(25)]
    answers = await asyncio.gather(*(store.acquire(make.key, each) for each in asked))
    assert sum(answer.granted for answer in answers) == 1


@pytest.mark.parametrize(
    ("later", "granted"),
    [
        pytest.param(9.999, False, id="just before its end"),
        pytest.param(10.0, True, id="at its end"),
        pytest.param(60.0, True, id="long after"),
    ],
)
async def test_a_lease_ends_by_the_clock_of_the_store(
    store: TokenStore, make: Make, clock: StandingClock, later: float, granted: bool
) -> None:
    """A holder that died is succeeded when its term is over, and not before."""
    await store.acquire(make.key, make.asked("flight-a"))
    clock.advance(later)
    assert (await store.acquire(make.key, make.asked("flight-b"))).granted is granted


async def test_the_successor_finds_the_intent(
    store: TokenStore, make: Make, clock: StandingClock
) -> None:
    """Rule 1: whoever takes over learns what its predecessor may have sent."""
    first = await store.acquire(make.key, make.asked("flight-a"))
    clock.advance(11)
    second = await store.acquire(make.key, make.asked("flight-b"))
    assert second.found == first.record.intent
    assert second.record.intent == first.record.intent


async def test_renew_prolongs(
    store: TokenStore, make: Make, clock: StandingClock
) -> None:
    """A renewed lease keeps others out for another term."""
    await store.acquire(make.key, make.asked("flight-a"))
    clock.advance(8)
    assert (await store.renew(make.key, make.asked("flight-a"))).granted
    clock.advance(8)
    assert not (await store.acquire(make.key, make.asked("flight-b"))).granted


async def test_renew_of_a_lost_lease(
    store: TokenStore, make: Make, clock: StandingClock
) -> None:
    """Rule 10: whoever lost the lease learns it, and does not take it back."""
    await store.acquire(make.key, make.asked("flight-a"))
    clock.advance(11)
    taken = await store.acquire(make.key, make.asked("flight-b"))
    renewed = await store.renew(make.key, make.asked("flight-a"), spending="x")
    assert not renewed.granted
    assert await store.load(make.key) == taken.record


async def test_renew_notes_when_the_token_is_sent(
    store: TokenStore, make: Make, clock: StandingClock, connected: TokenRecord
) -> None:
    """Rules 6 and 18: the last sending moves, the first one stays."""
    await store.acquire(make.key, make.asked("flight-a"))
    clock.advance(11)
    await store.acquire(make.key, make.asked("flight-b"))
    clock.advance(3)
    renewed = await store.renew(
        make.key, make.asked("flight-b"), spending=connected.refresh_fingerprint
    )
    intent = renewed.record.intent
    assert (intent.first_sent_at, intent.last_sent_at) == (clock.now - 14, clock.now)
    assert intent.flights == ("flight-a", "flight-b")
    assert intent.holder == "holder of flight-b"
    assert (await store.load(make.key)).intent == intent


async def test_release_compares_the_lease(
    store: TokenStore, make: Make, clock: StandingClock
) -> None:
    """Rule 7: a late clean-up does not release somebody else's lease."""
    await store.acquire(make.key, make.asked("flight-a"))
    await store.put(make.key, make.grant("s0", "i1"))
    taken = await store.acquire(make.key, make.asked("flight-b"))
    await store.release(make.key, make.asked("flight-a"), Settlement(restore=True))
    assert await store.load(make.key) == taken.record


async def test_release_after_nothing_was_sent(store: TokenStore, make: Make) -> None:
    """Rule 2: certain that nothing was spent, a flight takes its intent back."""
    acquired = await store.acquire(make.key, make.asked())
    released = await store.release(
        make.key, make.asked(), Settlement(acquired.found, restore=True)
    )
    assert released.record.lease is None
    assert released.record.intent is None
    assert await store.load(make.key) == released.record


async def test_release_after_an_ambiguous_answer(store: TokenStore, make: Make) -> None:
    """Rule 3: when the token may have been spent, the intent stays."""
    acquired = await store.acquire(make.key, make.asked())
    released = await store.release(make.key, make.asked(), Settlement())
    assert released.record.lease is None
    assert released.record.intent == acquired.record.intent


async def test_a_restored_intent_is_the_one_found(
    store: TokenStore, make: Make, clock: StandingClock, connected: TokenRecord
) -> None:
    """Rule 2: a connect error takes back one's own part and nobody else's."""
    first = await store.acquire(make.key, make.asked("flight-a"))
    clock.advance(11)
    second = await store.acquire(make.key, make.asked("flight-b"))
    await store.renew(
        make.key, make.asked("flight-b"), spending=connected.refresh_fingerprint
    )
    released = await store.release(
        make.key, make.asked("flight-b"), Settlement(second.found, restore=True)
    )
    assert released.record.intent == first.record.intent


async def test_a_token_without_a_refresh_token_leaves_no_intent(
    store: TokenStore, make: Make
) -> None:
    """What cannot be spent is not said to be about to be spent."""
    record = await store.put(make.key, make.grant(None, "i1"))
    assert record.token.refresh_token is None
    assert (await store.acquire(make.key, make.asked())).record.intent is None


async def test_an_intent_about_an_older_token_does_not_count(
    store: TokenStore, make: Make, connected: TokenRecord
) -> None:
    """Rule 1: an intent counts while its refresh token is the current one."""
    await store.acquire(make.key, make.asked("flight-a"))
    await store.replace(make.key, make.rotation(connected))
    acquired = await store.acquire(make.key, make.asked("flight-b"))
    assert acquired.found is None
    assert acquired.record.intent.flights == ("flight-b",)
