"""Waking everybody who waits for one refresh, beside a bare `asyncio.Event`.

Both sides are measured alike: from the moment that the result is there to the moment
that the last waiter has it.  For the refresh that is the token endpoint's answer, so
that storing the token counts too.
"""

from __future__ import annotations

import asyncio
import gc
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from attrs import asdict, define
from figures import Section, Spread, Target
from rich.table import Table

from everbearer import Client, Registration, Token
from everbearer.providers import standard_provider
from everbearer.stores import MemoryStore
from everbearer.token_endpoint import Granted

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from everbearer import AccountSession

__all__ = ["measure"]

MOST_OF_EVENT = 1.5
HERE = "http://127.0.0.1:9"  # Nobody is asked there.


@define
class _Tally:
    """Counts the waiters that have the result, and notes when the last one did."""

    expected: str
    left: int
    ended: float = 0.0
    wrong: int = 0

    def arrive(self, result: str) -> None:
        if result != self.expected:
            self.wrong += 1
        self.left -= 1
        if not self.left:
            self.ended = time.perf_counter()


class _Endpoint:
    """In place of the token endpoint: answers when it is told to, and notes when."""

    def __init__(self) -> None:
        self.answer = asyncio.Event()
        self.answered = 0.0
        self.asked = 0

    async def ask(self, *_: object, **__: object) -> Granted:
        self.asked += 1
        await self.answer.wait()
        granted = Granted(
            Token(
                f"access-{self.asked}",
                f"refresh-{self.asked}",
                datetime.now(UTC) + timedelta(hours=1),
            )
        )
        self.answered = time.perf_counter()
        return granted


async def _started(
    wait: Callable[[], Awaitable[str]], tally: _Tally, waiters: int
) -> asyncio.Task[None]:
    """Start the waiters and come back when each of them waits."""
    waiting = asyncio.Event()
    about_to = 0

    async def waiter() -> None:
        nonlocal about_to
        about_to += 1
        if about_to == waiters:
            waiting.set()
        tally.arrive(await wait())

    async def everybody() -> None:
        await asyncio.gather(*(waiter() for _ in range(waiters)))

    task = asyncio.create_task(everybody())
    await waiting.wait()
    return task


async def _event(waiters: int) -> float:
    event = asyncio.Event()
    tally = _Tally("done", waiters)

    async def wait() -> str:
        await event.wait()
        return "done"

    task = await _started(wait, tally, waiters)
    began = time.perf_counter()
    event.set()
    await task
    return tally.ended - began


async def _refresh(
    client: Client, session: AccountSession, endpoint: _Endpoint, waiters: int
) -> tuple[float, int]:
    """Seconds, and how many waiters got something else than the new token."""
    expired = Token("expired", "refresh-0", datetime.now(UTC) - timedelta(hours=1))
    await client.adopt("bench", "acme", expired)
    endpoint.answer.clear()
    tally = _Tally(f"access-{endpoint.asked + 1}", waiters)
    task = await _started(session.access_token, tally, waiters)
    endpoint.answer.set()
    await task
    return tally.ended - endpoint.answered, tally.wrong


async def measure(*, rounds: int, waiters: int) -> Section:
    """Wake *waiters* waiters *rounds* times on either side, in turn."""
    provider = standard_provider(
        "bench",
        authorize_url=f"{HERE}/authorize",
        token_url=f"{HERE}/token",
        api_base=HERE,
    )
    registration = Registration(provider, "bench-client", "bench-secret")
    endpoint = _Endpoint()
    flights: list[float] = []
    events: list[float] = []
    wrong = 0
    async with Client(registration, store=MemoryStore()) as client:
        # The smallest seam there is: a server would be what is measured.
        client._refresher.endpoint = endpoint  # type: ignore[assignment]  # noqa: SLF001
        session = client.session("bench", "acme")
        for number in range(rounds + 1):
            gc.collect()
            gc.disable()  # As timeit does: a collection would hit one side by chance.
            event = await _event(waiters)
            flight, astray = await _refresh(client, session, endpoint, waiters)
            gc.enable()
            wrong += astray
            if number:  # The first one warms up.
                events.append(event)
                flights.append(flight)
    problems = [f"{wrong} waiters got another token"] * bool(wrong)
    if endpoint.asked != rounds + 1:
        problems.append(f"{endpoint.asked} token requests for {rounds + 1} refreshes")
    return _section(flights, events, waiters, tuple(problems))


def _section(
    flights: list[float], events: list[float], waiters: int, wrong: tuple[str, ...]
) -> Section:
    table = Table(title=f"waking {waiters:,} waiters, milliseconds (quartiles)")
    table.add_column("")
    table.add_column("from the result to the last waiter", justify="right")
    figures: dict[str, Any] = {"waiters": waiters}
    for name, seconds in (("asyncio.Event", events), ("a refresh", flights)):
        spread = Spread.of([each * 1e3 for each in seconds])
        table.add_row(name, spread.show(1))
        figures[name] = asdict(spread)
    ratio = Spread.of([a / b for a, b in zip(flights, events, strict=True)])
    target = Target(
        "waking from a refresh, of a bare asyncio.Event",
        ratio,
        MOST_OF_EVENT,
        "at most",
    )
    return Section("wake", table, figures, (target,), wrong)
