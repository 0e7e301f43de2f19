"""Mode 17: an early 401 is ignored, or each of many stale ones refreshes again.

Promised: what counts is the token that the refused request carried; if another is
current by now the call is just sent again.  One call causes one refresh at most, its
last answer goes to the caller as it is, and a token that was refused when it was new
is not replaced again, because the refusal is about something else.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from itertools import count

import aiohttp
import pytest

from everbearer.events import RefreshSucceeded
from everbearer.sandbox import faults

pytestmark = pytest.mark.asyncio


async def test_rejections_that_arrive_when_it_is_over(scene, whoami):
    """Forty calls carry the dead token, half of them hear of it after the refresh."""
    numbers = count()

    async def late(request, handler):
        response = await handler(request)
        if response.status == 401 and next(numbers) % 2:
            await scene.until(lambda: scene.told(RefreshSucceeded))
        return response

    async with aiohttp.ClientSession(middlewares=(late,)) as session:
        acme = await scene.acme(session=session)
        scene.sandbox.script.expire_now("acme")
        answers = await asyncio.gather(*(whoami(acme) for _ in range(40)))
    assert answers == ["acme"] * 40
    assert scene.ledger.refreshes == len(scene.ledger.token_requests) == 1
    # Each of them was sent twice.
    statuses = Counter(call.status for call in scene.ledger.api_calls)
    assert statuses == {401: 40, 200: 40}


async def test_a_rejection_that_another_process_has_dealt_with(scene, whoami):
    """The token in memory is old, the one in the store is not: no request."""
    one, two = await scene.client(), await scene.client()
    await scene.connect(one)
    assert await whoami(two.session("billit", "acme")) == "acme"
    scene.sandbox.script.expire_now("acme")
    assert await whoami(one.session("billit", "acme")) == "acme"
    assert await whoami(two.session("billit", "acme")) == "acme"
    assert len(scene.ledger.token_requests) == 1


async def test_the_last_answer_is_the_callers(scene):
    """Overtaken at every sending by others' refreshes, a call gives up, unharmed."""
    scene.sandbox.settings.old_access_dies = True
    other = await scene.client()
    busy = await scene.connect(other)
    sent = []

    async def overtaken(request, handler):
        sent.append(request.headers["Authorization"])
        if len(sent) < 10:
            await busy.refresh()
        return await handler(request)

    async with aiohttp.ClientSession(middlewares=(overtaken,)) as session:
        client = await scene.client(session=session)
        async with client.session("billit", "acme").get("/v1/whoami") as response:
            assert response.status == 401
            answer = await response.json()
    assert answer["errors"][0]["Code"] == "InvalidAccessToken"
    assert len(sent) == len(set(sent)) == 3
    assert scene.ledger.refreshes == 3


async def test_a_new_token_that_is_refused_is_not_replaced(scene):
    """An API that refuses all tokens costs one refresh, not one for each call."""
    acme = await scene.acme()
    scene.sandbox.script.add(faults.refuse(times=None))
    for _ in range(20):
        async with acme.get("/v1/whoami") as response:
            assert response.status == 401
            assert (await response.json())["errors"][0]["Code"] == "AccessTokenExpired"
    assert scene.ledger.refreshes == 1
