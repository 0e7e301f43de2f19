"""The refresh transaction against a provider with single-use refresh tokens."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter

import aiohttp
import pytest

from everbearer import (
    AuthorizationRequired,
    Client,
    ConfigurationError,
    Registration,
    TemporarilyUnavailable,
    Timing,
)
from everbearer.events import RefreshSucceeded, StandingChanged
from everbearer.providers import BILLIT
from everbearer.sandbox import faults
from everbearer.stores import MemoryStore

pytestmark = pytest.mark.asyncio

# Short enough for tests, and still D + G > X.
TIMING = Timing(
    lease=0.6, deadline=1.0, linger=1.0, grace=0.3, connect=1.0, back_off=0.1
)


async def whoami(client: Client, account: str = "acme", **options: object) -> str:
    """Which company the API took the caller for."""
    session = client.session("billit", account)
    async with session.get("/v1/whoami", raise_for_status=True, **options) as response:
        return (await response.json())["company"]


async def test_ten_thousand_callers_make_one_token_request(
    sandbox, client, connect
) -> None:
    """However many notice that a token has ended, it is refreshed once."""
    await connect(expired=True)
    session = client.session("billit", "acme")
    tokens = await asyncio.gather(*(session.access_token() for _ in range(10_000)))
    assert len(set(tokens)) == 1
    assert len(sandbox.ledger.token_requests) == 1
    assert sandbox.ledger.reuse == 0


async def test_a_hundred_calls_on_a_rejected_token_never_see_it(
    sandbox, client, connect
) -> None:
    """The provider ends a token before its time: one refresh, and only 200s."""
    await connect()
    sandbox.script.expire_now("acme")
    companies = await asyncio.gather(*(whoami(client) for _ in range(100)))
    assert set(companies) == {"acme"}
    assert sandbox.ledger.refreshes == 1
    assert sandbox.ledger.reuse == 0


async def test_a_bare_401_is_not_about_the_token(sandbox, client, connect) -> None:
    """Billit's "not your order" reaches the caller and spends nothing."""
    await connect()
    async with client.session("billit", "acme").get("/v1/forbidden") as response:
        assert response.status == 401
    assert sandbox.ledger.refreshes == 0


async def test_a_revoked_grant_asks_for_its_user_once(
    sandbox, client, connect, caplog
) -> None:
    """No token request, a typed error for every call, and one WARNING."""
    await connect()
    sandbox.script.revoke("acme")
    with caplog.at_level(logging.DEBUG, "everbearer"):
        for _ in range(5):
            with pytest.raises(AuthorizationRequired) as caught:
                await whoami(client)
    assert caught.value.reason == "revoked"
    assert len(sandbox.ledger.token_requests) == 0
    warnings = [r for r in caplog.records if r.levelno >= logging.WARNING]
    assert len(warnings) == 1
    assert (warnings[0].provider, warnings[0].account) == ("billit", "acme")


async def test_a_refresh_that_worked_is_debug(sandbox, client, connect, caplog) -> None:
    """Fifty thousand accounts that refresh every hour are no news."""
    await connect(expired=True)
    with caplog.at_level(logging.DEBUG, "everbearer"):
        await whoami(client)
    assert {record.levelno for record in caplog.records} == {logging.DEBUG}


async def test_a_refused_refresh_marks_the_account(
    sandbox, client, connect, events
) -> None:
    """invalid_grant: AuthorizationRequired, remembered, and no second request."""
    await connect(expired=True)
    sandbox.script.revoke("acme")
    for _ in range(3):
        with pytest.raises(AuthorizationRequired) as caught:
            await whoami(client)
        assert caught.value.reason == "refused"
    assert len(sandbox.ledger.token_requests) == 1
    assert [e.reason for e in events if isinstance(e, StandingChanged)] == ["refused"]


async def test_a_cancelled_leader_leaves_and_the_flight_goes_on(
    sandbox, client, connect, store
) -> None:
    """The caller that began the refresh is cancelled: it is stored, others served."""
    await connect(expired=True)
    sandbox.settings.token_delay = 0.1
    leader = asyncio.create_task(whoami(client))
    while not sandbox.ledger.token_requests and not leader.done():
        await asyncio.sleep(0.01)
        if sandbox.ledger.max_concurrency:
            break
    follower = asyncio.create_task(whoami(client))
    await asyncio.sleep(0)
    leader.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leader
    assert await follower == "acme"
    assert sandbox.ledger.refreshes == 1
    assert sandbox.ledger.lost_grants == 0


async def test_a_callers_timeout_does_not_touch_the_flight(
    sandbox, client, connect
) -> None:
    """A ClientTimeout strikes its caller alone; the rotation is stored."""
    await connect(expired=True)
    sandbox.settings.token_delay = 0.3
    with pytest.raises(TimeoutError):
        await whoami(client, timeout=aiohttp.ClientTimeout(total=0.05))
    assert await whoami(client) == "acme"
    assert sandbox.ledger.refreshes == 1


async def test_closing_waits_for_the_flight(
    sandbox, registration, store, connect, client
) -> None:
    """A Client closed by its ``async with`` in mid-refresh has stored the rotation."""
    await connect(expired=True)
    sandbox.settings.token_delay = 0.2
    async with Client(registration, store=store, timing=TIMING) as short:
        caller = asyncio.create_task(whoami(short))
        while not sandbox.ledger.max_concurrency:
            await asyncio.sleep(0.01)
        caller.cancel()
    async with Client(registration, store=store, timing=TIMING) as later:
        assert await whoami(later) == "acme"
    assert sandbox.ledger.refreshes == 1
    assert sandbox.ledger.reuse == 0


