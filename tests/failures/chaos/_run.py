"""One run: workers, proxies and sandboxes, and the schedule played against them."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections import Counter
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from attrs import define, field
from tests.failures.chaos._accounts import Accounts, hosts, registrations
from tests.failures.chaos._backing import Backing, backed
from tests.failures.chaos._evidence import Evidence
from tests.failures.chaos._families import FRAGILE, USUAL, played
from tests.failures.chaos._faults import Faults
from tests.failures.chaos._judge import EXCUSES, Bounds, Case, Resort
from tests.failures.chaos._memory import megabytes
from tests.failures.chaos._proxy import Proxy
from tests.failures.chaos._schedule import LONGEST_SPELL, Planned, schedule
from tests.failures.chaos._workers import Worker

from everbearer import Client
from everbearer.sandbox import Sandbox
from everbearer.stores import open_store

__all__ = ["BOUNDS", "QUIET", "Run"]

TIMING = {
    "lease": 1.0,
    "deadline": 1.6,
    "linger": 2.0,
    "grace": 0.5,
    "connect": 1.0,
    "back_off": 0.2,
}
ACCESS_LIFETIME = 2.0
TOKEN_DELAY = 0.2
BOUNDS = Bounds(
    lease=TIMING["lease"],
    deadline=TIMING["deadline"],
    grace=TIMING["grace"],
    back_off=TIMING["back_off"],
    spell=LONGEST_SPELL,
    busy=5.0,
    slack=1.0,
)
# Seconds at the end without faults, in which everything must heal.
QUIET = BOUNDS.healing + 5.0
_LOOK = 0.05


@define(eq=False)
class Run:
    """A run of *seconds*, by *seed*.

    Attributes:
        store: What the workers share: see `backed`.

        accounts_each: Accounts of each provider.

        pause: Of each caller between its calls, on average, in seconds.

        broken: Names a guard that the workers leave out.

        hurry: Do not wait for what may still come, once everybody has an answer.
    """

    seed: int
    seconds: float
    store: str = "sqlite"
    workers: int = 4
    families: tuple[str, ...] = USUAL
    accounts_each: int = 5
    pause: float = 0.5
    broken: str = ""
    hurry: bool = False
    evidence: Evidence = field(factory=lambda: Evidence(BOUNDS))
    sandboxes: dict[str, Sandbox] = field(factory=dict)
    peak_mb: float = 0.0
    _proxies: dict[str, Proxy] = field(factory=dict)
    _slots: list[Worker] = field(factory=list)
    _began: float = 0.0
    _ended: float = 0.0

    async def run(self) -> Case:
        """Play it; whatever happens, no process is left behind."""
        with tempfile.TemporaryDirectory("-chaos", "everbearer-", _memory()) as name:
            async with AsyncExitStack() as stack:
                faults = await self._prepare(stack, Path(name))
                try:
                    await self._play(faults)
                finally:
                    for worker in self._slots:
                        await worker.kill()
            self.peak_mb = megabytes()
            return self._case(faults.accounts)

    # ---- the stage

    async def _prepare(self, stack: AsyncExitStack, folder: Path) -> Faults:
        for name in self.families:
            sandbox = await stack.enter_async_context(
                played(
                    name,
                    access_lifetime=ACCESS_LIFETIME,
                    token_delay=TOKEN_DELAY,
                    opaque_tokens=True,
                )
            )
            self.sandboxes[name] = sandbox
            seen = self.evidence
            proxy = Proxy(sandbox, seen.note, seen.felt, seen.reused)
            await proxy.start(self.workers)
            stack.push_async_callback(proxy.aclose)
            self._proxies[name] = proxy
        backing = await stack.enter_async_context(backed(self.store, folder))
        store = open_store(backing.url)
        client = await stack.enter_async_context(
            Client(*registrations(self.sandboxes), store=store, spill=False)
        )
        keys = [
            (name, f"{name}-{number}")
            for number in range(self.accounts_each)
            for name in self.families
        ]
        accounts = Accounts(client, self.sandboxes, keys)
        for key in keys:
            await accounts.connect(*key)
        self._slots = [
            Worker(slot, self._order(slot, keys, backing), folder, self.evidence.heard)
            for slot in range(self.workers)
        ]
        return Faults(
            self._slots,
            accounts,
            self.sandboxes,
            self._proxies,
            store,
            backing,
            self.evidence,
        )

    def _order(
        self, slot: int, keys: list[tuple[str, str]], backing: Backing
    ) -> dict[str, Any]:
        ports = {
            sandbox.url.rpartition(":")[2]: self._proxies[name].ports[slot]
            for name, sandbox in self.sandboxes.items()
        }
        return {
            "seed": self.seed,
            "providers": [hosts(*each) for each in self.sandboxes.items()],
            "ports": ports,
            "accounts": keys,
            "store": backing.url,
            "folder": str(backing.folder),
            "timing": TIMING,
            "pause": self.pause,
            "broken": self.broken,
        }

    # ---- the play

    async def _play(self, faults: Faults) -> None:
        planned = schedule(
            self.seed,
            self.seconds - QUIET,
            workers=self.workers,
            accounts=len(faults.accounts.keys),
            kinds=faults.backing.kinds,
        )
        for worker in self._slots:
            await worker.start()
        self._began = self.evidence.began = time.monotonic()
        async with asyncio.TaskGroup() as group:
            helpers = [
                group.create_task(faults.accounts.look_after()),
                group.create_task(self._watch_itself()),
            ]
            await self._all_of(planned, faults, group)
            for proxy in self._proxies.values():
                proxy.armed.clear()
            await self._quiet(faults.accounts)
            faults.accounts.look()
            self._ended = time.monotonic()
            for helper in helpers:
                helper.cancel()
        for worker in self._slots:
            worker.look()
        await asyncio.gather(*(worker.finish() for worker in self._slots))
        faults.accounts.look()  # A last resort may have ended one meanwhile.

    async def _quiet(self, accounts: Accounts) -> None:
        """Until the end; in a hurry, until every worker has an answer for everybody."""
        self._ended = since = time.monotonic()
        until = self._began + self.seconds
        while time.monotonic() < until:
            self._ended = time.monotonic()
            await asyncio.sleep(_LOOK)
            last = self.evidence.answered_last
            if self.hurry and all(
                last.get((slot, account), 0.0) > since
                for slot in range(self.workers)
                for account in accounts.living
            ):
                return

    async def _all_of(
        self, planned: tuple[Planned, ...], faults: Faults, group: asyncio.TaskGroup
    ) -> None:
        for fault in planned:
            await asyncio.sleep(self._began + fault.at - time.monotonic())
            group.create_task(faults.do(fault))

    async def _watch_itself(self) -> None:
        """The sandboxes and proxies run in this process: its stalls are everybody's."""
        while True:
            before = time.monotonic()
            await asyncio.sleep(_LOOK)
            self.evidence.stalled(before + _LOOK, time.monotonic())

    # ---- the evidence

    def _case(self, accounts: Accounts) -> Case:
        seen = self.evidence
        ledgers = [sandbox.ledger for sandbox in self.sandboxes.values()]
        lost = [each for ledger in ledgers for each in ledger.lost]
        return Case(
            bounds=BOUNDS,
            reuse=sum(ledger.reuse for ledger in ledgers),
            reuses=seen.told(),
            lost=tuple(each.company for each in lost),
            resorts=self._resorts(),
            failures=tuple(seen.failures),
            slow=tuple(seen.slow),
            touches=tuple(seen.touches),
            ended=accounts.ended,
            living=accounts.living,
            answered_last=seen.answered_last,
            slots=self.workers,
            fragile=frozenset(a for p, a in accounts.keys if p in FRAGILE),
            began=self._began,
            ended_at=self._ended,
            crashes=tuple(told for each in self._slots for told in each.complaints()),
        )

    def _resorts(self) -> tuple[Resort, ...]:
        """Each last resort; as many of a company were fatal as the ledger says."""
        ledgers = [sandbox.ledger for sandbox in self.sandboxes.values()]
        fatal = Counter(
            each.company
            for ledger in ledgers
            for each in ledger.lost
            if each.cause == "last_resort"
        )
        resorts = []
        for each in (each for ledger in ledgers for each in ledger.last_resorts):
            ended = not each.honoured and fatal[each.company] > 0
            fatal[each.company] -= ended
            due = each.cause in EXCUSES
            resorts.append(Resort(each.company, each.cause, due=due, fatal=ended))
        return tuple(resorts)


def _memory() -> str | None:
    """A folder in memory where there is one: the disk is not what is tried."""
    return "/dev/shm" if Path("/dev/shm").is_dir() else None
