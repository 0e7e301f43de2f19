"""For every test: the canary, which fails a test that lets a secret be seen.

And for those of `tests/failures`: the world in which their schedules happen.
"""

from __future__ import annotations

from hypothesis import HealthCheck, settings

pytest_plugins = [
    "pytester",
    "tests._canary",
    "tests._authority",
    "everbearer_pytest",
    "tests._flows",
    "tests._servers",
    "tests._pooler",
    "tests.failures.modes._late_modes",
    "tests.failures._world",
    "tests.failures._host",
]

# No test depends on how busy the machine is, or on luck: what is random is `make fuzz`.
settings.register_profile(
    "everbearer",
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("everbearer")
