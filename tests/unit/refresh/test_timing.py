"""Timing: its defaults hold together, and nonsense is refused."""

from __future__ import annotations

import math

import pytest

from everbearer.errors import ConfigurationError
from everbearer.refresh import Timing


def test_defaults_are_those_of_the_protocol() -> None:
    """L, D, X, G and the connect deadline are what the reference says."""
    timing = Timing()
    assert (timing.lease, timing.deadline, timing.linger) == (10.0, 60.0, 60.0)
    assert (timing.grace, timing.connect) == (10.0, 10.0)


def test_deadline_and_grace_must_exceed_linger() -> None:
    """D + G > X, or a second presentation could overtake the first one's answer."""
    with pytest.raises(ConfigurationError, match="linger"):
        Timing(deadline=5, grace=5, linger=10)


@pytest.mark.parametrize("name", ["lease", "deadline", "linger", "grace", "connect"])
@pytest.mark.parametrize(
    "value", [0, -1, math.inf, math.nan, "10"], ids=["0", "neg", "inf", "nan", "str"]
)
def test_each_is_a_positive_number(name: str, value: object) -> None:
    """A deadline that is no deadline is a ConfigurationError that names it."""
    with pytest.raises(ConfigurationError, match=name):
        Timing(**{name: value})
