"""The contract suite, as somebody who wrote a store would use it."""

from __future__ import annotations

import pytest

CONFTEST = """
pytest_plugins = ["everbearer_pytest"]
"""

THEIRS = """
from everbearer.stores import MemoryStore
from everbearer.testing import store_contract

class AcmeStore(MemoryStore):
    {fault}

{maker}

TestAcmeStore = store_contract(make)
"""

MAKERS = {
    "function": "make = lambda clock, folder: AcmeStore(clock)",
    "coroutine": "async def make(clock, folder): return AcmeStore(clock)",
}

FAULTS = {
    "adopts over a grant": """
    async def put(self, key, grant):
        from attrs import evolve
        return await super().put(key, evolve(grant, if_absent=False))
""",
    "hands out twice": """
    async def acquire(self, key, asked):
        from attrs import evolve
        acquired = await super().acquire(key, asked)
        return acquired and evolve(acquired, granted=True)
""",
}


@pytest.mark.parametrize("maker", MAKERS)
def test_a_store_that_keeps_it(pytester, maker):
    """One line, and every test of the contract runs against a store of theirs."""
    pytester.makeconftest(CONFTEST)
    pytester.makepyfile(THEIRS.format(fault="pass", maker=MAKERS[maker]))
    outcomes = pytester.runpytest_subprocess("-q").parseoutcomes()
    assert outcomes.pop("passed") >= 70
    assert set(outcomes) <= {"warning", "warnings"}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_store_that_breaks_it(pytester, fault):
    """What is wrong is said by the assertion that fails."""
    pytester.makeconftest(CONFTEST)
    pytester.makepyfile(THEIRS.format(fault=FAULTS[fault], maker=MAKERS["function"]))
    result = pytester.runpytest_subprocess("-q", "--tb=short")
    assert result.parseoutcomes()["failed"] >= 1
    result.stdout.fnmatch_lines(["*E *assert *"])
