"""Descriptions against emulations, which know nothing of each other."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest
import pytest_asyncio
from attrs import evolve

from everbearer import (
    AuthorizationRequired,
    CallbackError,
    Client,
    Registration,
    TemporarilyUnavailable,
    providers,
)
from everbearer.providers import CAMINVOICE, FLOWACCOUNT, HUMANSOFT
from everbearer.sandbox import Sandbox
from everbearer.stores import MemoryStore

pytestmark = pytest.mark.asyncio

NAMES = ("billit", "caminvoice", "flowaccount", "humansoft", "invoiced")
POSTED = {
    "billit": "/v1/orders",
    "caminvoice": "/api/v1/document",
    "flowaccount": "/tax-invoices",
    "humansoft": "/oauth2/v1/userinfo",
    "invoiced": "/invoices",
}


@pytest_asyncio.fixture(name="sandbox", params=NAMES)
async def _sandbox(request):
    async with Sandbox(request.param, orders_per_account=3) as running:
        yield running


@pytest_asyncio.fixture(name="client")
async def _client(sandbox):
    described = getattr(providers, sandbox.provider.upper()).with_hosts(
        sandbox.login_url, sandbox.token_url, sandbox.api_url
    )
    registration = Registration(
        described, "sandbox-client", "sandbox-secret", "https://app.example/callback"
    )
    async with Client(registration, store=MemoryStore()) as client:
        yield client


async def connect(sandbox, client, account="acme"):
    started = await client.authorization.start(sandbox.provider, account)
    return await client.authorization.finish(
        await sandbox.approve(started.url, account), state=started.state
    )


@pytest_asyncio.fixture(name="acme")
async def _acme(sandbox, client):
    await connect(sandbox, client)
    return client.session(sandbox.provider, "acme")


async def reads(sandbox, session):
    """The documents' list, as its caller gets it."""
    async with session.get(sandbox.documents_path) as answer:
        assert answer.status == 200, await answer.text()
        return await answer.json()


async def test_connect_and_call(sandbox, client):
    """A user connects, and the first call is answered."""
    status = await connect(sandbox, client)
    assert status.standing == "connected"
    assert status.reason is None
    assert status.expires_at is not None
    await reads(sandbox, client.session(sandbox.provider, "acme"))
    assert sandbox.ledger.refreshes == 0


async def test_denied(sandbox, client):
    """A user who says no is a CallbackError, and no code is exchanged."""
    started = await client.authorization.start(sandbox.provider, "acme")
    with pytest.raises(CallbackError) as caught:
        await client.authorization.finish(
            await sandbox.deny(started.url), state=started.state
        )
    assert caught.value.code == "access_denied"
    assert sandbox.ledger.exchanges == 0


async def test_expiry_by_signal(sandbox, acme):
    """A token that dies before its time costs one refresh, and no caller sees it."""
    await reads(sandbox, acme)
    sandbox.script.expire_now()
    await reads(sandbox, acme)
    assert (sandbox.ledger.refreshes, sandbox.ledger.reuse) == (1, 0)


async def test_refresh_twice(sandbox, acme):
    """A second refresh works like the first, whatever rotates."""
    for _ in range(3):
        await acme.refresh()
        await reads(sandbox, acme)
    assert (sandbox.ledger.refreshes, sandbox.ledger.reuse) == (3, 0)


async def test_a_body_is_sent_again(sandbox, acme):
    """What was posted with a dead token arrives whole with the next."""
    sandbox.script.expire_now()
    async with acme.post(POSTED[sandbox.provider], json={"documents": []}) as answer:
        assert answer.status != 401
    assert sandbox.ledger.refreshes == 1


async def test_a_hundred_callers_on_one_dead_token(sandbox, acme):
    """One refresh for all of them, and one token."""
    sandbox.script.expire_now()
    await asyncio.gather(*(reads(sandbox, acme) for _ in range(100)))
    assert (sandbox.ledger.refreshes, sandbox.ledger.reuse) == (1, 0)


async def test_revoked_by_the_user(sandbox, acme):
    """The user is asked for, or the provider's answer does not say it yet."""
    sandbox.script.revoke("acme")
    # CamInvoice's refusal does not tell the client from the grant.
    vague = sandbox.provider == "caminvoice"
    with pytest.raises(TemporarilyUnavailable if vague else AuthorizationRequired):
        await acme.get(sandbox.documents_path)
    standing = (await acme.status()).standing
    assert standing == ("connected" if vague else "needs_authorization")


