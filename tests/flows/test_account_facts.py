"""What the API tells of an account, once it is connected."""

from __future__ import annotations

import asyncio

import aiohttp
import pytest
import pytest_asyncio
from aiohttp import web
from aiohttp.test_utils import TestServer
from attrs import define, evolve, field
from tests._flows import CALLBACK, TIMING

from everbearer import Client, ConfigurationError, Registration, StoreError
from everbearer.providers import BILLIT, AccountFacts
from everbearer.sandbox import faults
from everbearer.stores import Asked, MemoryStore, Refusal, Replacement, Rotation
from everbearer.tokens import AccountKey
from everbearer.transport import _account_facts

pytestmark = pytest.mark.asyncio

ACME = AccountKey("billit", "acme")
PATH = "/v1/account/accountInformation"
COMPANIES = {"Companies": [{"PartyID": 4711, "Name": "Acme"}]}
KEPT = {"account_information": COMPANIES}


async def come_back(client, sandbox, account="acme"):
    """The callback of a user who has allowed it."""
    request = await client.authorization.start("billit", account)
    return await sandbox.approve(request.url)


async def finished(client, sandbox):
    return await client.authorization.finish(await come_back(client, sandbox))


@define
class Api:
    """An API whose answers wait for the test."""

    url: str = ""
    asked: asyncio.Event = field(factory=asyncio.Event)
    gate: asyncio.Event = field(factory=asyncio.Event)
    headers: list = field(factory=list)

    async def answer(self, request):
        self.headers.append(request.headers.copy())
        self.asked.set()
        await self.gate.wait()
        return web.json_response(COMPANIES)


@pytest_asyncio.fixture
async def api():
    """It answers when its gate is set."""
    played = Api()
    application = web.Application()
    application.router.add_get(PATH, played.answer)
    async with TestServer(application) as server:
        played.url = str(server.make_url(""))
        yield played
        played.gate.set()


@pytest.fixture
def gated(sandbox, provider, api, store):
    """A Client whose token endpoint is the sandbox, and whose API waits."""

    def made(tokens=store, **options):
        registration = Registration(
            provider.with_hosts(api=api.url),
            sandbox.settings.client_id,
            sandbox.settings.client_secret,
            CALLBACK,
        )
        return Client(registration, store=tokens, timing=TIMING, **options)

    return made


# ---- what is kept


async def test_a_connected_account_tells_its_companies(client, sandbox):
    """With nothing but the new token; known at once, later, and after a refresh."""
    status = await finished(client, sandbox)
    told = status.extra["account_information"]
    assert [each["Name"] for each in told["Companies"]] == ["Acme"]
    call = sandbox.ledger.api_calls[-1]
    assert (call.path, call.party_id) == (PATH, None)
    acme = client.session("billit", "acme")
    assert (await acme.status()).extra["account_information"] == told
    refreshed = await acme.refresh()
    assert refreshed.extra["account_information"] == told
    assert (sandbox.ledger.refreshes, sandbox.ledger.reuse) == (1, 0)


async def test_another_client_reads_them_from_the_store(
    client, sandbox, registration, store
):
    """They are stored, not held in memory."""
    status = await finished(client, sandbox)
    async with Client(registration, store=store) as another:
        seen = await another.session("billit", "acme").status()
    assert seen == status


async def test_who_asks_nothing_is_asked_nothing(sandbox, provider, store):
    """A description without such a call costs none."""
    registration = Registration(
        evolve(provider, account_facts=None),
        sandbox.settings.client_id,
        sandbox.settings.client_secret,
        CALLBACK,
    )
    async with Client(registration, store=store) as client:
        assert (await finished(client, sandbox)).extra == {}
    assert sandbox.ledger.total.calls == 0


async def test_a_path_stays_on_the_api():
    """One without a slash could name another host."""
    with pytest.raises(ConfigurationError, match="begin it with a /"):
        AccountFacts("@elsewhere.example/", keep_as="facts")


# ---- when there is no answer


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(faults.api_status(500), id="500"),
        pytest.param(faults.api_status(401, body="{}"), id="401"),
        pytest.param(faults.refuse("AccessTokenExpired"), id="rejected"),
        pytest.param(faults.refuse("AccessTokenRevoked"), id="revoked"),
        pytest.param(faults.api_status(200, body="<html>"), id="html"),
        pytest.param(faults.api_status(200, body="null"), id="null"),
        pytest.param(faults.api_status(200, body='{"a": "\\ud800"}'), id="surrogate"),
        pytest.param(faults.api_status(200, body="[1]", size=50_000_000), id="50 MB"),
        pytest.param(faults.api_drop(path=PATH, times=None), id="dropped"),
    ],
)
async def test_an_account_is_connected_without_an_answer(client, sandbox, fault):
    """Nothing is kept, no refresh is spent on it, and the account works."""
    callback = await come_back(client, sandbox)
    sandbox.script.add(fault)
    status = await client.authorization.finish(callback)
    assert (status.standing, dict(status.extra)) == ("connected", {})
    assert sandbox.ledger.refreshes == 0
    async with client.session("billit", "acme").get("/v1/whoami") as response:
        assert response.status == 200


