"""A replica of the store takes over, and has not heard of the newest rotations."""

from __future__ import annotations

import asyncio
import logging
import tempfile
from contextlib import AsyncExitStack, closing

import pytest
from attrs import define
from redis import Redis
from tests._servers import RedisServer

from everbearer import Client, EverbearerError, StoreError, Token
from everbearer._clock import instant
from everbearer.sandbox import Sandbox
from everbearer.stores import Asked, Keyring, NewGrant, Rotation
from everbearer.stores.redis import RedisStore
from everbearer.testing import registration_at
from everbearer.tokens import AccountKey

pytestmark = pytest.mark.asyncio

KEY = AccountKey("billit", "acme")
GRANT = NewGrant("i0", Token("a0", "r0"), "id", "origin")
ACCOUNTS = [f"company-{number}" for number in range(5)]


class Line:
    """The address that clients know: whatever comes is passed on to one server."""

    def __init__(self):
        self._open = set()
        self.server = None

    async def __aenter__(self):
        self._listening = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        port = self._listening.sockets[0].getsockname()[1]
        self.url = f"redis://127.0.0.1:{port}/0"
        return self

    async def __aexit__(self, *_):
        self._listening.close()
        self.switch(None)
        await self._listening.wait_closed()

    def switch(self, server):
        """From now on *server* answers; what is open is cut."""
        self.server = server
        for writer in tuple(self._open):
            writer.transport.abort()

    async def _serve(self, reader, writer):
        if self.server is None:
            writer.transport.abort()
            return
        there = await asyncio.open_connection("127.0.0.1", self.server.port)
        await asyncio.gather(self._pass(reader, there[1]), self._pass(there[0], writer))

    async def _pass(self, reader, writer):
        self._open.add(writer)
        try:
            while data := await reader.read(65536):
                writer.write(data)
        except OSError:
            pass
        finally:
            self._open.discard(writer)
            writer.transport.abort()


@define
class Pair:
    """A primary and its replica, and what an operator does to them."""

    primary: RedisServer
    replica: RedisServer

    def follow(self):
        """Let the replica copy the primary, and wait until it has all."""
        with closing(Redis(port=self.replica.port)) as operator:
            operator.replicaof("127.0.0.1", self.primary.port)
            while operator.info("replication")["master_link_status"] != "up":
                pass

    def detach(self):
        """Let the replica hear no more; as it is, it could take over."""
        with closing(Redis(port=self.replica.port)) as operator:
            operator.replicaof("NO", "ONE")

    def waits(self):
        """How often WAIT was called on the primary."""
        with closing(Redis(port=self.primary.port)) as operator:
            stats = operator.info("commandstats")
        return stats.get("cmdstat_wait", {"calls": 0})["calls"]


@pytest.fixture(name="pair")
def _pair(monkeypatch, tmp_path):
    monkeypatch.setenv("EVERBEARER_KEYS", Keyring.generate_key())
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    with (
        tempfile.TemporaryDirectory() as one,
        tempfile.TemporaryDirectory() as other,
        RedisServer(one) as primary,
        RedisServer(other) as replica,
    ):
        pair = Pair(primary, replica)
        pair.follow()
        yield pair


async def test_what_the_replica_has_not_heard_of_is_put_back(pair) -> None:
    """Two rotations of every account are lost; no spent refresh token is presented."""
    async with Sandbox() as sandbox, Line() as line, AsyncExitStack() as opened:
        line.switch(pair.primary)
        holder, other = [
            await opened.enter_async_context(
                Client(registration_at(sandbox), store=line.url)
            )
            for _ in range(2)
        ]
        for account in ACCOUNTS:
            issued = sandbox.issue(account)
            ends = instant(sandbox.clock() + issued.expires_in)
            token = Token(issued.access_token, issued.refresh_token, ends)
            await holder.adopt("billit", account, token)
        pair.detach()
        for account in ACCOUNTS * 2:
            await holder.session("billit", account).refresh()
        line.switch(None)
        pair.primary.stop()
        with pytest.raises(EverbearerError):
            await other.session("billit", ACCOUNTS[0]).access_token()
        line.switch(pair.replica)
        for account in ACCOUNTS:
            # The first finds that its process has a newer one than the store.
            await holder.session("billit", account).refresh()
            await holder.session("billit", account).refresh()
            assert await other.session("billit", account).access_token() == (
                await holder.session("billit", account).access_token()
            )
        ledger = sandbox.ledger
        assert (ledger.reuse, ledger.last_resort, ledger.lost_grants) == (0, 0, 0)
        assert ledger.refreshes == 3 * len(ACCOUNTS)
        pair.primary.start()


async def test_a_rotation_waits_for_a_replica(pair, caplog) -> None:
    """Where there is one; a lease does not; and one that is gone is only told of."""
    store = RedisStore(pair.primary.url)
    await store.open()
    try:
        await store.put(KEY, GRANT)
        assert pair.waits() == 1
        await store.acquire(KEY, Asked("flight", "holder", 10.0))
        assert pair.waits() == 1
        pair.replica.stop()
        with caplog.at_level(logging.WARNING, "everbearer.stores"):
            await store.replace(KEY, Rotation("i0", 1, Token("a1", "r1"), "flight"))
        assert "no replica" in caplog.text
        assert pair.waits() == 2
        assert (await store.load(KEY)).version == 2
    finally:
        await store.aclose()
        pair.replica.start()


async def test_a_question_for_replicas_that_failed_is_put_again(pair) -> None:
    """The pair that is saved when the server is back is waited for all the same."""
    rotation = Rotation("i0", 1, Token("a1", "r1"), "flight")
    async with Line() as line:
        line.switch(pair.primary)
        store = RedisStore(line.url)
        await store.open()
        try:
            seeding = RedisStore(pair.primary.url)
            await seeding.open()
            await seeding.put(KEY, GRANT)
            await seeding.aclose()
            await store.load(KEY)
            line.switch(None)
            with pytest.raises(StoreError):
                await store.replace(KEY, rotation)
            line.switch(pair.primary)
            before = pair.waits()
            await store.replace(KEY, rotation)
            assert pair.waits() == before + 1
        finally:
            await store.aclose()


async def test_without_a_replica_nothing_is_waited_for(
    restartable_redis, monkeypatch
) -> None:
    """WAIT would last its whole time."""
    monkeypatch.setenv("EVERBEARER_KEYS", Keyring.generate_key())
    store = RedisStore(restartable_redis.url)
    await store.open()
    try:
        await store.put(KEY, GRANT)
        assert Pair(restartable_redis, restartable_redis).waits() == 0
    finally:
        await store.aclose()
