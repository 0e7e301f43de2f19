"""What only the SQLite store promises: its files, its keys, its locks."""

from __future__ import annotations

import math
import os
import sqlite3
import stat
from contextlib import closing

import pytest
import pytest_asyncio
from attrs import evolve

from everbearer._clock import instant
from everbearer.errors import ConfigurationError
from everbearer.stores import Due, SqliteStore, _sqlite_schema
from everbearer.tokens import Token

pytestmark = pytest.mark.asyncio


@pytest.fixture(name="path")
def _path(tmp_path):
    return tmp_path / "tokens.db"


@pytest_asyncio.fixture(name="store")
async def _store(path, clock):
    store = SqliteStore(path, clock=clock)
    await store.open()
    yield store
    await store.aclose()


def raw(path, statement, *values):
    """Do what an operator, an attacker or another release would."""
    with closing(sqlite3.connect(path, timeout=1, isolation_level=None)) as connection:
        return connection.execute(statement, values).fetchall()


def rows(path):
    return raw(path, "SELECT * FROM everbearer_records ORDER BY 1, 2")


# ---- files


async def test_files_are_for_their_owner_only(path, make):
    """Database, log, index and key are 0600, whatever the umask says."""
    before = os.umask(0)
    try:
        store = SqliteStore(path)
        await store.open()
        await store.put(make.key, make.grant())
        modes = {each.name: each.stat().st_mode for each in path.parent.iterdir()}
        await store.aclose()
    finally:
        os.umask(before)
    assert {name: stat.S_IMODE(mode) for name, mode in modes.items()} == dict.fromkeys(
        ["tokens.db", "tokens.db-wal", "tokens.db-shm", "tokens.db.key"], 0o600
    )


async def test_the_absolute_path_is_logged(tmp_path, monkeypatch, caplog):
    """Whoever looks for the tokens finds in the log where they are."""
    monkeypatch.chdir(tmp_path)
    store = SqliteStore("tokens.db")
    monkeypatch.chdir("/")
    with caplog.at_level("INFO", "everbearer.stores"):
        await store.open()
    await store.aclose()
    assert str(tmp_path / "tokens.db") in caplog.text
    assert (tmp_path / "tokens.db").exists()


async def test_a_file_open_to_others_is_reported(path, store, caplog):
    """A mode that somebody else chose is left alone, and said."""
    path.chmod(0o644)
    other = SqliteStore(path)
    await other.open()
    await other.aclose()
    assert f"access to {path}" in caplog.text
    assert stat.S_IMODE(path.stat().st_mode) == 0o644


async def test_no_secret_is_in_any_file(path, store, make):
    """Tokens, extras, verifiers and their like are sealed before they are written."""
    record = await store.put(
        make.key, make.grant("canary-r0", scope="canary-scope", extra={"canary-x": 1})
    )
    await store.replace(make.key, make.rotation(record, "canary-r1"))
    await store.put_pending(make.pending("canary"))
    written = b"".join(each.read_bytes() for each in path.parent.iterdir())
    assert b"acme" in written
    for secret in (b"canary-r0", b"canary-r1", b"canary-x", b"verifier-canary"):
        assert secret not in written


async def test_writes_are_durable_and_logged_ahead(path, store):
    """A rotation survives a power cut, and readers do not wait for writers."""
    assert raw(path, "PRAGMA journal_mode") == [("wal",)]
    full = 2
    level = await store._writer.run(
        lambda connection: connection.execute("PRAGMA synchronous").fetchone()[0]
    )
    assert level == full


# ---- other releases


async def test_a_store_that_needs_a_newer_release(path, store, make):
    """A file whose min_reader is above ours is refused, untouched: upgrade."""
    await store.put(make.key, make.grant())
    await store.aclose()
    raw(path, "UPDATE everbearer_meta SET value = '99' WHERE name = 'min_reader'")
    before = rows(path)
    with pytest.raises(ConfigurationError, match="upgrade everbearer"):
        await store.open()
    assert rows(path) == before


async def test_what_a_newer_release_added_is_kept(path, store, make):
    """Columns and sealed members of a newer schema survive our writes."""
    record = await store.put(make.key, make.grant())
    raw(path, "UPDATE everbearer_meta SET value = '2' WHERE name = 'schema'")
    raw(path, "ALTER TABLE everbearer_records ADD COLUMN newer TEXT DEFAULT 'x'")
    raw(path, "UPDATE everbearer_records SET newer = 'kept', reason = 'newer_reason'")
    _, keyring = store._opened
    _reseal(path, keyring, make.key, b'{"access_token":"a","newer":[1],"extra":{}}')
    await store.acquire(make.key, make.asked())
    await store.replace(make.key, make.rotation(record))
    assert raw(path, "SELECT newer FROM everbearer_records") == [("kept",)]
    assert b'"newer":[1]' in _unsealed(path, keyring, make.key)
    assert (await store.load(make.key)).token.refresh_token == "r1"


