"""How the Redis store reaches its server: over TLS, and with a password."""

from __future__ import annotations

import asyncio
import tempfile
from contextlib import asynccontextmanager, suppress

import pytest
from redis import Redis
from yarl import URL

from everbearer.errors import StoreError
from everbearer.stores import Keyring
from everbearer.stores.redis import RedisStore

pytestmark = pytest.mark.asyncio

KEY = Keyring.generate_key()


async def carry(reader, writer):
    """Hand on whatever comes, to the end."""
    with suppress(ConnectionError):
        while chunk := await reader.read(65536):
            writer.write(chunk)
            await writer.drain()
    writer.close()


@asynccontextmanager
async def tls_before(port, tls):
    """What a managed Redis puts before its server; yields its port."""

    async def serve(reader, writer):
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(carry(reader, far_writer), carry(far_reader, writer))

    async with await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls) as server:
        yield server.sockets[0].getsockname()[1]


async def test_over_tls(redis_database, authority, make):
    """rediss:// encrypts, and trusts only whom it is told to trust."""
    plain = URL(redis_database)
    async with tls_before(plain.port, authority.server()) as port:
        there = f"rediss://localhost:{port}{plain.path}"
        store = RedisStore(f"{there}?ssl_ca_certs={authority.file}", Keyring([KEY]))
        await store.open()
        record = await store.put(make.key, make.grant())
        assert await store.load(make.key) == record
        await store.aclose()
        with pytest.raises(StoreError, match="TLS"):
            await RedisStore(there, Keyring([KEY])).open()


@pytest.fixture(name="guarded")
def _guarded(own_redis):
    """A server that asks for a password."""
    with tempfile.TemporaryDirectory() as folder, own_redis(folder) as server:
        with Redis(port=server.port) as operator:
            operator.config_set("requirepass", "canary-password-of-redis")
        yield server


async def test_with_a_password(guarded, make):
    """It is part of the URL, and of no error."""
    url = f"redis://:canary-password-of-redis@127.0.0.1:{guarded.port}/0"
    store = RedisStore(url, Keyring([KEY]))
    await store.open()
    record = await store.put(make.key, make.grant())
    assert await store.load(make.key) == record
    await store.aclose()
    for wrong in (url.replace("of-redis", "of-nobody"), guarded.url):
        with pytest.raises(StoreError, match="password") as refused:
            await RedisStore(wrong, Keyring([KEY])).open()
        assert "canary" not in repr(refused.value)
