"""What every store on a server promises beside the contract."""

from __future__ import annotations

import asyncio
import threading
from contextlib import asynccontextmanager

import pytest
import pytest_asyncio

from everbearer.errors import ConfigurationError, StoreError
from everbearer.stores import Keyring, Settlement, open_store
from everbearer.stores._swapping import STALE_AFTER
from everbearer.tokens import AccountKey

pytestmark = pytest.mark.asyncio

KEY = Keyring.generate_key()


@pytest.fixture(name="made", params=["postgres", "redis"])
def _made(request, monkeypatch):
    """Stores on the same records, as other processes would have them."""
    monkeypatch.setenv("EVERBEARER_KEYS", KEY)
    url = request.getfixturevalue(f"{request.param}_database")
    return lambda: open_store(url)


@asynccontextmanager
async def opened(store):
    await store.open()
    try:
        yield store
    finally:
        await store.aclose()


@pytest_asyncio.fixture(name="store")
async def _store(made):
    async with opened(made()) as store:
        yield store


@pytest_asyncio.fixture(name="other")
async def _other(made, store):
    async with opened(made()) as other:
        yield other


class Ahead:
    """A host's clock that is ahead."""

    def __init__(self, seconds):
        self._ahead = seconds

    def wall(self):
        return asyncio.get_running_loop().time() + self._ahead

    def elapsed(self):
        return asyncio.get_running_loop().time() + self._ahead


async def test_the_clock_is_the_servers(store, other, make):
    """Two hosts whose own clocks differ by an hour agree about a lease."""
    store._clock = Ahead(3600.0)
    await store.put(make.key, make.grant())
    taken = await store.acquire(make.key, make.asked("flight-a"))
    assert abs(taken.record.lease.until - await other.now() - 10) < 2
    assert not (await other.acquire(make.key, make.asked("flight-b"))).granted


async def test_a_cancellation_is_not_lost(store, make):
    """Whenever it comes: whoever waits for the end of a task would wait for ever."""
    await store.put(make.key, make.grant())
    for turns in range(40):
        loading = asyncio.create_task(store.load(make.key))
        for _ in range(turns):
            await asyncio.sleep(0)
        under_way = loading.cancel()
        await asyncio.wait({loading})
        assert loading.cancelled() is under_way


async def test_one_statement_after_a_look(store, make, monkeypatch):
    """What was just read is swapped without another look."""
    await store.put(make.key, make.grant())
    await store.load(make.key)
    monkeypatch.setattr(store, "_read", None)
    assert (await store.acquire(make.key, make.asked())).granted


async def test_what_is_remembered_is_never_believed(store, other, make):
    """Another process wrote since the last look: the swap fails, and looks again."""
    record = await store.put(make.key, make.grant())
    assert (await other.acquire(make.key, make.asked("flight-b"))).granted
    assert not (await store.acquire(make.key, make.asked("flight-a"))).granted
    await other.replace(make.key, make.rotation(record, flight="flight-b"))
    taken = await store.acquire(make.key, make.asked("flight-a"))
    assert taken.granted
    assert taken.record.token.refresh_token == "r1"


async def test_a_time_that_is_over_is_not_written(store, make):
    """A process that was stopped between its look and its write looks again."""
    await store.put(make.key, make.grant())
    seen = await store._look(make.key)
    late = seen.now - 2 * STALE_AFTER
    assert not await store._swapped(seen, seen.stored.record, late)
    assert await store._swapped(seen, seen.stored.record, seen.now)


async def test_no_state_comes_twice(store, other, make):
    """Connected anew in between, an account is not mistaken for what was read."""
    await store.put(make.key, make.grant("r0", "i0"))
    seen = await store._look(make.key)
    await other.delete(make.key)
    anew = await other.put(make.key, make.grant("r0", "i1"))
    assert not await store._swapped(seen, seen.stored.record, seen.now)
    assert await store.load(make.key) == anew


