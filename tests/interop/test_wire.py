"""An answer that is lost on the way, at servers with and without a grace period."""

from __future__ import annotations

import asyncio

import pytest

from everbearer import AuthorizationRequired, TemporarilyUnavailable
from everbearer.events import RefreshStarted

pytestmark = pytest.mark.asyncio

WINDOW = 30.0


async def who(session):
    """Whose orders they are."""
    async with session.get("/orders") as answer:
        assert answer.status == 200, await answer.text()
        return (await answer.json())["user"]


async def who_patiently(session):
    """The same by a caller who waits as long as it is told to."""
    for _ in range(10):
        try:
            return await who(session)
        except TemporarilyUnavailable as wait:
            await asyncio.sleep(wait.retry_after)
    message = "the grace never ends"
    raise AssertionError(message)


def note_in(attempts):
    """A hook that notes what kind each refresh is of."""

    def hook(event):
        if isinstance(event, RefreshStarted):
            attempts.append(event.attempt)

    return hook


async def lose_a_rotation(served, wire, session, user):
    """The old access token dies, the server rotates, and its answer does not arrive."""
    await served.control("expire", user)
    wire.losing = 1
    return await who_patiently(session)


async def test_a_lost_answer_inside_the_window(lenient, opened, connect, wire):
    """The same refresh token, sent again, brings the pair that was lost (rule 18)."""
    laid, user = await wire(lenient), lenient.user()
    registration = lenient.describe(token_at=laid.url, replay_window=WINDOW)
    attempts = []
    client = await opened(registration, hooks=[note_in(attempts)])
    await connect(client, lenient, user)
    session = client.session("shop", user)
    assert await who(session) == user
    mark = lenient.mark()
    assert await lose_a_rotation(lenient, laid, session, user) == user
    assert attempts == ["spend", "replay"]
    lost, replayed = lenient.refreshes(mark)
    assert lost == replayed
    assert lost["status"] == 200
    for _ in range(3):
        assert (await session.refresh()).standing == "connected"
    assert await who(session) == user


async def test_a_window_that_nobody_has_declared(lenient, opened, connect, wire):
    """The last resort finds it all the same: there was nothing left to lose."""
    laid, user = await wire(lenient), lenient.user()
    attempts = []
    registration = lenient.describe(token_at=laid.url)
    client = await opened(registration, hooks=[note_in(attempts)])
    await connect(client, lenient, user)
    session = client.session("shop", user)
    assert await who(session) == user
    mark = lenient.mark()
    assert await lose_a_rotation(lenient, laid, session, user) == user
    assert attempts == ["spend", "last_resort"]
    assert len(lenient.refreshes(mark)) == 2


@pytest.mark.parametrize("name", ["protected", "authlib"])
async def test_a_lost_answer_without_a_window(name, request, opened, connect, wire):
    """One last resort, which the server refuses; then the user must act."""
    served = request.getfixturevalue(name)
    laid, user = await wire(served), served.user()
    client = await opened(served.describe(token_at=laid.url))
    await connect(client, served, user)
    session = client.session("shop", user)
    assert await who(session) == user
    mark = served.mark()
    with pytest.raises(AuthorizationRequired) as caught:
        await lose_a_rotation(served, laid, session, user)
    assert caught.value.reason == "rotation_lost"
    lost, last = served.refreshes(mark)
    assert (lost["status"], last["status"]) == (200, 400)
    assert lost["spent"] == last["spent"]
    for _ in range(3):
        with pytest.raises(AuthorizationRequired, match="rotation_lost"):
            await who(session)
    assert len(served.refreshes(mark)) == 2
    await connect(client, served, user)
    assert await who(session) == user


async def test_a_lost_answer_while_the_access_token_lives(
    authlib, opened, connect, wire
):
    """It is used up to its end: the refresh token is not risked before."""
    laid, user = await wire(authlib), authlib.user()
    client = await opened(authlib.describe(token_at=laid.url))
    await connect(client, authlib, user)
    session = client.session("shop", user)
    mark, laid.losing = authlib.mark(), 1
    with pytest.raises(TemporarilyUnavailable, match="lives on"):
        await session.refresh()
    for _ in range(20):
        assert await who(session) == user
    assert len(authlib.refreshes(mark)) == 1
