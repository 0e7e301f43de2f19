"""The same promises at django-oauth-toolkit and at Authlib, each in its own program.

Both end a whole family of tokens when a refresh token comes twice, so that a grant
which outlives a test is the proof that none did; their ledgers say it too.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path

import aiohttp
import pytest

from everbearer import AuthorizationRequired, CallbackError

pytestmark = pytest.mark.asyncio

CALLER = Path(__file__).with_name("caller.py")
GENERATIONS = 12
TASKS = 50


@pytest.fixture(name="served", params=["protected", "lenient", "authlib"])
def _served(request):
    return request.getfixturevalue(request.param)


@pytest.fixture(name="registration")
def _registration(served):
    """As the server's documentation describes it."""
    return served.describe(
        # REFRESH_TOKEN_GRACE_PERIOD_SECONDS
        replay_window=30.0 if served.lenient else 0.0,
        # django-oauth-toolkit deletes the access token of a spent refresh token.
        old_access_dies=served.django,
    )


def orders(user):
    """Some read the orders and some book one; whose they are, or the status."""

    async def order(session, number):
        if number % 2:
            text = f"{user} {number}"
            async with session.post("/orders", data=text) as answer:
                return answer.status
        async with session.get("/orders") as answer:
            return (await answer.json())["user"] if answer.ok else answer.status

    return order


def judge(refreshes, *, count):
    """All of them were granted, and each spent a token of its own."""
    assert [each["status"] for each in refreshes] == [200] * count
    assert len({each["spent"] for each in refreshes}) == count


async def test_many_generations(served, registration, opened, connect):
    """Each refresh token is spent once, and each pair works."""
    user, client = served.user(), await opened(registration)
    await connect(client, served, user)
    session, mark, order = client.session("shop", user), served.mark(), orders(user)
    for _ in range(GENERATIONS):
        assert await order(session, 0) == user
        assert (await session.refresh()).standing == "connected"
    assert await order(session, 0) == user
    judge(served.refreshes(mark), count=GENERATIONS)


async def test_fifty_tasks_on_two_clients(served, registration, opened, connect):
    """A token that dies costs one refresh, and each order is booked once."""
    user, order = served.user(), None
    clients = [await opened(registration) for _ in range(2)]
    await connect(clients[0], served, user)
    order = orders(user)
    sessions = [client.session("shop", user) for client in clients]
    for session in sessions:
        assert await order(session, 0) == user
    mark = served.mark()
    await served.control("expire", user)
    said = await asyncio.gather(
        *(order(sessions[number % 4 // 2], number) for number in range(TASKS))
    )
    assert Counter(said) == {user: TASKS / 2, 201: TASKS / 2}
    judge(served.refreshes(mark), count=1)
    booked = [text for text in await served.control("booked") if text.startswith(user)]
    assert sorted(booked) == sorted(f"{user} {n}" for n in range(1, TASKS, 2))


async def test_the_server_revokes(served, registration, opened, connect):
    """Everybody hears that the user must act, and nobody asks again."""
    user, client = served.user(), await opened(registration)
    await connect(client, served, user)
    session, order = client.session("shop", user), orders(user)
    assert await order(session, 0) == user
    await served.control("revoke", user)
    mark = served.mark()
    said = await asyncio.gather(
        *(order(session, number) for number in range(10)), return_exceptions=True
    )
    assert {type(each) for each in said} == {AuthorizationRequired}
    assert {each.reason for each in said} == {"refused"}
    assert len(served.refreshes(mark)) == 1
    await connect(client, served, user)
    assert await order(session, 0) == user


async def test_disconnect_revokes(served, registration, opened, connect):
    """What was handed out dies at the server too (RFC 7009)."""
    user, client = served.user(), await opened(registration)
    await connect(client, served, user)
    session = client.session("shop", user)
    headers = {"Authorization": f"Bearer {await session.access_token()}"}
    mark = served.mark()
    async with aiohttp.ClientSession(headers=headers) as bare:
        async with bare.get(f"{served.url}/api/orders") as answer:
            assert answer.status == 200
        await client.disconnect("shop", user)
        async with bare.get(f"{served.url}/api/orders") as answer:
            assert answer.status == 401
    assert [each["status"] for each in served.since(mark, served.paths[2])] == [200]
    with pytest.raises(AuthorizationRequired, match="never_connected"):
        await session.get("/orders")


async def test_the_user_says_no(served, registration, opened, visit):
    """RFC 6749 section 4.1.2.1, as these servers write it."""
    user, client = served.user(), await opened(registration)
    request = await client.authorization.start("shop", user)
    callback = await visit(served, request.url, user, allow=False)
    with pytest.raises(CallbackError) as caught:
        await client.authorization.finish(callback, state=request.state)
    assert caught.value.code == "access_denied"
