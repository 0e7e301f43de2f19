"""What a call costs while the token is fresh: throughput and CPU, side by side.

All contestants run in every round, in an order of its own, so that whatever slows the
machine down slows everybody down; each ratio is taken within a round.  Bare aiohttp
runs twice: its ratio to itself is how far the figures can be trusted.  The server has a
process of its own, so that CPU time is the client's.  Where the client had much less
than a whole core, others were running, and the CPU column says more than the calls/s.

The rounds are spread over several client processes, one after the other: what Python
hashes where, drawn anew in each, moves a ratio by about a hundredth for as long
as a process lives.

Everbearer runs twice too, each time beside bare aiohttp with the very same headers as
session defaults: one account and one session; and 1,000 accounts in turn, beside a bare
session for each, because whoever has that many tokens pays for touching them.
"""

from __future__ import annotations

import asyncio
import gc
import random
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import TYPE_CHECKING, Any

import aiohttp
import contestants as who
from api_server import running
from attrs import asdict, define, field, frozen
from figures import Section, Spread, Target
from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

__all__ = ["measure"]

CONCURRENCY = 16
LEAST_OF_BARE = 0.97
LEAST_OF_AUTHLIB = 5.0


@frozen
class Slice:
    """Seconds of the clock and of this process's CPU, for each call."""

    wall: float
    cpu: float


class _Server:
    """What the measuring side asks of the server, beside the calls."""

    def __init__(self, base: str, http: aiohttp.ClientSession) -> None:
        self.base = base
        self._http = http

    async def issue(self, accounts: Iterable[str]) -> dict[str, who.Pair]:
        url = f"{self.base}/_bench/issue"
        async with self._http.post(url, json=list(accounts)) as response:
            pairs: dict[str, who.Pair] = await response.json()
            return pairs

    async def expire(self, accounts: Iterable[str]) -> None:
        url = f"{self.base}/_bench/expire"
        (await self._http.post(url, json=list(accounts))).release()

    async def figures(self) -> dict[str, Any]:
        async with self._http.get(f"{self.base}/_bench/figures") as response:
            figures: dict[str, Any] = await response.json()
            return figures


@define
class _Run:
    """What each round gave, and what went wrong."""

    slices: dict[str, list[Slice]]
    wrong: list[str] = field(factory=list)
    made: int = 0
    took: float = 0.0
    cpu: float = 0.0

    @classmethod
    def of(cls, parts: Sequence[_Run]) -> _Run:
        """All rounds of *parts*, as if they were one."""
        names = parts[0].slices
        return cls(
            {
                name: [each for part in parts for each in part.slices[name]]
                for name in names
            },
            [what for part in parts for what in part.wrong],
            sum(part.made for part in parts),
            sum(part.took for part in parts),
            sum(part.cpu for part in parts),
        )

    async def slice(self, contestant: who.Contestant, calls: int) -> Slice:
        """Make *calls* calls, `CONCURRENCY` at a time, and check every answer."""
        numbers = iter(range(self.made, self.made + calls))
        self.made += calls
        wall, cpu = time.perf_counter(), time.process_time()
        await asyncio.gather(
            *(self._caller(contestant, numbers) for _ in range(CONCURRENCY))
        )
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        return Slice(wall / calls, cpu / calls)

    async def _caller(self, contestant: who.Contestant, numbers: Iterator[int]) -> None:
        accounts, call = contestant.accounts, contestant.call
        count = len(accounts)
        for number in numbers:
            try:
                seen = await call(number)
            except (aiohttp.ClientError, KeyError, ValueError) as error:
                self.wrong.append(f"{contestant.name}: {type(error).__name__}: {error}")
                continue
            if seen != accounts[number % count]:
                self.wrong.append(
                    f"{contestant.name}: call {number} carried the token of {seen}"
                )

    async def round(self, contestants: list[who.Contestant], calls: int) -> None:
        """A slice of everybody.

        In an order of its own: who comes after the same one every time inherits its
        caches and its garbage every time.
        """
        for each in random.sample(contestants, len(contestants)):
            self.slices[each.name].append(await self.slice(each, calls))

    def ratio(self, name: str, other: str, of: str) -> Spread:
        """How many times *other*'s seconds *name* took, round by round."""
        pairs = zip(self.slices[name], self.slices[other], strict=True)
        return Spread.of([getattr(a, of) / getattr(b, of) for a, b in pairs])


async def _rotate(run: _Run, ours: who.Contestant, server: _Server) -> None:
    """End every account's token at the server, then call each account twice.

    Not part of any ratio: it is here for what it proves, that each account is refreshed
    once and that each call after it carries the account's new token.
    """
    before = await server.figures()
    await server.expire(ours.accounts)
    await run.slice(ours, 2 * len(ours.accounts))
    refreshes = (await server.figures())["refreshes"] - before["refreshes"]
    if refreshes != len(ours.accounts):
        run.wrong.append(f"{refreshes} refreshes for {len(ours.accounts)} accounts")


