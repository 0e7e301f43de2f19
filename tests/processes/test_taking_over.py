"""The process that holds the lease is killed or stopped; others take its place.

It is struck exactly where it hurts: it stops itself when it has the lease and before it
has a connection, or it is struck while the sandbox, which runs in the test's own event
loop, has rotated the token and has yet to answer.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
import pytest_asyncio
from attrs import asdict, define, evolve

from everbearer import (
    AuthorizationRequired,
    Client,
    Registration,
    TemporarilyUnavailable,
    Timing,
    Token,
)
from everbearer._clock import instant
from everbearer.events import RefreshStarted
from everbearer.providers import BILLIT
from everbearer.sandbox import Sandbox, faults
from everbearer.stores import open_store
from everbearer.tokens import AccountKey

pytestmark = [pytest.mark.asyncio, pytest.mark.timeout(60)]

HOLDER = Path(__file__).with_name("holder.py")
KEY = AccountKey("billit", "company-1")
SURVIVORS = 2
# D + G > X; what a window must be longer than is D + G + X.
TIMING = Timing(
    lease=1.0, deadline=2.0, linger=2.0, grace=0.5, connect=2.0, back_off=0.1
)
WINDOW = 600.0


async def until(condition) -> None:
    """Wait for evidence."""
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.005)


class Holder:
    """The process, from outside."""

    def __init__(self, process):
        self._process = process

    async def stopped(self) -> None:
        """Wait until it has stopped."""
        await asyncio.to_thread(os.waitid, os.P_PID, self._process.pid, os.WSTOPPED)

    async def stop(self) -> None:
        self._process.send_signal(signal.SIGSTOP)
        await self.stopped()

    async def kill(self) -> None:
        self._process.kill()
        await self._process.wait()

    async def go_on(self) -> str:
        """Let it run to its end; what it says."""
        self._process.send_signal(signal.SIGCONT)
        said, complained = await self._process.communicate()
        assert complained == b""
        return json.loads(said)


@define
class Pool:
    """A sandbox, a store, and the survivors: Clients of the test's own process."""

    sandbox: Sandbox
    store_url: str
    store: object
    described: dict[str, object]
    survivors: list[Client]
    started: list[RefreshStarted]

    async def connect(self, *, alive: bool) -> None:
        """Give the account a grant whose access token is alive, or dead."""
        pair = self.sandbox.issue(KEY.account, access_expired=not alive)
        ends = pair.expires_in if alive else -1.0
        expires_at = instant(self.sandbox.clock() + ends)
        token = Token(pair.access_token, pair.refresh_token, expires_at)
        await self.survivors[0].adopt(*KEY, token)

    @asynccontextmanager
    async def holder(self, *, stops: bool):
        """Start the process that is to take the lease."""
        order = {
            "url": self.sandbox.url,
            "store": self.store_url,
            "account": KEY.account,
            "timing": asdict(TIMING),
            "described": self.described,
            "stops": stops,
        }
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            HOLDER,
            json.dumps(order),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        holder = Holder(process)
        try:
            if stops:
                await holder.stopped()
            else:
                # The answer comes after the next look at the ledger, however slow the
                # machine is: both are timers of this loop.
                self.sandbox.script.add(faults.slow(0.2, rotates="before"))
                await until(lambda: self.sandbox.ledger.refreshes)
            yield holder
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()

    async def killed(self, holder) -> None:
        """Kill the holder, and let the sandbox know what the doubt is."""
        await holder.kill()
        self.sandbox.script.killed("the holder")

    async def record(self):
        return await self.store.load(KEY)

    async def lease_over(self) -> None:
        """Wait until the holder's lease has run out."""
        lease = (await self.record()).lease
        while await self.store.now() <= lease.until:
            await asyncio.sleep(0.05)

    async def calls(self) -> list[str]:
        """What every survivor gets in the end who waits when told to."""
        calling = [_patiently(client) for client in self.survivors]
        return await asyncio.gather(*calling)


async def _patiently(client) -> str:
    session = client.session(*KEY)
    async with asyncio.timeout(30):
        while True:
            try:
                async with session.get("/v1/whoami") as response:
                    assert response.status == 200
                    return (await response.json())["company"]
            except TemporarilyUnavailable as wait:
                await asyncio.sleep(max(0.01, wait.retry_after))
            except AuthorizationRequired as error:
                return f"{error.reason}: {error}"


@pytest.fixture(name="window")
def _window():
    """Seconds in which a spent refresh token is answered once more."""
    return 0.0


@pytest_asyncio.fixture(name="pool")
async def _pool(store_url, window):
    described = {"replay_window": window} if window else {}
    started = []

    def hook(event) -> None:
        if isinstance(event, RefreshStarted):
            started.append(event)

    async with (
        Sandbox(replay_window=window) as sandbox,
        AsyncExitStack() as opened,
    ):
        provider = BILLIT.with_hosts(sandbox.url, sandbox.url, sandbox.url)
        provider = evolve(provider, **described)
        registration = Registration(provider, "sandbox-client", "sandbox-secret")
        survivors = [
            await opened.enter_async_context(
                Client(registration, store=store_url, timing=TIMING, hooks=[hook])
            )
            for _ in range(SURVIVORS)
        ]
        store = open_store(store_url)
        await store.open()
        opened.push_async_callback(store.aclose)
        yield Pool(sandbox, store_url, store, described, survivors, started)


