"""A worker on a host of its own: does what it is told, line by line, all at once.

What it is told is JSON.  The first line: ``url``, ``store``, ``timing``, ``described``
(what the provider's description says otherwise than Billit's), ``services`` (the
address at which "localhost" is reached), and ``held``: an account whose rotated token
it does not save before it is told; such a host is impatient, too.  Then ``number``,
``what`` and ``account``; what it says has that number and how it went.
"""

from __future__ import annotations

import asyncio
import json
import socket
import sys
from collections import Counter

import aiohttp
import redis.asyncio.connection
from aiohttp.abc import AbstractResolver
from attrs import evolve

from everbearer import (
    AuthorizationRequired,
    Client,
    EverbearerError,
    Registration,
    TemporarilyUnavailable,
    Timing,
)
from everbearer.providers import BILLIT
from everbearer.stores import _postgres_connections, _redis_connections, open_store
from everbearer.tokens import AccountKey

# Nobody may wait for longer than this, whatever happens to the network: five times
# what the protocol and the store may take (rule 21), for a machine that is busy.
LONGEST = 40.0


class ServicesResolver(AbstractResolver):
    """Everything is at the services' address.

    Everbearer speaks plain HTTP with "localhost" only, and this is what it is here.
    """

    def __init__(self, address):
        self._address = address

    async def resolve(self, host, port=0, family=socket.AF_INET):
        return [
            {
                "hostname": host,
                "host": self._address,
                "port": port,
                "family": socket.AF_INET,
                "proto": 0,
                "flags": socket.AI_NUMERICHOST,
            }
        ]

    async def close(self):
        pass


class Worker:
    """What can be asked of it."""

    def __init__(self, client, store):
        self._client, self._store = client, store
        self._over = asyncio.Event()

    async def call(self, account):
        """Whose answer a caller gets who waits when told to."""
        while True:
            try:
                return await self._call(account)
            except TemporarilyUnavailable as wait:
                await asyncio.sleep(max(0.01, wait.retry_after))

    async def attempt(self, account):
        """What a caller gets who has little time."""
        return await self._call(account, timeout=aiohttp.ClientTimeout(total=1.0))

    async def refresh(self, account):
        await self._client.session("billit", account).refresh()
        return "refreshed"

    async def keep(self, account):
        """Call until it is over; how often each outcome was seen."""
        seen = Counter()
        while not self._over.is_set():
            seen[await outcome(self._call(account))] += 1
            await asyncio.sleep(0.05)
        return seen

    async def hear(self, account):
        """Wait until the server tells of a change that another host has made."""
        key = AccountKey("billit", account)
        with self._store._wakeups.watching(key) as woken:
            await woken.wait()
        return "heard"

    async def end(self, account):
        self._over.set()

    async def _call(self, account, **options):
        session = self._client.session("billit", account)
        async with session.get("/v1/whoami", **options) as response:
            return (await response.json()).get("company", response.status)


async def outcome(work):
    """What comes of *work*, in words."""
    try:
        async with asyncio.timeout(LONGEST) as longest:
            return await work
    except AuthorizationRequired as error:
        return f"{error.reason}: {error}"
    except (EverbearerError, aiohttp.ClientError, TimeoutError) as error:
        return "waits for ever" if longest.expired() else type(error).__name__


def be_impatient(timing):
    """Half a lease for a statement, as it always is; a second without a word."""
    for module in (_postgres_connections, _redis_connections):
        module.SECONDS = timing.lease / 2
    _postgres_connections._QUIET = 1.0
    # Redis is given up by TCP itself, which is a case of its own.
    options = (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT)
    redis.asyncio.connection.get_default_socket_keepalive_options = lambda: (
        dict.fromkeys(options, 1)
    )


def hold(store, held, go_on):
    """Let *store* save nothing of the account *held* before it is told to."""
    replace = store.replace

    async def saving(key, rotation):
        if key.account == held and not go_on.is_set():
            print(json.dumps({"number": 0, "said": "saving"}), flush=True)
            await go_on.wait()
        return await replace(key, rotation)

    store.replace = saving


async def obey(worker, go_on, lines):
    """Until the input ends; then whatever is under way is over."""
    async with asyncio.TaskGroup() as group:
        while line := await lines.readline():
            order = json.loads(line)
            if order["what"] == "save":
                go_on.set()
            else:
                group.create_task(answer(worker, order))
        await worker.end(None)


async def answer(worker, order):
    said = await outcome(getattr(worker, order["what"])(order["account"]))
    print(json.dumps({"number": order["number"], "said": said}), flush=True)


async def main() -> None:
    """Run until the input ends."""
    lines = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(lines), sys.stdin
    )
    print("here", flush=True)  # In the namespace: it can join the network.
    order = json.loads(await lines.readline())
    provider = BILLIT.with_hosts(order["url"], order["url"], order["url"])
    provider = evolve(provider, **order["described"])
    registration = Registration(provider, "sandbox-client", "sandbox-secret")
    timing, go_on = Timing(**order["timing"]), asyncio.Event()
    if order["held"] is not None:
        be_impatient(timing)
    store = open_store(order["store"])
    hold(store, order["held"], go_on)
    resolver = ServicesResolver(order["services"])
    async with (
        aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(resolver=resolver)
        ) as session,
        Client(registration, store=store, session=session, timing=timing) as client,
    ):
        await obey(Worker(client, store), go_on, lines)


if __name__ == "__main__":
    asyncio.run(main())
