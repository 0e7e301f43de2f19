"""For every test: the canary, which fails a test that lets a secret be seen.

And for those of `tests/failures`: the world in which their schedules happen.
"""

from __future__ import annotations

pytest_plugins = [
    "pytester",
    "tests._canary",
    "tests.failures._world",
    "everbearer_pytest",
]
