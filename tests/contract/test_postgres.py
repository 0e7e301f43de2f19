"""What only the PostgreSQL store promises: its tables, its clock, its notifications."""

from __future__ import annotations

import asyncio
import threading
from contextlib import asynccontextmanager

import asyncpg
import pytest
import pytest_asyncio

from everbearer.errors import ConfigurationError, StoreError
from everbearer.stores import Asked, Keyring, Settlement, open_store
from everbearer.stores._swapping import STALE_AFTER
from everbearer.stores.postgres import PostgresStore
from everbearer.tokens import AccountKey

pytestmark = pytest.mark.asyncio

KEY = Keyring.generate_key()


@pytest.fixture(name="made")
def _made(postgres_url, table_prefix):
    """Stores on the same tables, as other processes would have them."""

    def make(**options):
        options = {"prefix": table_prefix, **options}
        return PostgresStore(postgres_url, Keyring([KEY]), **options)

    return make


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


@pytest_asyncio.fixture(name="server")
async def _server(postgres_url):
    """What an operator would type."""
    connection = await asyncpg.connect(postgres_url)
    yield connection
    await connection.close()


async def test_the_clock_is_the_servers(store, other, make, server):
    """Two hosts whose own clocks differ by an hour agree about a lease."""
    store._clock = _Ahead(3600.0)
    await store.put(make.key, make.grant())
    taken = await store.acquire(make.key, make.asked("flight-a"))
    now = float(await server.fetchval("SELECT extract(EPOCH FROM clock_timestamp())"))
    assert abs(taken.record.lease.until - now - 10) < 2
    assert not (await other.acquire(make.key, make.asked("flight-b"))).granted


class _Ahead:
    """A host's clock that is ahead."""

    def __init__(self, seconds):
        self._ahead = seconds

    def wall(self):
        return asyncio.get_running_loop().time() + self._ahead

    def elapsed(self):
        return asyncio.get_running_loop().time() + self._ahead


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
    connections = await other._connections()
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


async def test_a_lost_listener_comes_back(store, other, make, server):
    """A connection that the server ends is opened again, and hears."""
    await store.put(make.key, make.grant())
    connections = await other._connections()
    while not connections.listening:
        await asyncio.sleep(0.01)
    heard = asyncio.Event()
    connections._heard = lambda key: heard.set()
    ended = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> $1"
    await server.fetch(ended, server.get_server_pid())
    async with asyncio.timeout(20):
        while not heard.is_set():
            record = await _patiently(store.load, make.key)
            await _patiently(store.put, make.key, make.grant("r0", "i-new"))
            await asyncio.sleep(0.1)
    assert record is not None


async def _patiently(call, *arguments):
    for _ in range(50):
        try:
            return await call(*arguments)
        except StoreError:
            await asyncio.sleep(0.05)
    return await call(*arguments)


async def test_statements_need_not_be_prepared(made, make):
    """Behind an older PgBouncer no statement outlives its transaction."""
    async with opened(made(prepared=False)) as store:
        record = await store.put(make.key, make.grant())
        assert await store.load(make.key) == record


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


async def test_many_that_open_at_once(made, make):
    """However many start on an empty database, they agree about the tables."""
    stores = [made() for _ in range(8)]
    await asyncio.gather(*(store.open() for store in stores))
    record = await stores[0].put(make.key, make.grant())
    assert [await store.load(make.key) for store in stores] == [record] * 8
    await asyncio.gather(*(store.aclose() for store in stores))


async def test_tables_are_not_made_where_they_may_not_be(made):
    """With create=False somebody else has to have made them."""
    with pytest.raises(ConfigurationError, match="store init"):
        await made(create=False).open()


async def test_tables_of_a_newer_release(store, made, server, table_prefix):
    """A raised min_reader is a refusal that says what to do; a raised schema is not."""
    facts = f"UPDATE {table_prefix}meta SET value = '99' WHERE name = $1"
    await server.execute(facts, "schema")
    async with opened(made()):
        pass
    await server.execute(facts, "min_reader")
    with pytest.raises(ConfigurationError, match="upgrade everbearer"):
        await made().open()


async def test_columns_of_a_newer_release_stay(store, make, server, table_prefix):
    """This release leaves alone what it does not know."""
    record = await store.put(make.key, make.grant())
    await server.execute(f"ALTER TABLE {table_prefix}records ADD COLUMN later TEXT")
    await server.execute(f"UPDATE {table_prefix}records SET later = 'kept'")
    await store.replace(make.key, make.rotation(record))
    assert await server.fetchval(f"SELECT later FROM {table_prefix}records") == "kept"


async def test_no_secret_is_in_the_tables(store, make, server, table_prefix):
    """What a stolen backup shows are accounts and instants."""
    await store.put(make.key, make.grant("very-secret"))
    await store.put_pending(make.pending())
    for table in ("records", "pending"):
        rows = await server.fetch(f"SELECT * FROM {table_prefix}{table}")
        assert rows
        shown = " ".join(repr(value) for row in rows for value in row.values())
        assert "very-secret" not in shown
        assert "verifier" not in shown


async def test_a_nul_in_a_text(store, make):
    """The one character that PostgreSQL cannot keep costs no record."""
    record = await store.put(make.key, make.grant())
    refusal = make.refusal(record)
    await store.refuse(
        make.key, type(refusal)("i0", refusal.fingerprint, "refused", detail="a\0b")
    )
    assert (await store.load(make.key)).detail == "a\N{REPLACEMENT CHARACTER}b"


@pytest.mark.parametrize(
    ("url", "error"),
    [
        pytest.param(
            "postgresql://u:hunter2@127.0.0.1:1/d", StoreError, id="nobody there"
        ),
        pytest.param(
            "postgresql://u:hunter2@127.0.0.1:port/d", ConfigurationError, id="no port"
        ),
    ],
)
async def test_errors_show_neither_password_nor_host(url, error, monkeypatch):
    """What is raised says what to do, and repeats nothing of the URL."""
    monkeypatch.setenv("EVERBEARER_KEYS", KEY)
    store = open_store(url)
    with pytest.raises(error) as raised:
        await store.open()
    chain = [raised.value, raised.value.__context__, raised.value.__cause__]
    assert not any("hunter2" in repr(each) for each in chain)
    with pytest.raises(StoreError, match="not open"):
        await store.load(AccountKey("billit", "acme"))


async def test_a_shared_store_needs_a_key(monkeypatch):
    """No key is made up: other hosts could not open what it seals."""
    monkeypatch.delenv("EVERBEARER_KEYS", raising=False)
    with pytest.raises(ConfigurationError, match="EVERBEARER_KEYS"):
        open_store("postgresql://localhost/d")


async def test_no_connection_is_held_between_calls(store, make):
    """While a token endpoint is asked, a lease is all that is held."""
    await store.put(make.key, make.grant())
    await store.acquire(make.key, Asked("flight-a", "holder", 10.0))
    pool = (await store._connections()).pool
    assert pool.get_idle_size() == pool.get_size()
    await store.release(make.key, make.asked("flight-a"), Settlement())
