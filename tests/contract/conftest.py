"""One contract, every store.

`everbearer.testing.store_contract` has the tests that know nothing of what is behind
`store`.  A new back end joins by an entry in `_MAKERS`; all else they need is `clock`
and `make`.
"""

from __future__ import annotations

import pytest
import pytest_asyncio

from everbearer.stores import Keyring, MemoryStore, SqliteStore
from everbearer.stores.postgres import PostgresStore
from everbearer.stores.redis import RedisStore
from everbearer.testing._contract._made import Make, StandingClock


def _memory(request, clock):
    return MemoryStore(clock)


def _sqlite(request, clock):
    return SqliteStore(request.getfixturevalue("tmp_path") / "tokens.db", clock=clock)


def _postgres(request, clock):
    return PostgresStore(
        request.getfixturevalue("postgres_url"),
        Keyring([Keyring.generate_key()]),
        prefix=request.getfixturevalue("table_prefix"),
        clock=clock,
    )


def _redis(request, clock):
    return RedisStore(
        request.getfixturevalue("redis_database"),
        Keyring([Keyring.generate_key()]),
        clock=clock,
    )


_MAKERS = {
    "memory": _memory,
    "sqlite": _sqlite,
    "postgres": _postgres,
    "redis": _redis,
}


@pytest.fixture(autouse=True)
def _no_stray_keys(monkeypatch):
    monkeypatch.delenv("EVERBEARER_KEYS", raising=False)


@pytest.fixture(name="clock")
def _clock():
    return StandingClock()


@pytest.fixture(name="make")
def _make():
    return Make()


@pytest_asyncio.fixture(name="store", params=_MAKERS)
async def _store(request, clock):
    store = _MAKERS[request.param](request, clock)
    await store.open()
    yield store
    await store.aclose()


@pytest_asyncio.fixture(name="connected")
async def _connected(store, make):
    """The record of an account that was just connected."""
    return await store.put(make.key, make.grant())
