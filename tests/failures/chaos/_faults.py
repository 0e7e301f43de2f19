"""The schedule's faults, done to the workers, the store and the providers."""

from __future__ import annotations

import asyncio
import math
import time
from contextlib import suppress

from attrs import define, field
from tests.failures.chaos._accounts import Accounts
from tests.failures.chaos._backing import Backing
from tests.failures.chaos._evidence import Evidence
from tests.failures.chaos._judge import Touch
from tests.failures.chaos._proxy import Exchange, Proxy
from tests.failures.chaos._schedule import Planned
from tests.failures.chaos._workers import Worker

from everbearer import StoreError
from everbearer._redact import fingerprint
from everbearer.sandbox import Sandbox, faults
from everbearer.stores import TokenStore
from everbearer.tokens import AccountKey, TokenRecord

__all__ = ["Faults"]

_LOOK = 0.05
_PATIENCE = 20
_EARLY = 0.2
_BETWEEN_EXPIRIES = 15.0


@define(eq=False)
class Faults:
    """Does what is planned, and writes down whom it touched.

    Attributes:
        store: This process's own.

        backing: What all stores of the run are in front of.

        dying: Workers that are between two lives, for as long as the store is down.

        expired: When each account's access token was last expired before its time.
    """

    slots: list[Worker]
    accounts: Accounts
    sandboxes: dict[str, Sandbox]
    proxies: dict[str, Proxy]
    store: TokenStore
    backing: Backing
    evidence: Evidence
    dying: set[int] = field(factory=set)
    expired: dict[str, float] = field(factory=dict)

    async def do(self, fault: Planned) -> None:
        """One fault, until it has passed."""
        provider, account = self.accounts.keys[fault.target]
        match fault.kind:
            case "kill":
                await self._kill(self.slots[fault.target])
            case "stop":
                await self._stop(self.slots[fault.target], fault.seconds)
            case "revoke":
                self.evidence.faults["revoke"] += 1
                self.accounts.revoke(provider, account)
            case "expire":
                await self._expire(provider, account)
            case "unreachable" | "busy-503":
                await self._spell(fault, self._endpoint_trouble(fault))
            case kind if kind.startswith("store-"):
                await self._spell(fault, self._store_trouble(fault))
            case _:
                planned = fault.kind, fault.seconds
                self.proxies[provider].armed[account].append(planned)

    # ---- of everything

    async def _spell(self, fault: Planned, trouble) -> None:
        begin = time.monotonic()
        await trouble
        self.evidence.faults[fault.kind] += 1
        self.evidence.touch(Touch(fault.kind, begin, time.monotonic()))

    async def _endpoint_trouble(self, fault: Planned) -> None:
        if fault.kind == "unreachable":
            for proxy in self.proxies.values():
                proxy.unreachable = True
            await asyncio.sleep(fault.seconds)
            for proxy in self.proxies.values():
                proxy.unreachable = False
            return
        scripts = [each.script for each in self.sandboxes.values()]
        spells = [(each, each.add(faults.spell(503))) for each in scripts]
        await asyncio.sleep(fault.seconds)
        for script, spell in spells:
            script.remove(spell)

    async def _store_trouble(self, fault: Planned) -> None:
        self.evidence.store_troubled = math.inf
        trouble = fault.kind.removeprefix("store-")
        await self.backing.trouble(trouble, fault.seconds)
        self.evidence.store_troubled = time.monotonic()

    async def _expire(self, provider: str, account: str) -> None:
        """Let its access token be expired before its time, once that was accepted.

        Two in a row, when no process or not every process has seen one accepted, are
        no expiry but a broken API, whose answer the caller gets (rule 20).
        """
        if time.monotonic() < self.expired.get(account, 0.0) + _BETWEEN_EXPIRIES:
            return
        sandbox, proxy = self.sandboxes[provider], self.proxies[provider]
        for _ in range(_PATIENCE):
            accepted = sandbox.grants.current(account).access.seen
            if accepted and all(each.company != account for each in proxy.open):
                self.evidence.faults["expire"] += 1
                sandbox.script.expire_now(account)
                self.expired[account] = time.monotonic()
                return
            await asyncio.sleep(_LOOK)

    # ---- killed

    async def _kill(self, worker: Worker) -> None:
        """With -9; a pair that it had and had not saved is lost with it."""
        if worker.slot in self.dying:
            return
        self.dying.add(worker.slot)
        began, pid = time.monotonic(), worker.pid
        for exchange in self._open_of(worker.slot):
            exchange.why_gone = "kill"
        await worker.kill()
        for proxy in self.proxies.values():
            proxy.killed[worker.slot] = time.monotonic()
        self.evidence.died(worker.slot)
        self.evidence.faults["kill"] += 1
        unsaved = self.evidence.unsaved.pop(worker.slot, set())
        spilled = self.evidence.spilled.pop(worker.slot, set())
        for record in await self._records():
            account = record.key.account
            exchange = self._not_stored(worker.slot, record)
            lost = exchange is not None and account not in spilled
            if lost and exchange.answered_at is not None:
                self._excuse(exchange, "kill", unsaved=account in unsaved)
            self._excuse_outlived(worker.slot, record, "kill")
            if exchange is not None or _holds(record, pid):
                self.evidence.note(account, f"worker {worker.slot}: killed")
                self.evidence.touch(Touch("kill", began, time.monotonic(), account))
        await worker.start()
        self.dying.discard(worker.slot)

    # ---- stopped

    async def _stop(self, worker: Worker, seconds: float) -> None:
        """With SIGSTOP; what it holds meanwhile is taken over when its lease ends."""
        process = worker.process
        if worker.stopped or process is None or process.returncode is not None:
            return
        begin = time.monotonic()
        worker.pause()
        self.evidence.stopped[worker.slot] = True
        self.evidence.faults["stop"] += 1
        for exchange in self._open_of(worker.slot):
            exchange.why_gone = "stop"
        await asyncio.sleep(_LOOK)
        held = [
            record
            for record in await self._records()
            if _holds(record, process.pid)
            or self._not_stored(worker.slot, record) is not None
        ]
        locked = asyncio.create_task(self.backing.is_locked(0.2))
        doubting = [
            asyncio.create_task(self._doubt_stopped(worker.slot, record))
            for record in held
        ]
        try:
            await asyncio.sleep(begin + seconds - time.monotonic())
        finally:
            for task in doubting:
                task.cancel()
            if process is worker.process:
                worker.resume()
            self.evidence.stopped[worker.slot] = False
        await asyncio.gather(*doubting, return_exceptions=True)
        end = time.monotonic()
        self.evidence.touch(Touch("stop", begin, end, slot=worker.slot))
        for record in held:
            self.evidence.touch(Touch("stop", begin, end, record.key.account))
        if await locked:
            self.evidence.touch(Touch("store-locked", begin, end))

    async def _doubt_stopped(self, slot: int, record: TokenRecord) -> None:
        """From when on the holder of a new pair is stopped for too long.

        That is lease and grace: who presents the token before has not waited for
        the grace.  A little less, because a process that goes on saves a little later.
        """
        now, lease = time.time(), record.lease
        held = f"{lease.holder} for {lease.until - now:.2f} s" if lease else "nobody"
        self.evidence.note(
            record.key.account, f"worker {slot}: stopped; lease of {held}"
        )
        until = max(now, lease.until if lease else now) - _EARLY
        await asyncio.sleep(until - time.time())
        # A sibling that was stored over its head is spent as soon as the lease is over.
        while (left := until + self.evidence.bounds.grace - time.time()) > 0:
            latest = await self._load_soon(record)
            self._excuse_outlived(slot, latest, "stop")
            await asyncio.sleep(min(_LOOK, left))
        for exchange in self._open_of(slot, record.key.account):
            exchange.doubt("stop")
        latest = await self._load_soon(record)
        exchange = self._not_stored(slot, latest)
        self._excuse_outlived(slot, latest, "stop")
        account = record.key.account
        if exchange is not None and account not in self.evidence.spilled[slot]:
            unsaved = account in self.evidence.unsaved[slot]
            self._excuse(exchange, "stop", unsaved=unsaved)

    def _excuse(self, exchange: Exchange, why: str, *, unsaved: bool) -> None:
        """Its pair is out of everybody's reach; an unsaved one may have been used."""
        if unsaved:
            why = f"{why} before the spill"
            for proxy in self.proxies.values():
                proxy.excused[exchange.token.value] = why
        exchange.doubt(why)

    def _excuse_outlived(self, slot: int, record: TokenRecord, why: str) -> None:
        """The stored child of a refresh token was ended by another, which *slot* has.

        Which was not stored, or not compared with it yet, and is out of reach now.
        """
        account = record.key.account
        proxy = self.proxies[record.key.provider]
        last = proxy.last.get((slot, account))
        if (
            last is not None
            and last.answered_at > self.evidence.settled.get((slot, account), 0.0)
            and last.token.successor is not None
            and last.token.successor.refresh_token != record.token.refresh_token
            and record.parent == fingerprint(last.token.value)
        ):
            proxy.excused[record.token.refresh_token] = f"{why} before the spill"

    # ---- what is known of a moment

    async def _records(self) -> list[TokenRecord]:
        loaded = [await self._load(AccountKey(*key)) for key in self.accounts.keys]
        return [record for record in loaded if record is not None]

    async def _load_soon(self, record: TokenRecord) -> TokenRecord:
        """As it is now, or was: while the store is in trouble nobody changes it."""
        with suppress(StoreError, TimeoutError):
            async with asyncio.timeout(_EARLY / 2):
                return await self.store.load(record.key) or record
        return record

    async def _load(self, key: AccountKey) -> TokenRecord | None:
        while True:
            with suppress(StoreError):
                return await self.store.load(key)
            await asyncio.sleep(_LOOK)

    def _open_of(self, slot: int, account: str | None = None) -> list[Exchange]:
        return [
            exchange
            for proxy in self.proxies.values()
            for exchange in proxy.open
            if exchange.slot == slot and account in {None, exchange.company}
        ]

    def _not_stored(self, slot: int, record: TokenRecord) -> Exchange | None:
        """The exchange of *slot* whose refresh token is still the stored one."""
        account = record.key.account
        last = self.proxies[record.key.provider].last.get((slot, account))
        for exchange in (*self._open_of(slot, account), *((last,) if last else ())):
            if exchange.token.value == record.token.refresh_token:
                return exchange
        return None


def _holds(record: TokenRecord, pid: int) -> bool:
    return record.lease is not None and f":{pid}:" in record.lease.holder
