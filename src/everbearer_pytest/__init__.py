"""The pytest plugin of Everbearer: fixtures for the tests of programs that use it.

A package of its own, so that pytest, which loads it in every run, does not import
Everbearer and aiohttp for tests that ask for none of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from everbearer.sandbox import Sandbox
    from everbearer.testing import MovableClock

# The contract suite speaks by its assertions.
pytest.register_assert_rewrite("everbearer.testing._contract")

__all__ = ["everbearer_clock", "everbearer_sandbox"]


@pytest.fixture
def everbearer_sandbox() -> Iterator[Sandbox]:
    """A provider on a loopback port, and the evidence of what was asked of it."""
    from everbearer.testing import served_sandbox  # noqa: PLC0415 - see the docstring

    with served_sandbox() as sandbox:
        yield sandbox


@pytest.fixture
def everbearer_clock(monkeypatch: pytest.MonkeyPatch) -> MovableClock:
    """The clock of all Clients, stores and sandboxes in this test, to move ahead."""
    from everbearer.testing import MovableClock  # noqa: PLC0415 - see the docstring

    clock = MovableClock()
    clock.install(monkeypatch)
    return clock
