"""Mode 22: what was made in one event loop is used in another, and hangs or breaks.

Promised: a Client is made anywhere and belongs to the loop that opens it; another loop
is told so at once, and a loop that has ended holds nothing back.  Two loops in two
threads, with a Client each on one store, refresh like two processes: once.
"""

from __future__ import annotations

import asyncio
import threading

import pytest

from everbearer import Client, ConfigurationError
from everbearer.stores import SqliteStore

pytestmark = pytest.mark.asyncio


async def in_a_thread(work, *arguments):
    """Run a coroutine function in an event loop of its own, in another thread."""
    return await asyncio.to_thread(lambda: asyncio.run(work(*arguments)))


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
async def test_two_loops_refresh_once(scene, whoami, tmp_path, kind):
    """Twenty calls in each of two threads, at once: one token request."""
    if kind == "sqlite":
        scene.store = SqliteStore(tmp_path / "tokens.db")
    await scene.acme(expired=True)
    together = threading.Barrier(2)

    async def thread():
        store = SqliteStore(tmp_path / "tokens.db") if kind == "sqlite" else scene.store
        async with Client(scene.registration(), store=store) as client:
            acme = client.session("billit", "acme")
            together.wait(10)
            return await asyncio.gather(*(whoami(acme) for _ in range(20)))

    answers = await asyncio.gather(in_a_thread(thread), in_a_thread(thread))
    assert answers == [["acme"] * 20] * 2
    assert len(scene.ledger.token_requests) == 1


async def test_a_client_made_outside_of_any_loop(scene, whoami, tmp_path):
    """Made at import time, used by one asyncio.run after another, each at once."""
    url = f"sqlite:///{tmp_path / 'tokens.db'}"
    await scene.acme(store=url)
    client = await asyncio.to_thread(Client, scene.registration(), store=url)

    async def program():
        await asyncio.gather(*(client.open() for _ in range(5)))
        acme = client.session("billit", "acme")
        try:
            return await asyncio.gather(*(whoami(acme) for _ in range(5)))
        finally:
            await client.aclose()

    assert await in_a_thread(program) == await in_a_thread(program) == ["acme"] * 5


async def test_another_loop_is_told_at_once(scene, whoami):
    """No use from elsewhere reaches what belongs to this loop, which goes on."""
    client = await scene.client()
    acme = await scene.connect(client)

    async def call():
        await acme.get("/v1/whoami")

    async with asyncio.timeout(10):
        for use in (call, acme.refresh, acme.status, client.open, client.aclose):
            with pytest.raises(ConfigurationError, match="another event loop"):
                await in_a_thread(use)
    assert await whoami(acme) == "acme"
    assert scene.ledger.calls == 1


async def test_a_loop_that_has_ended(scene, whoami):
    """Left open by a program that is gone, it can be closed and used again."""
    await scene.acme()
    client = Client(scene.registration(), store=scene.store)
    await in_a_thread(client.open)
    with pytest.raises(ConfigurationError, match="which has ended"):
        await client.session("billit", "acme").access_token()
    await client.aclose()
    async with client:
        assert await whoami(client.session("billit", "acme")) == "acme"