async def test_foreign_redirect(sandbox, acme):
    """A redirect to another origin carries no token."""
    async with acme.get(f"{sandbox.other_origin}/x") as answer:
        await answer.read()
    (seen,) = sandbox.ledger.other_origin
    assert "Authorization" not in seen.headers


async def test_disconnect(sandbox, client, acme):
    """Forgotten here, and ended there where there is a call for it."""
    await client.disconnect(sandbox.provider, "acme")
    assert (await acme.status()).reason == "never_connected"


# ---- what is particular


def registered(sandbox, described, **options):
    """*described*, at its emulation."""
    there = described.with_hosts(sandbox.login_url, sandbox.token_url, sandbox.api_url)
    return Registration(
        there,
        "sandbox-client",
        **{
            "client_secret": "sandbox-secret",
            "redirect_uri": "https://app.example/callback",
            **options,
        },
    )


def left(status):
    return (status.expires_at - datetime.now(UTC)).total_seconds()


@pytest.mark.parametrize("query", ["", "?a=1&b=2"], ids=["plain", "with-query"])
@pytest.mark.parametrize("naive", [False, True], ids=["ampersand", "question-mark"])
@pytest.mark.parametrize("returns", [False, True], ids=["silent", "echoed"])
async def test_caminvoice_callbacks(query, naive, returns):
    """CamInvoice: after `register_redirects`, however the callback comes."""
    uri = f"https://other.example/cb{query}"
    async with Sandbox(
        "caminvoice", naive_callbacks=naive, state_returns=returns
    ) as sandbox:
        registration = registered(sandbox, CAMINVOICE, redirect_uri=uri)
        async with Client(registration, store=MemoryStore()) as client:
            await client.authorization.register_redirects("caminvoice", [uri])
            status = await connect(sandbox, client)
            assert status.extra["business_info"]["company_name_kh"]
            await reads(sandbox, client.session("caminvoice", "acme"))


@pytest.mark.parametrize("shape", ["documented", "sample", "durations", "bare"])
@pytest.mark.parametrize("opaque", [False, True], ids=["jwt", "opaque"])
@pytest.mark.parametrize("absent", [(), ("/api/v1/auth/token",)], ids=["new", "guide"])
async def test_caminvoice_answers(shape, opaque, absent):
    """CamInvoice: every shape of its token responses, at either refresh path."""
    async with Sandbox(
        "caminvoice",
        token_shape=shape,
        opaque_tokens=opaque,
        absent_paths=absent,
        access_lifetime=900.0,
    ) as sandbox:
        registration = registered(sandbox, CAMINVOICE)
        async with Client(registration, store=MemoryStore()) as client:
            status = await connect(sandbox, client)
            assert 800 < left(status) <= 901
            acme = client.session("caminvoice", "acme")
            for _ in range(2):
                assert 800 < left(await acme.refresh()) <= 901
                await reads(sandbox, acme)
            assert (await acme.status()).extra == status.extra


async def test_flowaccount_without_offline_access():
    """FlowAccount: `finish` says that there is no refresh token."""
    async with Sandbox("flowaccount") as sandbox:
        registration = registered(sandbox, FLOWACCOUNT, scopes=["flowaccount-api"])
        async with Client(registration, store=MemoryStore()) as client:
            status = await connect(sandbox, client)
            assert status.reason == "no_refresh_token"
            assert status.expires_at is not None
            await reads(sandbox, client.session("flowaccount", "acme"))


@pytest.mark.parametrize("method", ["S256", "plain"])
@pytest.mark.parametrize("encoding", ["json", "form"])
@pytest.mark.parametrize("secret", [None, "sandbox-secret"], ids=["public", "secret"])
async def test_humansoft_clients(method, encoding, secret):
    """Humansoft: every combination that its pages name."""
    described = evolve(HUMANSOFT, pkce=method).with_encoding(encoding)
    async with Sandbox("humansoft") as sandbox:
        registration = registered(sandbox, described, client_secret=secret)
        async with Client(registration, store=MemoryStore()) as client:
            status = await connect(sandbox, client)
            assert status.extra["id_token"]
            acme = client.session("humansoft", "acme")
            await acme.refresh()
            await reads(sandbox, acme)
            await client.disconnect("humansoft", "acme")
