"""Rotations, refusals and back-offs."""

from __future__ import annotations

import asyncio

import pytest
from attrs import evolve

from everbearer._clock import instant
from everbearer.stores import Replacement, Settlement, TokenStore
from everbearer.testing._contract._made import Make, StandingClock
from everbearer.tokens import BackOffKind, Standing, Token, TokenRecord


async def test_replace_stores_and_releases_in_one_write(
    store: TokenStore, make: Make, clock: StandingClock, connected: TokenRecord
) -> None:
    """A rotation ends the flight's own lease and intent, and moves the version."""
    await store.acquire(make.key, make.asked())
    clock.advance(1)
    replaced = await store.replace(make.key, make.rotation(connected, rejections=2))
    stored = await store.load(make.key)
    assert replaced.outcome is Replacement.STORED
    assert replaced.record == stored
    assert stored.token.refresh_token == "r1"
    assert (stored.version, stored.minted_at) == (2, clock.now)
    assert (stored.lease, stored.intent, stored.rejections) == (None, None, 2)
    assert stored.incarnation == connected.incarnation


async def test_replace_keeps_a_foreign_lease(
    store: TokenStore, make: Make, clock: StandingClock, connected: TokenRecord
) -> None:
    """Rule 12: a late answer is saved while another flight holds the lease."""
    await store.acquire(make.key, make.asked("flight-a"))
    clock.advance(11)
    taken = await store.acquire(make.key, make.asked("flight-b"))
    replaced = await store.replace(make.key, make.rotation(connected))
    assert replaced.outcome is Replacement.STORED
    assert replaced.record.lease == taken.record.lease
    assert replaced.record.intent is None


async def test_replace_of_a_version_that_is_gone(
    store: TokenStore, make: Make, connected: TokenRecord
) -> None:
    """Rule 12: of two successors of one token the first is stored."""
    await store.replace(make.key, make.rotation(connected, "r1"))
    second = await store.replace(make.key, make.rotation(connected, "x1"))
    assert second.outcome is Replacement.CONFLICT
    assert second.record.token.refresh_token == "r1"
    assert await store.load(make.key) == second.record


async def test_replace_in_a_store_that_lost_its_newest_writes(
    store: TokenStore, make: Make, connected: TokenRecord
) -> None:
    """Rules 12 and 13: a version before the expected one makes way, and none comes."""
    ahead = evolve(connected, version=connected.version + 3)
    replaced = await store.replace(make.key, make.rotation(ahead, "r4"))
    assert replaced.outcome is Replacement.STORED
    assert replaced.record.version == ahead.version + 1
    late = await store.replace(make.key, make.rotation(connected, "r1"))
    assert late.outcome is Replacement.CONFLICT
    assert await store.load(make.key) == late.record
    assert late.record.token.refresh_token == "r4"


async def test_of_many_successors_at_once_one_is_stored(
    store: TokenStore, make: Make, connected: TokenRecord
) -> None:
    """Compare and swap: one of many rotations of one version wins."""
    rotations = [make.rotation(connected, f"r{number}") for number in range(1, 20)]
    answers = await asyncio.gather(
        *(store.replace(make.key, rotation) for rotation in rotations)
    )
    outcomes = [answer.outcome for answer in answers]
    assert outcomes.count(Replacement.STORED) == 1
    assert outcomes.count(Replacement.CONFLICT) == len(rotations) - 1
    assert (await store.load(make.key)).version == 2


async def test_replace_again_after_a_lost_acknowledgement(
    store: TokenStore, make: Make, connected: TokenRecord
) -> None:
    """Rule 14: our own token, already stored, is a success and no conflict."""
    await store.replace(make.key, make.rotation(connected))
    again = await store.replace(make.key, make.rotation(connected))
    assert again.outcome is Replacement.SAME
    assert again.record.version == 2


async def test_another_child_of_the_same_token_is_kept_beside(
    store: TokenStore, make: Make, connected: TokenRecord
) -> None:
    """Rule 14: of two successors that one refresh token got, neither is dropped."""
    spent = connected.refresh_fingerprint
    await store.replace(make.key, make.rotation(connected, "r1", spent=spent))
    ours = make.rotation(connected, "x1", spent=spent)
    for _ in range(2):
        second = await store.replace(make.key, ours)
        stored = await store.load(make.key)
        assert second.outcome is Replacement.SIBLING
        assert second.record == stored
        assert (stored.token.refresh_token, stored.version) == ("r1", 2)
        assert stored.alternate == ours.token
        assert stored.parent == spent


async def test_two_children_are_compared_under_the_lease(
    store: TokenStore, make: Make, connected: TokenRecord
) -> None:
    """Rule 14: the lease of the second one's flight stays until it gives it back."""
    spent = connected.refresh_fingerprint
    await store.acquire(make.key, make.asked("flight-b"))
    await store.replace(make.key, make.rotation(connected, "r1", spent=spent))
    ours = make.rotation(connected, "x1", "flight-b", spent=spent)
    second = await store.replace(make.key, ours)
    assert second.outcome is Replacement.SIBLING
    assert not (await store.acquire(make.key, make.asked("flight-c"))).granted
    await store.release(make.key, make.asked("flight-b"), Settlement())
    assert (await store.acquire(make.key, make.asked("flight-c"))).granted


