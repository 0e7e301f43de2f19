"""A host whose date is wrong, and dates that are set while a process lives."""

from __future__ import annotations

import asyncio
import logging
import re

import pytest

from everbearer import Token

pytestmark = pytest.mark.asyncio

HOUR = 3600.0
OFF = pytest.mark.parametrize("off", [2 * HOUR, -2 * HOUR], ids=["ahead", "behind"])


@OFF
async def test_what_a_host_with_a_wrong_date_stores_is_true(world, whoami, off):
    """It refreshes, and a host with the right date reads the end as it is."""
    async with (
        world.client(world.host(off)) as wrong,
        world.client(world.host()) as right,
    ):
        await world.connect(right)
        await wrong.session("billit", "acme").refresh()
        assert await world.left(right) == pytest.approx(HOUR, abs=5)
        for client in (right, wrong, right):
            assert await whoami(client) == 200
    assert world.sandbox.ledger.refreshes == 1


@OFF
async def test_what_others_stored_is_read_rightly(world, whoami, off):
    """Once the provider has been heard: fresh is fresh, and dead is dead.

    The first call may cost a refresh that was not needed, or an answer 401 that its
    caller does not see.  Nothing after it.
    """
    ledger = world.sandbox.ledger
    async with (
        world.client(world.host(off)) as wrong,
        world.client(world.host()) as right,
    ):
        await world.connect(right)
        await wrong.session("billit", "acme").refresh()
        for _ in range(3):
            refreshes, refused = ledger.refreshes, ledger.unauthorized
            await right.session("billit", "acme").refresh()
            assert await whoami(wrong) == 200
            # The rotated token is new to that process, and it looked it up at most.
            assert ledger.refreshes == refreshes + 1
            world.true.passed += HOUR + 1
            assert await whoami(wrong) == 200
            assert ledger.refreshes == refreshes + 2
            assert ledger.unauthorized == refused


async def test_accounts_that_are_held_are_measured_again(world):
    """One account's answer corrects what is held of the others."""
    async with world.client(world.host(-2 * HOUR)) as wrong:
        await world.connect(wrong, lived=HOUR - 30)
        held = wrong._refresher.account(("billit", "acme"))
        world.true.passed += 60
        assert held.current() is not None, "it ended and this host cannot know"
        other = world.sandbox.issue("other")
        await wrong.session("billit", "other").status()
        await wrong.adopt(
            "billit", "other", Token(other.access_token, other.refresh_token)
        )
        await wrong.session("billit", "other").refresh()
        assert held.current() is None


async def test_one_warning_for_the_operator(world, caplog):
    """It names the registration and the distance, once."""
    with caplog.at_level(logging.WARNING, logger="everbearer"):
        async with world.client(world.host(-HOUR)) as wrong:
            await world.connect(wrong)
            for _ in range(3):
                await wrong.session("billit", "acme").refresh()
    warnings = [each.getMessage() for each in caplog.records]
    assert len(warnings) == 1
    # The date of an answer has no fractions of seconds.
    assert re.search(r"(3599|3600|3601) s behind the provider's", warnings[0])


async def test_answers_of_the_api_are_not_looked_at(world, whoami):
    """A call with a fresh token teaches nothing: the fast path costs nothing more."""
    async with world.client(world.host(-2 * HOUR)) as wrong:
        await world.connect(wrong)
        before = wrong._endpoint.skews.now("billit")
        assert await whoami(wrong) == 200
        assert wrong._endpoint.skews.now("billit") - before < HOUR


@pytest.mark.parametrize("jump", [HOUR, -HOUR], ids=["forward", "back"])
async def test_a_date_that_is_set_while_a_process_lives(undated, whoami, jump):
    """Living tokens stay alive and dead ones dead, without the provider's help."""
    world, ledger = undated, undated.sandbox.ledger
    host = world.host()
    async with world.client(host) as client:
        await world.connect(client)
        assert await whoami(client) == 200
        host.off = jump
        account = client._refresher.account(("billit", "acme"))
        for _ in range(5):
            account.forget()  # So that the record is looked up and measured again.
            assert await whoami(client) == 200
        assert ledger.refreshes == 0
        for lives in range(1, 4):
            world.true.passed += HOUR + 1
            account.forget()
            for _ in range(5):
                assert await whoami(client) == 200
            assert (ledger.refreshes, ledger.unauthorized) == (lives, 0)


@pytest.mark.parametrize("jump", [HOUR, -HOUR], ids=["forward", "back"])
async def test_a_process_that_was_started_after_the_jump(world, whoami, tmp_path, jump):
    """Both share a SQLite file on one host: one lease, one refresh for one expiry.

    The younger one never asks the provider for itself if it is behind: its calls with
    ended tokens are refused, and it finds what the other has stored.
    """
    ledger, host = world.sandbox.ledger, world.host()
    store = f"sqlite:///{tmp_path}/tokens.db"
    async with world.client(host, store) as old:
        await world.connect(old)
        assert await whoami(old) == 200
        host.off = jump
        async with world.client(host, store) as new:
            await asyncio.gather(*(whoami(each) for each in (old, new) * 5))
            settled = ledger.refreshes
            assert settled <= 1
            for lives in range(1, 4):
                world.true.passed += HOUR + 1
                calls = [whoami(each) for each in (old, new) * 5]
                assert set(await asyncio.gather(*calls)) == {200}
                assert ledger.refreshes == settled + lives
            assert ledger.reuse == 0
