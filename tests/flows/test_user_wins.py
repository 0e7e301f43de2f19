"""Two Clients on one store: one refreshes, and in the other the user acts meanwhile."""

from __future__ import annotations

import asyncio

import pytest
import pytest_asyncio

from everbearer import AuthorizationRequired, Client
from everbearer.events import RefreshConflict

pytestmark = pytest.mark.asyncio


async def whoami(client):
    """Which company the API took the caller for."""
    session = client.session("billit", "acme")
    async with session.get("/v1/whoami", raise_for_status=True) as response:
        return (await response.json())["company"]


@pytest_asyncio.fixture(name="other")
async def _other(registration, store):
    async with Client(registration, store=store) as other:
        yield other


@pytest.fixture(name="refreshing")
def _refreshing(sandbox, client, connect):
    """A call of *client* that waits for its refresh; the provider has rotated."""

    async def refreshing():
        await connect(expired=True)
        sandbox.settings.token_delay = 0.3
        waiting = asyncio.create_task(whoami(client))
        while not sandbox.ledger.refreshes:
            await asyncio.sleep(0.01)
        return waiting

    return refreshing


async def test_disconnected_elsewhere(refreshing, other, client, sandbox, events):
    """The new pair is dropped: no call goes out with it, now or later."""
    waiting = await refreshing()
    await other.disconnect("billit", "acme")
    for call in (waiting, whoami(client), whoami(other)):
        with pytest.raises(AuthorizationRequired) as caught:
            await call
        assert caught.value.reason == "never_connected"
    assert [status async for status in other.accounts()] == []
    assert sandbox.ledger.calls == 0
    dropped = [event for event in events if isinstance(event, RefreshConflict)]
    assert [event.resolution for event in dropped] == ["dropped"]


async def test_connected_anew_elsewhere(
    refreshing, other, client, sandbox, connect, events
):
    """The call goes out with the new grant, which nothing of the old one touches."""
    waiting = await refreshing()
    token = await connect(to=other)
    assert [await waiting, await whoami(client), await whoami(other)] == ["acme"] * 3
    for each in (client, other):
        held = await each.session("billit", "acme").access_token()
        assert held == token.access_token
    assert sandbox.ledger.refreshes == 1
    assert sandbox.ledger.unauthorized == 0
    assert any(isinstance(event, RefreshConflict) for event in events)


async def test_disconnect_wins_over_a_flight(sandbox, client, connect) -> None:
    """A refresh in flight does not bring a disconnected account back."""
    await connect(expired=True)
    sandbox.settings.token_delay = 0.2
    caller = asyncio.create_task(whoami(client))
    while not sandbox.ledger.max_concurrency:
        await asyncio.sleep(0.01)
    await client.disconnect("billit", "acme")
    with pytest.raises(AuthorizationRequired) as caught:
        await caller
    assert caught.value.reason == "never_connected"


async def test_adoption_wins_over_a_flight(sandbox, client, connect, store) -> None:
    """Rules 12 and 13: a late rotation of the old grant does not overwrite the new."""
    await connect(expired=True)
    sandbox.settings.token_delay = 0.2
    caller = asyncio.create_task(whoami(client))
    while not sandbox.ledger.max_concurrency:
        await asyncio.sleep(0.01)
    adopted = await connect()
    assert await caller == "acme"
    record = await store.load(("billit", "acme"))
    assert record.token.refresh_token == adopted.refresh_token
