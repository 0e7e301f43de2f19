"""For every test: the canary, which fails a test that lets a secret be seen."""

from __future__ import annotations

pytest_plugins = [
    "pytester",
    "tests._canary",
    "everbearer_pytest",
    "tests._flows",
    "tests._servers",
    "tests.failures.modes._late_modes",
]
