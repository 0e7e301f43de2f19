"""Bad answers of the token endpoint: a typed error, nothing lost, nothing leaked."""

from __future__ import annotations

import asyncio
import gzip
import tracemalloc

import pytest
import pytest_asyncio
from attrs import evolve
from tests._flows import TIMING

from everbearer import (
    AuthorizationRequired,
    CallbackError,
    Client,
    ConfigurationError,
    TemporarilyUnavailable,
    TokenEndpointError,
)
from everbearer.sandbox import faults
from everbearer.tokens import AccountKey, Standing

pytestmark = pytest.mark.asyncio

ACME = AccountKey("billit", "acme")
# Whatever comes, no answer is held in memory beyond this.
MOST_MEMORY = 12_000_000
BOMB = gzip.compress(b'{"access_token":"' + b"a" * 50_000_000 + b'"}', 9)

# What the answer is, what it means at finish, and what it means at a refresh.
NO_SENSE = [
    pytest.param(faults.html_200, id="html with 200"),
    pytest.param(lambda: faults.html_200(rotates=True), id="html, but rotated"),
    pytest.param(faults.truncated_json, id="truncated"),
    pytest.param(faults.huge, id="50 MB"),
    pytest.param(lambda: faults.missing_access_token(rotates=True), id="no token"),
    pytest.param(lambda: faults.answer(b""), id="empty"),
    pytest.param(lambda: faults.answer(b"", status=204), id="no content"),
    pytest.param(lambda: faults.answer(b"null"), id="null"),
    pytest.param(lambda: faults.answer(b"[[[["), id="no JSON"),
    pytest.param(lambda: faults.answer(b"[" * 500_000), id="deep"),
    pytest.param(lambda: faults.answer(b'{"access_token": 7}'), id="number"),
    pytest.param(
        lambda: faults.answer(b'{"access_token": "a b"}'), id="not for a header"
    ),
    pytest.param(
        lambda: faults.answer(BOMB, headers={"Content-Encoding": "gzip"}), id="bomb"
    ),
    pytest.param(lambda: faults.answer(b"oops", status=500), id="500"),
    pytest.param(lambda: faults.status(502), id="502"),
    pytest.param(lambda: faults.answer(b"", status=302), id="redirect"),
    pytest.param(faults.rotate_and_drop, id="no answer, but rotated"),
    pytest.param(faults.drop_before, id="no answer"),
    pytest.param(lambda: faults.slow(0.6), id="too late"),
    pytest.param(lambda: faults.error_with_200("server_error"), id="error with 200"),
]
NOT_NOW = [
    pytest.param(lambda: faults.status(503), 5.0, id="503"),
    pytest.param(lambda: faults.status(503, retry_after=7), 7.0, id="503, in 7 s"),
    pytest.param(lambda: faults.status(429, retry_after=30), 30.0, id="429"),
    pytest.param(lambda: faults.error_with_200("slow_down"), 5.0, id="slow_down"),
]
INVALID_CLIENT = b'{"error":"invalid_client","error_description":"who?"}'


@pytest_asyncio.fixture(name="hasty")
async def _hasty(registration, store):
    """A Client that waits 0.3 s for the token endpoint."""
    timing = evolve(TIMING, deadline=0.3, linger=0.3)
    async with Client(registration, store=store, timing=timing) as client:
        yield client
        # A socket stays open for a late answer; nothing stays open after that.
        await asyncio.gather(*client._refresher._tasks)
        assert not client._http.token_session.connector._acquired


@pytest.fixture(name="callback")
def _callback(hasty, sandbox):
    async def callback():
        request = await hasty.authorization.start("billit", "acme")
        return await sandbox.approve(request.url, "Acme")

    return callback


# ---- at finish


@pytest.mark.parametrize("fault", NO_SENSE)
async def test_finish_and_an_answer_that_makes_no_sense(
    hasty, sandbox, store, callback, fault
):
    """TokenEndpointError, which says to start again; nothing is stored."""
    came = await callback()
    sandbox.script.add(fault())
    with pytest.raises(TokenEndpointError) as caught:
        await hasty.authorization.finish(came)
    assert "start the authorization again" in str(caught.value)
    assert await store.load(ACME) is None
    with pytest.raises(CallbackError, match="reused"):
        await hasty.authorization.finish(came)
    await hasty.authorization.finish(await callback())


