"""The store fails when the refresh token is spent and its successor is not stored."""

from __future__ import annotations

import asyncio

import pytest

pytestmark = [pytest.mark.asyncio, pytest.mark.timeout(120)]

ACCOUNTS = 70
REFRESHES = 200
# Between the provider's rotation and its answer: time enough to break the store.
HELD = 1.0


async def strike_all(sandbox, fault, worker):
    """Have every account refreshed, and the store fail before the first is saved."""
    sandbox.settings.token_delay = HELD
    due = sandbox.ledger.refreshes + ACCOUNTS
    worker.begin("call")
    while sandbox.ledger.refreshes < due:
        await asyncio.sleep(0.002)
    await fault.strike(worker)
    sandbox.settings.token_delay = 0.0
    return await worker.hear("call")


async def test_no_grant_is_lost(sandbox, fault, client, connect, start) -> None:
    """Over 200 refreshes fail to be saved, half of their processes are killed.

    Callers notice nothing; no refresh token is presented twice, not even as a last
    resort, and every account works afterwards.
    """
    accounts = await connect(ACCOUNTS)
    unsaved, left_behind = 0, 0
    while unsaved < REFRESHES:
        async with start(accounts) as worker:
            async with asyncio.timeout(20):
                while (await worker.tell("told")).get("SpillAdopted", 0) < left_behind:
                    await asyncio.sleep(0.01)
            assert await strike_all(sandbox, fault, worker) == {"ok": ACCOUNTS}
            spilled = (await worker.tell("told"))["Spilled"]
            unsaved += spilled
            if left_behind:
                await fault.heal(worker)
                settled = await worker.tell("settle")
                assert settled["SavedLate"] == spilled
                await worker.end()
                left_behind = 0
            else:
                await worker.kill()
                await fault.heal(None)
                left_behind = spilled
    async with client:
        # Until the last spills are adopted, a token that lives is left alone (rule 4a).
        while not client._refresher._recovering.done():
            await asyncio.sleep(0.01)
        for account in accounts:
            session = client.session("billit", account)
            await session.refresh()
            async with session.get("/v1/whoami") as response:
                assert (await response.json())["company"] == account
    ledger = sandbox.ledger
    assert (ledger.reuse, ledger.last_resort, ledger.lost_grants) == (0, 0, 0)
    assert not list(fault.folder.parent.rglob("*.spill/*"))
    assert not list(fault.folder.parent.glob("state/**/*.spill"))
