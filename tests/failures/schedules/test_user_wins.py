"""A user disconnects, or connects anew, at each moment of a refresh: the user wins."""

from __future__ import annotations

import asyncio

import pytest
from attrs import frozen

from everbearer.errors import StoreError
from everbearer.providers import BILLIT
from everbearer.token_endpoint import Ambiguous

pytestmark = pytest.mark.asyncio


def nothing(process):
    """No trouble with the store."""


def slow(method, **times):
    return lambda process: process.store.trouble(method, **times)


def unsaved(process):
    process.store.trouble("replace", error=StoreError("full"), times=8)


@frozen
class Moment:
    """A flight, and how many seconds after its start the user acts.

    Attributes:
        trip: Of its token request.

        trouble: What befalls its store.

        at: When.

        sent: Whether r0 has left, or leaves nevertheless.
    """

    trip: dict
    trouble: object
    at: float
    sent: bool = True


MOMENTS = {
    "before-the-look-up": Moment({}, slow("load", before=5.0, times=1), 1, sent=False),
    "looked-up-not-told": Moment({}, slow("load", after=5.0, times=1), 1, sent=False),
    "before-acquiring": Moment({}, slow("acquire", before=5.0), 1, sent=False),
    "acquired-and-not-told": Moment({}, slow("acquire", after=5.0), 1, sent=False),
    "while-connecting": Moment({"connect": 5.0}, nothing, 1, sent=False),
    # Within a third of the lease it goes out without another look at the store.
    "just-before-it-leaves": Moment({"connect": 2.0}, nothing, 1),
    "on-its-way": Moment({"process": 20.0}, nothing, 5),
    "on-its-way-back": Moment({"answer": 20.0}, nothing, 5),
    "between-answer-and-save": Moment({}, slow("replace", before=5.0), 1),
    "refused-and-not-marked": Moment({}, slow("refuse", before=5.0), 1),
    "while-waiting-late": Moment({"answer": 63.0}, nothing, 61),
    "answered-late-and-not-saved": Moment(
        {"answer": 61.0}, slow("replace", before=5.0), 62
    ),
    "with-an-unsaved-pair": Moment({}, unsaved, 1),
}

EVERY_MOMENT = pytest.mark.parametrize("moment", MOMENTS.values(), ids=MOMENTS)
WHERE = pytest.mark.parametrize("here", [True, False], ids=["here", "elsewhere"])


async def refreshing(world, moment):
    """A process in the middle of a refresh, and what its caller waits for."""
    await world.connect()
    a = world.process("A", moment.trip, revoke=BILLIT.refresh)
    moment.trouble(a)
    if moment is MOMENTS["refused-and-not-marked"]:
        world.issuer.revoked.add("r")
    waiting = a.calls()
    await asyncio.sleep(moment.at)
    return a, waiting


async def disconnect(world, key, process, *, here):
    """As `Client.disconnect` does it, in that process or in another one."""
    await world.store.delete(key)
    if here:
        process.account.forget()


@WHERE
@EVERY_MOMENT
async def test_disconnect_wins(moment, here, world, key):
    """Rules 12 and 14: nothing is stored, nothing is served, what came is revoked."""
    a, waiting = await refreshing(world, moment)
    await disconnect(world, key, a, here=here)
    assert await waiting in {"AuthorizationRequired", "TemporarilyUnavailable"} | (
        # Served before the user acted, as every token that was good until then.
        {"access-r1"} if moment is MOMENTS["with-an-unsaved-pair"] else set()
    )
    await a.refresher.aclose()
    assert await world.record() is None
    assert a.account.current() is None
    assert await a.outcome() == "AuthorizationRequired"
    assert len(world.sent) == (1 if moment.sent else 0)
    came = moment.sent and moment is not MOMENTS["refused-and-not-marked"]
    assert a.line.revoked == (["r1"] if came else [])


@WHERE
@EVERY_MOMENT
async def test_a_new_authorization_wins(moment, here, world, key):
    """Rules 12 to 15: it stays as it was stored, and everybody gets its token."""
    a, waiting = await refreshing(world, moment)
    if here:
        await a.adopts("s0")
    else:
        await world.connect("s0", 3600)
    stored = await world.record()
    outcome = await waiting
    assert outcome in {"access-s0", "TemporarilyUnavailable"} | (
        {"access-r1"} if moment is MOMENTS["with-an-unsaved-pair"] else set()
    )
    await a.refresher.aclose()
    latest = await world.record()
    assert (latest.incarnation, latest.version) == (stored.incarnation, stored.version)
    assert latest.token == stored.token
    assert latest.standing is stored.standing
    assert await a.patiently() == await world.process("B").outcome() == "access-s0"
    assert not any("s0" in sent for sent in world.sent)
    assert "s" not in world.issuer.revoked


@pytest.mark.parametrize("adopted", [False, True], ids=["disconnect", "adopt"])
@WHERE
async def test_in_the_grace(adopted, here, world, key):
    """Rule 5: whoever waits to present a token that others sent sends it no more."""
    await world.connect()
    crashed = world.process("A", {"outcome": Ambiguous("lost")})
    await crashed.outcome()
    crashed.kill()
    b = world.process("B")
    waiting = world.spawn(b.patiently())
    await world.until(lambda: b.store.calls["changed"] > 1)
    if adopted and here:
        await b.adopts("s0")
    elif adopted:
        await world.connect("s0", 3600)
    else:
        await disconnect(world, key, b, here=here)
    assert await waiting == ("access-s0" if adopted else "never_connected")
    await b.refresher.aclose()
    assert world.sent == ["A r0"]