async def test_a_slow_answer_is_not_waited_for(gated, sandbox, api, monkeypatch):
    """Past its patience the user gets the page, and the next call a connection."""
    monkeypatch.setattr(_account_facts, "PATIENCE", 0.05)
    async with gated() as client:
        status = await finished(client, sandbox)
    assert (status.standing, dict(status.extra)) == ("connected", {})
    assert api.asked.is_set()


async def test_no_redirect_is_followed(sandbox, provider, store):
    """Wherever the API points to, the question ends there."""

    async def elsewhere(_):
        raise web.HTTPFound(f"{sandbox.url}/v1/whoami")

    application = web.Application()
    application.router.add_get(PATH, elsewhere)
    async with TestServer(application) as server:
        registration = Registration(
            provider.with_hosts(api=str(server.make_url(""))),
            sandbox.settings.client_id,
            sandbox.settings.client_secret,
            CALLBACK,
        )
        async with Client(registration, store=store) as client:
            assert (await finished(client, sandbox)).extra == {}
    assert sandbox.ledger.total.calls == 0


async def test_what_a_given_session_raises_is_told_by_its_name(
    gated, sandbox, api, caplog
):
    """Its middlewares run on the question too; what they say may be private."""
    caplog.set_level("INFO", "everbearer")

    async def broken(_, __):
        raise RuntimeError("about Acme's books")

    async with (
        aiohttp.ClientSession(middlewares=(broken,)) as session,
        gated(session=session) as client,
    ):
        assert (await finished(client, sandbox)).standing == "connected"
    assert "account_information was not read: RuntimeError" in caplog.text
    assert "books" not in caplog.text


class FarStore(MemoryStore):
    """Its answers travel for a while, so that its clock seems to be behind."""

    async def acquire(self, key, asked):
        acquired = await super().acquire(key, asked)
        await asyncio.sleep(0.5)
        return acquired


async def test_a_token_that_is_rejected_at_once_is_replaced(sandbox, registration):
    """It was stored a moment ago, and not in the future (rule 20)."""
    async with Client(registration, store=FarStore()) as client:
        await finished(client, sandbox)
        sandbox.script.expire_now()
        async with client.session("billit", "acme").get("/v1/whoami") as response:
            assert response.status == 200
    assert (sandbox.ledger.refreshes, sandbox.ledger.reuse) == (1, 0)


class FailingStore(MemoryStore):
    """It takes the grant, and then no change of it."""

    async def replace(self, key, rotation):
        raise StoreError("the disk is full")


async def test_a_store_that_fails_then_costs_the_facts_alone(gated, sandbox, api):
    """The grant was stored before; the lease is given back, and no intent is left."""
    api.gate.set()
    store = FailingStore()
    async with gated(store) as client:
        status = await finished(client, sandbox)
        record = await store.load(ACME)
    assert (status.standing, dict(status.extra)) == ("connected", {})
    assert (record.lease, record.intent) == (None, None)


# ---- meanwhile


async def test_the_grant_is_stored_before_the_api_is_asked(
    gated, sandbox, api, store, registration
):
    """A crash while the API thinks loses nothing: the code is spent by then."""
    async with gated() as client, asyncio.TaskGroup() as tasks:
        finishing = tasks.create_task(finished(client, sandbox))
        await api.asked.wait()
        record = await store.load(ACME)
        assert record.token.refresh_token
        assert record.intent is None
        api.gate.set()
        assert (await finishing).extra == KEPT
    bearer = api.headers[0]["Authorization"]
    assert bearer == f"Bearer {record.token.access_token}"


async def test_a_user_who_has_left_has_companies_too(gated, sandbox, api, store):
    """The handler is cancelled; the exchange goes on, and aclose waits for it."""
    async with gated() as client:
        callback = await come_back(client, sandbox)
        finishing = asyncio.create_task(client.authorization.finish(callback))
        await api.asked.wait()
        finishing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await finishing
        api.gate.set()
    assert (await store.load(ACME)).token.extra == KEPT


