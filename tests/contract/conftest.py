"""One contract, every store.

`everbearer.testing.store_contract` has the tests that know nothing of what is behind
`store`.  A new back end joins by an entry in `_MAKERS`; all else they need is `clock`
and `make`.
"""

from __future__ import annotations

import pytest
import pytest_asyncio
from tests._servers import postgres_store, redis_store

from everbearer.stores import MemoryStore, SqliteStore
from everbearer.testing._contract._made import Make, StandingClock


def _memory(request, clock):
    return MemoryStore(clock)


def _sqlite(request, clock):
    return SqliteStore(request.getfixturevalue("tmp_path") / "tokens.db", clock=clock)


_MAKERS = {
    "memory": _memory,
    "sqlite": _sqlite,
    "postgres": postgres_store,
    "redis": redis_store,
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
