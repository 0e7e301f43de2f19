"""What a call costs while the token is fresh: throughput and CPU, side by side.

All contestants run in every round, in an order that moves on from round to round, so
that whatever slows the machine down slows everybody down; each ratio is taken within a
round.  Bare aiohttp runs twice: its ratio to itself is how far the figures can be
trusted.  The server has a process of its own, so that CPU time is the client's.
"""

from __future__ import annotations

import asyncio
import gc
import time
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import aiohttp
import contestants as who
from api_server import FIXED, running
from attrs import asdict, define, field, frozen
from figures import Section, Spread, Target
from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["measure"]

CONCURRENCY = 16
LEAST_OF_BARE = 0.97
LEAST_OF_AUTHLIB = 5.0
BARE = "bare aiohttp, header as a session default"


@frozen
class Slice:
    """Seconds of the clock and of this process's CPU, for each call."""

    wall: float
    cpu: float


@define
class _Run:
    """The contestants, what each round gave, and what went wrong."""

    base: str
    http: aiohttp.ClientSession
    field_: list[who.Contestant]
    slices: dict[str, list[Slice]] = field(factory=dict)
    wrong: list[str] = field(factory=list)
    made: int = 0

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

    async def round(self, number: int, calls: int) -> None:
        """A slice of everybody, beginning with another one each time."""
        first = number % len(self.field_)
        for contestant in self.field_[first:] + self.field_[:first]:
            taken = await self.slice(contestant, calls)
            self.slices.setdefault(contestant.name, []).append(taken)

    async def rotate(self, contestant: who.Contestant) -> Slice:
        """End every account's token at the server, then call each account twice.

        Not part of any ratio: it is here for what it proves, that each account is
        refreshed once and that each call after it carries the account's new token.
        """
        accounts = len(contestant.accounts)
        before = await self.figures()
        (await self.http.post(f"{self.base}/_bench/expire")).release()
        taken = await self.slice(contestant, 2 * accounts)
        after = await self.figures()
        refreshes = after["refreshes"] - before["refreshes"]
        if refreshes != accounts:
            self.wrong.append(f"{refreshes} refreshes for {accounts} accounts")
        return taken

    async def figures(self) -> dict[str, Any]:
        async with self.http.get(f"{self.base}/_bench/figures") as response:
            figures: dict[str, Any] = await response.json()
            return figures

    def ratio(self, name: str, other: str, of: str) -> Spread:
        """How many times *other*'s seconds *name* took, round by round."""
        pairs = zip(self.slices[name], self.slices[other], strict=True)
        return Spread.of([getattr(a, of) / getattr(b, of) for a, b in pairs])


async def measure(*, rounds: int, calls: int, accounts: int) -> Section:
    """Compare everybody in *rounds* rounds of *calls* calls each."""
    async with AsyncExitStack() as stack:
        base = stack.enter_context(running())
        http = await stack.enter_async_context(aiohttp.ClientSession())
        names = [FIXED, *(f"account-{number}" for number in range(accounts))]
        async with http.post(f"{base}/_bench/issue", json=names) as response:
            pairs = await response.json()
        field_ = [
            await stack.enter_async_context(each)
            for each in (
                who.bare(base, pairs, BARE),
                who.constant_header(base, pairs),
                who.everbearer(base, pairs),
                who.aiohttp_oauth2_client(base, pairs),
                who.bare(base, pairs, "bare aiohttp, once more"),
                who.authlib(base, pairs),
            )
        ]
        run = _Run(base, http, field_)
        ours = field_[2]
        for contestant in field_:
            await run.slice(contestant, max(calls, len(contestant.accounts)))
        gc.collect()
        gc.freeze()  # What was set up is nobody's garbage.
        rotation = None
        begun = await run.figures(), time.perf_counter()
        for number in range(rounds):
            if number == rounds // 2:
                rotation = await run.rotate(ours)
            await run.round(number, calls)
        figures = await run.figures()
        gc.unfreeze()
        busy = (figures["cpu"] - begun[0]["cpu"]) / (time.perf_counter() - begun[1])
        return _section(run, ours.name, rotation, figures | {"server_busy": busy})


def _section(
    run: _Run, ours: str, rotation: Slice | None, ledger: dict[str, Any]
) -> Section:
    table = Table(title=f"fast path, {CONCURRENCY} concurrent calls")
    table.add_column("contestant")
    for title in (
        "calls/s",
        "CPU us/call",
        "throughput of bare  [quartiles]",
        "CPU of bare  [quartiles]",
    ):
        table.add_column(title, justify="right")
    rows = {}
    for name, slices in run.slices.items():
        wall = Spread.of([1 / each.wall for each in slices])
        cpu = Spread.of([each.cpu * 1e6 for each in slices])
        throughput = run.ratio(BARE, name, "wall")
        cost = run.ratio(name, BARE, "cpu")
        table.add_row(
            name,
            f"{wall.median:,.0f}",
            f"{cpu.median:.1f}",
            "1" if name == BARE else throughput.show(3),
            "1" if name == BARE else cost.show(3),
        )
        rows[name] = {
            "calls_per_second": asdict(wall),
            "cpu_microseconds": asdict(cpu),
            "throughput_of_bare": asdict(throughput),
            "cpu_of_bare": asdict(cost),
        }
    table.caption = (
        f"{ledger['calls']:,} calls, each checked for its account's token; server "
        f"{ledger['server_busy']:.0%} busy"
    )
    if rotation is not None:
        table.caption += (
            f"\none rotation: {ledger['refreshes']:,} refreshes for "
            f"{ledger['refused']:,} rejected calls, {ledger['reuse']} reuse"
        )
    wrong = list(run.wrong)
    if ledger["reuse"]:
        wrong.append(f"{ledger['reuse']} spent refresh tokens were presented again")
    return Section(
        "fast",
        table,
        {"contestants": rows, "server": ledger},
        (
            Target(
                "throughput of bare aiohttp",
                run.ratio(BARE, ours, "wall"),
                LEAST_OF_BARE,
                "at least",
            ),
            Target(
                "throughput of Authlib on httpx2",
                run.ratio("Authlib on httpx2", ours, "wall"),
                LEAST_OF_AUTHLIB,
                "at least",
            ),
        ),
        tuple(wrong),
    )
