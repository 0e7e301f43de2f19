"""Each description against a server that plays it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
import pytest_asyncio

from everbearer import (
    AuthorizationRequired,
    Client,
    TemporarilyUnavailable,
    Timing,
    providers,
)
from everbearer.providers import (
    BILLIT,
    EXACT_ONLINE,
    FORTNOX,
    FREEAGENT,
    FRESHBOOKS,
    MONEYBIRD,
    QUICKBOOKS,
    SAGE_ACCOUNTING,
    TEAMLEADER,
    XERO,
    ZOHO_BOOKS,
)
from everbearer.stores import MemoryStore

SEEDS = Path(__file__).parents[2] / "seeds"

PLAYED = (
    BILLIT,
    EXACT_ONLINE,
    FORTNOX,
    FREEAGENT,
    FRESHBOOKS,
    MONEYBIRD,
    QUICKBOOKS,
    SAGE_ACCOUNTING,
    TEAMLEADER,
    XERO,
    ZOHO_BOOKS,
)
# Short enough for tests, and still D + G > X.
TIMING = Timing(
    lease=0.6, deadline=1.0, linger=1.0, grace=0.3, connect=1.0, back_off=0.1
)


def playing(*providers):
    """Run a test once for each of *providers*."""
    return pytest.mark.parametrize("described", providers, ids=lambda p: p.name)


@pytest_asyncio.fixture(name="client")
async def _client(registration, clock):
    store = MemoryStore(clock)
    async with Client(registration, store=store, timing=TIMING, _clock=clock) as client:
        yield client


@pytest_asyncio.fixture(name="acme")
async def _acme(client, server):
    """An account, connected as a user would; and old enough to be refreshed."""
    name = server.played.name
    request = await client.authorization.start(name, "acme")
    callback = server.approve(request.url)
    server.status = await client.authorization.finish(callback, state=request.state)
    return client.session(name, "acme")


async def whoami(session, **options):
    async with session.get("/whoami", raise_for_status=True, **options) as response:
        return (await response.json())["company"]


def let_pass(server, clock, *, lifetimes=1.0):
    """Move to the end of the access token's life; without one, an hour ahead."""
    clock.ahead += 3600.0 if server.lifetime is None else lifetimes * server.lifetime


def reject(server, clock):
    """The API ends the token early, but not before it may be replaced."""
    clock.ahead += server.played.minimum_age
    server.pairs[-1].dead = True


def test_every_provider_has_been_tried():
    """Each description is played here, or held to its provider's own document."""
    offered = {
        each.name
        for name in providers.__all__
        if isinstance(each := getattr(providers, name), providers.Provider)
    }
    documents = {path.stem for path in SEEDS.glob("*.toml")}
    assert offered == {each.name for each in PLAYED} | documents


@playing(*PLAYED)
@pytest.mark.asyncio
async def test_connect_and_call(server, acme, clock):
    """What the callback and the answer tell is kept, and identity travels along."""
    status, played = server.status, server.played
    assert status.standing == "connected"
    kept = {name: f"{name} chosen" for name in played.callback.keep_extra}
    kept |= {name: f"{name} told" for name in played.answer.keep_extra}
    assert status.extra == kept
    left = status.expires_at and status.expires_at.timestamp() - clock.wall()
    assert left == pytest.approx(server.lifetime, abs=5)
    knows_end = played.answer.refresh_spans or played.refresh_idle_lifetime
    assert (status.refresh_expires_at is not None) is bool(knows_end)
    identity = {h.name: f"{h.name} of acme" for h in played.identity_headers}
    assert await whoami(acme.with_headers(identity)) == "acme"
    assert server.identities == list(identity.values())
    assert server.seen == {"served": 1}


@playing(*(each for each in PLAYED if each.answer.default_lifetime))
@pytest.mark.asyncio
async def test_expiry_by_clock(server, acme, clock):
    """A token at its end is replaced before a call is spent on it."""
    let_pass(server, clock)
    assert await whoami(acme) == "acme"
    assert server.seen == {"served": 1, "token requests": 1, "refreshes": 1}


@playing(MONEYBIRD)
@pytest.mark.asyncio
async def test_a_token_without_an_end(server, acme, clock):
    """Where no end is published only the API's answer is a reason to refresh."""
    clock.ahead += 30 * 86400
    assert await whoami(acme) == "acme"
    assert server.seen == {"served": 1}


