"""A Client is opened, used, closed, forgotten and forked."""

from __future__ import annotations

import asyncio
import gc
import os
import sqlite3
import subprocess
import sys
import warnings
from contextlib import closing

import aiohttp
import pytest
from tests._flows import TIMING

from everbearer import (
    Client,
    ConfigurationError,
    StoreError,
    Token,
)
from everbearer.stores import MemoryStore, SqliteStore
from everbearer.tokens import AccountKey

pytestmark = pytest.mark.asyncio

ACME = AccountKey("billit", "acme")


async def whoami(client, account="acme"):
    session = client.session("billit", account)
    async with session.get("/v1/whoami", raise_for_status=True) as response:
        return (await response.json())["company"]


# ---- opening and closing


async def test_it_opens_at_its_first_use(registration, store, connect):
    """`async with` is not needed to call, only to close."""
    await connect()
    client = Client(registration, store=store)
    assert await whoami(client) == "acme"
    await client.aclose()


async def test_open_and_close_twice(registration, store, connect):
    """Both are fine, also at once; a notebook runs its cells in any order."""
    await connect()
    client = Client(registration, store=store)
    assert await client.open() is client
    assert await client.open() is client
    assert await whoami(client) == "acme"
    await client.aclose()
    await client.aclose()
    await asyncio.gather(*(client.open() for _ in range(5)))
    await asyncio.gather(*(client.aclose() for _ in range(5)))


async def test_a_closed_client_says_so(registration, store):
    """No call opens what was closed on purpose."""
    async with Client(registration, store=store) as client:
        session = client.session("billit", "acme")
    for use in (
        session.get("/v1/whoami"),
        session.access_token(),
        session.status(),
        client.adopt("billit", "acme", Token("a", "r")),
        client.disconnect("billit", "acme"),
        client.authorization.start("billit", "acme"),
        client.authorization.finish("?code=c&state=s"),
        anext(client.accounts()),
    ):
        with pytest.raises(ConfigurationError, match="closed; enter it again"):
            await use


@pytest.mark.parametrize("how", ["open", "enter"])
async def test_a_closed_client_opens_again(registration, store, connect, how):
    """`open` and `async with` are on purpose too."""
    await connect()
    client = Client(registration, store=store)
    async with client:
        await whoami(client)
    if how == "open":
        await client.open()
        assert await whoami(client) == "acme"
        await client.aclose()
    else:
        async with client:
            assert await whoami(client) == "acme"


async def test_closing_while_it_opens(registration, monkeypatch):
    """Whoever closes during a slow opening finds nothing open afterwards."""
    store = MemoryStore()
    opening, go_on, closed = asyncio.Event(), asyncio.Event(), []

    async def slowly():
        opening.set()
        await go_on.wait()

    async def close():
        closed.append(True)

    monkeypatch.setattr(store, "open", slowly)
    monkeypatch.setattr(store, "aclose", close)
    client = Client(registration, store=store)
    using = asyncio.create_task(client.session("billit", "acme").status())
    await opening.wait()
    await client.aclose()
    go_on.set()
    with pytest.raises(ConfigurationError, match="closed"):
        await using
    assert closed == [True]


async def test_a_refresh_in_flight_is_stored(registration, store, sandbox, connect):
    """`async with` that ends in mid-refresh waits for the rotation, and saves it."""
    async with Client(registration, store=store, timing=TIMING) as client:
        await connect(to=client, expired=True)
        sandbox.settings.token_delay = 0.1
        waiting = asyncio.create_task(client.session("billit", "acme").access_token())
        while not sandbox.ledger.max_concurrency:
            await asyncio.sleep(0.005)
    assert (await store.load(ACME)).token.access_token == await waiting
    assert sandbox.ledger.lost_grants == 0


async def test_a_forgotten_client_warns(registration, store):
    """A ResourceWarning says what to write instead."""
    forgotten = [await Client(registration, store=store).open()]
    http = forgotten[0]._http
    sessions = (http.session, http.token_session)
    del http
    forgotten.clear()
    with pytest.warns(ResourceWarning, match="Client was not closed"):
        gc.collect()
    for session in sessions:
        await session.close()


async def test_a_client_that_was_never_opened_is_silent(registration, store):
    """There is nothing to lose in it."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Client(registration, store=store)
        gc.collect()


# ---- whose session, whose loop, whose process


async def test_a_given_session_stays_open(registration, store, connect):
    """It is its owner's to close, whatever went through it or beside it."""
    await connect(expired=True)
    async with aiohttp.ClientSession() as given:
        async with Client(registration, store=store, session=given) as client:
            assert await whoami(client) == "acme"
        assert not given.closed
        assert not given.connector.closed


@pytest.mark.parametrize("when", ["before", "while open"])
async def test_a_given_session_that_is_closed(registration, store, connect, when):
    """A clear error, for calls and for refreshes, and no store is left open."""
    await connect(expired=True)
    given = aiohttp.ClientSession()
    client = Client(registration, store=store, session=given, timing=TIMING)
    if when == "while open":
        await client.open()
    await given.close()
    session = client.session("billit", "acme")
    for use in (session.get("/v1/whoami"), session.access_token()):
        with pytest.raises(ConfigurationError, match="session given to Client is"):
            await use
    await client.aclose()


class Mute(MemoryStore):
    """A stranger's store whose feed is out of order."""

    def subscribe(self, hear):
        raise StoreError("no feed")