def schema_of(path):
    [(number,)] = raw(path, "SELECT value FROM everbearer_meta WHERE name = 'schema'")
    return number


async def test_a_file_of_the_release_before(path, store, make, clock):
    """Schema 1 had no index: it is made at open, and what was stored is found by it."""
    record = await store.put(make.key, make.grant())
    await store.aclose()
    raw(path, "DROP INDEX everbearer_records_due")
    raw(path, "UPDATE everbearer_meta SET value = '1' WHERE name = 'schema'")
    for _ in range(2):
        await store.open()
        assert await store.due("billit", clock.now, 9) == (Due(clock.now, "acme"),)
        assert await store.load(make.key) == record
        assert schema_of(path) == "2"
        await store.aclose()


async def test_the_release_before_can_read_and_write_this_schema(path, store, make):
    """A pool is upgraded one process at a time: nothing here asks for a newer one."""
    await store.put(make.key, make.grant())
    asked = "SELECT value FROM everbearer_meta WHERE name = 'min_reader'"
    assert raw(path, asked) == [("1",)]
    # As that release writes, which knows of no index.
    raw(path, "UPDATE everbearer_records SET minted_at = minted_at + 5")
    record = await store.load(make.key)
    assert await store.due("billit", math.inf, 9) == (Due(record.minted_at, "acme"),)


async def test_an_older_release_knows_no_alternate(path, store, make):
    """What it carries along when it stores a successor is about the token before."""
    record = await store.put(make.key, make.grant())
    spent = record.refresh_fingerprint
    await store.replace(make.key, make.rotation(record, "r1", spent=spent))
    await store.replace(make.key, make.rotation(record, "x1", spent=spent))
    assert (await store.load(make.key)).alternate.refresh_token == "x1"
    # It knows the columns and the members of a token, and none besides.
    raw(path, "UPDATE everbearer_records SET version = 3")
    after = await store.load(make.key)
    assert (after.alternate, after.parent) == (None, "")
    assert (await store.acquire(make.key, make.asked())).granted


async def test_an_alternate_is_sealed(path, store, make):
    """It is a secret like the token that it stands beside."""
    record = await store.put(make.key, make.grant())
    spent = record.refresh_fingerprint
    await store.replace(make.key, make.rotation(record, "r1", spent=spent))
    token = Token(
        "access-canary",
        "refresh-canary",
        instant(1_700_000_000.123456),
        instant(1_800_000_000.0),
        "read",
        {"ids": [1, None]},
    )
    rotation = evolve(make.rotation(record, spent=spent), token=token)
    await store.replace(make.key, rotation)
    await store.renew(make.key, make.asked())
    assert (await store.load(make.key)).alternate == token
    assert b"canary" not in b"".join(f.read_bytes() for f in path.parent.iterdir())


async def test_the_number_of_a_newer_schema_stays(path, store):
    """Who opens a newer release's file does not claim that it is older."""
    await store.aclose()
    raw(path, "UPDATE everbearer_meta SET value = '10' WHERE name = 'schema'")
    await store.open()
    assert schema_of(path) == "10"


async def test_due_reads_an_index_and_nothing_else(path, store, make):
    """Of fifty thousand accounts only those are looked at that are due."""
    await store.put(make.key, make.grant())
    asked = {
        "provider": "billit",
        "before": 0,
        "minted_at": 0,
        "account": "",
        "size": 9,
    }
    with closing(sqlite3.connect(path)) as connection:
        statement = f"EXPLAIN QUERY PLAN {_sqlite_schema.SQL['due']}"
        plan = [row[-1] for row in connection.execute(statement, asked)]
    assert len(plan) == 1, plan  # No sorting either.
    assert "SEARCH" in plan[0]
    assert "COVERING INDEX everbearer_records_due (provider=? AND standing=?" in plan[0]
    assert "minted_at" in plan[0]


async def test_due_is_not_held_up_by_a_damaged_record(path, store, make, clock):
    """One account that cannot be opened does not keep the others from being kept."""
    await store.put(make.key, make.grant())
    raw(path, "UPDATE everbearer_records SET sealed = x'00'")
    assert await store.due("billit", clock.now, 9) == (Due(clock.now, "acme"),)


def _reseal(path, keyring, key, plain):
    from everbearer.stores._seal import TOKEN, seal

    sealed = seal(keyring, plain, TOKEN, key)
    raw(path, "UPDATE everbearer_records SET sealed = ?", sealed)


def _unsealed(path, keyring, key):
    from everbearer.stores._seal import TOKEN, open_sealed

    [(sealed,)] = raw(path, "SELECT sealed FROM everbearer_records")
    return open_sealed(keyring, sealed, TOKEN, key)
