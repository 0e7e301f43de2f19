"""What only the Redis store promises: what it asks of the server, and its keys."""

from __future__ import annotations

import asyncio
import errno
from contextlib import asynccontextmanager

import pytest
import pytest_asyncio
from redis.asyncio import Redis

from everbearer.errors import ConfigurationError, StoreError
from everbearer.stores import Keyring
from everbearer.stores._redis_connections import check_server
from everbearer.stores.redis import RedisStore

pytestmark = pytest.mark.asyncio

KEY = Keyring.generate_key()


@pytest.fixture(name="made")
def _made(redis_database):
    """Stores on the same records, as other processes would have them."""
    return lambda **options: RedisStore(redis_database, Keyring([KEY]), **options)


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


@pytest_asyncio.fixture(name="server")
async def _server(redis_database):
    """What an operator would type."""
    async with Redis.from_url(redis_database) as client:
        yield client


@pytest.mark.parametrize(
    ("info", "says"),
    [
        pytest.param({"maxmemory_policy": "noeviction", "aof_enabled": 1}, "", id="ok"),
        pytest.param(
            {"maxmemory_policy": "volatile-lru", "aof_enabled": 1}, "", id="volatile"
        ),
        pytest.param({"aof_enabled": 1}, "does not tell", id="unknown"),
        pytest.param(
            {"maxmemory_policy": "noeviction", "aof_enabled": 0},
            "append-only",
            id="in memory",
        ),
        pytest.param(
            {
                "maxmemory_policy": "noeviction",
                "aof_enabled": 1,
                "cluster_enabled": 1,
            },
            "a node of a cluster",
            id="cluster",
        ),
    ],
)
async def test_what_the_server_says_of_itself(made, caplog, info, says):
    """What may lose tokens is warned of."""
    check_server(info, repr(made()), "{a}:", may_evict=False)
    assert (says in caplog.text) if says else not caplog.records


async def test_a_server_that_evicts_is_refused(made, server, make):
    """Dropping a refresh token to make room ends a customer's connection."""
    await server.config_set("maxmemory-policy", "allkeys-lru")
    try:
        with pytest.raises(ConfigurationError, match="maxmemory-policy allkeys-lru"):
            await made().open()
        async with opened(made(may_evict=True)) as store:
            assert await store.load(make.key) is None
    finally:
        await server.config_set("maxmemory-policy", "noeviction")


async def test_records_of_a_newer_release(store, made, server):
    """A raised min_reader is a refusal that says what to do; a raised schema is not."""
    await server.hset("{everbearer}:meta", "schema", 99)
    async with opened(made()):
        pass
    await server.hset("{everbearer}:meta", "min_reader", 99)
    with pytest.raises(ConfigurationError, match="upgrade everbearer"):
        await made().open()
    await server.hset("{everbearer}:meta", "min_reader", "soon")
    with pytest.raises(StoreError, match="backup"):
        await made().open()


@pytest.mark.parametrize("field", ["provider", "sealed", "revision", "version"])
async def test_a_damaged_record_is_an_error_of_the_store(
    store, made, make, server, field
):
    """Whatever is missing or is no JSON any more: none of a parser's own errors."""
    await store.put(make.key, make.grant())
    place = store._record(make.key)
    async with opened(made()) as other:
        await server.hset(place, "version", "{")
        with pytest.raises(StoreError, match="no sense"):
            await other.load(make.key)
        await server.hset(place, "version", "1")
        await server.hdel(place, field)
        with pytest.raises(StoreError, match="no sense"):
            await other.load(make.key)


async def test_fields_of_a_newer_release_stay(store, make, server):
    """This release leaves alone what it does not know."""
    record = await store.put(make.key, make.grant())
    await server.hset(store._record(make.key), "later", '"kept"')
    await store.replace(make.key, make.rotation(record))
    assert await server.hget(store._record(make.key), "later") == b'"kept"'


async def test_keys_are_on_one_node_and_show_no_secret(store, make, server):
    """One hash tag in every key; what a stolen dump shows are accounts and instants."""
    await store.put(make.key, make.grant("very-secret"))
    await store.put_pending(make.pending(expires_at=await store.now() + 600))
    keys = await server.keys("*")
    assert len(keys) == 5
    assert all(key.startswith(b"{everbearer}:") for key in keys)
    shown = b" ".join([await server.dump(key) for key in keys])
    assert b"very-secret" not in shown
    assert b"verifier" not in shown


async def test_two_prefixes_are_two_stores(store, made, make):
    """Nothing of one is seen by the other."""
    await store.put(make.key, make.grant())
    async with opened(made(prefix="{other}:")) as other:
        assert await other.load(make.key) is None
        assert [record async for record in other.list()] == []


async def test_a_provider_whose_name_begins_like_another(store, make):
    """A list of one provider has nothing of the next."""
    for provider in ("bill", "billit", "billit2"):
        await store.put(make.key._replace(provider=provider), make.grant())
    assert [record.key.provider async for record in store.list("billit")] == ["billit"]


async def test_a_lost_listener_comes_back(store, make, server):
    """A connection that the server ends is opened again, and hears."""
    connections = store._connections()
    heard = asyncio.Event()
    connections._heard = lambda key: heard.set()
    while not connections.listening:
        await asyncio.sleep(0.01)
    await server.client_kill_filter(_type="pubsub")
    async with asyncio.timeout(20):
        while connections.listening:
            await asyncio.sleep(0.01)
        while not heard.is_set():
            await store.put(make.key, make.grant())
            await asyncio.sleep(0.05)


async def test_a_listener_whose_packets_vanished_comes_back(store, make, server):
    """TCP gives it up: redis-py takes that for a quiet time, which never ends."""
    connections = store._connections()
    heard = asyncio.Event()
    connections._heard = lambda key: heard.set()
    while not connections.listening:
        await asyncio.sleep(0.01)
    (listening,) = connections.client.connection_pool._in_use_connections
    reader = listening._reader
    reader.set_exception(TimeoutError(errno.ETIMEDOUT, "as TCP says it"))
    async with asyncio.timeout(20):
        while listening._reader is reader or not heard.is_set():
            await store.put(make.key, make.grant())
            await asyncio.sleep(0.05)


async def test_a_listener_that_gets_no_answer_comes_back(made, server, monkeypatch):
    """A server that is gone without a word is asked whether it is there."""
    monkeypatch.setattr("everbearer.stores._redis_connections._QUIET", 0.1)
    async with opened(made()) as store, asyncio.timeout(20):
        connections = store._connections()
        while not connections.listening:
            await asyncio.sleep(0.01)
        monkeypatch.setattr("everbearer.stores._redis_connections.SECONDS", 0.2)
        while connections.listening:
            await server.client_pause(100)
            await asyncio.sleep(0.05)


async def test_a_connection_that_was_lost_while_idle(store, make, server):
    """The server was restarted, or a firewall forgot: the next call does not fail."""
    await store.put(make.key, make.grant())
    (connections,) = store._open.values()
    (idle,) = connections.client.connection_pool._available_connections
    assert idle.is_connected
    await server.client_kill_filter(_type="normal", skipme=True)
    while not idle._reader.at_eof():
        await asyncio.sleep(0.01)
    assert await store.load(make.key)
