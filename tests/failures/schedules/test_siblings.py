"""Two answers to one refresh token, and one of the two pairs is dead.

Some providers answer a replay with a new pair, which ends the one before it.  The
first answer may be the one that is stored first.
"""

from __future__ import annotations

import asyncio

import pytest
from attrs import evolve

from everbearer import Keyring, StoreError
from everbearer.events import RefreshConflict, SavedLate, SpillAdopted, Spilled
from everbearer.stores import Rotation, Spills
from everbearer.token_endpoint import Granted, Refused
from everbearer.tokens import Standing

pytestmark = pytest.mark.asyncio

WINDOW = 600.0


class MintingIssuer:
    """A replay of the latest spent token gets a new pair; the one before it is over."""

    def __init__(self, issuer):
        self._pair = issuer.pair
        self._parents = {}
        self.living = "r0"

    def process(self, refresh_token):
        if refresh_token not in {self.living, self._parents.get(self.living)}:
            return Refused("invalid_grant", "", 400)
        name = f"n{len(self._parents) + 1}"
        self._parents[name] = refresh_token
        self.living = name
        return Granted(self._pair(name))

    def pair(self, refresh_token, lifetime=3600.0):
        return self._pair(refresh_token, lifetime)


def living(issuer, access_token):
    return access_token == f"access-{issuer.living}"


def unknown(issuer, access_token):
    return None


@pytest.fixture(name="race")
def _race(world, tmp_path):
    """A's late n1 is stored, then B's replay brings n2, which has ended n1.

    Args:
        takes: Whether the API takes an access token of *issuer*; None: it is not told.

        b_fails: Whether B cannot save, and ends.

        meanwhile: What to await before the API answers.
    """

    async def happen(*, takes, b_fails=False, meanwhile=None):
        world.issuer = issuer = MintingIssuer(world.issuer)
        await world.connect()
        a = world.process("A", {"answer": 65.0}, replay_window=WINDOW)
        b = world.process("B", {"answer": 20.0}, replay_window=WINDOW)
        asked = []

        async def probe(_key, access_token):
            asked.append(access_token)
            if meanwhile is not None:
                await meanwhile(access_token)
            return takes(issuer, access_token)

        keyring = Keyring(Keyring.generate_key())
        for each in (a, b):
            each.refresher.probe = probe
            each.refresher.spills = Spills((tmp_path,), keyring, at_once)
        a.store.trouble("replace", before=10.0)
        if b_fails:
            b.store.trouble("replace", error=StoreError("full"))
        a.calls()
        await asyncio.sleep(1)
        second = world.spawn(b.patiently())
        if b_fails:
            await world.until(lambda: b.told(Spilled))
            b.kill()
            await world.until(lambda: a.told(SavedLate))
        else:
            await second
        assert world.sent == ["A r0", "B r0"]
        return a, b, asked

    return happen


async def at_once(work, /, *arguments):
    """A thread would be waited for in real time."""
    return work(*arguments)


def resolutions(process):
    return [event.resolution for event in process.told(RefreshConflict)]


async def test_of_two_pairs_the_living_one_is_stored(world, race):
    """Rule 14: the API takes only B's: it replaces the stored one, by its version.

    Always to adopt what is stored would drop the one pair that lives.
    """
    _, b, asked = await race(takes=living)
    record = await world.record()
    assert (record.token.refresh_token, record.version) == ("n2", 3)
    assert record.alternate is None
    assert resolutions(b) == ["replaced"]
    # With access tokens, never with the refresh tokens.
    assert sorted(asked) == ["access-n1", "access-n2"]
    assert await b.outcome() == "access-n2"
    assert await b.account.replacement_for("access-n2") == "access-n3"
    assert world.sent == ["A r0", "B r0", "B n2"]


async def test_nobody_spends_the_stored_one_while_both_are_compared(world, race):
    """Rule 14: n1 is stored and has ended; C, which wants another, waits for n2."""
    c, waiting = world.process("C", replay_window=WINDOW), []

    async def meanwhile(access_token):
        if access_token == "access-n1":
            another = c.account.replacement_for(access_token)
            waiting.append(world.spawn(another))
        await asyncio.sleep(12.0)  # Longer than a lease.

    await race(takes=living, meanwhile=meanwhile)
    assert await waiting[0] == "access-n2"
    assert world.sent == ["A r0", "B r0"]


async def test_a_lease_under_which_two_were_compared_is_given_back(world, race):
    """Rule 14: whatever came of it, the next refresh need not wait."""
    await race(takes=unknown)
    assert (await world.record()).lease is None


