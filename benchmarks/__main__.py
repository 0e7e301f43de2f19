"""``make bench``: what Everbearer costs, beside what others cost, in one run.

Ratios, never promises: everything is measured side by side on the machine at hand, and
each ratio comes with its spread over the rounds.  Exits with 1 only for what must never
happen (a wrong token, a failed call); a ratio that misses its target is noted.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import platform
import sys
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import fast_path
import feed
import pool
import stores
import waking
from rich.console import Console

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterator

    from figures import Section

_VERSIONS = ("aiohttp", "authlib", "httpx2", "aiohttp-oauth2-client")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser("benchmarks", description=__doc__)
    parser.add_argument("--only", choices=("fast", "wake", "pool", "stores", "feed"))
    parser.add_argument(
        "--rounds",
        type=int,
        help="of fast (200), wake (30), stores (5), feed (3)",
    )
    parser.add_argument(
        "--calls", type=int, help="in a round of fast (160); of each caller of pool (5)"
    )
    parser.add_argument(
        "--accounts", type=int, default=1_000, help="that fast takes in turn (1000)"
    )
    parser.add_argument(
        "--processes", type=int, default=8, help="that fast is spread over (8)"
    )
    parser.add_argument(
        "--waiters", type=int, default=10_000, help="that wake wakes (10000)"
    )
    parser.add_argument(
        "--callers", type=int, default=1_000, help="at once in pool (1000)"
    )
    parser.add_argument(
        "--seconds", type=float, default=10.0, help="of a round of feed (10)"
    )
    parser.add_argument("--json", type=Path, metavar="FILE")
    return parser.parse_args()


def _chosen(given: argparse.Namespace) -> Iterator[Coroutine[None, None, Section]]:
    if given.only in {None, "fast"}:
        yield fast_path.measure(
            rounds=given.rounds or 200,
            calls=given.calls or 160,
            accounts=given.accounts,
            processes=given.processes,
        )
    if given.only in {None, "wake"}:
        yield waking.measure(rounds=given.rounds or 30, waiters=given.waiters)
    if given.only in {None, "pool"}:
        yield pool.measure(callers=given.callers, calls=given.calls or 5)
    if given.only in {None, "stores"}:
        yield stores.measure(rounds=given.rounds or 5)
    if given.only in {None, "feed"}:
        yield feed.measure(rounds=given.rounds or 3, seconds=given.seconds)


def main() -> int:
    given = _arguments()
    console = Console()
    machine = {
        "python": platform.python_version(),
        "machine": platform.machine(),
        **{name: version(name) for name in _VERSIONS},
    }
    console.print(", ".join(f"{name} {what}" for name, what in machine.items()))
    sections = []
    for benchmark in _chosen(given):
        section = asyncio.run(benchmark)
        sections.append(section)
        console.print(section.table)
        for target in section.targets:
            console.print(target.show(), highlight=False)
        for what in section.wrong[:20]:
            console.print(f"WRONG: {what}", style="bold red", markup=False)
    if given.json is not None:
        found = {section.name: section.as_json() for section in sections}
        given.json.write_text(json.dumps({"machine": machine, **found}, indent=2))
    return int(any(section.wrong for section in sections))


if __name__ == "__main__":
    sys.exit(main())
