"""The change feed on real servers: a dead access token is not used once it is told."""

from __future__ import annotations

import asyncio
import gc
import os
import subprocess
import sys
from pathlib import Path

import pytest
import pytest_asyncio
from attrs import evolve

from everbearer import AuthorizationRequired, Client, Registration
from everbearer.stores import Change, Keyring, MemoryStore, open_store
from everbearer.tokens import AccountKey

pytestmark = pytest.mark.asyncio

KEY = AccountKey("billit", "acme")
FORKING = Path(__file__).with_name("forking.py")


@pytest.fixture(name="url", params=["postgres", "redis"])
def _url(request, monkeypatch):
    monkeypatch.setenv("EVERBEARER_KEYS", Keyring.generate_key())
    return request.getfixturevalue(f"{request.param}_database")


@pytest.fixture(name="registration")
def _registration(sandbox, provider):
    """Where a refresh ends the access token before it."""
    sandbox.settings.old_access_dies = True
    provider = evolve(provider, old_access_dies=True)
    return Registration(provider, "sandbox-client", "sandbox-secret")


@pytest_asyncio.fixture(name="store")
async def _store(url):
    return open_store(url)


@pytest_asyncio.fixture(name="client")
async def _client(registration, store):
    async with Client(registration, store=store) as client:
        yield client


@pytest_asyncio.fixture(name="other")
async def _other(registration, url, client):
    """Another process's, on the same records."""
    async with Client(registration, store=url) as other:
        yield other


async def listens(client):
    """Come back when what others write is told to *client*."""
    (connections,) = client._store._open.values()
    while not connections.listening:
        await asyncio.sleep(0.01)
    return connections


async def knows(client):
    """Come back when *client* has been told that its token is dead."""
    while client._refresher.account(KEY).current() is not None:
        await asyncio.sleep(0.005)


async def whoami(client):
    session = client.session("billit", "acme")
    async with session.get("/v1/whoami", raise_for_status=True) as response:
        return (await response.json())["company"]


async def test_no_401_for_who_was_told(sandbox, client, other, connect) -> None:
    """One process rotates, three times; the other never sends a dead token."""
    await connect()
    await listens(other)
    for _ in range(3):
        assert await whoami(other) == "acme"
        await client.session("billit", "acme").refresh()
        await knows(other)
    assert await whoami(other) == "acme"
    assert sandbox.ledger.total.unauthorized == 0
    assert (sandbox.ledger.refreshes, sandbox.ledger.reuse) == (3, 0)


async def test_a_notification_that_is_lost(sandbox, client, other, connect) -> None:
    """It costs one rejected call, which is sent again."""
    await connect()
    (await listens(other))._heard = lambda change: None
    assert await whoami(other) == "acme"
    await client.session("billit", "acme").refresh()
    assert await whoami(other) == "acme"
    assert sandbox.ledger.total.unauthorized == 1
    assert (sandbox.ledger.refreshes, sandbox.ledger.reuse) == (1, 0)


async def test_disconnected_elsewhere(sandbox, client, other, connect) -> None:
    """Whoever is told makes no more calls for the account."""
    await connect()
    await listens(other)
    assert await whoami(other) == "acme"
    await client.disconnect("billit", "acme")
    await knows(other)
    calls = sandbox.ledger.total.calls
    with pytest.raises(AuthorizationRequired):
        await whoami(other)
    assert sandbox.ledger.total.calls == calls


async def test_two_clients_on_one_store_object(
    sandbox, registration, store, client, connect
) -> None:
    """Each is told what the other did, and to the end what it subscribed to."""
    await connect()
    await listens(client)
    async with Client(registration, store=store) as second:
        assert await whoami(second) == "acme"
        await client.session("billit", "acme").refresh()
        await knows(second)
        assert await whoami(second) == "acme"
        await second.session("billit", "acme").refresh()
        await knows(client)
        assert len(store._wakeups._hearing) == 2
    assert len(store._wakeups._hearing) == 1
    assert await whoami(client) == "acme"
    await client.aclose()
    assert not store._wakeups._hearing
    assert sandbox.ledger.total.unauthorized == 0


async def test_who_wrote_it_does_not_look_again(client, store, connect) -> None:
    """A process is told its own changes, too."""
    await connect()
    await listens(client)
    heard = asyncio.Queue()
    stop = store.subscribe(heard.put_nowait)
    token = await client.session("billit", "acme").access_token()
    await client.session("billit", "acme").refresh()
    while (await heard.get()).version != 2:
        pass
    stop()
    assert client._refresher.account(KEY).current() not in {None, token}


async def test_a_client_that_is_forgotten_is_collected(registration) -> None:
    """A store that others use does not keep it, so that it can complain."""
    heard = []

    class Store(MemoryStore):
        def subscribe(self, hear):
            heard.append(hear)
            return heard.clear

    store = Store()
    forgotten = [await Client(registration, store=store).open()]
    http = forgotten[0]._http
    sessions = (http.session, http.token_session)
    del http
    forgotten.clear()
    with pytest.warns(ResourceWarning, match="Client was not closed"):
        gc.collect()
    heard[0](Change(KEY))
    for session in sessions:
        await session.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
async def test_a_client_opened_anew_after_a_fork(sandbox, url, client, connect) -> None:
    """The child hears by itself, and the parent goes on hearing."""
    await connect()
    ended = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, FORKING, url, sandbox.url],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (ended.returncode, ended.stdout) == (0, "both were told\n"), ended.stderr
    assert sandbox.ledger.total.unauthorized == 0
    assert sandbox.ledger.reuse == 0