async def test_a_third_pair_that_is_stored_meanwhile(world, race, key):
    """Rule 14: B's lease is given back then too."""

    async def meanwhile(access_token):
        record = await world.record()
        if access_token == "access-n1":
            third = Rotation(
                record.incarnation,
                record.version,
                world.issuer.pair("n0"),
                flight="of C",
                spent=record.parent,
            )
            await world.store.replace(key, third)

    await race(takes=living, meanwhile=meanwhile)
    record = await world.record()
    assert (record.token.refresh_token, record.version) == ("n0", 3)
    assert record.lease is None


async def test_a_pair_that_cannot_be_judged_is_kept(world, race):
    """Rule 14: nobody knows which one lives: n1 is used, and n2 has its turn later."""
    a, b, _ = await race(takes=unknown)
    record = await world.record()
    assert record.token.refresh_token == "n1"
    assert record.alternate.refresh_token == "n2"
    assert resolutions(b) == ["kept"]
    # The API refuses n1; so does the token endpoint; and the user is left in peace.
    assert await b.account.replacement_for("access-n1") == "access-n2"
    assert resolutions(b) == ["kept", "promoted"]
    record = await world.record()
    assert record.standing is Standing.CONNECTED
    assert record.alternate is None
    assert await a.account.replacement_for("access-n1") == "access-n2"
    assert await b.account.replacement_for("access-n2") == "access-n3"
    assert world.sent == ["A r0", "B r0", "B n1", "B n2"]


async def test_a_pair_that_is_refused_with_its_sibling(world, race):
    """Rule 14: only when the alternate is refused too the user is asked."""
    _, b, _ = await race(takes=unknown)
    world.issuer.living = "somebody else's"
    assert await b.account.replacement_for("access-n1") == "access-n2"
    for _ in range(9):
        b.account.reject("access-n2")
        await asyncio.sleep(10)
    assert await b.outcome() == "AuthorizationRequired"
    assert world.sent == ["A r0", "B r0", "B n1", "B n2"]


@pytest.mark.parametrize(
    "takes",
    [
        pytest.param(lambda _, access_token: access_token == "access-n1", id="theirs"),
        pytest.param(lambda _, access_token: True, id="both"),
        pytest.param(lambda _, access_token: False, id="none"),
    ],
)
async def test_a_stored_pair_is_not_pushed_out(world, race, takes):
    """Rule 14: unless only ours is taken, ours is kept beside it and not used."""
    a, b, _ = await race(takes=takes)
    record = await world.record()
    assert record.token.refresh_token == "n1"
    assert record.alternate.refresh_token == "n2"
    assert await b.outcome() == await a.outcome() == "access-n1"


async def test_a_spilled_sibling(world, race, tmp_path):
    """Rules 14 and 17: B could not save n2 and is gone; C finds that it lives."""
    a, _, asked = await race(takes=living, b_fails=True)
    assert (await world.record()).token.refresh_token == "n1"
    c = world.process("C", replay_window=WINDOW)
    c.refresher.probe, c.refresher.spills = a.refresher.probe, a.refresher.spills
    c.refresher.recover(c.store, c.refresher.spills)
    await c.refresher._recovering
    assert (await world.record()).token.refresh_token == "n2"
    assert c.told(SpillAdopted)
    assert sorted(asked) == ["access-n1", "access-n2"]
    assert not list(tmp_path.glob("*.spill"))
    assert await c.outcome() == "access-n2"


class NowAndThenIssuer:
    """The first answer keeps the refresh token, from the second on it is replaced."""

    def __init__(self, issuer):
        self._issuer = issuer
        self._kept = False

    def process(self, refresh_token):
        if self._kept:
            return self._issuer.process(refresh_token)
        self._kept = True
        kept = self._issuer.pair(refresh_token)
        return Granted(evolve(kept, access_token="access-kept"))

    def pair(self, refresh_token, lifetime=3600.0):
        return self._issuer.pair(refresh_token, lifetime)


async def test_a_pair_that_kept_the_refresh_token_is_outdone(world):
    """Rule 14: A's save of r0 lands first, but B has seen r0 replaced.

    To adopt what is stored would present r0 again, and revoke the family.
    """
    world.issuer, judge = NowAndThenIssuer(world.issuer), world.issuer
    await world.connect()
    a, b = world.process("A"), world.process("B")
    a.store.trouble("replace", "renew", before=80.0, times=1)
    b.store.trouble("replace", before=30.0)
    a.calls()
    await asyncio.sleep(1)
    assert await b.patiently() == "access-r1"
    await asyncio.sleep(100)
    assert (await world.record()).token.refresh_token == "r1"
    assert await b.account.replacement_for("access-r1") == "access-r2"
    assert world.sent == ["A r0", "B r0", "B r1"]
    assert not judge.revoked
