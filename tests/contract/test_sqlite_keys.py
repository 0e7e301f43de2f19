"""The keys of a SQLite store, and rows that they do not open."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest
import pytest_asyncio

from everbearer.errors import ConfigurationError, StoreError
from everbearer.stores import Keyring, SqliteStore
from everbearer.tokens import AccountKey

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


async def attempts(store, make, record):
    """Everything that writes a record, as coroutines that were not started."""
    return [
        store.acquire(make.key, make.asked()),
        store.renew(make.key, make.asked()),
        store.replace(make.key, make.rotation(record)),
        store.refuse(make.key, make.refusal(record)),
        store.put(make.key, make.grant("s0", "i1")),
        store.delete(make.key),
        store.load(make.key),
    ]


async def test_an_older_key_opens_and_the_active_one_seals(path, make):
    """Keys are changed without asking any user: the next rotation is sealed anew."""
    old, new = Keyring.generate_key(), Keyring.generate_key()
    for keys in ([old], [new, old], [new]):
        store = SqliteStore(path, Keyring(keys))
        await store.open()
        record = await store.load(make.key) or await store.put(make.key, make.grant())
        await store.replace(make.key, make.rotation(record, "r1"))
        await store.aclose()
    assert not path.with_name("tokens.db.key").exists()


async def test_keys_from_the_environment(path, make, monkeypatch):
    """EVERBEARER_KEYS seals and opens, and no key file is made beside it."""
    monkeypatch.setenv("EVERBEARER_KEYS", Keyring.generate_key())
    for _ in range(2):
        store = SqliteStore(path)
        await store.open()
        await store.put(make.key, make.grant())
        await store.aclose()
    assert not path.with_name("tokens.db.key").exists()


async def test_a_wrong_key_changes_nothing(path, store, make):
    """With a key that is not the one, every use says so and overwrites nothing."""
    record = await store.put(make.key, make.grant())
    before = rows(path)
    other = SqliteStore(path, Keyring([Keyring.generate_key()]))
    await other.open()
    for attempt in await attempts(other, make, record):
        with pytest.raises(ConfigurationError, match="not on the keyring"):
            await attempt
    await other.aclose()
    assert rows(path) == before


async def test_a_lost_key_file_is_not_replaced(path, store, make):
    """No new key is made beside records that only the lost one opens."""
    await store.put(make.key, make.grant())
    await store.aclose()
    key = path.with_name("tokens.db.key")
    kept = key.read_text()
    key.unlink()
    with pytest.raises(ConfigurationError, match="there is no key file"):
        await store.open()
    assert not key.exists()
    key.write_text(kept)
    await store.open()
    assert await store.load(make.key) is not None


DAMAGE = {
    "flipped bit": """UPDATE everbearer_records SET sealed = CAST(
        substr(sealed, 1, 30) || CASE hex(substr(sealed, 31, 1))
            WHEN '00' THEN x'01' ELSE x'00' END || substr(sealed, 32) AS BLOB)""",
    "cut": "UPDATE everbearer_records SET sealed = substr(sealed, 1, 60)",
    "moved": """UPDATE everbearer_records SET sealed =
        (SELECT sealed FROM everbearer_records WHERE account = 'other')""",
    "renamed": "UPDATE everbearer_records SET provider = 'billit2'",
    "empty": "UPDATE everbearer_records SET sealed = x''",
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
async def test_a_damaged_or_moved_row_changes_nothing(path, store, make, damage):
    """What does not open is named, by account and key id, and left as it is."""
    record = await store.put(make.key, make.grant())
    if "'other'" in damage:
        await store.put(make.key._replace(account="other"), make.grant("x0", "x"))
    raw(path, damage + " WHERE account = 'acme'")
    if "provider" in damage:
        make.key = AccountKey("billit2", "acme")
    before = rows(path)
    for attempt in await attempts(store, make, record):
        with pytest.raises(StoreError, match="account 'acme' at 'billit") as caught:
            await attempt
        if "x''" not in damage:
            key_id = next(row for row in before if row[1] == "acme")[-1][1:9].hex()
            assert key_id in str(caught.value)
    assert rows(path) == before


async def test_a_damaged_pending_authorization(path, store, make):
    """A pending row given to another account is not handed out, nor used up."""
    await store.put_pending(make.pending())
    raw(path, "UPDATE everbearer_pending SET account = 'mallory'")
    for _ in range(2):
        with pytest.raises(StoreError, match="mallory"):
            await store.take_pending("s0")
