"""New authorizations, disconnects, and the ones whose callback is still out."""

from __future__ import annotations

import asyncio

import pytest

from everbearer.stores import TokenStore
from everbearer.testing._contract._made import Make, StandingClock
from everbearer.tokens import AccountKey, TokenRecord


async def test_put_makes_a_record(
    store: TokenStore, make: Make, clock: StandingClock
) -> None:
    """A first authorization is stored with the registration it was made with."""
    record = await store.put(make.key, make.grant())
    assert await store.load(make.key) == record
    assert (record.incarnation, record.version) == ("i0", 1)
    assert (record.minted_at, record.since) == (clock.now, clock.now)
    assert record.client_id == "client"
    assert record.token_origin == "https://login.example"
    assert record.known == (record.refresh_fingerprint,)


async def test_put_again_is_another_incarnation(
    store: TokenStore, make: Make, connected: TokenRecord
) -> None:
    """Rule 13: a new authorization ends the old one's lease, intent and version."""
    await store.acquire(make.key, make.asked())
    record = await store.put(make.key, make.grant("s0", "i1"))
    assert (record.incarnation, record.version) == ("i1", 2)
    assert (record.lease, record.intent) == (None, None)
    assert record.known == (connected.refresh_fingerprint, record.refresh_fingerprint)
    assert await store.load(make.key) == record


async def test_put_if_absent_of_many_at_once(store: TokenStore, make: Make) -> None:
    """Every worker may adopt at its start: one does, the others get what it stored."""
    grants = [
        make.grant(f"r{number}", f"i{number}", if_absent=True) for number in range(10)
    ]
    records = await asyncio.gather(*(store.put(make.key, grant) for grant in grants))
    assert len({record.incarnation for record in records}) == 1
    assert len({record.version for record in records}) == 1


@pytest.mark.parametrize(
    ("offered", "refused", "stored"),
    [
        pytest.param("s0", False, False, id="a stored grant wins"),
        pytest.param("r0", True, False, id="the refused one is no news"),
        pytest.param(None, True, False, id="nothing to refresh with is no news"),
        pytest.param("s0", True, True, id="news for an account that needs it"),
    ],
)
async def test_put_if_absent(
    store: TokenStore,
    make: Make,
    connected: TokenRecord,
    offered: str | None,
    refused: bool,
    stored: bool,
) -> None:
    """A stored grant wins, unless it is over and the offered one was never seen."""
    before: TokenRecord | None = connected
    if refused:
        before = (await store.refuse(make.key, make.refusal(connected))).record
    after = await store.put(make.key, make.grant(offered, "i1", if_absent=True))
    assert (after.incarnation == "i1") is stored
    assert await store.load(make.key) == after
    if not stored:
        assert after == before


async def test_put_if_absent_of_an_earlier_token(
    store: TokenStore, make: Make, connected: TokenRecord
) -> None:
    """A worker's old configuration does not bring back what was replaced since."""
    second = await store.put(make.key, make.grant("s0", "i1"))
    refused = await store.refuse(make.key, make.refusal(second))
    after = await store.put(make.key, make.grant("r0", "i2", if_absent=True))
    assert after == refused.record


async def test_delete(store: TokenStore, make: Make, connected: TokenRecord) -> None:
    """A disconnect hands out what was there, for revoking it, once."""
    other = await store.put(make.key._replace(account="other"), make.grant())
    assert await store.delete(make.key) == connected
    assert await store.delete(make.key) is None
    assert await store.load(make.key) is None
    assert await store.load(other.key) == other


async def test_take_pending_is_single_use(store: TokenStore, make: Make) -> None:
    """A state is good for one callback, and a second one is told that it was used."""
    await store.put_pending(make.pending())
    first = await store.take_pending("s0")
    again = await store.take_pending("s0")
    assert (first.pending, first.used) == (make.pending(), False)
    assert (again.pending, again.used) == (None, True)


async def test_take_pending_of_many_at_once(store: TokenStore, make: Make) -> None:
    """Of many callbacks with one state, one gets the authorization."""
    await store.put_pending(make.pending())
    taken = await asyncio.gather(*(store.take_pending("s0") for _ in range(10)))
    assert sum(each.pending is not None for each in taken) == 1
    assert sum(each.used for each in taken) == 9


async def test_take_pending_of_an_unknown_state(store: TokenStore, make: Make) -> None:
    """A state that nobody started is unknown, which is not the same as used."""
    await store.put_pending(make.pending())
    taken = await store.take_pending("other")
    assert (taken.pending, taken.used) == (None, False)


@pytest.mark.parametrize("also", [False, True], ids=["alone", "others start meanwhile"])
async def test_take_pending_late(
    store: TokenStore, make: Make, clock: StandingClock, also: bool
) -> None:
    """A late callback can be told that it expired: it gets its end and the time."""
    await store.put_pending(make.pending())
    clock.advance(601)
    if also:
        await store.put_pending(make.pending("s1", clock.now + 600))
    taken = await store.take_pending("s0")
    assert taken.pending.expires_at < taken.now == clock.now
    assert (await store.take_pending("s0")).used


async def test_pending_are_forgotten_in_the_end(
    store: TokenStore, make: Make, clock: StandingClock
) -> None:
    """What ended a day ago is dropped when another authorization starts."""
    await store.put_pending(make.pending("used"))
    await store.put_pending(make.pending("unused"))
    await store.take_pending("used")
    clock.advance(2 * 86_400)
    await store.put_pending(make.pending("s1", clock.now + 600))
    for state in ("used", "unused"):
        taken = await store.take_pending(state)
        assert (taken.pending, taken.used) == (None, False)
    assert (await store.take_pending("s1")).pending is not None


async def test_put_pending_again_does_not_revive_it(
    store: TokenStore, make: Make
) -> None:
    """A retried write whose first try was acknowledged late stays used."""
    await store.put_pending(make.pending())
    await store.take_pending("s0")
    await store.put_pending(make.pending())
    assert (await store.take_pending("s0")).used


async def test_pending_and_records_are_apart(
    store: TokenStore, make: Make, connected: TokenRecord
) -> None:
    """Starting and finishing an authorization leaves the stored grant alone."""
    await store.put_pending(make.pending(key=AccountKey("billit", "acme")))
    await store.take_pending("s0")
    assert await store.load(make.key) == connected
