"""A seed makes a schedule, always the same."""

from __future__ import annotations

import pytest
from tests.failures.chaos._schedule import KINDS, SERVER_KINDS, schedule

TARGETS = {"worker": 4, "account": 32, "all": 1}


def of(seed: int, seconds: float = 600.0, kinds=KINDS):
    return schedule(seed, seconds, workers=4, accounts=32, kinds=kinds)


def test_a_seed_reproduces_it() -> None:
    """The same seed gives the same faults, another seed gives others."""
    assert of(7) == of(7)
    assert of(7) != of(8)


def test_faults_are_in_order_and_in_time() -> None:
    """Each begins after the one before it, and none outlasts the run."""
    planned = of(7)
    assert [each.at for each in planned] == sorted(each.at for each in planned)
    assert all(each.at >= 0 and each.at + each.seconds <= 600.0 for each in planned)


@pytest.mark.parametrize("kinds", [KINDS, SERVER_KINDS], ids=["file", "server"])
def test_every_kind(kinds) -> None:
    """It comes about as often as it says, to every target, as long as it says."""
    planned = of(7, 6000.0, kinds)
    for kind in kinds:
        _check(kind, [each for each in planned if each.kind == kind.name])


def _check(kind, found) -> None:
    assert 0.7 < len(found) * kind.every / 6000.0 < 1.4
    assert {each.target for each in found} <= set(range(TARGETS[kind.hits]))
    assert all(kind.least <= each.seconds <= kind.most for each in found)


def test_no_time_no_faults() -> None:
    """A run that is shorter than its quiet end is quiet."""
    assert of(7, -3.0) == ()
