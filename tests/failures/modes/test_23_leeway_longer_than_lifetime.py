"""Mode 23: a token counts as old the moment it arrives, and is refreshed for ever.

Promised: the leeway is never more than half of a lifetime, a provider's minimum age is
respected, a lifetime counts from before its request, and a date that is set while the
process lives neither starts refreshes nor lets a dead token reach a caller.
"""

from __future__ import annotations

import asyncio

import pytest

from everbearer._clock import SystemClock

pytestmark = pytest.mark.asyncio


def under_way():
    """Whether anything goes on in the background."""
    return any(
        task.get_name().startswith("everbearer-") for task in asyncio.all_tasks()
    )


async def test_a_lifetime_shorter_than_the_leeway(scene, whoami):
    """Ten lifetimes of calls: each token is used for half of its own."""
    scene.sandbox.settings.access_lifetime = 60.0
    acme = await scene.acme(leeway=3600.0)
    for _ in range(120):
        assert await whoami(acme) == "acme"
        await scene.until(lambda: not under_way())
        scene.clock.advance(5)
    assert 17 <= scene.ledger.refreshes <= 20
    assert scene.ledger.refused == 0


@pytest.mark.parametrize(
    ("left", "refreshes"), [(61, 0), (59, 1)], ids=["before", "within"]
)
async def test_an_ordinary_leeway(scene, whoami, left, refreshes):
    """A minute before its end a token is replaced, and not before."""
    acme = await scene.acme(leeway=60.0)
    scene.clock.advance(scene.sandbox.settings.access_lifetime - left)
    assert await whoami(acme) == "acme"
    await scene.until(lambda: scene.ledger.refreshes == refreshes)
    assert len(scene.ledger.token_requests) == refreshes


async def test_more_life_than_a_token_has(scene):
    """Who asks for an hour of a token that lives a minute gets what there is."""
    scene.sandbox.settings.access_lifetime = 60.0
    acme = await scene.acme()
    for _ in range(20):
        await acme.access_token(min_ttl=3600)
    assert not scene.ledger.token_requests


async def test_a_minimum_age(scene, whoami):
    """Too young to be replaced, a stale token is used; then it is replaced."""
    scene.sandbox.settings.access_lifetime = 40.0
    acme = await scene.acme(leeway=60.0, minimum_age=30.0)
    for age, refreshes in ((25, 0), (31, 1)):
        scene.clock.ahead = age
        assert await whoami(acme) == "acme"
        assert await acme.access_token(min_ttl=15)
        await scene.until(lambda n=refreshes: scene.ledger.refreshes >= n)
        assert len(scene.ledger.token_requests) == refreshes


async def test_a_lifetime_counts_from_before_the_request(scene, whoami, gate):
    """An answer that took 100 seconds brings a token that is 100 seconds old."""
    acme = await scene.acme(expired=True, hosts=gate.hosts)
    asked_at = SystemClock().wall()
    caller = asyncio.create_task(whoami(acme))
    await scene.until(lambda: gate.asked)
    scene.clock.advance(100)
    gate.opened.set()
    assert await caller == "acme"
    ends = (await scene.record()).token.expires_at.timestamp()
    lifetime = scene.sandbox.settings.access_lifetime
    assert asked_at + lifetime <= ends < asked_at + lifetime + 50


@pytest.mark.parametrize("moved", [3600.0, -3600.0], ids=["ahead", "back"])
async def test_a_date_that_is_set(scene, whoami, monkeypatch, moved):
    """Off by an hour from now on: no refresh before its time, and only good answers."""
    acme = await scene.acme()
    await whoami(acme)
    wall = SystemClock.wall
    monkeypatch.setattr(SystemClock, "wall", lambda its: wall(its) + moved)
    for _ in range(20):
        assert await whoami(acme) == "acme"
    assert not scene.ledger.token_requests
    scene.clock.advance(scene.sandbox.settings.access_lifetime + 1)
    for _ in range(20):
        assert await whoami(acme) == "acme"
    assert scene.ledger.refreshes == 1
    assert scene.ledger.reuse == 0
