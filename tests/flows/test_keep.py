"""`client.keep()`: grants that nobody uses do not end."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest
import pytest_asyncio
from attrs import evolve

from everbearer import (
    AuthorizationRequired,
    Client,
    ConfigurationError,
    Registration,
    Timing,
    Token,
)
from everbearer._clock import instant
from everbearer.providers import BILLIT
from everbearer.sandbox import Sandbox, faults
from everbearer.stores import MemoryStore, SqliteStore
from everbearer.tokens import AccountKey

pytestmark = pytest.mark.asyncio

HOUR, DAY = 3600.0, 86_400.0
CALLBACK = "https://app.example/callback"


@pytest_asyncio.fixture(name="idling")
async def _idling(shifted_clock):
    """A provider whose refresh tokens end a day after the last token request."""
    async with Sandbox(
        clock=shifted_clock.wall, refresh_idle_lifetime=DAY, access_lifetime=7 * DAY
    ) as sandbox:
        yield sandbox


@pytest.fixture(name="registered")
def _registered(idling):
    provider = BILLIT.with_hosts(idling.url, idling.url, idling.url)
    return Registration(
        evolve(provider, refresh_idle_lifetime=DAY),
        idling.settings.client_id,
        idling.settings.client_secret,
        CALLBACK,
    )


@pytest.fixture(name="opened")
def _opened(registered, shifted_clock):
    """Make Clients on one store, all by the same clock."""

    def make(store, **members):
        return Client(registered, store=store, _clock=shifted_clock, **members)

    return make


@pytest.fixture(params=["memory", "sqlite"], name="stores")
def _stores(request, shifted_clock, tmp_path):
    """What makes the store of one process; all of them are one."""
    if request.param == "memory":
        shared = MemoryStore(shifted_clock)
        return lambda: shared
    return lambda: SqliteStore(tmp_path / "tokens.db", clock=shifted_clock)


async def connect(client, sandbox, *accounts):
    for account in accounts:
        pair = sandbox.issue(account)
        ends = instant(sandbox.clock() + pair.expires_in)
        token = Token(pair.access_token, pair.refresh_token, ends)
        await client.adopt("billit", account, token)


@asynccontextmanager
async def keeping(*clients, **options):
    """Every one of *clients* has a keeper meanwhile."""
    tasks = [asyncio.create_task(client.keep(**options)) for client in clients]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        ended = await asyncio.gather(*tasks, return_exceptions=True)
    assert {type(each) for each in ended} == {asyncio.CancelledError}


async def until(condition):
    """Wait for the sandbox's evidence; the test's own timeout bounds it."""
    while not condition():
        await asyncio.sleep(0.005)


async def test_what_nobody_keeps_ends(idling, opened, shifted_clock):
    """A day alone, and the user must act; the status said since when it would be so."""
    async with opened(MemoryStore(shifted_clock)) as client:
        request = await client.authorization.start("billit", "acme")
        status = await client.authorization.finish(await idling.approve(request.url))
        ends = status.refresh_expires_at
        shifted_clock.ahead += DAY + 1
        acme = client.session("billit", "acme")
        with pytest.raises(AuthorizationRequired) as caught:
            await acme.refresh()
        assert caught.value.reason == "refresh_expired"
        assert ends < (await acme.status()).since


async def test_what_a_keeper_keeps_lives_on(idling, opened, stores, shifted_clock):
    """Day after day without a call, and the first one after a week works."""
    store = stores()
    async with opened(store) as client:
        await connect(client, idling, "acme")
        for day in range(1, 8):
            shifted_clock.ahead += 17 * HOUR
            async with keeping(client):
                # Stored, and not only answered, before the clock moves on.
                while (await store.load(AccountKey("billit", "acme"))).version <= day:
                    await asyncio.sleep(0.005)
        assert idling.ledger.refreshes == 7
        await client.session("billit", "acme").refresh()
        status = await client.session("billit", "acme").status()
    assert status.standing == "connected"
    assert idling.ledger.reuse == idling.ledger.last_resort == 0


async def test_two_keepers_refresh_each_account_once(
    idling, opened, stores, shifted_clock
):
    """Two processes that find the same accounts due share the work."""
    accounts = [f"account-{number}" for number in range(40)]
    idling.settings.token_delay = 0.02
    async with opened(stores()) as one, opened(stores()) as other:
        await connect(one, idling, *accounts)
        shifted_clock.ahead += 17 * HOUR
        async with keeping(one, other, concurrency=4):
            await until(lambda: idling.ledger.refreshes >= len(accounts))
            # Whoever would refresh one again has had the time for it.
            await asyncio.sleep(0.3)
    each = {name: idling.ledger.company(name).refreshes for name in accounts}
    assert each == dict.fromkeys(accounts, 1)
    assert idling.ledger.reuse == idling.ledger.last_resort == 0
    assert idling.ledger.max_concurrency <= 8


async def test_a_thousand_accounts_due_at_once(idling, opened, shifted_clock):
    """They are refreshed a few at a time, and none of them twice."""
    accounts = [f"account-{number}" for number in range(1000)]
    idling.settings.token_delay = 0.005
    async with opened(MemoryStore(shifted_clock)) as client:
        await connect(client, idling, *accounts)
        shifted_clock.ahead += 17 * HOUR
        async with keeping(client, concurrency=10):
            await until(lambda: idling.ledger.refreshes >= len(accounts))
    each = {name: idling.ledger.company(name).refreshes for name in accounts}
    assert each == dict.fromkeys(accounts, 1)
    assert 1 < idling.ledger.max_concurrency <= 10
    assert idling.ledger.reuse == 0


async def test_the_status_follows_the_idle_lifetime(idling, opened, shifted_clock):
    """Each token request moves the end, which the status tells."""
    async with opened(MemoryStore(shifted_clock)) as client:
        request = await client.authorization.start("billit", "acme")
        status = await client.authorization.finish(await idling.approve(request.url))
        acme, seen = client.session("billit", "acme"), [status]
        for _ in range(2):
            shifted_clock.ahead += HOUR
            seen.append(await acme.refresh())
        now = instant(shifted_clock.wall())
        assert abs(seen[-1].refresh_expires_at - now - timedelta(days=1)) < timedelta(
            seconds=30
        )
        ends = [each.refresh_expires_at for each in seen]
        assert ends == sorted(ends)
        assert ends[-1] - ends[0] > timedelta(hours=1)


async def test_without_a_refresh_token_there_is_no_end_to_tell(opened, shifted_clock):
    """What was connected without offline access has nothing that could idle out."""
    ends = instant(shifted_clock.wall() + DAY)
    async with opened(MemoryStore(shifted_clock)) as client:
        token = Token("access", refresh_expires_at=ends)
        status = await client.adopt("billit", "acme", token)
    assert (status.reason, status.refresh_expires_at) == ("no_refresh_token", None)


async def test_an_adopted_token_is_as_old_as_its_end_says(
    idling, opened, shifted_clock
):
    """What another program got 20 hours ago is due now, and not in 16 hours."""
    async with opened(MemoryStore(shifted_clock)) as client:
        pair = idling.issue("acme")
        shifted_clock.ahead += 20 * HOUR
        ends = instant(shifted_clock.wall() + 4 * HOUR)
        token = Token(pair.access_token, pair.refresh_token, refresh_expires_at=ends)
        await client.adopt("billit", "acme", token)
        await connect(client, idling, "new")
        async with keeping(client):
            await until(lambda: idling.ledger.refreshes)
    assert idling.ledger.company("acme").refreshes == 1
    assert idling.ledger.refreshes == 1


async def test_one_that_nobody_can_refresh_needs_its_user(
    idling, opened, events, shifted_clock
):
    """What idled out while no keeper ran is told once, and the others are kept."""
    async with opened(MemoryStore(shifted_clock), hooks=[events.append]) as client:
        await connect(client, idling, "late")
        shifted_clock.ahead += 10 * HOUR
        await connect(client, idling, "in-time")
        shifted_clock.ahead += 17 * HOUR
        async with keeping(client):
            await until(lambda: len(events) == 5)
        late = await client.session("billit", "late").status()
        in_time = await client.session("billit", "in-time").status()
    assert (late.standing, late.reason) == ("needs_authorization", "refused")
    assert in_time.standing == "connected"
    told = [each for each in events if type(each).__name__ == "StandingChanged"]
    assert [each.account for each in told] == ["late"]


# ---- the call itself


async def test_it_returns_when_the_client_closes(opened, shifted_clock):
    """Whoever gave it a task of its own can await that after closing."""
    client = opened(MemoryStore(shifted_clock))
    await client.open()
    tasks = [asyncio.create_task(client.keep()) for _ in range(2)]
    await asyncio.sleep(0.01)
    await client.aclose()
    assert await asyncio.gather(*tasks) == [None, None]
    with pytest.raises(ConfigurationError, match="closed"):
        await client.keep()


async def test_with_nothing_to_keep_it_waits_for_the_end(client, caplog):
    """A program may give every Client a keeper, whatever its providers are."""
    with caplog.at_level("INFO", "everbearer.refresh"):
        task = asyncio.create_task(client.keep())
        await asyncio.sleep(0.01)
    assert not task.done()
    assert "nothing to keep" in caplog.text
    await client.aclose()
    assert await task is None


@pytest.mark.parametrize("concurrency", [0, -1, 1.5, "16"])
async def test_concurrency_is_a_number_above_0(client, concurrency):
    """What cannot work is said at once."""
    with pytest.raises(ConfigurationError, match="concurrency"):
        await client.keep(concurrency=concurrency)


async def test_closing_waits_for_what_a_keeper_began(idling, opened, shifted_clock):
    """A rotation that is under way when the Client closes is stored."""
    store = MemoryStore(shifted_clock)
    idling.settings.token_delay = 0.2
    async with opened(store, timing=Timing()) as client:
        await connect(client, idling, *"abcdef")
        shifted_clock.ahead += 17 * HOUR
        task = asyncio.create_task(client.keep(concurrency=2))
        await until(lambda: idling.ledger.max_concurrency == 2)
    await task
    stored = {each.key.account: each.version async for each in store.list()}
    assert sorted(stored.values()) == [1, 1, 1, 1, 2, 2]
    assert idling.ledger.refreshes == 2


async def test_a_client_that_waits_for_an_authorization_keeps_no_more(
    idling, opened, shifted_clock
):
    """Closing takes as long as what was under way, and nothing new is begun."""
    async with opened(MemoryStore(shifted_clock)) as client:
        await connect(client, idling, *"abcdefghijklmnopqrst")
        shifted_clock.ahead += 17 * HOUR
        request = await client.authorization.start("billit", "new")
        callback = await idling.approve(request.url)
        slow = faults.slow(0.5, rotates="before", grant_type="authorization_code")
        idling.script.add(slow)
        idling.settings.token_delay = 0.02
        finishing = asyncio.create_task(client.authorization.finish(callback))
        await until(lambda: not idling.script.planned)
        task = asyncio.create_task(client.keep(concurrency=1))
        await until(lambda: idling.ledger.refreshes)
        await client.aclose()
        await asyncio.gather(finishing, task)
    assert idling.ledger.refreshes <= 3
