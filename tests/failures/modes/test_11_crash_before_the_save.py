"""Mode 11: the provider has rotated, and the process dies or its store fails.

Promised: that a token is being spent is written before it is sent, which proves that
the store can be written; a save that fails is tried until it succeeds, while the token
is served from memory, loudly; and a crash is told for what it is, by whom and when.
"""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

import pytest
from attrs import evolve

from everbearer import (
    AuthorizationRequired,
    Client,
    Keyring,
    Registration,
    StoreError,
    TemporarilyUnavailable,
)
from everbearer.events import RefreshStarted, SavedLate, SaveFailed, Spilled
from everbearer.sandbox import faults

pytestmark = pytest.mark.asyncio


@pytest.fixture
def timing(short_timing):
    """Graces are waited for here."""
    return short_timing


@pytest.fixture
def key(client):
    """Whose record it is."""
    return client.session("billit", "acme").key


async def test_what_cannot_be_stored_is_not_spent(
    sandbox, client, store, connect, call
) -> None:
    """A store that takes no writes is found out before anything is sent."""
    await connect(expired=True)
    store.cut = {"acquire", "renew", "release", "replace", "refuse"}
    with pytest.raises(StoreError):
        await call(client)
    assert len(sandbox.ledger.token_requests) == 0
    store.cut.clear()
    assert await call(client) == "acme"
    assert (sandbox.ledger.refreshes, sandbox.ledger.last_resort) == (1, 0)


@pytest.mark.parametrize(
    "cut",
    [
        pytest.param({"replace"}, id="full"),
        pytest.param({"load", "renew", "release", "replace", "changed"}, id="gone"),
    ],
)
async def test_the_token_is_served_until_it_can_be_stored(
    sandbox, client, store, another, connect, call, until, events, caplog, cut
) -> None:
    """Its process says so, loudly; others wait; nobody spends the old one again."""
    await connect(expired=True)

    async def fail() -> None:
        store.cut.update(cut)

    store.before["replace"] = fail
    assert await call(client) == "acme"
    assert await call(client) == "acme"
    loud = [r.getMessage() for r in caplog.records if r.levelno == logging.ERROR]
    assert len(loud) == 1
    assert "only this process has it" in loud[0]
    waiting = asyncio.create_task(call(await another()))
    await until(lambda: sum(isinstance(e, SaveFailed) for e in events) >= 3)
    store.cut.clear()
    assert await waiting == "acme"
    assert sum(isinstance(event, SavedLate) for event in events) == 1
    assert len(sandbox.ledger.token_requests) == 1


def is_there(spilled) -> bool:
    return Path(spilled.path).exists()


async def test_a_sealed_file_has_the_token_meanwhile(
    sandbox, another, new_way, connect, call, until, tmp_path, monkeypatch
) -> None:
    """It is told where, and goes when the store has the token."""
    monkeypatch.setenv("EVERBEARER_KEYS", Keyring.generate_key())
    way, told = new_way(), []
    client = await another(way, hooks=[told.append], spill=tmp_path / "spill")
    await connect(to=client, expired=True)
    way.cut = {"replace"}
    assert await call(client) == "acme"
    [spilled] = [event for event in told if isinstance(event, Spilled)]
    assert is_there(spilled)
    way.cut.clear()
    await until(lambda: not is_there(spilled))
    assert len(sandbox.ledger.token_requests) == 1


async def test_where_use_would_do_harm_an_error_says_wait(
    sandbox, provider, another, new_way, connect, call, call_patiently
) -> None:
    """Its first use may close a replay window, so an unsaved token is not served."""
    windowed = Registration(
        evolve(provider, replay_window=60.0),
        sandbox.settings.client_id,
        sandbox.settings.client_secret,
    )
    way = new_way()
    client = await another(way, registered=windowed)
    await connect(to=client, expired=True)
    way.cut = {"replace"}
    for _ in range(2):
        with pytest.raises(TemporarilyUnavailable):
            await call(client)
    assert sandbox.ledger.calls == 0
    way.cut.clear()
    assert await call_patiently(client) == "acme"
    assert len(sandbox.ledger.token_requests) == 1


async def test_closing_waits_for_the_save(
    sandbox, registration, new_way, timing, another, connect, call
) -> None:
    """A program that ends while the store fails hands over what it has."""
    await connect(expired=True)
    way = new_way()
    async with Client(registration, store=way, timing=timing) as short:
        way.cut = {"replace"}
        assert await call(short) == "acme"
        asyncio.get_running_loop().call_later(0.2, way.cut.clear)
    assert await call(await another()) == "acme"
    assert len(sandbox.ledger.token_requests) == 1


async def test_a_crash_before_the_answer_is_told(
    sandbox, client, another, shared, key, connect, call, call_patiently, until
) -> None:
    """The next process knows of the sending: it waits, tries once, and says by whom."""
    await connect(expired=True)
    sandbox.script.add(faults.slow(0.3, rotates="before"))
    dying = asyncio.create_task(call(client))
    await until(lambda: sandbox.ledger.refreshes)
    holder = client._refresher.holder
    with pytest.warns(ResourceWarning, match="unfinished"):
        await client.aclose(within=0.0)
    with pytest.raises(TemporarilyUnavailable):
        await dying
    intent = (await shared.load(key)).live_intent
    assert intent.holder == holder
    told = []
    heir = await another(hooks=[told.append])
    with pytest.raises(AuthorizationRequired) as caught:
        await call_patiently(heir)
    assert caught.value.reason == "rotation_lost"
    assert holder in str(caught.value)
    started = [e.attempt for e in told if isinstance(e, RefreshStarted)]
    assert started == ["last_resort"]
    assert (sandbox.ledger.reuse, sandbox.ledger.last_resort) == (0, 1)