@playing(*PLAYED)
@pytest.mark.asyncio
async def test_expiry_by_signal(server, acme, clock):
    """The API says so before the clock does: one refresh, and the caller sees 200."""
    reject(server, clock)
    assert await whoami(acme) == "acme"
    assert server.seen == {
        "rejected": 1,
        "served": 1,
        "token requests": 1,
        "refreshes": 1,
    }


@playing(*PLAYED)
@pytest.mark.asyncio
async def test_rotation(server, acme, clock):
    """Refresh after refresh the right refresh token is spent, whatever the family."""
    for _ in range(4):
        assert await whoami(acme) == "acme"
        reject(server, clock)
    assert await whoami(acme) == "acme"
    assert server.seen["refreshes"] == 4
    assert server.seen["reuse"] == server.seen["too early"] == 0
    different = {"never": 1, "sometimes": 3, "every_use": 5}[server.played.rotation]
    assert len({pair.refresh for pair in server.pairs}) == different


@playing(*PLAYED)
@pytest.mark.asyncio
async def test_a_hundred_callers_on_one_dead_token(server, acme, clock):
    """However many notice, one token request is made."""
    reject(server, clock)
    answers = await asyncio.gather(*(whoami(acme) for _ in range(100)))
    assert answers == ["acme"] * 100
    assert server.seen["token requests"] == server.seen["refreshes"] == 1


@playing(*PLAYED)
@pytest.mark.asyncio
async def test_refusal(server, acme, clock):
    """The user ended the grant: said in the provider's dialect, asked for once."""
    server.grant_over = True
    let_pass(server, clock)
    for _ in range(2):
        with pytest.raises(AuthorizationRequired) as caught:
            await whoami(acme)
        assert caught.value.reason == "refused"
    assert server.seen["token requests"] == 1


@playing(*PLAYED)
@pytest.mark.asyncio
async def test_disconnect(server, client, acme):
    """The refresh token is revoked where the provider has a call for it."""
    await client.disconnect(server.played.name, "acme")
    wanted = [server.pairs[0].refresh] if server.played.revoke else []
    assert server.revoked == wanted


@playing(XERO, QUICKBOOKS, ZOHO_BOOKS)
@pytest.mark.asyncio
async def test_a_lost_answer_is_recovered(server, acme, clock):
    """Inside a window, or where the token did not change, nothing is lost."""
    server.lose_answer = True
    let_pass(server, clock)
    with pytest.raises(TemporarilyUnavailable):
        await whoami(acme)
    clock.ahead += 60.0  # over the back-off, the grace and the linger time
    assert await whoami(acme) == "acme"
    assert server.seen["reuse"] == 0
    assert server.seen["token requests"] == 2
    assert server.seen["replays"] == (1 if server.played.replay_window else 0)


@playing(FORTNOX, SAGE_ACCOUNTING)
@pytest.mark.asyncio
async def test_a_lost_answer_without_a_window(server, acme, clock):
    """Asked once more at the very end, and then it is the user's move."""
    server.lose_answer = True
    let_pass(server, clock)
    with pytest.raises(TemporarilyUnavailable):
        await whoami(acme)
    clock.ahead += 60.0
    with pytest.raises(AuthorizationRequired) as caught:
        await whoami(acme)
    assert caught.value.reason == "rotation_lost"
    assert server.seen["token requests"] == 2


@playing(EXACT_ONLINE)
@pytest.mark.asyncio
async def test_a_token_too_young_to_be_replaced(server, acme, clock):
    """One that the API rejects is asked for once, and again when it is old enough."""
    server.pairs[-1].dead = True
    told = await asyncio.gather(
        *(whoami(acme) for _ in range(3)), return_exceptions=True
    )
    assert {type(each) for each in told} == {TemporarilyUnavailable}
    assert server.seen["too early"] == server.seen["token requests"] == 1
    clock.ahead += server.played.minimum_age
    assert await whoami(acme) == "acme"
    assert server.seen["refreshes"] == 1


@playing(EXACT_ONLINE)
@pytest.mark.asyncio
async def test_the_leeway_is_inside_what_is_allowed(server, client, acme, clock):
    """A stale token serves on while its replacement is fetched in the background."""
    clock.ahead += 576.0
    assert await whoami(acme) == "acme"
    await client.aclose()  # waits for the flight
    assert server.seen == {"served": 1, "token requests": 1, "refreshes": 1}


@playing(ZOHO_BOOKS.in_environment("eu"), FREEAGENT.in_environment("sandbox"))
@pytest.mark.asyncio
async def test_other_environments(server, acme):
    """An environment is other hosts, and nothing else."""
    assert await whoami(acme) == "acme"
