"""Where spills go, and how a file of theirs is written."""

from __future__ import annotations

import os

import pytest
import pytest_asyncio
from attrs import evolve

from everbearer import Client, ConfigurationError, Keyring, Registration, Token
from everbearer._clock import instant
from everbearer.events import SpillAdopted
from everbearer.providers import BILLIT
from everbearer.stores import (
    MemoryStore,
    Rotation,
    Spill,
    SpillHome,
    Spills,
    SqliteStore,
    UnreadableSpill,
    spills_of,
)
from everbearer.stores.postgres import PostgresStore
from everbearer.stores.redis import RedisStore
from everbearer.tokens import AccountKey

KEY = AccountKey("billit", "acme \N{GRINNING FACE}")
TOKEN = Token(
    "access-canary",
    "refresh-canary",
    instant(1_700_000_000.123456),
    instant(1_800_000_000.0),
    "read write",
    {"company": {"id": [1, None, 2.5]}},
)
ROTATION = Rotation("i0", 7, TOKEN, flight="", rejections=2, spent="f0")


@pytest.fixture(autouse=True)
def _own_places(tmp_path, monkeypatch):
    monkeypatch.delenv("EVERBEARER_KEYS", raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "run"))


@pytest.fixture(name="keyring")
def _keyring():
    return Keyring(Keyring.generate_key())


@pytest_asyncio.fixture(name="sqlite")
async def _sqlite(tmp_path):
    store = SqliteStore(tmp_path / "tokens.db")
    await store.open()
    yield store
    await store.aclose()


# ---- files


@pytest.mark.asyncio
async def test_what_is_spilled_comes_back_as_it_was(tmp_path, keyring):
    """Every member of a rotation survives, to the microsecond."""
    spills = Spills((tmp_path / "a",), keyring)
    place = await spills.write(KEY, ROTATION, 12.5)
    assert await spills.find() == (Spill(KEY, ROTATION, 12.5, place),)
    assert await spills.find(KEY) == await spills.find()
    assert await spills.find(AccountKey("billit", "other")) == ()
    assert [each.name for each in place.parent.iterdir()] == [place.name]


@pytest.mark.asyncio
async def test_one_pair_is_one_file(tmp_path, keyring):
    """Spilled twice it is there once; another pair of the account is another file."""
    spills = Spills((tmp_path,), keyring)
    for when in (1.0, 2.0):
        await spills.write(KEY, ROTATION, when)
    other = evolve(ROTATION, token=Token("access-b", "refresh-b"))
    await spills.write(KEY, other, 1.5)
    assert [each.when for each in await spills.find(KEY)] == [1.5, 2.0]


@pytest.mark.asyncio
async def test_files_and_folders_are_for_their_owner_only(tmp_path, keyring):
    """0600 in 0700, whatever the umask says, and no secret in plain text."""
    before = os.umask(0)
    try:
        spills = Spills((tmp_path / "spill",), keyring)
        place = await spills.write(KEY, ROTATION, 0.0)
    finally:
        os.umask(before)
    assert place.stat().st_mode & 0o777 == 0o600
    assert place.parent.stat().st_mode & 0o777 == 0o700
    assert b"canary" not in place.read_bytes()


@pytest.mark.asyncio
async def test_the_next_folder_takes_what_the_first_does_not(tmp_path, keyring):
    """A full disk is a reason to spill: there is a second place."""
    (tmp_path / "file").touch()
    spills = Spills((tmp_path / "file", tmp_path / "b"), keyring)
    place = await spills.write(KEY, ROTATION, 0.0)
    assert place.parent == tmp_path / "b"
    assert len(await spills.find(KEY)) == 1


@pytest.mark.asyncio
async def test_no_key_and_no_file(tmp_path, keyring):
    """Without a key nothing is written, and what is there does not open."""
    place = await Spills((tmp_path,), keyring).write(KEY, ROTATION, 0.0)
    without = Spills((tmp_path,), None)
    with pytest.raises(ConfigurationError, match="not written in plain text"):
        await without.write(KEY, ROTATION, 0.0)
    assert list(tmp_path.iterdir()) == [place]
    (found,) = await without.find()
    assert isinstance(found, UnreadableSpill)


@pytest.mark.skipif(os.name != "posix" or os.geteuid(), reason="needs root")
@pytest.mark.asyncio
async def test_a_folder_of_somebody_else_is_not_used(tmp_path, keyring):
    """In a temporary folder anybody may have made ours before us."""
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    os.chown(theirs, 12345, -1)
    spills = Spills((theirs, tmp_path / "mine"), keyring)
    assert (await spills.write(KEY, ROTATION, 0.0)).parent == tmp_path / "mine"


# ---- places


@pytest.mark.asyncio
async def test_the_places_of_a_sqlite_store(tmp_path, sqlite):
    """Beside the database, then elsewhere; sealed with the keys of the database."""
    spills = spills_of(sqlite, None)
    beside, state, volatile = spills.folders
    assert beside == tmp_path / "tokens.db.spill"
    assert state.parent == tmp_path / "state" / "everbearer" / "spill"
    assert volatile.parent == tmp_path / "run" / "everbearer" / "spill"
    assert spills.keyring is sqlite.spill_home().keyring is not None
    assert not any(folder.exists() for folder in spills.folders)


