"""Keys change while Clients call: each refresh happens once, and no call fails."""

from __future__ import annotations

import asyncio
from collections import Counter

import aiohttp
import pytest

from everbearer import Client, EverbearerError, Keyring, Registration, Token
from everbearer._clock import instant
from everbearer.providers import BILLIT
from everbearer.sandbox import Sandbox
from everbearer.stores import Resealing, open_store, reseal, sealed_in

pytestmark = pytest.mark.asyncio

FIRST, SECOND = Keyring.generate_key(), Keyring.generate_key()
ACCOUNTS = [f"company-{number}" for number in range(1, 6)]
ROTATIONS = 15


async def connect_all(sandbox, client):
    for account in ACCOUNTS:
        pair = sandbox.issue(account)
        expires_at = instant(sandbox.clock() + pair.expires_in)
        token = Token(pair.access_token, pair.refresh_token, expires_at)
        await client.adopt("billit", account, token)


async def call(client, account, done, seen):
    while not done.is_set():
        try:
            async with client.session("billit", account).get("/v1/whoami") as answer:
                seen[answer.status] += 1
        except (EverbearerError, aiohttp.ClientError) as error:
            seen[repr(error)] += 1
        await asyncio.sleep(0.05)


async def seal_again_and_again(url, done, seen):
    """As somebody who cannot decide which key is the better one."""
    while not done.is_set():
        for keys in ([FIRST, SECOND], [SECOND, FIRST]):
            store = open_store(url, keyring=Keyring(keys))
            await store.open()
            async for each in reseal(await sealed_in(store)):
                seen[each.outcome] += 1
            await store.aclose()


async def test_everything_is_sealed_anew_while_clients_call(store_url):
    """Single-use refresh tokens, access tokens of a second, two Clients, one store."""
    seen, sealed, done = Counter(), Counter(), asyncio.Event()
    async with Sandbox(access_lifetime=1.0) as sandbox:
        provider = BILLIT.with_hosts(sandbox.url, sandbox.url, sandbox.url)
        registration = Registration(provider, "sandbox-client", "sandbox-secret")
        clients = [
            Client(registration, store=store_url, keyring=Keyring(keys))
            for keys in ([FIRST, SECOND], [SECOND, FIRST])
        ]
        async with clients[0], clients[1], asyncio.TaskGroup() as group:
            await connect_all(sandbox, clients[0])
            for client in clients:
                for account in ACCOUNTS:
                    group.create_task(call(client, account, done, seen))
            group.create_task(seal_again_and_again(store_url, done, sealed))
            while sandbox.ledger.refreshes < ROTATIONS:
                await asyncio.sleep(0.01)
            done.set()
        ledger = sandbox.ledger
        assert (ledger.reuse, ledger.last_resort, ledger.lost_grants) == (0, 0, 0)
    assert set(seen) == {200}
    assert not sealed[Resealing.UNOPENED]
    # One of the two Clients seals with the other key, so that there was work to do.
    assert sealed[Resealing.ANEW] >= 2 * len(ACCOUNTS)
