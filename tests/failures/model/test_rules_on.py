"""With every rule on, no run harms a grant, presents a token twice, or waits too long.

`make test` draws the same runs each time; `MODEL_RUNS=20000 make test
ARGS=tests/failures/model` as many others, for each kind of provider and each budget.
"""

from __future__ import annotations

import os

import pytest
from tests.failures.model._machine import FLAVOURS, search

RUNS = int(os.environ.get("MODEL_RUNS", "0"))
USUAL_RUNS = 300

pytestmark = pytest.mark.timeout(max(RUNS, 240))


@pytest.mark.parametrize("faults", [1, 2], ids=["one fault", "two faults"])
@pytest.mark.parametrize("flavour", sorted(FLAVOURS))
def test_no_run_harms_a_grant(flavour: str, faults: int) -> None:
    """Whatever happens in whatever order, the issuer has nothing to object to."""
    search(flavour, faults, RUNS or USUAL_RUNS, random=bool(RUNS))