@pytest.mark.parametrize("what", ["a grandchild", "not known", "authorized anew"])
async def test_what_is_no_child_of_the_same_token_is_not_kept(
    store: TokenStore, make: Make, connected: TokenRecord, what: str
) -> None:
    """Rule 14: anything else that is stored is adopted, and ours is dropped."""
    spent = connected.refresh_fingerprint
    name, expected = "x1", Replacement.CONFLICT
    known = "" if what == "not known" else spent
    if what == "authorized anew":
        expected = Replacement.GONE
        await store.put(make.key, make.grant("s0", "i1"))
    else:
        rotated = make.rotation(connected, "r1", spent=known)
        await store.replace(make.key, rotated)
    record = await store.load(make.key) or connected
    if what == "a grandchild":
        rotated = make.rotation(record, "r2", spent=record.refresh_fingerprint)
        await store.replace(make.key, rotated)
    before = await store.load(make.key)
    late = await store.replace(make.key, make.rotation(connected, name, spent=spent))
    assert late.outcome is expected
    assert await store.load(make.key) == before
    assert before.alternate is None


async def test_a_rotated_token_beats_one_that_was_not(
    store: TokenStore, make: Make, connected: TokenRecord
) -> None:
    """Rule 14: what keeps the refresh token that we saw rotated is outdone by ours."""
    spent = connected.refresh_fingerprint
    await store.replace(make.key, make.rotation(connected, "r0", spent=spent))
    ours = await store.replace(make.key, make.rotation(connected, "r1", spent=spent))
    late = await store.replace(make.key, make.rotation(connected, "r0", spent=spent))
    assert (ours.outcome, ours.record.version) == (Replacement.STORED, 3)
    assert late.outcome is Replacement.CONFLICT
    assert (await store.load(make.key)).token.refresh_token == "r1"


async def _with_alternate(
    store: TokenStore, make: Make, connected: TokenRecord
) -> TokenRecord:
    """The record of an account with r1, and x1 beside it."""
    spent = connected.refresh_fingerprint
    await store.replace(make.key, make.rotation(connected, "r1", spent=spent))
    ours = make.rotation(connected, "x1", spent=spent)
    return (await store.replace(make.key, ours)).record or connected


async def test_an_alternate_is_tried_before_the_user_is_asked(
    store: TokenStore, make: Make, clock: StandingClock, connected: TokenRecord
) -> None:
    """Rule 14: r1 is refused: x1 takes its place; refused too, the user must act."""
    record = await _with_alternate(store, make, connected)
    await store.acquire(make.key, make.asked())
    clock.advance(3)
    first = await store.refuse(make.key, make.refusal(record))
    stored = await store.load(make.key)
    assert first.outcome is Replacement.ALTERNATE
    assert first.record == stored
    assert (stored.token.refresh_token, stored.version) == ("x1", 3)
    assert (stored.standing, stored.alternate) == (Standing.CONNECTED, None)
    assert (stored.lease, stored.intent, stored.minted_at) == (None, None, clock.now)
    again = await store.refuse(make.key, make.refusal(record))
    assert again.outcome is Replacement.CONFLICT
    second = await store.refuse(make.key, make.refusal(stored or connected))
    assert second.outcome is Replacement.STORED
    assert second.record.standing is Standing.NEEDS_AUTHORIZATION


@pytest.mark.parametrize("by", ["replace", "put"])
async def test_a_new_token_has_no_alternate(
    store: TokenStore, make: Make, connected: TokenRecord, by: str
) -> None:
    """Rule 14: what r1 was exchanged for shows that r1 lived."""
    record = await _with_alternate(store, make, connected)
    if by == "replace":
        spent = record.refresh_fingerprint
        await store.replace(make.key, make.rotation(record, "r2", spent=spent))
    else:
        await store.put(make.key, make.grant("s0", "i1"))
    stored = await store.load(make.key)
    assert stored.alternate is None
    assert stored.parent == (record.refresh_fingerprint if by == "replace" else "")


@pytest.mark.parametrize("adopted", [False, True], ids=["gone", "adopted anew"])
async def test_versions_never_start_again(
    store: TokenStore, make: Make, connected: TokenRecord, adopted: bool
) -> None:
    """Rule 13: after a disconnect no late save or refusal touches what came after."""
    await store.delete(make.key)
    after = await store.put(make.key, make.grant("s0", "i1")) if adopted else None
    for answer in (
        await store.replace(make.key, make.rotation(connected)),
        await store.refuse(make.key, make.refusal(connected)),
    ):
        assert answer.outcome is Replacement.GONE
        assert answer.record == after
    assert await store.load(make.key) == after


