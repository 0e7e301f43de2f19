"""Mode 5: the wait for the lock is over, and the refresh happens unguarded.

Promised: who has waited long enough uses what was stored meanwhile, else the token
that still lives, else says how long to wait.  It never asks without the lease; and a
store that cannot be reached is no permission either.
"""

from __future__ import annotations

import asyncio

import pytest
import pytest_asyncio

from everbearer import StoreError, TemporarilyUnavailable, Timing, Token
from everbearer.stores import Asked, Rotation

pytestmark = pytest.mark.asyncio

HOLDER = Asked("another-flight", "another-process", 0.2)


@pytest.fixture
def timing():
    """A caller waits for 0.55 s: lease, grace and deadline."""
    return Timing(
        lease=0.2, deadline=0.2, linger=0.3, grace=0.15, connect=0.2, back_off=0.05
    )


@pytest_asyncio.fixture
async def hang(client, shared):
    """Let another process take the lease and keep it for ever, without asking."""
    key = client.session("billit", "acme").key
    renewing = []

    async def renew() -> None:
        while (await shared.renew(key, HOLDER)).granted:
            await asyncio.sleep(HOLDER.term / 4)

    async def hanging():
        assert (await shared.acquire(key, HOLDER)).granted
        renewing.append(asyncio.create_task(renew()))

    yield hanging
    for task in renewing:
        task.cancel()
    await asyncio.gather(*renewing, return_exceptions=True)


async def test_nothing_is_sent_when_the_wait_is_over(
    sandbox, client, connect, call, hang
) -> None:
    """The access token is dead, the holder hangs: a typed error says when to retry."""
    await connect(expired=True)
    await hang()
    with pytest.raises(TemporarilyUnavailable) as caught:
        await call(client)
    assert caught.value.retry_after > 0
    assert len(sandbox.ledger.token_requests) == 0


async def test_a_token_that_lives_is_used_when_the_wait_is_over(
    sandbox, another, new_way, connect, hang, shifted_clock
) -> None:
    """One that is good for longer was asked for; this one is better than none."""
    token = await connect()
    shifted_clock.ahead = 3000.0
    await hang()
    way = new_way()
    waiting = (await another(way, _clock=shifted_clock)).session("billit", "acme")
    assert await waiting.access_token(min_ttl=1200) == token.access_token
    assert way.asked["changed"] > 0
    assert len(sandbox.ledger.token_requests) == 0


async def test_what_the_holder_stores_meanwhile_is_used(
    sandbox, client, shared, connect, call, hang, until, store
) -> None:
    """Whoever waits reads again, and finds the successor."""
    await connect(expired=True)
    await hang()
    waiting = asyncio.create_task(call(client))
    await until(lambda: store.asked["changed"])
    key, pair = client.session("billit", "acme").key, sandbox.issue("acme")
    record = await shared.load(key)
    token = Token(pair.access_token, pair.refresh_token)
    await shared.replace(
        key, Rotation(record.incarnation, record.version, token, HOLDER.id)
    )
    assert await waiting == "acme"
    assert len(sandbox.ledger.token_requests) == 0


@pytest.mark.parametrize("cut", ["load", "acquire"])
async def test_an_unreachable_store_is_no_permission(
    sandbox, client, store, connect, call, cut
) -> None:
    """Nobody can say who refreshes, so nobody does; a living token serves on."""
    await connect()
    store.cut.add(cut)
    assert await call(client) == "acme"
    sandbox.script.expire_now("acme")
    with pytest.raises(StoreError):
        await call(client)
    assert len(sandbox.ledger.token_requests) == 0
