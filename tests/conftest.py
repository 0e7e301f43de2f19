"""For every test: the canary, which fails a test that lets a secret be seen.

And for those of `tests/failures`: the world in which their schedules happen.
"""

from __future__ import annotations

pytest_plugins = [
    "pytester",
    "tests._canary",
    "everbearer_pytest",
    "tests._flows",
    "tests._servers",
    "tests.failures.modes._late_modes",
    "tests.failures._world",
]
