"""Accounts come and go: adopt, accounts, disconnect."""

from __future__ import annotations

import asyncio
import json

import pytest
from attrs import evolve

from everbearer import (
    AuthorizationRequired,
    Client,
    ConfigurationError,
    StoreError,
    Token,
)
from everbearer.sandbox import faults
from everbearer.tokens import AccountKey

pytestmark = pytest.mark.asyncio

ACME = AccountKey("billit", "acme")


async def whoami(client, account="acme"):
    session = client.session("billit", account)
    async with session.get("/v1/whoami", raise_for_status=True) as response:
        return (await response.json())["company"]


async def test_adopt_if_absent(client, store, connect):
    """Every worker may offer the same token at its start: what is stored wins."""
    token = await connect("acme")
    await client.session("billit", "acme").refresh()
    rotated = await store.load(ACME)
    for _ in range(2):
        status = await client.adopt("billit", "acme", token, if_absent=True)
        assert status.standing == "connected"
    assert await store.load(ACME) == rotated
    assert await whoami(client) == "acme"


async def test_adopt_if_absent_keeps_an_unsaved_rotation(
    client, store, connect, monkeypatch
):
    """What this process holds and could not store yet is newer than the store."""
    token = await connect("acme", expired=True)

    async def full(*_):
        raise StoreError("disk full")

    with monkeypatch.context() as patched:
        patched.setattr(store, "replace", full)
        rotated = await client.session("billit", "acme").access_token()
        await client.adopt("billit", "acme", token, if_absent=True)
        assert await client.session("billit", "acme").access_token() == rotated
    assert await whoami(client) == "acme"


async def test_adopt_if_absent_after_a_refusal(client, store, sandbox, connect):
    """A grant that is over gives way to one that was never stored, and to no other."""
    token = await connect("acme", expired=True)
    sandbox.script.revoke("acme")
    with pytest.raises(AuthorizationRequired):
        await whoami(client)
    await client.adopt("billit", "acme", token, if_absent=True)
    with pytest.raises(AuthorizationRequired):
        await whoami(client)
    pair = sandbox.issue("acme")
    news = Token(pair.access_token, pair.refresh_token)
    status = await client.adopt("billit", "acme", news, if_absent=True)
    assert status.standing == "connected"
    assert await whoami(client) == "acme"


@pytest.mark.parametrize(
    ("name", "account", "token"),
    [
        pytest.param("bilit", "acme", Token("a"), id="provider"),
        pytest.param("billit", "", Token("a"), id="account"),
        pytest.param("billit", "acme", Token(), id="empty token"),
        pytest.param("billit", "acme", "a-token", id="text"),
        pytest.param("billit", "acme", {"access_token": "a"}, id="mapping"),
    ],
)
async def test_what_adopt_refuses(client, store, name, account, token):
    """A ConfigurationError, and nothing is stored."""
    with pytest.raises(ConfigurationError):
        await client.adopt(name, account, token)
    assert [each async for each in store.list()] == []


async def test_accounts(registration, store):
    """All of them, by provider and account, or one provider's."""
    second = evolve(registration, name="second")
    async with Client(registration, second, store=store) as client:
        for name, account in (("second", "b"), ("billit", "z"), ("billit", "a")):
            await client.adopt(name, account, Token("access", "refresh"))
        every = [(e.provider, e.account) async for e in client.accounts()]
        assert every == [("billit", "a"), ("billit", "z"), ("second", "b")]
        assert [e.account async for e in client.accounts("second")] == ["b"]
        with pytest.raises(ConfigurationError, match="no registration"):
            await anext(client.accounts("third"))


async def test_an_account_that_was_never_connected(client):
    """The user's move, and no call goes out."""
    status = await client.session("billit", "nobody").status()
    assert (status.standing, status.reason) == (
        "needs_authorization",
        "never_connected",
    )
    with pytest.raises(AuthorizationRequired) as caught:
        await whoami(client, "nobody")
    assert caught.value.reason == "never_connected"


async def test_disconnect(client, store, connect):
    """It is forgotten, here and in the store; twice is fine."""
    await connect("acme")
    assert await whoami(client) == "acme"
    await client.disconnect("billit", "acme")
    await client.disconnect("billit", "acme")
    assert await store.load(ACME) is None
    with pytest.raises(AuthorizationRequired):
        await whoami(client)


async def test_disconnect_wins_over_a_flight(client, store, sandbox, connect):
    """A refresh that ends afterwards brings nothing back."""
    await connect("acme", expired=True)
    sandbox.script.add(faults.slow(0.1))
    waiting = asyncio.create_task(client.session("billit", "acme").access_token())
    while not sandbox.ledger.max_concurrency:
        await asyncio.sleep(0.005)
    await client.disconnect("billit", "acme")
    with pytest.raises(AuthorizationRequired):
        await waiting
    assert await store.load(ACME) is None


def revoking(registration, sandbox):
    """The registration at a provider that has RFC 7009, on another origin."""
    billit = registration.provider
    call = evolve(
        billit.refresh,
        path=f"{sandbox.other_origin}/revoke",
        grant_name="token",
        fixed={"token_type_hint": "refresh_token"},
    )
    return evolve(registration, provider=evolve(billit, revoke=call))


async def test_disconnect_revokes(sandbox, registration, store):
    """RFC 7009: the refresh token is revoked where the provider can."""
    async with Client(revoking(registration, sandbox), store=store) as client:
        await client.adopt("billit", "acme", Token("access", "refresh"))
        await client.disconnect("billit", "acme")
    assert await store.load(ACME) is None
    (asked,) = sandbox.ledger.other_origin
    assert (asked.method, asked.path) == ("POST", "/revoke")
    assert json.loads(asked.body) == {
        "token": "refresh",
        "token_type_hint": "refresh_token",
        "client_id": "sandbox-client",
        "client_secret": "sandbox-secret",
    }


async def test_disconnect_goes_on_without_its_caller(sandbox, registration, store):
    """A caller that is cancelled while it waits does not stop the revocation."""
    async with Client(revoking(registration, sandbox), store=store) as client:
        await client.adopt("billit", "acme", Token("access", "refresh"))
        leaving = asyncio.create_task(client.disconnect("billit", "acme"))
        while not client._refresher._tasks:
            await asyncio.sleep(0)
        leaving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leaving
    assert len(sandbox.ledger.other_origin) == 1


async def test_disconnect_where_nobody_answers(
    registration, sandbox, store, unused_tcp_port
):
    """Best effort: the account is forgotten all the same."""
    known = revoking(registration, sandbox)
    down = evolve(
        known.provider.revoke, path=f"http://127.0.0.1:{unused_tcp_port}/revoke"
    )
    known = evolve(known, provider=evolve(known.provider, revoke=down))
    async with Client(known, store=store) as client:
        await client.adopt("billit", "acme", Token("access", "refresh"))
        await client.disconnect("billit", "acme")
        assert [each async for each in client.accounts()] == []
