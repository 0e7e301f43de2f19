"""Mode 10: the caller's own timeout strikes the refresh that it waits for.

Promised: a timeout ends the wait of the caller whose it is.  The refresh has its own
deadline, which frees whoever waits without one, and keeps what comes after it.
"""

from __future__ import annotations

import asyncio

import aiohttp
import pytest

from everbearer import TemporarilyUnavailable, Timing
from everbearer.events import SavedLate
from everbearer.sandbox import faults

pytestmark = pytest.mark.asyncio

SHORT = aiohttp.ClientTimeout(total=0.05)


async def with_a_timeout_of_the_call(client, call):
    await call(client, timeout=SHORT)


async def with_a_timeout_of_the_session(client, call):
    session = client.session("billit", "acme")
    async with session.client_session(timeout=SHORT) as own:
        await own.get("/v1/whoami")


async def with_a_timeout_around_it(client, call):
    async with asyncio.timeout(0.05):
        await call(client)


@pytest.mark.parametrize(
    "call_in_haste",
    [
        with_a_timeout_of_the_call,
        with_a_timeout_of_the_session,
        with_a_timeout_around_it,
    ],
)
async def test_only_the_impatient_caller_leaves(
    sandbox, client, connect, call, until, call_in_haste
) -> None:
    """It has its TimeoutError; who waits on, and who comes later, has the token."""
    await connect(expired=True)
    sandbox.settings.token_delay = 0.3
    patient = asyncio.create_task(call(client))
    await until(lambda: sandbox.ledger.max_concurrency)
    with pytest.raises(TimeoutError):
        await call_in_haste(client, call)
    assert await patient == "acme"
    assert await call(client) == "acme"
    assert len(sandbox.ledger.token_requests) == 1


async def test_a_caller_without_a_timeout_is_freed_at_the_deadline(
    sandbox, another, connect, call, until
) -> None:
    """The flight's deadline is for the whole wait; a later answer is kept all the same.

    Not the socket's business: it stays open until nothing more can come.
    """
    await connect(expired=True)
    told = []
    client = await another(
        hooks=[told.append],
        timing=Timing(lease=0.3, deadline=0.2, linger=1.0, grace=0.9, back_off=0.05),
    )
    sandbox.script.add(faults.slow(0.6))
    with pytest.raises(TemporarilyUnavailable) as caught:
        await call(client, timeout=aiohttp.ClientTimeout(total=None))
    assert caught.value.retry_after > 0
    await until(lambda: any(isinstance(event, SavedLate) for event in told))
    assert await call(client) == "acme"
    assert len(sandbox.ledger.token_requests) == 1
