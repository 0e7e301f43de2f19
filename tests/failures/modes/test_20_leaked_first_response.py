"""Mode 20: the refused answer keeps its connection while its call waits for another.

Promised: a refused answer is read if it is small, and let go in any case, before
anybody waits for a refresh; a pool of one connection is enough for all.
"""

from __future__ import annotations

import asyncio

import aiohttp
import pytest
import pytest_asyncio

from everbearer.providers import ExpirySignal, Verdict

pytestmark = pytest.mark.asyncio

# So that nobody has to read the body of a refusal, however large it is.
BY_STATUS = (ExpirySignal(Verdict.EXPIRED, frozenset({401}), proves_unprocessed=True),)


@pytest_asyncio.fixture(name="narrow")
async def _narrow(scene, gate):
    """A process whose pool has one connection; with a token that has just ended."""
    connector = aiohttp.TCPConnector(limit=1)
    async with aiohttp.ClientSession(connector=connector) as session:
        client = await scene.client(
            session=session, hosts=gate.hosts, expiry_signals=BY_STATUS
        )
        await scene.connect(client)
        scene.sandbox.script.expire_now("acme")
        yield client


@pytest.mark.parametrize("size", [0, 50_000, 5_000_000])
async def test_a_pool_of_one_connection(scene, whoami, gate, narrow, size):
    """Five calls, all refused, get through one after another."""
    gate.opened.set()
    scene.sandbox.settings.refusal_size = size
    acme = narrow.session("billit", "acme")
    async with asyncio.timeout(5):
        answers = await asyncio.gather(*(whoami(acme) for _ in range(5)))
    assert answers == ["acme"] * 5
    assert scene.ledger.refreshes == 1


async def test_a_refresh_holds_no_connection_of_the_pool(scene, whoami, gate, narrow):
    """While one account waits for its token, another has the one connection."""
    other = await scene.connect(narrow, "other")
    waiting = asyncio.create_task(whoami(narrow.session("billit", "acme")))
    await scene.until(lambda: gate.asked)
    async with asyncio.timeout(5):
        assert await whoami(other) == "other"
        gate.opened.set()
        assert await waiting == "acme"


async def test_a_caller_who_leaves_takes_none_along(scene, whoami, gate, narrow):
    """Cancelled while it waits for the refresh: the next caller has the connection."""
    acme = narrow.session("billit", "acme")
    leaving = asyncio.create_task(whoami(acme))
    await scene.until(lambda: gate.asked)
    leaving.cancel()
    gate.opened.set()
    async with asyncio.timeout(5):
        assert await whoami(acme) == "acme"
    assert scene.ledger.refreshes == 1