async def test_a_client_that_closes_tells_that_it_is_connected(
    gated, sandbox, api, store
):
    """Closing gives up the question alone: no warning, and nobody starts again."""
    client = await gated().open()
    callback = await come_back(client, sandbox)
    finishing = asyncio.create_task(client.authorization.finish(callback))
    await api.asked.wait()
    await client.aclose(within=0.01)
    assert (await finishing).standing == "connected"
    assert (await store.load(ACME)).token.refresh_token


async def test_a_rotation_meanwhile_is_kept(gated, sandbox, api, store):
    """Another process has refreshed: the facts come to its token."""
    async with gated() as client, gated() as another:
        callback = await come_back(client, sandbox)
        finishing = asyncio.create_task(client.authorization.finish(callback))
        await api.asked.wait()
        first = (await store.load(ACME)).token
        await another.session("billit", "acme").refresh()
        rotated = (await store.load(ACME)).token
        api.gate.set()
        assert (await finishing).extra == KEPT
        kept = (await store.load(ACME)).token
        assert kept == evolve(rotated, extra=KEPT)
        assert kept.refresh_token != first.refresh_token
        await another.session("billit", "acme").refresh()
    assert (sandbox.ledger.refreshes, sandbox.ledger.reuse) == (2, 0)


async def test_a_refresh_under_way_comes_first(gated, sandbox, api, store):
    """Its holder stores what it was answered; the facts wait for it."""
    async with gated() as client, gated() as another:
        callback = await come_back(client, sandbox)
        finishing = asyncio.create_task(client.authorization.finish(callback))
        await api.asked.wait()
        sandbox.script.add(faults.slow(0.3))
        record = await store.load(ACME)
        refreshing = asyncio.create_task(another.session("billit", "acme").refresh())
        while (await store.load(ACME)).lease is None:
            await store.changed(ACME, record, 1.0)
        api.gate.set()
        assert (await finishing).extra == KEPT
        await refreshing
        assert (await store.load(ACME)).token.extra == KEPT
    assert (sandbox.ledger.refreshes, sandbox.ledger.reuse) == (1, 0)


async def test_a_late_answer_still_finds_the_version_it_expects(
    gated, sandbox, api, store
):
    """An unfinished refresh is left alone: its rotation must not be dropped."""
    async with gated() as client:
        callback = await come_back(client, sandbox)
        finishing = asyncio.create_task(client.authorization.finish(callback))
        await api.asked.wait()
        left = await store.acquire(ACME, Asked("a" * 32, "elsewhere", 0.0))
        api.gate.set()
        assert (await finishing).extra == {}
        record = await store.load(ACME)
        assert record.intent == left.record.intent
        rotation = Rotation(
            record.incarnation,
            record.version,
            evolve(record.token, refresh_token="answered-late"),
            "a" * 32,
        )
        assert (await store.replace(ACME, rotation)).outcome is Replacement.STORED


async def test_a_refusal_meanwhile_stands(gated, sandbox, api, store):
    """What the provider has ended is not made good by facts."""
    async with gated() as client:
        callback = await come_back(client, sandbox)
        finishing = asyncio.create_task(client.authorization.finish(callback))
        await api.asked.wait()
        record = await store.load(ACME)
        await store.refuse(
            ACME, Refusal(record.incarnation, record.refresh_fingerprint, "revoked")
        )
        api.gate.set()
        await finishing
        assert (await store.load(ACME)).reason == "revoked"


async def test_an_account_that_left_meanwhile_is_gone(gated, sandbox, api, store):
    """Nothing brings it back."""
    async with gated() as client:
        callback = await come_back(client, sandbox)
        finishing = asyncio.create_task(client.authorization.finish(callback))
        await api.asked.wait()
        await client.disconnect("billit", "acme")
        api.gate.set()
        await finishing
    assert await store.load(ACME) is None


async def test_an_account_that_is_connected_anew_meanwhile_has_its_own(
    gated, sandbox, api, store
):
    """What the first grant was told is not written beside the second."""
    async with gated() as client:
        first = await come_back(client, sandbox)
        finishing = asyncio.create_task(client.authorization.finish(first))
        await api.asked.wait()
        second = sandbox.issue("acme")
        token = evolve(
            (await store.load(ACME)).token,
            access_token=second.access_token,
            refresh_token=second.refresh_token,
        )
        await client.adopt("billit", "acme", token)
        api.gate.set()
        await finishing
        record = await store.load(ACME)
    assert (record.token, record.lease, record.intent) == (token, None, None)


async def test_billits_call_is_what_third_parties_use():
    """The path of PROVIDERS 2.6, below the API base."""
    assert BILLIT.account_facts == AccountFacts(PATH, keep_as="account_information")
