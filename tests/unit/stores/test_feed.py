"""What is told of a change, who is told, and in which event loop."""

from __future__ import annotations

import asyncio
import json
import threading

import pytest

from everbearer.stores import Change, MemoryStore, Telling, subscribe
from everbearer.stores._feed import change_in, told_of
from everbearer.stores._wakeups import Wakeups
from everbearer.tokens import AccountKey

pytestmark = pytest.mark.asyncio

KEY = AccountKey("billit", "acme \N{SNOWMAN}")
COLUMNS = {
    **KEY._asdict(),
    "incarnation": "i0",
    "version": 3,
    "standing": "connected",
    "sealed": b"secret",
    "lease_id": "flight",
}


@pytest.mark.parametrize(
    ("columns", "change"),
    [
        pytest.param(COLUMNS, Change(KEY, "i0", 3, "connected"), id="written"),
        pytest.param(KEY._asdict(), Change(KEY), id="deleted"),
    ],
)
async def test_what_is_told_is_heard(columns, change):
    """Of a record its key, incarnation, version and standing, and nothing else."""
    told = told_of(columns)
    assert change_in(told) == change_in(told.encode()) == change
    assert "secret" not in told
    assert "flight" not in told


@pytest.mark.parametrize(
    ("told", "change"),
    [
        pytest.param(
            json.dumps([*KEY, "i0", 3, "connected", {"more": 1}]),
            Change(KEY, "i0", 3, "connected"),
            id="more, of a later release",
        ),
        pytest.param(json.dumps([*KEY, "else"]), Change(KEY), id="another form"),
        pytest.param(json.dumps([*KEY, "i0", "3", "x"]), Change(KEY), id="no number"),
        pytest.param(json.dumps(["billit"]), None, id="no account"),
        pytest.param(json.dumps({"provider": "billit"}), None, id="no list"),
        pytest.param("[", None, id="no JSON"),
        pytest.param(b"\xff", None, id="no text"),
        pytest.param("", None, id="nothing"),
        pytest.param("[" * 100_000, None, id="too deep"),
    ],
)
async def test_what_others_may_tell(told, change):
    """What is understood of it counts, and nothing that is told raises."""
    assert change_in(told) == change


async def test_everybody_hears_in_their_own_loop():
    """Whichever thread the change is told in; and whoever waits is woken as well."""
    wakeups, heard = Wakeups(), []
    done = asyncio.Event()

    def hear(change):
        heard.append((asyncio.get_running_loop(), change))
        done.set()

    wakeups.subscribe(hear)
    with wakeups.watching(KEY) as woken:
        threading.Thread(target=wakeups.tell, args=[Change(KEY)]).start()
        await asyncio.gather(done.wait(), woken.wait())
    assert heard == [(asyncio.get_running_loop(), Change(KEY))]


async def test_who_unsubscribed_hears_nothing():
    """Twice is fine, and takes nobody else's away, not even an equal one."""
    wakeups, heard = Wakeups(), []
    stop = wakeups.subscribe(heard.append)
    wakeups.subscribe(heard.append)
    stop()
    stop()
    wakeups.tell(Change(KEY))
    await asyncio.sleep(0)
    assert heard == [Change(KEY)]


async def test_a_loop_that_has_ended_is_forgotten():
    """A Client that was left open there keeps nobody else from hearing."""
    wakeups, heard = Wakeups(), []

    async def leave():
        wakeups.subscribe(heard.append)

    await asyncio.to_thread(asyncio.run, leave())
    wakeups.subscribe(heard.append)
    wakeups.tell(Change(KEY))
    await asyncio.sleep(0)
    assert heard == [Change(KEY)]
    assert len(wakeups._hearing) == 1


async def test_a_store_that_tells_nothing_is_as_good():
    """There is nothing to subscribe to, and nothing to end."""
    store = MemoryStore()
    assert not isinstance(store, Telling)
    subscribe(store, [].append)()
