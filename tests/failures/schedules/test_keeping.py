"""What is refreshed only so that it does not end: days of it, in no time."""

from __future__ import annotations

import asyncio

import pytest

from everbearer import StoreError
from everbearer.token_endpoint import Ambiguous, NotSent, Refused
from everbearer.tokens import AccountKey

pytestmark = pytest.mark.asyncio

HOUR, DAY = 3600.0, 86_400.0


def keeper(world, name, *trips, idle=DAY, **members):
    """A process that keeps, and the task in which it does."""
    process = world.process(name, *trips, refresh_idle_lifetime=idle, **members)
    return process, world.spawn(process.refresher.keep(16))


def gaps(world):
    """Seconds between one token request and the next, from the connection on."""
    return [b - a for a, b in zip([0.0, *world.sent_at], world.sent_at, strict=False)]


@pytest.mark.parametrize("lifetime", [HOUR, 30 * DAY], ids=["expired", "fresh"])
async def test_a_grant_that_nobody_uses_lives_on(world, lifetime):
    """It is refreshed at two thirds of its idle lifetime, though nothing is expired."""
    await world.connect(lifetime=lifetime)
    a, _ = keeper(world, "A")
    await asyncio.sleep(15 * DAY)
    assert all(2 / 3 * DAY <= gap <= 0.75 * DAY for gap in gaps(world))
    assert len(world.sent) == len(set(world.sent)) >= 20
    assert a.store.calls["due"] < 15 * 24 * 4  # It sleeps.


@pytest.mark.parametrize("late", [0.0, 0.4, 1.0, 2.0], ids="{:g}s".format)
async def test_any_number_of_keepers_refresh_once(world, late):
    """Five that find the same account refresh it once, however slowly each goes on."""
    await world.connect(lifetime=30 * DAY)
    for number, name in enumerate("ABCDE"):
        trip = {"connect": 0.2, "process": 0.5, "answer": 0.5}
        process, _ = keeper(world, name, *[trip] * 30)
        process.store.trouble("load", before=late * number)
    await asyncio.sleep(5 * DAY)
    tokens = [sent.split()[1] for sent in world.sent]
    assert tokens == [f"r{number}" for number in range(len(tokens))]
    assert all(2 / 3 * DAY <= gap <= 0.75 * DAY for gap in gaps(world))
    assert not world.issuer.revoked


async def test_a_refresh_by_a_caller_counts(world):
    """The idle lifetime begins anew with every token request, whoever made it."""
    await world.connect(lifetime=HOUR)
    keeper(world, "A")
    caller = world.process("B")
    await asyncio.sleep(15 * HOUR)
    assert await caller.outcome() == "access-r1"
    await asyncio.sleep(15 * HOUR)
    assert world.sent == ["B r0"]
    await asyncio.sleep(3 * HOUR)
    assert world.sent == ["B r0", "A r1"]


async def test_a_keeper_that_starts_late_begins_at_once(world):
    """After a weekend without a keeper whatever is left is refreshed first thing."""
    await world.connect(lifetime=HOUR)
    await asyncio.sleep(23 * HOUR)
    keeper(world, "A")
    await asyncio.sleep(1)
    assert world.sent_at == [23 * HOUR]


async def test_a_keeper_goes_on_when_the_store_does(world):
    """A store that is down for hours costs a pause, and is not run into."""
    await world.connect(lifetime=HOUR)
    a, keeping = keeper(world, "A")
    await asyncio.sleep(HOUR)
    a.store.trouble("due", "now", "load", error=StoreError("busy"))
    await asyncio.sleep(18 * HOUR)
    assert not world.sent
    assert sum(a.store.calls.values()) < 18 * 15
    a.store.heal()
    await asyncio.sleep(400)
    assert world.sent == ["A r0"]
    assert not keeping.done()