async def _rounds(base: str, *, rounds: int, calls: int, accounts: int) -> _Run:
    """*rounds* rounds of *calls* calls each, in this process."""
    async with (
        aiohttp.ClientSession() as http,
        who.everybody(
            base, (server := _Server(base, http)).issue, accounts
        ) as contestants,
    ):
        run = _Run({each.name: [] for each in contestants})
        for contestant in contestants:
            await run.slice(contestant, max(calls, len(contestant.accounts)))
        gc.collect()
        gc.freeze()  # What was set up is nobody's garbage.
        began = time.perf_counter(), time.process_time()
        for number in range(rounds):
            if number == rounds // 2:
                ours = next(each for each in contestants if each.name == who.OURS_EACH)
                await _rotate(run, ours, server)
            await run.round(contestants, calls)
        run.took = time.perf_counter() - began[0]
        run.cpu = time.process_time() - began[1]
        gc.unfreeze()
    return run


def _process(base: str, sizes: dict[str, int]) -> _Run:
    return asyncio.run(_rounds(base, **sizes))


async def measure(
    *, rounds: int, calls: int, accounts: int, processes: int = 1
) -> Section:
    """Compare everybody in *rounds* rounds of *calls* calls each.

    Args:
        processes: How many the rounds are spread over, one after the other; one is
            this process.
    """
    sizes = {"rounds": -(-rounds // processes), "calls": calls, "accounts": accounts}
    with running() as base:
        async with aiohttp.ClientSession() as http:
            server = _Server(base, http)
            if processes == 1:
                run = await _rounds(base, **sizes)
            else:
                with ProcessPoolExecutor(
                    1, get_context("spawn"), max_tasks_per_child=1
                ) as pool:
                    jobs = [
                        pool.submit(_process, base, sizes) for _ in range(processes)
                    ]
                    run = _Run.of([await asyncio.wrap_future(job) for job in jobs])
            ledger = await server.figures()
    ledger["server_busy"] = ledger.pop("cpu") / run.took
    ledger["client_busy"] = run.cpu / run.took
    return _section(run, accounts, ledger)


def _section(run: _Run, accounts: int, ledger: dict[str, Any]) -> Section:
    table = Table(title=f"fast path, {CONCURRENCY} concurrent calls (quartiles)")
    table.add_column("contestant")
    for title in ("calls/s", "CPU us", "throughput of bare", "CPU of bare"):
        table.add_column(title, justify="right")
    rows = {}
    for name, slices in run.slices.items():
        speed = Spread.of([1 / each.wall for each in slices])
        cpu = Spread.of([each.cpu * 1e6 for each in slices])
        throughput = run.ratio(who.BARE, name, "wall")
        cost = run.ratio(name, who.BARE, "cpu")
        ratios = (throughput.show(3), cost.show(3)) if name != who.BARE else ("1", "1")
        table.add_row(name, f"{speed.median:,.0f}", f"{cpu.median:.1f}", *ratios)
        rows[name] = {
            "calls_per_second": asdict(speed),
            "cpu_microseconds": asdict(cpu),
            "throughput_of_bare": asdict(throughput),
            "cpu_of_bare": asdict(cost),
        }
    table.caption = (
        f"{ledger['calls']:,} calls, each checked for its account's token; "
        f"client {ledger['client_busy']:.0%}, server {ledger['server_busy']:.0%} of a "
        "core\n"
        f"one rotation: {ledger['refused']:,} rejected calls, "
        f"{ledger['refreshes']:,} refreshes, {ledger['reuse']} reuse"
    )
    wrong = list(run.wrong)
    if ledger["reuse"]:
        wrong.append(f"{ledger['reuse']} spent refresh tokens were presented again")
    return Section(
        "fast",
        table,
        {"contestants": rows, "server": ledger},
        _targets(run, accounts),
        tuple(wrong),
    )


def _targets(run: _Run, accounts: int) -> tuple[Target, ...]:
    return tuple(
        Target(what, run.ratio(other, ours, "wall"), least, "at least")
        for what, other, ours, least in (
            ("throughput of bare aiohttp", who.BARE, who.OURS, LEAST_OF_BARE),
            (
                f"the same with {accounts:,} accounts in turn",
                who.BARE_EACH,
                who.OURS_EACH,
                LEAST_OF_BARE,
            ),
            (f"throughput of {who.AUTHLIB}", who.AUTHLIB, who.OURS, LEAST_OF_AUTHLIB),
        )
    )
