"""Mode 6: the refresh token that is spent was read before the lock, or is a copy.

Promised: only what the record says under the lease is spent.
"""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.asyncio


async def test_a_rotation_between_look_up_and_lease_counts(
    sandbox, client, store, another, connect, call
) -> None:
    """The other's successor comes back with the lease, and is used."""
    await connect(expired=True)
    other = await another()
    store.before["acquire"] = lambda: call(other)
    assert await call(client) == "acme"
    assert store.asked["acquire"] == 1
    assert (sandbox.ledger.refreshes, sandbox.ledger.reuse) == (1, 0)


async def test_a_copy_in_memory_is_not_spent(
    sandbox, client, another, connect, call
) -> None:
    """What a process holds from before two rotations is for the API alone."""
    sandbox.settings.old_access_dies = True
    await connect()
    assert await call(client) == "acme"
    other = (await another()).session("billit", "acme")
    await other.refresh()
    await other.refresh()
    assert await call(client) == "acme"
    await client.session("billit", "acme").refresh()
    assert (sandbox.ledger.refreshes, sandbox.ledger.reuse) == (3, 0)
