"""What only the SQLite store promises: its files, its keys, its locks."""

from __future__ import annotations

import asyncio
import math
import os
import random
import sqlite3
import stat
import warnings
from contextlib import closing

import pytest
import pytest_asyncio
from attrs import evolve

from everbearer._clock import instant
from everbearer.errors import ConfigurationError, StoreError
from everbearer.stores import (
    Due,
    Keyring,
    Replacement,
    SqliteStore,
    _sqlite_schema,
)
from everbearer.tokens import AccountKey, Token

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


# ---- keys


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


# ---- a disk and processes that do not cooperate


@pytest.mark.parametrize(
    ("prepare", "said"),
    [
        pytest.param(lambda path: path.mkdir(), "folder", id="a folder"),
        pytest.param(
            lambda path: path.write_bytes(b"no database " * 500),
            "not a SQLite database",
            id="another file",
        ),
        pytest.param(lambda path: path.parent.rmdir(), "folder", id="no folder"),
    ],
)
async def test_a_path_that_cannot_be_used(path, prepare, said):
    """What is wrong with the path is said once, typed, with what to do."""
    prepare(path)
    store = SqliteStore(path)
    with pytest.raises(StoreError, match=said):
        await store.open()
    with pytest.raises(StoreError, match="not open"):
        await store.now() and await store.load(AccountKey("a", "b"))
    await store.aclose()


async def test_a_damaged_file(path, store, make):
    """A file that was overwritten is a StoreError that says to restore it."""
    await store.put(make.key, make.grant())
    await store.aclose()
    content = bytearray(path.read_bytes())
    content[4096:] = bytes(len(content) - 4096)
    path.write_bytes(content)

    async def look() -> None:
        await store.open()
        await store.load(make.key)

    with pytest.raises(StoreError, match="restore it"):
        await look()


async def test_a_store_that_is_not_open(path, make):
    """Using a store before open, or after aclose, says so."""
    store = SqliteStore(path)
    for _ in range(2):
        with pytest.raises(StoreError, match="not open"):
            await store.load(make.key)
        with pytest.raises(StoreError, match="not open"):
            await store.acquire(make.key, make.asked())
        await store.open()
        await store.aclose()


async def test_a_lock_that_is_not_given_back(path, make, monkeypatch):
    """Writes that waited long enough fail and say why; reads go on meanwhile."""
    monkeypatch.setattr(_sqlite_schema, "BUSY_SECONDS", 0.05)
    store = SqliteStore(path)
    await store.open()
    record = await store.put(make.key, make.grant())
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError, match="write lock"):
            await store.acquire(make.key, make.asked())
        assert await store.load(make.key) == record
    assert (await store.acquire(make.key, make.asked())).granted
    await store.aclose()


async def test_callers_cancelled_while_they_wait_for_the_lock(path, store, make):
    """Nobody's lock is left behind by callers that leave while it is waited for."""
    await store.put(make.key, make.grant())
    dice = random.Random(7)
    for number in range(20):
        with closing(sqlite3.connect(path, isolation_level=None)) as blocker:
            blocker.execute("BEGIN IMMEDIATE")
            tasks = [
                asyncio.create_task(
                    store.acquire(make.key, make.asked(f"flight-{number}-{each}"))
                )
                for each in range(5)
            ]
            for task in dice.sample(tasks, 5):
                for _ in range(dice.randrange(8)):
                    await asyncio.sleep(0)
                task.cancel()
            await asyncio.sleep(0.002 * dice.random())
        await asyncio.gather(*tasks, return_exceptions=True)
        # Whatever was under way has ended when this one has.
        await store.put(make.key, make.grant(f"r{number}", f"i{number}"))
        with closing(sqlite3.connect(path, timeout=0)) as other:
            other.execute("BEGIN IMMEDIATE")
    record = await store.load(make.key)
    assert (record.lease, record.intent) == (None, None)


async def test_closing_waits_for_a_write(path, store, make):
    """What was asked for before aclose is stored before the file is closed."""
    record = await store.put(make.key, make.grant())
    with closing(sqlite3.connect(path, isolation_level=None)) as blocker:
        blocker.execute("BEGIN IMMEDIATE")
        saving = asyncio.create_task(store.replace(make.key, make.rotation(record)))
        await asyncio.sleep(0)
        closing_store = asyncio.create_task(store.aclose())
        await asyncio.sleep(0.01)
        assert not closing_store.done()
    await closing_store
    assert (await saving).outcome is Replacement.STORED
    await store.open()
    assert (await store.load(make.key)).token.refresh_token == "r1"


# ---- other stores, loops and processes


async def test_two_stores_on_one_file(path, store, make):
    """Two Clients in one process see each other's writes, and are woken by them."""
    other = SqliteStore(path)
    await other.open()
    record = await store.put(make.key, make.grant())
    waiting = asyncio.create_task(other.changed(make.key, record, 30))
    await asyncio.sleep(0.01)
    await store.replace(make.key, make.rotation(record))
    await waiting
    await other.aclose()
    assert (await store.acquire(make.key, make.asked())).granted


@pytest.mark.asyncio(loop_scope="function")
async def test_a_store_in_another_loop(path, store, make):
    """A store may be used from a second event loop, in another thread."""
    record = await store.put(make.key, make.grant())
    waiting = asyncio.create_task(store.changed(make.key, record, 30))
    await asyncio.sleep(0.01)

    def elsewhere():
        return asyncio.run(store.replace(make.key, make.rotation(record)))

    await asyncio.to_thread(elsewhere)
    await waiting


@pytest.mark.skipif(not hasattr(os, "fork"), reason="nothing forks here")
async def test_a_store_that_was_forked(path, store, make):
    """The child opens the file for itself, and the parent's store goes on."""
    await store.put(make.key, make.grant())
    with warnings.catch_warnings():
        # Python 3.12 warns of forking with threads: that is what is tried here.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if not child:
        os._exit(_in_child(store, make))
    _, status = await asyncio.to_thread(os.waitpid, child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    assert (await store.load(make.key)).incarnation == "i1"
    assert (await store.acquire(make.key, make.asked())).granted


def _in_child(store, make):
    async def use():
        assert await store.load(make.key) is not None
        await store.put(make.key, make.grant("s0", "i1"))
        await store.aclose()

    try:
        asyncio._set_running_loop(None)
        asyncio.run(use())
    except BaseException:  # noqa: BLE001 - a child must not run on into pytest
        return 1
    return 0