async def test_two_clients_on_one_store_behave_as_one(
    sandbox, registration, store, connect, client
) -> None:
    """The lease is the store's: two holders of the account, one refresh."""
    await connect(expired=True)
    async with Client(registration, store=store, timing=TIMING) as other:
        calls = [whoami(one) for one in (client, other) for _ in range(20)]
        assert set(await asyncio.gather(*calls)) == {"acme"}
    assert sandbox.ledger.refreshes == 1
    assert sandbox.ledger.reuse == 0


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(faults.spell(503), id="503"),
        pytest.param(faults.status(429, retry_after=1), id="429"),
    ],
)
async def test_a_throttle_is_remembered_by_all(
    sandbox, registration, store, connect, client, fault
) -> None:
    """Thousands of callers on two Clients make one attempt per back-off."""
    await connect(expired=True)
    sandbox.script.add(fault)
    async with Client(registration, store=store, timing=TIMING) as other:
        outcomes = await asyncio.gather(
            *(whoami(one) for one in (client, other) for _ in range(100)),
            return_exceptions=True,
        )
    kinds = Counter(type(outcome).__name__ for outcome in outcomes)
    assert kinds == {"TemporarilyUnavailable": 200}
    assert len(sandbox.ledger.token_requests) == 1
    assert sandbox.ledger.lost_grants == 0


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(faults.html_200(), id="html-with-200"),
        pytest.param(faults.missing_access_token(), id="no-access-token"),
        pytest.param(faults.huge(2_000_000), id="two-megabytes"),
        pytest.param(faults.status(500), id="500"),
        pytest.param(faults.drop_before(), id="dropped"),
    ],
)
async def test_nonsense_leaves_the_grant_alone(
    sandbox, client, connect, store, fault
) -> None:
    """An answer that makes no sense is a wait, and the stored token is untouched."""
    token = await connect(expired=True)
    sandbox.script.add(fault)
    with pytest.raises(TemporarilyUnavailable):
        await whoami(client)
    record = await store.load(("billit", "acme"))
    assert record.token.refresh_token == token.refresh_token
    assert record.version == 1
    assert record.standing.value == "connected"


async def test_a_wrong_secret_is_nobodys_grant(
    sandbox, provider, store, connect
) -> None:
    """invalid_client: ConfigurationError, no account marked; a new secret clears it."""
    wrong = Registration(provider, sandbox.settings.client_id, "not-the-secret")
    right = Registration(
        provider, sandbox.settings.client_id, sandbox.settings.client_secret
    )
    async with Client(wrong, store=store, timing=TIMING) as mistaken:
        await connect(to=mistaken, expired=True)
        for _ in range(5):
            with pytest.raises(ConfigurationError, match="client_secret"):
                await whoami(mistaken)
    assert len(sandbox.ledger.token_requests) == 1
    async with Client(right, store=store, timing=TIMING) as mended:
        assert await whoami(mended) == "acme"


async def test_another_registration_spends_nothing(
    sandbox, provider, store, connect, client
) -> None:
    """A grant made with another client id is a ConfigurationError before any call."""
    await connect(expired=True)
    other = Registration(provider, "another-client", "s")
    async with Client(other, store=store, timing=TIMING) as stranger:
        with pytest.raises(ConfigurationError, match="another-client"):
            await whoami(stranger)
    assert not sandbox.ledger.token_requests


async def test_unknown_accounts_were_never_connected(sandbox, client) -> None:
    """An account without a grant is its user's move, without a call."""
    with pytest.raises(AuthorizationRequired) as caught:
        await whoami(client, "nobody")
    assert caught.value.reason == "never_connected"


async def test_a_stale_token_is_used_while_one_flight_replaces_it(
    sandbox, registration, connect, shifted_clock
) -> None:
    """Inside the leeway nobody waits; the refresh happens in the background."""
    clock, refreshed = shifted_clock, asyncio.Event()

    def hook(event: object) -> None:
        if isinstance(event, RefreshSucceeded):
            refreshed.set()

    async with Client(
        registration,
        store=MemoryStore(clock),
        timing=TIMING,
        hooks=[hook],
        _clock=clock,
    ) as early:
        await connect(to=early)
        clock.ahead = 3600.0 - BILLIT.leeway + 1.0
        sandbox.settings.token_delay = 0.2
        assert await whoami(early) == "acme"
        assert sandbox.ledger.refreshes == 0
        await refreshed.wait()
    assert sandbox.ledger.refreshes == 1


async def test_the_old_token_dying_at_refresh_is_never_seen(
    sandbox, registration, store, connect, client
) -> None:
    """Another process rotates while a call is out: the caller sees 200."""
    sandbox.settings.old_access_dies = True
    await connect()
    assert await whoami(client) == "acme"
    async with Client(registration, store=store, timing=TIMING) as other:
        await other.session("billit", "acme").refresh()
        assert await whoami(client) == "acme"
    assert sandbox.ledger.refreshes == 1


async def test_refresh_on_demand_happens_once(sandbox, client, connect) -> None:
    """``refresh(rejected=old)`` does nothing once *old* is no longer current."""
    token = await connect()
    session = client.session("billit", "acme")
    await session.refresh(rejected=token.access_token)
    await session.refresh(rejected=token.access_token)
    assert sandbox.ledger.refreshes == 1
    await session.refresh()
    assert sandbox.ledger.refreshes == 2