@pytest.mark.parametrize(("fault", "wait"), NOT_NOW)
async def test_finish_and_an_endpoint_that_is_busy(
    hasty, sandbox, store, callback, fault, wait
):
    """TemporarilyUnavailable: the code was not used, the same callback comes again."""
    came = await callback()
    for _ in range(2):
        sandbox.script.add(fault())
        with pytest.raises(TemporarilyUnavailable) as caught:
            await hasty.authorization.finish(came)
        assert caught.value.retry_after == wait
        assert await store.load(ACME) is None
    status = await hasty.authorization.finish(came)
    assert status.standing == "connected"
    with pytest.raises(CallbackError, match="reused"):
        await hasty.authorization.finish(came)


async def test_finish_and_an_endpoint_that_is_down(
    hasty, registration, store, callback, sandbox, unused_tcp_port
):
    """No connection: the code never left, so the callback works once it is back."""
    came = await callback()
    down = registration.provider.with_hosts(token=f"http://127.0.0.1:{unused_tcp_port}")
    async with Client(evolve(registration, provider=down), store=store) as client:
        with pytest.raises(TemporarilyUnavailable, match="not exchanged"):
            await client.authorization.finish(came)
    assert not sandbox.ledger.token_requests
    await hasty.authorization.finish(came)


@pytest.mark.parametrize("status", [200, 400, 401])
async def test_finish_and_a_client_that_is_not_known(
    hasty, sandbox, store, callback, status
):
    """ConfigurationError: it names the registration and what to check."""
    came = await callback()
    sandbox.script.add(faults.answer(INVALID_CLIENT, status=status))
    with pytest.raises(ConfigurationError, match=r"'billit'.*client_secret.*start"):
        await hasty.authorization.finish(came)
    assert await store.load(ACME) is None


@pytest.mark.parametrize("status", [200, 400, 401, 403])
async def test_finish_and_a_code_that_is_refused(
    hasty, sandbox, store, callback, status
):
    """CallbackError("refused") with the provider's words, whatever the status."""
    came = await callback()
    body = b'{"error":"invalid_grant","error_description":"code expired"}'
    sandbox.script.add(faults.answer(body, status=status))
    with pytest.raises(CallbackError, match=r"code expired.*start") as caught:
        await hasty.authorization.finish(came)
    assert caught.value.code == "refused"
    assert await store.load(ACME) is None


@pytest.mark.parametrize(
    "secret",
    [
        pytest.param(lambda: 1 / 0, id="raises"),
        pytest.param(lambda: None, id="returns nothing"),
        pytest.param(lambda: b"secret", id="returns bytes"),
    ],
)
async def test_finish_without_a_secret(
    hasty, registration, store, callback, sandbox, secret
):
    """A vault that is down uses nothing up: the callback works when it is back."""
    came = await callback()
    locked = evolve(registration, client_secret=secret)
    async with Client(locked, store=store) as client:
        with pytest.raises(ConfigurationError, match="client_secret callable"):
            await client.authorization.finish(came)
    assert not sandbox.ledger.token_requests
    await hasty.authorization.finish(came)


async def test_finish_without_a_secret_that_is_a_coroutine(
    hasty, registration, store, callback
):
    """The callable is not async; the error says so, and no coroutine is left over."""

    async def fetch():
        return "secret"

    came = await callback()
    async with Client(evolve(registration, client_secret=fetch), store=store) as client:
        with pytest.raises(ConfigurationError, match="coroutine function"):
            await client.authorization.finish(came)


@pytest.mark.parametrize(
    "fault", [faults.html_200, faults.huge, faults.rotate_and_drop]
)
async def test_a_failed_reconnect_leaves_the_grant(
    hasty, sandbox, store, connect, callback, fault
):
    """Whoever tries to connect again and fails is connected as before."""
    await connect("acme", to=hasty)
    before = await store.load(ACME)
    came = await callback()
    sandbox.script.add(fault())
    with pytest.raises(TokenEndpointError):
        await hasty.authorization.finish(came)
    assert await store.load(ACME) == before
    async with hasty.session("billit", "acme").get("/v1/whoami") as response:
        assert response.status == 200


