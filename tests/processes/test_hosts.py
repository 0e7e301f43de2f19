"""Workers on hosts of their own, one of which is cut off for longer than a lease.

A host is a process that reaches the store and the provider through an address of its
own, at which a link passes bytes on.  A link that is cut drops nothing that was sent:
it holds it back, as TCP does when packets get lost, and delivers it when it is mended.
Network namespaces would need root and iproute2, and TLS, because Everbearer sends
secrets over plain HTTP to loopback addresses only.
"""

from __future__ import annotations

import asyncio
import json
import sys
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import pytest
from attrs import asdict

from everbearer import Client, Timing, Token
from everbearer._clock import instant
from everbearer.sandbox import Sandbox
from everbearer.stores import Keyring
from everbearer.testing import registration_at

pytestmark = [pytest.mark.asyncio, pytest.mark.timeout(120)]

WORKER = Path(__file__).with_name("host.py")
ACCOUNTS = ["company-1", "company-2", "company-3"]
# Longer than a lease, and not so long that an answer is given up (X).
CUT = 2.5
TIMING = Timing(
    lease=1.0, deadline=6.0, linger=6.0, grace=1.0, connect=6.0, back_off=0.1
)


class Link:
    """From an address of a host's own to a server."""

    def __init__(self, address, url):
        self._address, self._there = address, urlsplit(url)
        self._whole = asyncio.Event()
        self._whole.set()
        self._passing = set()
        self.asked = asyncio.Event()

    async def __aenter__(self):
        self._server = await asyncio.start_server(self._serve, self._address, 0)
        port = self._server.sockets[0].getsockname()[1]
        netloc = f"{self._address}:{port}"
        self.url = urlunsplit(self._there._replace(netloc=netloc))
        return self

    async def __aexit__(self, *_):
        self._server.close()
        for task in self._passing:
            task.cancel()

    def cut(self):
        self._whole.clear()

    def mend(self):
        self._whole.set()

    async def _serve(self, reader, writer):
        there = await asyncio.open_connection(self._there.hostname, self._there.port)
        ways = (self._pass(reader, there[1]), self._pass(there[0], writer))
        tasks = {asyncio.create_task(way) for way in ways}
        self._passing |= tasks
        with suppress(asyncio.CancelledError):
            await asyncio.wait(tasks)

    async def _pass(self, reader, writer):
        with suppress(OSError, asyncio.CancelledError):
            while data := await reader.read(65536):
                await self._whole.wait()
                writer.write(data)
                if b"refresh_token" in data:
                    self.asked.set()
        writer.close()


async def connect_all(sandbox, store) -> None:
    """Give every account a grant, without the login page."""
    async with Client(registration_at(sandbox), store=store) as client:
        for account in ACCOUNTS:
            pair = sandbox.issue(account)
            expires_at = instant(sandbox.clock() + pair.expires_in)
            token = Token(pair.access_token, pair.refresh_token, expires_at)
            await client.adopt("billit", account, token)


async def start(url, proxy, store):
    """A worker on a host that reaches the provider and the store there."""
    order = {
        "url": url,
        "proxy": proxy,
        "store": store,
        "accounts": ACCOUNTS,
        "timing": asdict(TIMING),
    }
    return await asyncio.create_subprocess_exec(
        sys.executable,
        WORKER,
        json.dumps(order),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


@pytest.mark.parametrize("links", ["store", "provider", "store and provider"])
async def test_a_host_that_is_cut_off_recovers(redis_database, monkeypatch, links):
    """Cut when it has asked the provider: nothing is spent twice, nothing is lost."""
    monkeypatch.setenv("EVERBEARER_KEYS", Keyring.generate_key())
    async with (
        Sandbox(access_lifetime=1.0, token_delay=0.1) as sandbox,
        AsyncExitStack() as opened,
    ):
        await connect_all(sandbox, redis_database)
        hosts = []
        for address in ("127.0.0.11", "127.0.0.12"):
            to_provider = await opened.enter_async_context(Link(address, sandbox.url))
            to_store = await opened.enter_async_context(Link(address, redis_database))
            worker = await start(sandbox.url, to_provider.url, to_store.url)
            hosts.append((worker, {"provider": to_provider, "store": to_store}))
        try:
            one = hosts[0][1]
            chosen = [link for name, link in one.items() if name in links]
            for _ in range(2):
                one["provider"].asked.clear()
                async with asyncio.timeout(30):
                    await one["provider"].asked.wait()
                for link in chosen:
                    link.cut()
                await asyncio.sleep(CUT)
                for link in chosen:
                    link.mend()
            said = await asyncio.gather(*(each.communicate() for each, _ in hosts))
        finally:
            for each, _ in hosts:
                if each.returncode is None:
                    each.kill()
    recovered = {account: account for account in ACCOUNTS}
    assert [json.loads(outcome) for outcome, _ in said] == [recovered] * 2
    ledger = sandbox.ledger
    assert (ledger.reuse, ledger.last_resort, ledger.lost_grants) == (0, 0, 0)
