"""With every rule on, no run harms a grant, presents a token twice, or waits too long.

`make test` draws the same runs each time; `MODEL_RUNS=20000 make test
ARGS=tests/failures/model` as many others, for each kind of provider and each budget.
"""

from __future__ import annotations

import os

import pytest
from tests.failures.model._machine import replay, search
from tests.failures.model._model import BrokenRuleError

RUNS = int(os.environ.get("MODEL_RUNS", "0"))
USUAL_RUNS = 300

pytestmark = pytest.mark.timeout(max(RUNS, 240))


@pytest.mark.parametrize("faults", [1, 2], ids=["one fault", "two faults"])
@pytest.mark.parametrize("flavour", ["strict", "lenient", "window", "closing"])
def test_no_run_harms_a_grant(flavour: str, faults: int) -> None:
    """Whatever happens in whatever order, the issuer has nothing to object to."""
    search(flavour, faults, RUNS or USUAL_RUNS, random=bool(RUNS))


@pytest.mark.xfail(strict=True, raises=BrokenRuleError, reason="rule 14 is not built")
def test_of_two_pairs_the_living_one_is_kept() -> None:
    """Rule 14: B's replay minted a pair; A, cut off with the older one, saves first."""
    cut_off = [("call", 0), ("until_sent",), ("trouble", 0, "cut off")]
    replayed = [("trip", 1, "slow"), ("call", 1), ("until_sent",), ("wait", 3.5)]
    saved = [("recover", 0), ("wait", 1.5)]
    replay("minting", [*cut_off, *replayed, *saved])
