"""The server that the store is on is restarted while refreshes are under way."""

from __future__ import annotations

import asyncio
import functools
from collections import Counter
from collections.abc import Callable
from contextlib import AsyncExitStack

import pytest
from attrs import frozen

from everbearer import Client, StoreError, TemporarilyUnavailable, Timing, Token
from everbearer._clock import instant
from everbearer.sandbox import Sandbox
from everbearer.stores import Keyring
from everbearer.testing import registration_at

pytestmark = [pytest.mark.asyncio, pytest.mark.timeout(180)]

ACCOUNTS = [f"company-{number}" for number in range(30)]
REFRESHES = 200
RESTARTS = 3
LIFETIME = 2.0
# Whoever has an answer that the store has not taken has G to try again when it is back.
TIMING = Timing(
    lease=2.0, deadline=10.0, linger=10.0, grace=3.0, connect=10.0, back_off=0.1
)


@pytest.fixture(name="server", params=["postgres-fast", "postgres-immediate", "redis"])
def _server(request, monkeypatch, tmp_path):
    """Where the store is, how the server is stopped, and how it is started again."""
    monkeypatch.setenv("EVERBEARER_KEYS", Keyring.generate_key())
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    if request.param == "redis":
        redis = request.getfixturevalue("restartable_redis")
        return Server(redis.url, redis.stop, redis.start)
    postgres = request.getfixturevalue("restartable_postgres")
    mode = request.param.removeprefix("postgres-")
    stop = functools.partial(postgres.stop, mode)
    return Server(postgres.new_database(), stop, postgres.start)


@frozen
class Server:
    """A server that writes each change down before it acknowledges it."""

    url: str
    stop: Callable[[], None]
    start: Callable[[], None]


class Pool:
    """Two Clients on one store, and what their callers saw."""

    def __init__(self, sandbox, server, clients):
        self.sandbox, self._server, self._clients = sandbox, server, clients
        self.seen, self.wrong = Counter(), []
        self.down, self._outages, self._struck = False, 0, set()

    async def call(self, client, account):
        """One call.  It may fail if the store was down meanwhile and the token dead.

        Meanwhile is while it, or the refresh that it found under way, lasted; and
        until a pair that could not be stored is stored, which is tried in turns.
        """
        session = client.session("billit", account)
        flight, outages = session._account._flight, self._outages
        was_down = self.down or flight in self._struck
        was_down = was_down or session._account.unsaved is not None
        try:
            async with session.get("/v1/whoami") as response:
                right = response.status == 200
                right = right and (await response.json())["company"] == account
                self.seen["ok"] += right
                if not right:
                    self.wrong.append(f"{account}: status {response.status}")
        except (StoreError, TemporarilyUnavailable) as error:
            self.seen[type(error).__name__] += 1
            was_down = was_down or self._outages > outages
            if not was_down or session._account.current() is not None:
                self.wrong.append(f"{account}: {error}")

    async def keep_calling(self, client, account, ended):
        while not ended.is_set():
            await self.call(client, account)
            await asyncio.sleep(0.1)

    async def restart(self):
        """Stop the server when token requests are under way, and start it again."""
        asked = self.sandbox.ledger.refreshes
        while self.sandbox.ledger.refreshes < asked + len(ACCOUNTS) // 3:
            await asyncio.sleep(0.002)
        self.down = True
        self._outages += 1
        await asyncio.to_thread(self._server.stop)
        await asyncio.sleep(0.2)  # Answers come that cannot be stored.
        await asyncio.to_thread(self._server.start)
        self.down = False
        accounts = (
            client.session("billit", account)._account
            for client in self._clients
            for account in ACCOUNTS
        )
        self._struck = {account._flight for account in accounts} - {None}


async def test_no_grant_is_lost(server, caplog) -> None:
    """Over 200 refreshes and three restarts; calls fail only when nothing can be done.

    That is while the store is down and the access token dead.
    """
    async with (
        Sandbox(access_lifetime=LIFETIME, token_delay=0.1) as sandbox,
        AsyncExitStack() as opened,
    ):
        clients = [
            await opened.enter_async_context(
                Client(registration_at(sandbox), store=server.url, timing=TIMING)
            )
            for _ in range(2)
        ]
        for account in ACCOUNTS:
            pair = sandbox.issue(account)
            ends = instant(sandbox.clock() + pair.expires_in)
            token = Token(pair.access_token, pair.refresh_token, ends)
            await clients[0].adopt("billit", account, token)
        pool, ended = Pool(sandbox, server, clients), asyncio.Event()
        async with asyncio.TaskGroup() as group:
            for client in clients:
                for account in ACCOUNTS:
                    group.create_task(pool.keep_calling(client, account, ended))
            for _ in range(RESTARTS):
                await pool.restart()
            while sandbox.ledger.refreshes < REFRESHES:
                await asyncio.sleep(0.01)
            ended.set()
        for client in clients:
            for account in ACCOUNTS:
                await pool.call(client, account)
        assert pool.wrong == []
        assert pool.seen["ok"] > REFRESHES
        ledger = sandbox.ledger
        assert (ledger.reuse, ledger.last_resort, ledger.lost_grants) == (0, 0, 0)
        assert "unexpectedly" not in caplog.text