async def test_refuse_marks_and_keeps_the_token(
    store: TokenStore, make: Make, clock: StandingClock, connected: TokenRecord
) -> None:
    """A refusal says who must act since when, gives the lease back, deletes nothing."""
    await store.acquire(make.key, make.asked())
    clock.advance(2)
    refused = await store.refuse(make.key, make.refusal(connected))
    stored = await store.load(make.key)
    assert refused.outcome is Replacement.STORED
    assert refused.record == stored
    assert stored.standing is Standing.NEEDS_AUTHORIZATION
    assert (stored.reason, stored.since) == ("refused", clock.now)
    assert (stored.lease, stored.intent) == (None, None)
    assert (stored.token, stored.version) == (connected.token, connected.version)


async def test_refuse_twice(
    store: TokenStore, make: Make, clock: StandingClock, connected: TokenRecord
) -> None:
    """The second refusal of a token changes nothing, not even since when."""
    first = await store.refuse(make.key, make.refusal(connected))
    clock.advance(5)
    again = await store.refuse(make.key, make.refusal(connected))
    assert again.outcome is Replacement.SAME
    assert again.record == first.record


async def test_a_refusal_counts_for_its_token_only(
    store: TokenStore, make: Make, connected: TokenRecord
) -> None:
    """Rule 15: invalid_grant for an old token says nothing about its successor."""
    await store.replace(make.key, make.rotation(connected))
    refused = await store.refuse(make.key, make.refusal(connected))
    assert refused.outcome is Replacement.CONFLICT
    assert (await store.load(make.key)).standing is Standing.CONNECTED


async def test_a_late_save_voids_a_refusal(
    store: TokenStore, make: Make, clock: StandingClock, connected: TokenRecord
) -> None:
    """Rule 15: the living pair turns up after its predecessor was refused."""
    await store.refuse(make.key, make.refusal(connected))
    clock.advance(1)
    replaced = await store.replace(make.key, make.rotation(connected))
    assert replaced.outcome is Replacement.STORED
    assert replaced.record.standing is Standing.CONNECTED
    assert (replaced.record.reason, replaced.record.detail) == (None, "")
    assert replaced.record.since == clock.now


async def test_an_adoption_voids_a_refusal(
    store: TokenStore, make: Make, connected: TokenRecord
) -> None:
    """Rule 15: a new authorization makes the account usable again."""
    await store.refuse(make.key, make.refusal(connected))
    record = await store.put(make.key, make.grant("s0", "i1"))
    assert record.standing is Standing.CONNECTED
    assert record.reason is None


async def test_back_off_is_written_by_the_release(
    store: TokenStore, make: Make, clock: StandingClock
) -> None:
    """Rule 16: one write gives the lease back and says until when to leave it."""
    await store.put(make.key, make.grant())
    acquired = await store.acquire(make.key, make.asked())
    released = await store.release(
        make.key,
        make.asked(),
        Settlement(acquired.found, restore=True, back_off=make.back_off()),
    )
    stored = await store.load(make.key)
    assert released.record == stored
    assert stored.lease is None
    assert stored.back_off == evolve(
        make.back_off(), until=clock.now + 5, first_at=clock.now - 2
    )


@pytest.mark.parametrize(
    ("kind", "kept"),
    [
        pytest.param(BackOffKind.THROTTLED, True, id="throttle, of the account"),
        pytest.param(BackOffKind.UNAVAILABLE, False, id="other, of the token"),
    ],
)
@pytest.mark.parametrize("by", ["replace", "put"])
async def test_what_a_new_token_clears(
    store: TokenStore,
    make: Make,
    connected: TokenRecord,
    kind: BackOffKind,
    kept: bool,
    by: str,
) -> None:
    """Rule 16: a throttle survives replace and put, other back-offs do not."""
    await store.acquire(make.key, make.asked())
    settlement = Settlement(back_off=make.back_off(kind))
    await store.release(make.key, make.asked(), settlement)
    if by == "replace":
        await store.replace(make.key, make.rotation(connected))
    else:
        await store.put(make.key, make.grant("s0", "i1"))
    stored = await store.load(make.key)
    assert stored.back_off is None
    assert (stored.throttle is not None) is kept


async def test_what_a_provider_sent_comes_back_as_it_was(
    store: TokenStore, make: Make, clock: StandingClock
) -> None:
    """A token survives the store to the microsecond and to the last member."""
    record = await store.put(make.key, make.grant())
    token = Token(
        access_token="a\x00b",
        refresh_token="r" * 5000,
        expires_at=instant(clock.now + 0.123456),
        refresh_expires_at=instant(clock.now + 86_400 * 90),
        scope="read write",
        extra={"business_info": {"name": "Åcme", "ids": [1, None, 2.5]}},
    )
    rotation = evolve(make.rotation(record), token=token)
    await store.replace(make.key, rotation)
    assert (await store.load(make.key)).token == token