# ---- at a refresh


@pytest.mark.parametrize("fault", NO_SENSE)
async def test_refresh_and_an_answer_that_makes_no_sense(
    hasty, sandbox, store, connect, fault
):
    """TemporarilyUnavailable; the stored grant is what it was."""
    await connect("acme", to=hasty, expired=True)
    before = await store.load(ACME)
    sandbox.script.add(fault())
    with pytest.raises(TemporarilyUnavailable) as caught:
        await hasty.session("billit", "acme").access_token()
    assert caught.value.retry_after >= 0
    after = await store.load(ACME)
    assert (after.token, after.version, after.standing) == (
        before.token,
        before.version,
        Standing.CONNECTED,
    )


@pytest.mark.parametrize(("fault", "wait"), NOT_NOW)
async def test_refresh_and_an_endpoint_that_is_busy(
    hasty, sandbox, store, connect, fault, wait
):
    """TemporarilyUnavailable, and nothing was spent: no intent stays."""
    await connect("acme", to=hasty, expired=True)
    before = await store.load(ACME)
    sandbox.script.add(fault())
    with pytest.raises(TemporarilyUnavailable):
        await hasty.session("billit", "acme").access_token()
    after = await store.load(ACME)
    assert (after.token, after.intent) == (before.token, None)


async def test_refresh_and_a_client_that_is_not_known(hasty, sandbox, store, connect):
    """ConfigurationError; no account is at fault, so none has to connect again."""
    await connect("acme", to=hasty, expired=True)
    before = await store.load(ACME)
    sandbox.script.add(faults.answer(INVALID_CLIENT, status=401))
    with pytest.raises(ConfigurationError, match="client_secret"):
        await hasty.session("billit", "acme").access_token()
    after = await store.load(ACME)
    assert (after.token, after.standing) == (before.token, Standing.CONNECTED)


async def test_refresh_and_a_refusal_with_200(hasty, sandbox, store, connect):
    """AuthorizationRequired: what the body says counts; no token is ever deleted."""
    await connect("acme", to=hasty, expired=True)
    before = await store.load(ACME)
    sandbox.script.add(faults.error_with_200("invalid_grant"))
    with pytest.raises(AuthorizationRequired, match=r"authorization\.start"):
        await hasty.session("billit", "acme").access_token()
    after = await store.load(ACME)
    assert after.token == before.token
    assert after.standing is Standing.NEEDS_AUTHORIZATION


@pytest.mark.parametrize("what", ["client id", "token endpoint"])
async def test_refresh_with_another_registration(
    hasty, registration, sandbox, store, connect, what
):
    """A grant is spent only by the registration that it was made with."""
    await connect("acme", to=hasty, expired=True)
    before = await store.load(ACME)
    other = evolve(registration, client_id="another")
    if what == "token endpoint":
        elsewhere = registration.provider.with_hosts(token=sandbox.other_origin)
        other = evolve(registration, provider=elsewhere)
    async with Client(other, store=store) as client:
        with pytest.raises(ConfigurationError):
            await client.session("billit", "acme").access_token()
    assert not sandbox.ledger.token_requests
    assert not sandbox.ledger.other_origin
    assert (await store.load(ACME)).token == before.token


# ---- memory


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(faults.huge, id="50 MB"),
        pytest.param(
            lambda: faults.answer(BOMB, headers={"Content-Encoding": "gzip"}), id="bomb"
        ),
        pytest.param(lambda: faults.answer(b"[" * 900_000), id="nothing but brackets"),
    ],
)
async def test_an_answer_without_end_is_not_read_to_it(hasty, sandbox, callback, fault):
    """A broken gateway must not cost the memory of a worker."""
    came = await callback()
    sandbox.script.add(fault())
    tracemalloc.start()
    try:
        with pytest.raises(TokenEndpointError):
            await hasty.authorization.finish(came)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < MOST_MEMORY