@pytest.mark.parametrize(
    "listening", [pytest.param(True, id="told"), pytest.param(False, id="looking")]
)
async def test_waiters_in_other_processes_wake(store, other, make, listening):
    """By notification, and where none arrives by looking now and then."""
    record = await store.put(make.key, make.grant())
    (connections,) = other._open.values()
    while not connections.listening:
        await asyncio.sleep(0.01)
    if not listening:
        connections._heard = lambda key: None
    waiting = asyncio.ensure_future(other.changed(make.key, record, 30.0))
    await asyncio.sleep(0.05)
    assert not waiting.done()
    await store.replace(make.key, make.rotation(record))
    async with asyncio.timeout(10):
        await waiting


async def test_a_listener_that_has_ended_is_not_relied_on(store):
    """Whatever ended it, a driver's defect too: else its waiters would look less."""
    (connections,) = store._open.values()
    while not connections.listening:
        await asyncio.sleep(0.01)
    connections._listener.cancel()
    await asyncio.wait({connections._listener})
    assert not connections.listening


async def test_two_event_loops(store, make):
    """Each has connections of its own; the record is the same."""
    record = await store.put(make.key, make.grant())
    found = []

    async def look():
        found.append(await store.load(make.key))
        loop = asyncio.get_running_loop()
        await store._open.pop(loop).aclose()

    thread = threading.Thread(target=lambda: asyncio.run(look()))
    thread.start()
    await asyncio.to_thread(thread.join)
    assert found == [record]


async def test_closing_ends_what_listens_in_another_loop(store, make):
    """Else a connection to the server would last as long as that loop."""
    listening, ended = threading.Event(), threading.Event()

    async def use():
        await store.load(make.key)
        connections = store._open[asyncio.get_running_loop()]
        while not connections.listening:
            await asyncio.sleep(0.01)
        listening.set()
        async with asyncio.timeout(10):
            await asyncio.wait({connections._listener})
            await connections._closing
        ended.set()

    thread = threading.Thread(target=lambda: asyncio.run(use()))
    thread.start()
    await asyncio.to_thread(listening.wait)
    await store.aclose()
    await asyncio.to_thread(thread.join)
    assert ended.is_set()


async def test_many_that_open_at_once(made, make):
    """However many start on an empty database, they agree about the tables."""
    stores = [made() for _ in range(8)]
    await asyncio.gather(*(store.open() for store in stores))
    record = await stores[0].put(make.key, make.grant())
    assert [await store.load(make.key) for store in stores] == [record] * 8
    await asyncio.gather(*(store.aclose() for store in stores))


@pytest.mark.parametrize(
    ("url", "error"),
    [
        pytest.param(
            "postgresql://u:hunter2@127.0.0.1:1/d", StoreError, id="no postgres"
        ),
        pytest.param(
            "postgresql://u:hunter2@127.0.0.1:port/d", ConfigurationError, id="port"
        ),
        pytest.param("redis://u:hunter2@127.0.0.1:1/0", StoreError, id="no redis"),
        pytest.param(
            "redis://u:hunter2@127.0.0.1:port", ConfigurationError, id="redis port"
        ),
    ],
)
async def test_errors_show_neither_password_nor_host(monkeypatch, url, error):
    """What is raised says what to do, and repeats nothing of the URL."""
    monkeypatch.setenv("EVERBEARER_KEYS", KEY)
    store = open_store(url)
    with pytest.raises(error) as raised:
        await store.open()
    chain = [raised.value, raised.value.__context__, raised.value.__cause__]
    assert not any("hunter2" in repr(each) for each in chain)
    with pytest.raises(StoreError, match="not open"):
        await store.load(AccountKey("billit", "acme"))


@pytest.mark.parametrize("url", ["postgresql://localhost/d", "rediss://localhost"])
async def test_a_shared_store_needs_a_key(monkeypatch, url):
    """No key is made up: other hosts could not open what it seals."""
    monkeypatch.delenv("EVERBEARER_KEYS", raising=False)
    with pytest.raises(ConfigurationError, match="EVERBEARER_KEYS"):
        open_store(url)


async def test_nothing_is_held_between_calls(store, other, make):
    """While a token endpoint is asked, a lease is all that is held."""
    await store.put(make.key, make.grant())
    await store.acquire(make.key, make.asked("flight-a"))
    await other.put(make.key, make.grant("s0", "i1"))
    await store.release(make.key, make.asked("flight-a"), Settlement())
    assert (await store.load(make.key)).incarnation == "i1"
