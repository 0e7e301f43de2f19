"""Chaos: ``python -m tests.failures.chaos --seconds 60 --seed 7``."""

from __future__ import annotations

import argparse
import asyncio
import logging
import random
import sys

from tests.failures.chaos._backing import BACKINGS
from tests.failures.chaos._broken import BREAKS
from tests.failures.chaos._families import FAMILIES, USUAL
from tests.failures.chaos._judge import judge
from tests.failures.chaos._report import report
from tests.failures.chaos._run import Run


def main() -> int:
    parser = argparse.ArgumentParser(prog="chaos", description=__doc__)
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--seed", type=int, help="of a schedule; random by default")
    parser.add_argument("--store", choices=sorted(BACKINGS), default="sqlite")
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--accounts", type=int, default=5, help="of each provider")
    parser.add_argument(
        "--break", dest="broken", choices=sorted(BREAKS), default="", help="a guard"
    )
    parser.add_argument(
        "--providers", nargs="+", choices=sorted(FAMILIES), default=USUAL
    )
    parser.add_argument("--hurry", action="store_true", help="end when all is well")
    asked = parser.parse_args()
    seed = random.randrange(1_000_000) if asked.seed is None else asked.seed
    logging.getLogger("everbearer").setLevel(logging.CRITICAL)
    run = Run(
        seed,
        asked.seconds,
        store=asked.store,
        workers=asked.workers,
        families=tuple(asked.providers),
        accounts_each=asked.accounts,
        broken=asked.broken,
        hurry=asked.hurry,
    )
    print(f"chaos: {asked.store}, seed {seed}, {asked.seconds:.0f} s", flush=True)
    case = asyncio.run(run.run())
    verdict = judge(case)
    print(report(run, case, verdict))
    return 1 if verdict.complaints else 0


if __name__ == "__main__":
    sys.exit(main())