async def test_a_living_token_is_used_and_a_dead_one_asked_for_once(pool) -> None:
    """Killed while the provider is asked: nothing is lost before the token is dead.

    Then there is nothing left to lose: one survivor presents the recorded refresh
    token, and everybody is told whose answer was lost.
    """
    await pool.connect(alive=True)
    async with pool.holder(stops=False) as holder:
        await pool.killed(holder)
    intent = (await pool.record()).live_intent
    await pool.lease_over()
    assert await pool.calls() == [KEY.account] * SURVIVORS
    for client in pool.survivors:
        with pytest.raises(TemporarilyUnavailable, match="lives on"):
            await client.session(*KEY).refresh()
    assert pool.started == []
    pool.sandbox.script.expire_now(KEY.account)
    outcomes = await pool.calls()
    for outcome in outcomes:
        assert outcome.startswith("rotation_lost")
        assert intent.holder in outcome
    assert [event.attempt for event in pool.started] == ["last_resort"]
    ledger = pool.sandbox.ledger
    assert (ledger.reuse, ledger.last_resort, ledger.lost_grants) == (0, 1, 1)
    assert len(ledger.token_requests) == 2


async def test_killed_before_the_request_went_out(pool) -> None:
    """Nobody can know that it did not: one survivor asks, once, when it is time."""
    await pool.connect(alive=False)
    async with pool.holder(stops=True) as holder:
        await pool.killed(holder)
    intent = (await pool.record()).live_intent
    assert await pool.calls() == [KEY.account] * SURVIVORS
    assert [event.attempt for event in pool.started] == ["last_resort"]
    record = await pool.record()
    # A bound from below, which no slow machine can break.
    assert record.minted_at >= intent.last_sent_at + TIMING.linger
    assert record.version == 2
    ledger = pool.sandbox.ledger
    assert (ledger.reuse, ledger.last_resort, ledger.lost_grants) == (0, 0, 0)
    assert (ledger.refreshes, len(ledger.token_requests)) == (1, 1)


@pytest.mark.parametrize("window", [pytest.param(WINDOW, id="window")])
async def test_killed_during_the_request_inside_a_window(pool) -> None:
    """The recorded refresh token gets once more what the dead process was given."""
    await pool.connect(alive=False)
    async with pool.holder(stops=False) as holder:
        await pool.killed(holder)
    intent = (await pool.record()).live_intent
    assert await pool.calls() == [KEY.account] * SURVIVORS
    assert [event.attempt for event in pool.started] == ["replay"]
    assert (await pool.record()).minted_at >= intent.last_sent_at + TIMING.linger
    ledger = pool.sandbox.ledger
    assert (ledger.reuse, ledger.last_resort, ledger.lost_grants) == (0, 0, 0)
    assert (ledger.refreshes, ledger.replays) == (1, 1)


async def test_killed_during_the_request_without_a_window(pool) -> None:
    """One attempt with the recorded refresh token; then the user is asked for."""
    await pool.connect(alive=False)
    async with pool.holder(stops=False) as holder:
        await pool.killed(holder)
    record = await pool.record()
    outcomes = await pool.calls()
    for outcome in outcomes:
        assert outcome.startswith("rotation_lost")
        assert record.live_intent.holder in outcome
    assert [event.attempt for event in pool.started] == ["last_resort"]
    # Marked, not deleted: what was stored is still there.
    after = await pool.record()
    assert (after.version, after.refresh_fingerprint) == (1, record.refresh_fingerprint)
    ledger = pool.sandbox.ledger
    assert (ledger.reuse, ledger.last_resort) == (0, 1)
    assert len(ledger.token_requests) == 2


async def test_stopped_before_the_request_went_out(pool) -> None:
    """On again after its lease, it sends nothing and uses what the winner stored."""
    await pool.connect(alive=False)
    async with pool.holder(stops=True) as holder:
        assert await pool.calls() == [KEY.account] * SURVIVORS
        won = await pool.record()
        said = await holder.go_on()
    assert said == KEY.account
    assert (await pool.record()).version == won.version == 2
    ledger = pool.sandbox.ledger
    assert (ledger.reuse, ledger.last_resort, ledger.lost_grants) == (0, 0, 0)
    assert (ledger.refreshes, len(ledger.token_requests)) == (1, 1)


@pytest.mark.parametrize("window", [pytest.param(WINDOW, id="window")])
async def test_stopped_with_the_answer_on_its_way(pool) -> None:
    """A survivor has replayed when it reads its own: the record is not overwritten."""
    await pool.connect(alive=False)
    async with pool.holder(stops=False) as holder:
        await holder.stop()
        assert await pool.calls() == [KEY.account] * SURVIVORS
        won = await pool.record()
        said = await holder.go_on()
    assert said == KEY.account
    after = await pool.record()
    assert (after.version, after.token) == (won.version, won.token)
    ledger = pool.sandbox.ledger
    assert (ledger.reuse, ledger.last_resort, ledger.lost_grants) == (0, 0, 0)
    assert (ledger.refreshes, ledger.replays) == (1, 1)


async def test_stopped_while_the_user_connects_anew(pool) -> None:
    """An authorization that was stored meanwhile stays, whatever it has in hand."""
    await pool.connect(alive=False)
    async with pool.holder(stops=False) as holder:
        await holder.stop()
        await pool.lease_over()
        await pool.connect(alive=True)
        won = await pool.record()
        said = await holder.go_on()
    assert said == KEY.account
    after = await pool.record()
    assert (after.incarnation, after.token) == (won.incarnation, won.token)
    assert await pool.calls() == [KEY.account] * SURVIVORS
    assert (pool.sandbox.ledger.reuse, pool.sandbox.ledger.last_resort) == (0, 0)
