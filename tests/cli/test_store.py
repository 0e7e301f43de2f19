"""``everbearer store``, on every store that processes share."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager

import pytest
from click.testing import CliRunner

from everbearer import ConfigurationError, Keyring, StoreError
from everbearer.cli._main import command
from everbearer.stores import RESTORED, open_store, sealed_in
from everbearer.testing._contract._made import Make
from everbearer.tokens import AccountKey

pytestmark = pytest.mark.asyncio

MAKE = Make()
OLD, NEW = Keyring.generate_key(), Keyring.generate_key()


async def run(*words):
    """The command in a thread with an event loop of its own, as in a process."""
    return await asyncio.to_thread(CliRunner().invoke, command, ["store", *words])


@asynccontextmanager
async def opened(url, *keys):
    store = open_store(url, keyring=Keyring(keys))
    await store.open()
    try:
        yield store
    finally:
        await store.aclose()


@pytest.fixture(name="keys")
def _keys(store_url, monkeypatch):
    """Sets the keys of the commands that follow."""

    def put(*keys):
        monkeypatch.setenv("EVERBEARER_KEYS", ",".join(keys))

    put(OLD)
    return put


async def connect(url, *accounts):
    async with opened(url, OLD) as store:
        for account in accounts:
            await store.put(AccountKey("billit", account), MAKE.grant(f"r-{account}"))


async def spoil(url, account):
    """Flip a bit of it."""
    async with opened(url, OLD) as store:
        records = await sealed_in(store)
        async for row in records.all():
            if row.key.account == account:
                damaged = row.sealed[:-1] + bytes([row.sealed[-1] ^ 1])
                assert await records.exchange(row, damaged) == damaged


async def test_a_store_is_made_before_it_is_used(store_url, keys):
    """Twice is fine, and what it says has no password in it."""
    for _ in range(2):
        made = await run("init", store_url)
        assert made.exit_code == 0
        assert made.output.startswith("ready: <")
        assert "://" not in made.output
    await connect(store_url, "acme")


async def test_the_key_is_changed(store_url, keys):
    """Counted; afterwards the old key is not needed any more."""
    await connect(store_url, "acme", "beside")
    new = Keyring([NEW]).active
    keys(NEW, OLD)
    first, second = [await run("reseal", store_url) for _ in range(2)]
    assert first.output == f"key {new}: 2 sealed anew, 0 already, 0 not opened\n"
    assert second.output == f"key {new}: 0 sealed anew, 2 already, 0 not opened\n"
    assert first.exit_code == second.exit_code == 0
    async with opened(store_url, NEW) as store:
        found = [each.token.refresh_token async for each in store.list()]
    assert found == ["r-acme", "r-beside"]


async def test_what_does_not_open_is_told(store_url, keys):
    """By account and key, with exit code 1, and all else is done."""
    await connect(store_url, "acme", "beside")
    await spoil(store_url, "acme")
    keys(NEW, OLD)
    ended = await run("reseal", store_url)
    assert ended.exit_code == 1
    assert "1 sealed anew, 0 already, 1 not opened" in ended.stdout
    assert "account 'acme' at 'billit'" in ended.output
    assert str(Keyring([OLD]).active) in ended.output


async def test_a_backup_is_put_back(store_url, keys):
    """All are marked, a few may be tried, and what does not open is told."""
    await connect(store_url, *"abcd", "spoiled")
    await spoil(store_url, "spoiled")
    ended = await run("restored", store_url, "--first", "2", "--pause", "60")
    assert ended.exit_code == 1
    # Older clicks tell stdout and stderr as one.
    told = [line for line in ended.output.splitlines() if "'spoiled'" not in line]
    assert told == [
        "may be tried now: billit/a",
        "may be tried now: billit/b",
        "4 marked; the others in 60 s, 1 a second of each provider",
    ]
    assert len(ended.output.splitlines()) == len(told) + 1
    async with opened(store_url, OLD) as store:
        found = [await store.load(AccountKey("billit", name)) for name in "abcd"]
    assert {record.intent.holder for record in found} == {RESTORED}
    assert [record.lease for record in found] == [None] * 4
    waits = [each.back_off.until - each.back_off.first_at for each in found]
    assert waits == pytest.approx([0, 0, 60, 61])


async def test_the_rest_is_let_go(store_url, keys):
    """With --again only what still waits gets the new pace."""
    await connect(store_url, "a", "b")
    await run("restored", store_url, "--pause", "86400", "--first", "0")
    async with opened(store_url, OLD) as store:
        record = await store.load(AccountKey("billit", "a"))
        await store.replace(record.key, MAKE.rotation(record))
    ended = await run("restored", store_url, "--again", "--pause", "0")
    assert ended.stdout.splitlines()[0] == "may be tried now: billit/b"
    assert ended.stdout.splitlines()[1].startswith("1 marked")


async def test_one_provider_only(store_url, keys):
    """Where refresh tokens never rotate there is nothing to doubt."""
    await connect(store_url, "a", "b")
    async with opened(store_url, OLD) as store:
        await store.put(AccountKey("invoiced", "a"), MAKE.grant())
    ended = await run("restored", store_url, "--provider", "invoiced")
    assert ended.stdout.splitlines()[0] == "may be tried now: invoiced/a"
    assert ended.stdout.splitlines()[1].startswith("1 marked")


@pytest.mark.parametrize("verb", ["init", "reseal", "restored"])
async def test_the_store_of_a_configuration_file(tmp_path, monkeypatch, verb):
    """The keeper's file will do, named or in EVERBEARER_STORE; no password in sight."""
    path = tmp_path / "keep.toml"
    url = f"sqlite:///{tmp_path}/tokens.db"
    path.write_text(f"store = {json.dumps(url)}\nconcurrency = 3\n", "utf-8")
    assert (await run(verb, str(path))).exit_code == 0
    monkeypatch.setenv("EVERBEARER_STORE", str(path))
    assert (await run(verb)).exit_code == 0
    assert (tmp_path / "tokens.db.key").exists()


@pytest.mark.parametrize("verb", ["init", "reseal", "restored"])
@pytest.mark.parametrize(
    ("where", "error", "said"),
    [
        pytest.param("memory://", ConfigurationError, "seals nothing", id="memory"),
        pytest.param("nowhere.toml", ConfigurationError, "nowhere", id="no-file"),
        pytest.param("mysql://u:hunter2@x", ConfigurationError, "mysql", id="unknown"),
        pytest.param(
            "redis://u:hunter2@127.0.0.1:1/0", StoreError, "reached", id="no-server"
        ),
    ],
)
async def test_a_store_that_cannot_be_had(monkeypatch, verb, where, error, said):
    """Told in one sentence, without what is secret in a URL."""
    monkeypatch.setenv("EVERBEARER_KEYS", OLD)
    ended = await run(verb, where)
    assert isinstance(ended.exception, error)
    assert said in str(ended.exception)
    assert "hunter2" not in str(ended.exception)
