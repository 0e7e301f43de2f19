"""What only the PostgreSQL store promises: its tables, its clock, its notifications."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import asyncpg
import pytest
import pytest_asyncio

from everbearer.errors import ConfigurationError, StoreError
from everbearer.stores import Asked, Keyring, Settlement
from everbearer.stores.postgres import PostgresStore

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


async def test_a_lost_listener_comes_back(store, other, make, server):
    """A connection that the server ends is opened again, and hears."""
    connections = await other._connections()
    heard = asyncio.Event()
    connections._heard = lambda key: heard.set()
    async with asyncio.timeout(20):
        await _until_heard(heard, store, make)
        ended = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> $1"
        await server.fetch(ended, server.get_server_pid())
        while connections.listening:
            await asyncio.sleep(0.01)
        heard.clear()  # What follows was not told to the connection that is gone.
        await _until_heard(heard, store, make)


async def _until_heard(heard, store, make):
    while not heard.is_set():
        await _patiently(store.put, make.key, make.grant("r0", "i-new"))
        await asyncio.sleep(0.1)


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


async def test_names_may_be_long(made, make, server):
    """A schema and a prefix of 40 characters: changes are told all the same."""
    names = {"schema": "s" * 40, "prefix": "p" * 40}
    await server.execute(f"CREATE SCHEMA {names['schema']}")
    try:
        async with opened(made(**names)) as store, opened(made(**names)) as other:
            connections = await other._connections()
            async with asyncio.timeout(20):
                while not connections.listening:
                    await asyncio.sleep(0.01)
                heard = asyncio.Event()
                connections._heard = lambda change: heard.set()
                await store.put(make.key, make.grant())
                await heard.wait()
    finally:
        await server.execute(f"DROP SCHEMA {names['schema']} CASCADE")


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


async def test_no_connection_is_held_between_calls(store, make):
    """While a token endpoint is asked, a lease is all that is held."""
    await store.put(make.key, make.grant())
    await store.acquire(make.key, Asked("flight-a", "holder", 10.0))
    connections = await store._connections()
    async with asyncio.timeout(10):
        while not connections.listening:  # It has heard itself, over one of the pool.
            await asyncio.sleep(0.01)
    pool = connections.pool
    assert pool.get_idle_size() == pool.get_size()
    await store.release(make.key, make.asked("flight-a"), Settlement())
