"""Mode 7: a write that comes late overwrites a newer rotation.

Promised: compare and swap on incarnation and version of the token, not on its expiry
and not on the whole row; who comes late reads again, adopts, and says so.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from everbearer import Token
from everbearer.events import RefreshConflict
from everbearer.stores import Asked, Rotation, Settlement
from everbearer.tokens import BackOff, BackOffKind

pytestmark = pytest.mark.asyncio

ANOTHER = Asked("another-flight", "another-process", 1.0)


@pytest.fixture
def key(client):
    """Whose record it is."""
    return client.session("billit", "acme").key


@pytest.fixture
def ends_soon(sandbox):
    """Another pair of acme's that ends before the one that its refresh brings."""

    def issued() -> Token:
        pair = sandbox.issue("acme")
        soon = datetime.now(UTC) + timedelta(minutes=20)
        return Token(pair.access_token, pair.refresh_token, soon)

    return issued


async def test_a_newer_rotation_stays(
    sandbox, client, store, shared, key, connect, call, events, ends_soon
) -> None:
    """Another process stored first: its token is used, although it ends earlier."""
    await connect(expired=True)
    theirs = ends_soon()

    async def store_theirs():
        record = await shared.load(key)
        rotation = Rotation(record.incarnation, record.version, theirs, ANOTHER.id)
        await shared.replace(key, rotation)

    store.before["replace"] = store_theirs
    assert await call(client) == "acme"
    record = await shared.load(key)
    assert (record.version, record.token) == (2, theirs)
    assert await client.session("billit", "acme").access_token() == theirs.access_token
    conflicts = [e.resolution for e in events if isinstance(e, RefreshConflict)]
    assert conflicts == ["adopted"]
    assert sandbox.ledger.refreshes == 1


async def test_a_new_authorization_stays(
    client, store, another, shared, key, connect, call, events, ends_soon
) -> None:
    """The user connected again while the answer travelled: the old grant's is late."""
    await connect(expired=True)
    theirs, other = ends_soon(), await another()
    store.before["replace"] = lambda: other.adopt("billit", "acme", theirs)
    assert await call(client) == "acme"
    assert (await shared.load(key)).token == theirs
    conflicts = [e.resolution for e in events if isinstance(e, RefreshConflict)]
    assert conflicts == ["dropped"]


async def test_a_write_about_something_else_is_no_conflict(
    sandbox, client, store, shared, key, connect, call, events
) -> None:
    """A back-off that another process notes meanwhile does not cost the rotation."""
    await connect(expired=True)
    pause = BackOff(BackOffKind.THROTTLED, 60.0, "", 1, 0.0, "too many requests")
    settlement = Settlement(back_off=pause)
    store.before["replace"] = lambda: shared.release(key, ANOTHER, settlement)
    assert await call(client) == "acme"
    record = await shared.load(key)
    assert record.version == 2
    assert record.throttle.message == pause.message
    assert not any(isinstance(event, RefreshConflict) for event in events)
    assert sandbox.ledger.refreshes == 1