async def test_a_token_endpoint_that_is_down_is_tried_again(world):
    """Back-offs are respected, and the grant is kept in time once it is up."""
    await world.connect(lifetime=30 * DAY)
    a, _ = keeper(world, "A", *[{"outcome": NotSent("down")}] * 20)
    await asyncio.sleep(20 * HOUR)
    assert world.sent == ["A r0"]
    assert a.line.asked == 21
    assert (await world.record()).minted_at < world.time.wall()


async def test_an_ambiguous_answer_is_not_asked_after(world):
    """Rule 4a counts for keepers too: the access token is used up first."""
    await world.connect(lifetime=20 * HOUR)
    keeper(world, "A", {"outcome": Ambiguous("cut")})
    await asyncio.sleep(19.9 * HOUR)
    assert world.sent == ["A r0"]
    await asyncio.sleep(HOUR / 2)
    assert world.sent == ["A r0", "A r0"]  # Rule 4c, the last resort.


async def test_one_refused_account_does_not_hold_up_another(world):
    """Who needs its user is left alone from then on, and the others are kept."""
    other = AccountKey("billit", "other")
    await world.connect("r0", lifetime=HOUR)
    await world.connect("s0", lifetime=HOUR, key=other)
    a, _ = keeper(world, "A", {"outcome": Refused("invalid_grant", "", 400)})
    await asyncio.sleep(3 * DAY)
    first = world.sent[0]
    assert world.sent.count(first) == 1
    assert len(world.sent) == 5
    standings = {(await world.store.load(key)).reason for key in (a.account.key, other)}
    assert standings == {None, "refused"}


async def test_an_account_of_another_client_is_left_alone(world, caplog):
    """Nothing is spent for a registration that is not this one; it is said, seldom."""
    await world.connect(lifetime=HOUR)
    process = world.process("A", refresh_idle_lifetime=DAY)
    process.account.registration = type(process.account.registration)(
        process.account.registration.provider, "another-id", "secret"
    )
    world.spawn(process.refresher.keep(16))
    await asyncio.sleep(20 * HOUR)
    assert not world.sent
    said = [each for each in caplog.records if "not kept alive yet" in each.message]
    assert 0 < len(said) < 80
    assert "nothing was spent" in said[0].message


async def test_a_body_that_cannot_be_sent_twice_goes_first(world):
    """Where the old access token dies, the keeper waits for the upload under way."""
    await world.connect(lifetime=30 * DAY)
    a, _ = keeper(world, "A", old_access_dies=True)
    a.account.one_shot(+1)
    await asyncio.sleep(17 * HOUR)
    assert not world.sent
    a.account.one_shot(-1)
    await asyncio.sleep(400)
    assert world.sent == ["A r0"]


async def test_closing_ends_a_keeper_and_not_its_flight(world):
    """What was sent is stored before a closing Client lets go; nothing new begins."""
    await world.connect(lifetime=HOUR)
    await world.connect("s0", lifetime=HOUR, key=AccountKey("billit", "other"))
    await asyncio.sleep(17 * HOUR)
    process = world.process("A", {"answer": 30}, refresh_idle_lifetime=DAY)
    keeping = world.spawn(process.refresher.keep(1))
    await world.until(lambda: world.sent)
    await process.refresher.aclose()
    await asyncio.wait_for(keeping, 1)
    assert len(world.sent) == 1
    stored = {each.token.refresh_token async for each in world.store.list()}
    assert stored in ({"r1", "s0"}, {"r0", "s1"})


async def test_a_cancelled_keeper_leaves_its_flight(world):
    """Whoever cancels the task loses no rotation, and another keeper may follow."""
    await world.connect(lifetime=HOUR)
    await asyncio.sleep(17 * HOUR)
    process, keeping = keeper(world, "A", {"answer": 30})
    await world.until(lambda: world.sent)
    keeping.cancel()
    with pytest.raises(asyncio.CancelledError):
        await keeping
    await asyncio.sleep(31)
    assert (await world.record()).token.refresh_token == "r1"
    world.spawn(process.refresher.keep(1))
    await asyncio.sleep(17 * HOUR)
    assert world.sent == ["A r0", "A r1"]
