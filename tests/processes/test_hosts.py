"""Workers on hosts of their own, one of which is cut off for longer than a lease.

Its packets vanish, and the services give up what they have with it.  It is struck in
three moments at once, each with an account of its own: it waits for an answer of the
token endpoint, which is lost; it has an answer in hand and has yet to save it; and it
holds a token that others replace meanwhile.  A host that is idle is cut off with it.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import sys
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from urllib.parse import parse_qs, urlsplit, urlunsplit

import pytest
import pytest_asyncio
from attrs import asdict, define, evolve

from everbearer import Client, Registration, Timing, Token
from everbearer._clock import instant
from everbearer.providers import BILLIT
from everbearer.sandbox import Sandbox, faults
from everbearer.stores import Keyring, open_store
from everbearer.tokens import AccountKey

pytestmark = [pytest.mark.asyncio, pytest.mark.timeout(120)]

WORKER = Path(__file__).with_name("host.py")
ASKING, SAVING, HOLDING = "company-asking", "company-saving", "company-holding"
OTHER = "company-other"
# D + G > X; a window must be longer than D + G + X.
TIMING = Timing(
    lease=1.5, deadline=2.0, linger=2.0, grace=0.5, connect=2.0, back_off=0.1
)
WINDOW = 600.0
# After the cable is cut, and before anybody takes over.
ANSWERS_AFTER = 1.0


class Host:
    """A worker, from outside."""

    def __init__(self, process, place):
        self.process, self.place = process, place
        self.saving = asyncio.Event()
        self._numbers = itertools.count(1)
        self._asked = {}
        self._listening = asyncio.create_task(self._listen())

    def tell(self, what, account=""):
        """The future of what it says to that."""
        order = {"number": next(self._numbers), "what": what, "account": account}
        said = asyncio.get_running_loop().create_future()
        self._asked[order["number"]] = said
        self.process.stdin.write(json.dumps(order).encode() + b"\n")
        return said

    async def _listen(self):
        while line := await self.process.stdout.readline():
            answer = json.loads(line)
            if answer["number"] == 0:
                self.saving.set()
            else:
                self._asked.pop(answer["number"]).set_result(answer["said"])

    async def end(self):
        """Let it close its Client; what it complained of."""
        self.process.stdin.close()
        complained = await self.process.stderr.read()
        await self._listening
        assert await self.process.wait() == 0, complained
        return complained


@define
class Pool:
    """The network, the services, and the hosts."""

    network: object
    sandbox: Sandbox
    store: object
    client: Client
    hosts: list[Host]

    async def connect(self, account, *, alive):
        """Give it a grant whose access token is alive, or dead."""
        pair = self.sandbox.issue(account, access_expired=not alive)
        ends = pair.expires_in if alive else -1.0
        expires_at = instant(self.sandbox.clock() + ends)
        token = Token(pair.access_token, pair.refresh_token, expires_at)
        await self.client.adopt("billit", account, token)

    async def record(self, account):
        return await self.store.load(AccountKey("billit", account))

    async def rotated(self, account, times=1):
        """Wait until the provider has replaced its token."""
        async with asyncio.timeout(30):
            while self.sandbox.ledger.company(account).refreshes < times:
                await asyncio.sleep(0.005)

    def cut(self):
        """Cut off two hosts; the services give up what they have with them."""
        for host in self.hosts[:2]:
            self.network.cut(host.place)
            self.network.forget(host.place)

    def mend(self):
        """All is well again."""
        for host in self.hosts[:2]:
            self.network.mend(host.place)

    async def told(self):
        """Wait until the host that was cut off is told of what others write."""
        heard = self.hosts[0].tell("hear", OTHER)
        while not heard.done():
            await self.connect(OTHER, alive=True)
            await asyncio.sleep(0.2)
        assert heard.result() == "heard"

    async def stored(self, account, version):
        """Wait until the store has it."""
        async with asyncio.timeout(30):
            while (await self.record(account)).version < version:
                await asyncio.sleep(0.02)

    async def all_call(self, hosts, *accounts):
        """What each of *hosts* gets for each account, as long as it takes."""
        asked = [host.tell("call", name) for host in hosts for name in accounts]
        said = await asyncio.gather(*asked)
        return [set(said[at :: len(accounts)]) for at in range(len(accounts))]


def place_of(url):
    """Where a server is for the tests: host and port, or the path of a socket."""
    parts = urlsplit(url)
    if parts.hostname:
        return parts.hostname, parts.port or 5432
    (folder,) = parse_qs(parts.query)["host"]
    return f"{folder}/.s.PGSQL.5432"


async def seen_from_the_hosts(network, url):
    """*url* of a server as it is on the network."""
    parts = urlsplit(url)
    user, at, _ = parts.netloc.rpartition("@")
    port = await network.door(place_of(url))
    netloc = f"{user}{at}{network.services}:{port}"
    return urlunsplit(parts._replace(netloc=netloc, query=""))


@asynccontextmanager
async def started(network, order, folder):
    """A host, whose files are its own too."""
    own = {name: str(folder) for name in ("XDG_STATE_HOME", "XDG_RUNTIME_DIR")}
    process = await asyncio.create_subprocess_exec(
        *network.command(sys.executable, str(WORKER)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, **own},
    )
    try:
        assert await process.stdout.readline() == b"here\n", await process.stderr.read()
        host = Host(process, network.join(process.pid))
        process.stdin.write(json.dumps(order).encode() + b"\n")
        yield host
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


@pytest.fixture(name="server", params=["postgres", "redis"])
def _server(request, monkeypatch):
    """The URL of a store that hosts can share."""
    monkeypatch.setenv("EVERBEARER_KEYS", Keyring.generate_key())
    return request.getfixturevalue(f"{request.param}_database")


@pytest.fixture(name="window")
def _window():
    """Seconds in which a spent refresh token is answered once more."""
    return 0.0


@pytest_asyncio.fixture(name="pool")
async def _pool(network, server, window, tmp_path):
    described = {"replay_window": window} if window else {}
    async with Sandbox(replay_window=window) as sandbox, AsyncExitStack() as opened:
        port = await network.door(place_of(sandbox.url))
        url = f"http://localhost:{port}"
        provider = evolve(BILLIT.with_hosts(url, url, url), **described)
        registration = Registration(provider, "sandbox-client", "sandbox-secret")
        store = open_store(server)
        await store.open()
        opened.push_async_callback(store.aclose)
        order = {
            "url": url,
            "services": network.services,
            "store": await seen_from_the_hosts(network, server),
            "timing": asdict(TIMING),
            "described": described,
        }
        starting = (
            started(network, {**order, "held": held}, tmp_path / f"host-{number}")
            for number, held in enumerate((SAVING, None, None, None))
        )
        hosts = await asyncio.gather(*map(opened.enter_async_context, starting))
        client = Client(registration, store=server)
        await opened.enter_async_context(client)
        yield Pool(network, sandbox, store, client, hosts)


async def cut_off(pool):
    """Strike the first host in all three moments; what its callers are waiting for."""
    cut = pool.hosts[0]
    callers = [cut.tell("refresh", SAVING)]
    async with asyncio.timeout(30):
        await cut.saving.wait()
    pool.sandbox.script.add(faults.slow(ANSWERS_AFTER, company=ASKING))
    callers.append(cut.tell("refresh", ASKING))
    await pool.rotated(ASKING)
    pool.cut()
    cut.tell("save")
    callers += [cut.tell("attempt", HOLDING), cut.tell("refresh", HOLDING)]
    return callers


async def strike(pool):
    """Cut off two hosts, as above; what each account's calls get on the others.

    There no call for the account fails that is only held, then and later; and on the
    hosts that are cut off no caller waits for ever.
    """
    others = pool.hosts[2:]
    assert await pool.all_call(pool.hosts, HOLDING) == [{HOLDING}]
    keeping = [host.tell("keep", HOLDING) for host in others]
    callers = await cut_off(pool)
    pool.sandbox.script.expire_now(HOLDING)
    said = await pool.all_call(others, ASKING, SAVING, HOLDING)
    failed = await asyncio.gather(*callers)
    assert set(failed) <= {"StoreError", "TemporarilyUnavailable", "TimeoutError"}
    return said, keeping


async def ended(pool, keeping):
    """Let the hosts end; what those complained of that had nothing to save."""
    await pool.told()
    for host in pool.hosts:
        host.tell("end")
    assert [set(await seen) for seen in keeping] == [{HOLDING}, {HOLDING}]
    cut, *others = await asyncio.gather(*(host.end() for host in pool.hosts))
    assert b"could not be stored, only this process has it" in cut
    assert b"Traceback" not in cut
    return b"".join(others)


@pytest.mark.parametrize("window", [pytest.param(WINDOW, id="window")])
async def test_others_take_over_inside_a_window(pool) -> None:
    """They replay what it asked and what it did not save; it comes back and adopts."""
    for account in (ASKING, SAVING, HOLDING):
        await pool.connect(account, alive=account == HOLDING)
    said, keeping = await strike(pool)
    assert said == [{ASKING}, {SAVING}, {HOLDING}]
    won = [await pool.record(name) for name in (ASKING, SAVING, HOLDING)]
    assert [record.version for record in won] == [2, 2, 2]
    pool.mend()
    said = await pool.all_call(pool.hosts, ASKING, SAVING, HOLDING)
    assert said == [{ASKING}, {SAVING}, {HOLDING}]
    assert await ended(pool, keeping) == b""
    after = [await pool.record(name) for name in (ASKING, SAVING, HOLDING)]
    assert [(each.version, each.token) for each in after] == [
        (each.version, each.token) for each in won
    ]
    ledger = pool.sandbox.ledger
    assert (ledger.reuse, ledger.last_resort, ledger.lost_grants) == (0, 0, 0)
    assert (ledger.refreshes, ledger.replays) == (3, 2)


async def test_nothing_is_asked_twice_that_could_be_lost(pool) -> None:
    """Without a window: a living token is used until the host is back, and saves.

    Where it is dead there is nothing left to lose: one attempt, and the user is asked
    for, who is told whose answer was lost.
    """
    for account in (ASKING, SAVING, HOLDING):
        await pool.connect(account, alive=account != ASKING)
    said, keeping = await strike(pool)
    assert said[1:] == [{SAVING}, {HOLDING}]
    (lost,) = said[0]
    assert lost.startswith("rotation_lost")
    assert (await pool.record(SAVING)).version == 1
    pool.mend()
    await pool.stored(SAVING, 2)
    said = await pool.all_call(pool.hosts, ASKING, SAVING, HOLDING)
    assert said == [{lost}, {SAVING}, {HOLDING}]
    complained = f"billit/{ASKING} must be connected again: rotation_lost\n"
    assert await ended(pool, keeping) == complained.encode()
    versions = [(await pool.record(name)).version for name in (ASKING, SAVING, HOLDING)]
    assert versions == [1, 2, 2]
    ledger = pool.sandbox.ledger
    assert (ledger.reuse, ledger.last_resort, ledger.lost_grants) == (0, 1, 1)
    assert (ledger.refreshes, ledger.replays) == (3, 0)