@pytest.mark.asyncio
async def test_two_stores_share_no_spills(tmp_path, sqlite):
    """What one store did not take is never offered to another one."""
    other = SqliteStore(tmp_path / "other.db")
    for told in (None, tmp_path / "told"):
        mine = set(spills_of(sqlite, told).folders)
        assert not mine & set(spills_of(other, told).folders)


@pytest.mark.asyncio
async def test_one_store_has_one_place_however_it_is_called(tmp_path, sqlite):
    """A symbolic link to the folder of a database leads to the same spills."""
    (tmp_path / "link").symlink_to(tmp_path)
    linked = SqliteStore(tmp_path / "link" / "tokens.db")
    assert spills_of(sqlite, None).folders[1:] == spills_of(linked, None).folders[1:]


@pytest.mark.asyncio
@pytest.mark.parametrize("relative", [False, True], ids=["unset", "relative"])
async def test_without_xdg(tmp_path, sqlite, monkeypatch, relative):
    """The home and the temporary folder; a relative path counts as none."""
    for name in ("XDG_STATE_HOME", "XDG_RUNTIME_DIR"):
        monkeypatch.setenv(name, "somewhere") if relative else monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    _, state, volatile = spills_of(sqlite, None).folders
    assert state.is_relative_to(tmp_path / "home" / ".local" / "state")
    assert volatile.parent == tmp_path / "tmp"


def test_memory_keeps_none_unless_told(tmp_path, keyring, monkeypatch):
    """What is gone with the process has nothing to adopt its spills."""
    assert spills_of(MemoryStore(), None) is None
    told = spills_of(MemoryStore(), tmp_path, keyring)
    assert told.folders[0].parent == tmp_path
    assert told.keyring is keyring
    assert spills_of(MemoryStore(), tmp_path).keyring is None
    monkeypatch.setenv("EVERBEARER_KEYS", Keyring.generate_key())
    assert spills_of(MemoryStore(), tmp_path).keyring is not None


@pytest.mark.asyncio
async def test_false_is_none_and_nonsense_is_refused(sqlite):
    """Whoever wants no spills says so."""
    assert spills_of(sqlite, told=False) is None
    with pytest.raises(ConfigurationError, match="spill is a folder"):
        spills_of(sqlite, 7)


class Remote(MemoryStore):
    """A store without a file of its own."""

    def spill_home(self):
        return SpillHome("postgresql://db.example/tokens", None)


def test_a_store_without_a_file(tmp_path, keyring):
    """Its spills are in the folders of the user, under its own name."""
    spills = spills_of(Remote(), None, keyring)
    assert len(spills.folders) == 2
    assert all(each.is_relative_to(tmp_path) for each in spills.folders)
    assert spills.keyring is keyring


@pytest.mark.parametrize(
    ("make", "url"),
    [
        pytest.param(PostgresStore, "postgresql://{}@db.example/tokens", id="postgres"),
        pytest.param(RedisStore, "redis://{}@db.example/3", id="redis"),
    ],
)
def test_a_store_on_a_server(tmp_path, keyring, make, url):
    """A new password leads to the same spills, another database to others."""
    homes = [
        make(each, keyring).spill_home()
        for each in (
            url.format("user:canary-1"),
            url.format("user:canary-2") + "?password=canary-3",
            url.format("user:canary-1") + "9",
        )
    ]
    assert homes[0] == homes[1] != homes[2]
    assert homes[0].keyring is keyring
    assert "canary" not in repr(homes)
    spills = spills_of(make(url.format("user"), keyring), None)
    assert all(each.is_relative_to(tmp_path) for each in spills.folders)
    assert len(spills.folders) == 2


# ---- the Client


@pytest.mark.asyncio
async def test_a_client_adopts_when_it_opens(tmp_path):
    """What an earlier process left is in the store by the time that it closes."""
    events, url = [], f"sqlite:///{tmp_path / 'tokens.db'}"
    registration = Registration(BILLIT, "id", "secret")
    async with Client(registration, store=url) as client:
        await client.adopt("billit", "acme", Token("access-0", "refresh-0"))
        store = client._store
        record = await store.load(AccountKey("billit", "acme"))
        rotation = evolve(ROTATION, incarnation=record.incarnation, version=1)
        await spills_of(store, None).write(record.key, rotation, 0.0)
    async with Client(registration, store=url, hooks=[events.append]) as client:
        pass
    assert [type(event) for event in events] == [SpillAdopted]
    assert not list((tmp_path / "tokens.db.spill").iterdir())


@pytest.mark.asyncio
async def test_disconnecting_forgets_spills_too(tmp_path):
    """Who is disconnected is in no file any more, at least on this host."""
    url = f"sqlite:///{tmp_path / 'tokens.db'}"
    async with Client(Registration(BILLIT, "id", "secret"), store=url) as client:
        await client.adopt("billit", "acme", Token("access-0", "refresh-0"))
        key = AccountKey("billit", "acme")
        spills = spills_of(client._store, None)
        await spills.write(key, evolve(ROTATION, incarnation="older"), 0.0)
        await client.disconnect("billit", "acme")
        assert await spills.find() == ()
