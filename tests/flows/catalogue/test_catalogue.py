"""Each description against a sandbox that plays it."""

from __future__ import annotations

import asyncio

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
    EXACT_ONLINE,
    FORTNOX,
    FREEAGENT,
    MONEYBIRD,
    QUICKBOOKS,
    SAGE_ACCOUNTING,
    XERO,
    ZOHO_BOOKS,
    AccessTokenSpan,
    AuthorizeEndpoint,
    Callback,
    ErrorRule,
    ExpirySignal,
    Hosts,
    Provider,
    TokenAnswer,
    TokenCall,
    TokenVerdict,
    Verdict,
)
from everbearer.sandbox import faults
from everbearer.stores import MemoryStore

OFFERED = tuple(each for each in vars(providers).values() if isinstance(each, Provider))
# Other words than RFC 6749 has, wherever a description may have them.
DIALECT = Provider(
    name="dialect",
    hosts={"production": Hosts(*[f"https://{name}.example/{name}" for name in "abc"])},
    environment="production",
    authorize=AuthorizeEndpoint(
        "/connect?tenant=all", "back", None, ",", {"audience": "api"}
    ),
    callback=Callback("proof", "&", returns_state=False, keep_extra=("company",)),
    exchange=TokenCall("/tokens", "proof", "json", fixed={"kind": "first"}),
    refresh=TokenCall("/tokens", "renewal", "json", fixed={"kind": "next"}),
    revoke=TokenCall("/end", "id", "json", "client_secret_post"),
    revokes=("firm", "id"),
    answer=TokenAnswer(
        "bearer",
        "renewal",
        (AccessTokenSpan("until", "instant"),),
        (AccessTokenSpan("renewal_lasts", "duration"),),
        default_lifetime=900.0,
        keep_extra=("firm",),
    ),
    scopes=("read", "write"),
    pkce="plain",
    old_access_dies=True,
    refresh_idle_lifetime=86400.0,
    token_scheme="Token",
    expiry_signals=(
        ExpirySignal(
            Verdict.EXPIRED,
            frozenset({403}),
            json_path=("problems", "*", "code"),
            values=frozenset({"old"}),
        ),
    ),
    error_rules=(
        ErrorRule(
            TokenVerdict.REFUSED,
            frozenset({422}),
            ("problem", "code"),
            frozenset({"over"}),
        ),
    ),
)
PLAYED = (*OFFERED, DIALECT)
# Short enough for tests, and still D + G > X.
TIMING = Timing(
    lease=0.6, deadline=1.0, linger=1.0, grace=0.3, connect=1.0, back_off=0.1
)


def playing(*providers):
    """Run a test once for each of *providers*."""
    return pytest.mark.parametrize("described", providers, ids=lambda p: p.name)


@pytest_asyncio.fixture(name="client")
async def _client(registration, shifted_clock):
    async with Client(
        registration,
        store=MemoryStore(shifted_clock),
        timing=TIMING,
        _clock=shifted_clock,
    ) as client:
        yield client


@pytest_asyncio.fixture(name="acme")
async def _acme(client, played, sandbox):
    """An account, connected as a user would."""
    request = await client.authorization.start(played.name, "acme")
    callback = await sandbox.approve(request.url, "acme")
    await client.authorization.finish(callback, state=request.state)
    return client.session(played.name, "acme")


async def whoami(session, **options):
    """Call the API; whose token it was."""
    path = "/v1/whoami"
    async with session.get(path, raise_for_status=True, **options) as response:
        return (await response.json())["company"]


def let_pass(sandbox, clock):
    """Move to the end of the access token's life."""
    clock.ahead += sandbox.settings.access_lifetime


def reject(sandbox, clock):
    """The API ends the token early, but not before it may be replaced."""
    clock.ahead += sandbox.settings.minimum_age
    sandbox.script.expire_now("acme")


def evidence(sandbox):
    """Refreshes, replays, last resorts and reuse."""
    ledger = sandbox.ledger
    return ledger.refreshes, ledger.replays, ledger.last_resort, ledger.reuse


@playing(*PLAYED)
@pytest.mark.asyncio
async def test_connect_and_call(sandbox, played, acme, shifted_clock):
    """What the callback and the answer tell is kept, and identity travels along."""
    status = await acme.status()
    assert status.standing == "connected"
    kept = {*played.callback.keep_extra, *played.answer.keep_extra}
    assert set(status.extra) == kept
    assert all("acme" in str(value) for value in status.extra.values())
    left = status.expires_at and status.expires_at.timestamp() - shifted_clock.wall()
    assert left == pytest.approx(played.answer.default_lifetime, abs=5)
    knows_end = played.answer.refresh_spans or played.refresh_idle_lifetime
    assert (status.refresh_expires_at is not None) is bool(knows_end)
    identity = {h.name: f"{h.name} of acme" for h in played.identity_headers}
    assert await whoami(acme.with_headers(identity)) == "acme"
    (call,) = sandbox.ledger.api_calls
    assert call.headers.items() >= identity.items()
    assert evidence(sandbox) == (0, 0, 0, 0)


@playing(*(each for each in PLAYED if each.answer.default_lifetime))
@pytest.mark.asyncio
async def test_expiry_by_clock(sandbox, acme, shifted_clock):
    """A token at its end is replaced before a call is spent on it."""
    let_pass(sandbox, shifted_clock)
    assert await whoami(acme) == "acme"
    assert sandbox.ledger.refused == 0
    assert evidence(sandbox) == (1, 0, 0, 0)


