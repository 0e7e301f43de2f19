"""One contract, every store.

`everbearer.testing.store_contract` has the tests that know nothing of what is behind
`store`.  A new back end joins by an entry in `_MAKERS`; all else they need is `clock`
and `make`.
"""

from __future__ import annotations

import pytest
import pytest_asyncio

from everbearer.stores import MemoryStore, SqliteStore
from everbearer.testing._contract._made import Make, StandingClock

_MAKERS = {
    "memory": lambda clock, _folder: MemoryStore(clock),
    "sqlite": lambda clock, folder: SqliteStore(folder / "tokens.db", clock=clock),
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
async def _store(request, clock, tmp_path):
    store = _MAKERS[request.param](clock, tmp_path)
    await store.open()
    yield store
    await store.aclose()


@pytest_asyncio.fixture(name="connected")
async def _connected(store, make):
    """The record of an account that was just connected."""
    return await store.put(make.key, make.grant())