@pytest.mark.parametrize(
    ("options", "error"),
    [
        pytest.param({"spill": 3}, ConfigurationError, id="spill"),
        pytest.param({"store": Mute()}, StoreError, id="feed"),
    ],
)
async def test_a_failed_opening_leaves_no_connections_open(
    registration, options, error
):
    """The sessions that were made by then are closed, and none is used."""
    client = Client(registration, **{"store": "memory://", **options})
    with pytest.raises(error):
        await client.open()
    assert client._http.session is client._http.token_session is None


async def test_a_failed_opening_leaves_no_store_open(registration, tmp_path):
    """A thread and a file that nobody knows of would stay for ever."""
    given = aiohttp.ClientSession()
    await given.close()
    store = SqliteStore(tmp_path / "tokens.db")
    with pytest.raises(ConfigurationError, match="closed"):
        await Client(registration, store=store, session=given).open()
    with pytest.raises(StoreError, match="not open"):
        await store.load(ACME)


async def in_another_loop(work):
    """Run coroutine function *work* as another thread of a program would."""
    return await asyncio.to_thread(lambda: asyncio.run(work()))


async def test_another_event_loop(client, connect):
    """Using, opening and closing raise; the Client goes on in its own loop."""
    await connect()
    session = client.session("billit", "acme")

    async def call():
        await session.get("/v1/whoami")

    for use in (call, client.open, client.aclose, session.status):
        with pytest.raises(ConfigurationError, match="another event loop"):
            await in_another_loop(use)
    assert await whoami(client) == "acme"


async def test_a_session_of_another_event_loop(registration, store):
    """A ClientSession cannot serve two loops; the error says which is wrong."""
    async with aiohttp.ClientSession() as given:
        client = Client(registration, store=store, session=given)
        with pytest.raises(ConfigurationError, match="another event loop"):
            await in_another_loop(client.open)


async def test_one_loop_after_another(registration, tmp_path):
    """A script that calls asyncio.run twice may enter the same Client in each."""
    client = Client(registration, store=f"sqlite:///{tmp_path / 'tokens.db'}")

    async def adopt():
        async with client:
            return await client.adopt("billit", "acme", Token("a", "r"))

    async def look():
        async with client:
            return await client.session("billit", "acme").status()

    assert await in_another_loop(adopt) == await in_another_loop(look)


async def test_a_loop_that_ended_without_closing(registration, tmp_path):
    """Closing still lets go of everything, though its loop is gone."""
    client = Client(registration, store=f"sqlite:///{tmp_path / 'tokens.db'}")
    await in_another_loop(client.open)
    with pytest.raises(ConfigurationError, match="another event loop"):
        await client.session("billit", "acme").status()
    await client.aclose()
    async with client:
        assert [each async for each in client.accounts()] == []


FORKED = """
import asyncio, os, sys, warnings
from everbearer import Client, ConfigurationError, Registration, Token
from everbearer.providers import BILLIT

warnings.simplefilter("ignore", DeprecationWarning)  # fork beside a thread
registration = Registration(
    BILLIT.with_hosts("https://l.example", "https://t.example", "https://a.example"),
    "id", "secret",
)

async def in_child(client):
    session = client.session("billit", "acme")

    async def one_more():
        return [status async for status in client.accounts()]

    async def call():
        await session.get("/v1/orders")

    for use in (call, session.status, client.open, one_more):
        try:
            await use()
        except ConfigurationError as error:
            assert "forked" in str(error), error
        else:
            raise AssertionError("no error")
    await client.aclose()
    async with client:  # on purpose: opened anew, in this process
        assert len(await one_more()) == 1

async def main():
    async with Client(registration, store=sys.argv[1]) as client:
        await client.adopt("billit", "acme", Token("a", "r"))
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                asyncio.run(in_child(client))
                code = 0
            finally:
                os._exit(code)
        _, status = os.waitpid(pid, 0)
        assert os.waitstatus_to_exitcode(status) == 0
        assert (await client.session("billit", "acme").status()).account == "acme"

asyncio.run(main())
print("served after the fork")
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
async def test_a_client_after_a_fork(tmp_path):
    """The child is told to make its own, and takes nothing from the parent."""
    url = f"sqlite:///{tmp_path / 'tokens.db'}"
    ended = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-c", FORKED, url],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (ended.returncode, ended.stdout) == (0, "served after the fork\n"), (
        ended.stderr
    )


# ---- stores


async def test_a_store_of_another_version(registration, tmp_path):
    """A file that a newer release wrote is refused, says so, and is not touched."""
    path = tmp_path / "tokens.db"
    async with Client(registration, store=f"sqlite:///{path}") as client:
        await client.adopt("billit", "acme", Token("a", "r"))
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("UPDATE everbearer_meta SET value = '99'")
    before = path.read_bytes()
    client = Client(registration, store=f"sqlite:///{path}")
    with pytest.raises(ConfigurationError, match="upgrade everbearer"):
        await client.open()
    await client.aclose()
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("name", "says"),
    [
        pytest.param("missing/tokens.db", "folder exists", id="no folder"),
        pytest.param("text.db", "not a SQLite database", id="another file"),
    ],
)
async def test_a_store_that_cannot_be_opened(registration, tmp_path, name, says):
    """StoreError: it names the file and what the operator can do."""
    (tmp_path / "text.db").write_text("no database, " * 100)
    client = Client(registration, store=f"sqlite:///{tmp_path / name}")
    with pytest.raises(StoreError, match=says):
        await client.session("billit", "acme").status()
    await client.aclose()