@playing(MONEYBIRD)
@pytest.mark.asyncio
async def test_a_token_without_an_end(sandbox, acme, shifted_clock):
    """Where no end is published only the API's answer is a reason to refresh."""
    shifted_clock.ahead += sandbox.settings.access_lifetime - 1
    assert await whoami(acme) == "acme"
    assert evidence(sandbox) == (0, 0, 0, 0)
    shifted_clock.ahead += 1
    assert await whoami(acme) == "acme"
    assert sandbox.ledger.refused == 1
    assert evidence(sandbox) == (1, 0, 0, 0)


@playing(*PLAYED)
@pytest.mark.asyncio
async def test_expiry_by_signal(sandbox, acme, shifted_clock):
    """The API says so before the clock does: one refresh, and the caller sees 200."""
    reject(sandbox, shifted_clock)
    assert await whoami(acme) == "acme"
    assert sandbox.ledger.refused == 1
    assert evidence(sandbox) == (1, 0, 0, 0)


@playing(*PLAYED)
@pytest.mark.asyncio
async def test_rotation(sandbox, played, acme, shifted_clock):
    """Refresh after refresh the right refresh token is spent, whatever the family."""
    for _ in range(4):
        assert await whoami(acme) == "acme"
        reject(sandbox, shifted_clock)
    assert await whoami(acme) == "acme"
    assert evidence(sandbox) == (4, 0, 0, 0)
    sent = [each.params for each in sandbox.ledger.token_requests]
    spent = {params[played.refresh.grant_name] for params in sent[1:]}
    different = {"never": 1, "sometimes": 2, "every_use": 4}[played.rotation]
    assert len(spent) == different


@playing(*PLAYED)
@pytest.mark.asyncio
async def test_a_hundred_callers_on_one_dead_token(sandbox, acme, shifted_clock):
    """However many notice, one token request is made."""
    reject(sandbox, shifted_clock)
    answers = await asyncio.gather(*(whoami(acme) for _ in range(100)))
    assert answers == ["acme"] * 100
    assert sandbox.ledger.total.token_requests == 2  # with that of the code
    assert evidence(sandbox) == (1, 0, 0, 0)


@playing(*PLAYED)
@pytest.mark.asyncio
async def test_refusal(sandbox, acme, shifted_clock):
    """The user ended the grant: said in the provider's dialect, asked for once."""
    let_pass(sandbox, shifted_clock)
    sandbox.script.revoke("acme")
    for _ in range(2):
        with pytest.raises(AuthorizationRequired) as caught:
            await whoami(acme)
        assert caught.value.reason == "refused"
    assert sandbox.ledger.total.token_requests == 2
    assert evidence(sandbox) == (0, 0, 0, 0)


@playing(*PLAYED)
@pytest.mark.usefixtures("acme")
@pytest.mark.asyncio
async def test_disconnect(sandbox, client, played):
    """The grant is ended where the provider has a call for it."""
    await client.disconnect(played.name, "acme")
    grant = sandbox.grants.current("acme").access.grant
    assert grant.ended_by == ("revoked" if played.revoke else None)


@playing(XERO, QUICKBOOKS, ZOHO_BOOKS)
@pytest.mark.asyncio
async def test_a_lost_answer_is_recovered(sandbox, played, acme, shifted_clock):
    """Inside a window, or where the token did not change, nothing is lost."""
    sandbox.script.add(faults.rotate_and_drop())
    let_pass(sandbox, shifted_clock)
    with pytest.raises(TemporarilyUnavailable):
        await whoami(acme)
    shifted_clock.ahead += 60.0  # over the back-off, the grace and the linger time
    assert await whoami(acme) == "acme"
    assert sandbox.ledger.reuse == sandbox.ledger.lost_grants == 0
    assert sandbox.ledger.total.token_requests == 3
    assert sandbox.ledger.replays == (1 if played.replay_window else 0)


@playing(FORTNOX, SAGE_ACCOUNTING)
@pytest.mark.asyncio
async def test_a_lost_answer_without_a_window(sandbox, acme, shifted_clock):
    """Asked once more at the very end, and then it is the user's move."""
    sandbox.script.add(faults.rotate_and_drop())
    let_pass(sandbox, shifted_clock)
    with pytest.raises(TemporarilyUnavailable):
        await whoami(acme)
    shifted_clock.ahead += 60.0
    with pytest.raises(AuthorizationRequired) as caught:
        await whoami(acme)
    assert caught.value.reason == "rotation_lost"
    assert evidence(sandbox) == (1, 0, 1, 0)


@playing(EXACT_ONLINE)
@pytest.mark.asyncio
async def test_a_token_too_young_to_be_replaced(sandbox, acme, shifted_clock):
    """One that the API rejects is asked for once, and again when it is old enough."""
    sandbox.script.invalidate_now("acme")
    told = await asyncio.gather(
        *(whoami(acme) for _ in range(3)), return_exceptions=True
    )
    assert {type(each) for each in told} == {TemporarilyUnavailable}
    assert sandbox.ledger.total.token_requests == 2
    assert sandbox.ledger.refreshes == 0
    shifted_clock.ahead += sandbox.settings.minimum_age
    assert await whoami(acme) == "acme"
    assert evidence(sandbox) == (1, 0, 0, 0)


@playing(EXACT_ONLINE)
@pytest.mark.asyncio
async def test_the_leeway_is_inside_what_is_allowed(
    sandbox, client, acme, shifted_clock
):
    """A stale token serves on while its replacement is fetched in the background."""
    shifted_clock.ahead += 576.0
    assert await whoami(acme) == "acme"
    await client.aclose()  # waits for the flight
    assert [call.generation for call in sandbox.ledger.api_calls] == [0]
    assert evidence(sandbox) == (1, 0, 0, 0)


@playing(ZOHO_BOOKS.in_environment("eu"), FREEAGENT.in_environment("sandbox"))
@pytest.mark.asyncio
async def test_other_environments(acme):
    """An environment is other hosts, and nothing else."""
    assert await whoami(acme) == "acme"
