"""The state: random, single use, given back when its code could not be sent."""

from __future__ import annotations

import re

import pytest
from attrs import evolve

from everbearer import CallbackError
from everbearer._redact import fingerprint
from everbearer.authorization._state import give_back, new_state, same, take
from everbearer.stores import MemoryStore
from everbearer.tokens import AccountKey, PendingAuthorization

FAR = 1e12


@pytest.fixture(name="pending")
def _pending():
    return PendingAuthorization(
        fingerprint("s"), AccountKey("billit", "acme"), None, "verifier", (), FAR
    )


def test_a_state_is_random_and_safe_in_a_url():
    """RFC 6749 section 10.10: at least 128 bits; and nothing to percent-encode."""
    states = {new_state("&") for _ in range(100)}
    assert len(states) == 100
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{43}", each) for each in states)


def test_forbidden_characters_do_not_occur():
    """Providers cut state off at characters of their own."""
    assert not any(set("-_A") & set(new_state("-_A")) for _ in range(20))


@pytest.mark.parametrize(
    ("one", "other", "equal"),
    [
        ("abc", "abc", True),
        ("abc", "abd", False),
        ("abc", "ab", False),
        ("", "", True),
        ("é", "é", True),
        ("é", "e", False),
        ("\ud800", "?", False),
    ],
)
def test_same(one, other, equal):
    """Any two texts can be compared, those that hmac refuses as str included."""
    assert same(one, other) is equal


@pytest.mark.asyncio
async def test_a_callback_that_was_given_back_comes_once_more(pending):
    """Each time the code stays unspent, one more callback is accepted."""
    store = MemoryStore()
    await store.put_pending(pending)
    for _ in range(3):
        taken = await take(store, "s")
        assert evolve(taken, state_fingerprint=pending.state_fingerprint) == pending
        with pytest.raises(CallbackError, match="reused"):
            await take(store, "s")
        await give_back(store, taken)


@pytest.mark.asyncio
async def test_nothing_comes_back_for_ever(pending):
    """A callback that can never be sent ends: the look-ups for it are bounded."""
    store = MemoryStore()
    await store.put_pending(pending)
    for _ in range(20):
        await give_back(store, await take(store, "s"))
    with pytest.raises(CallbackError, match="reused"):
        await take(store, "s")


class MovedClock:
    now = 1_000.0

    def wall(self):
        return self.now

    elapsed = wall


@pytest.mark.asyncio
@pytest.mark.parametrize(("now", "accepted"), [(1999.9, True), (2000.0, False)])
async def test_what_is_given_back_expires_as_before(pending, now, accepted):
    """Trying again prolongs nothing; at its end it is over."""
    clock = MovedClock()
    store = MemoryStore(clock)
    await store.put_pending(evolve(pending, expires_at=2000.0))
    await give_back(store, await take(store, "s"))
    clock.now = now
    if accepted:
        await take(store, "s")
        return
    with pytest.raises(CallbackError, match="expired"):
        await take(store, "s")
