"""The clock that the processes of one SQLite file share."""

from __future__ import annotations

import pytest

from everbearer._clock import SystemClock
from everbearer.stores import Asked, SqliteStore


class Host:
    """A machine whose wall clock can be set, and which can be started again."""

    def __init__(self) -> None:
        self.set_ahead, self.started, self.up = 0.0, "boot-1", 0.0

    def wall(self) -> float:
        return 1_700_000_000.0 + self.up + self.set_ahead

    def elapsed(self) -> float:
        return self.up

    def boot(self) -> str | None:
        return self.started


@pytest.mark.asyncio
@pytest.mark.parametrize("step", [3600.0, -3600.0], ids=["forward", "back"])
async def test_a_wall_clock_that_is_set_ends_no_lease(tmp_path, make, step):
    """A held lease stays held, and a dead holder's lasts no longer than its term."""
    host = Host()
    one, two = (SqliteStore(tmp_path / "tokens.db", clock=host) for _ in range(2))
    await one.open()
    await one.put(make.key, make.grant())
    assert (await one.acquire(make.key, Asked("a", "one", 10.0))).granted
    host.set_ahead = step
    await two.open()
    host.up += 9.0
    assert not (await two.acquire(make.key, Asked("b", "two", 10.0))).granted
    host.up += 2.0
    assert (await two.acquire(make.key, Asked("b", "two", 10.0))).granted
    await one.aclose()
    await two.aclose()


@pytest.mark.asyncio
async def test_after_a_start_of_the_machine_it_counts_anew(tmp_path, make):
    """Uptime begins at nothing again; the time does not."""
    host = Host()
    host.up = 1_000_000.0
    store = SqliteStore(tmp_path / "tokens.db", clock=host)
    await store.open()
    before = await store.now()
    await store.aclose()
    host.set_ahead, host.started, host.up = 1_000_060.0, "boot-2", 5.0
    await store.open()
    assert await store.now() == before + 65.0
    await store.aclose()


@pytest.mark.asyncio
async def test_where_starts_cannot_be_told_apart_it_is_the_wall_clock(tmp_path):
    """Not Linux: the wall clock has to do."""
    host = Host()
    host.started = None
    store = SqliteStore(tmp_path / "tokens.db", clock=host)
    await store.open()
    host.set_ahead = 77.0
    assert await store.now() == host.wall()
    await store.aclose()


def test_the_systems_own_boot_is_the_same_in_all_processes():
    """It is the kernel's, not this process's."""
    assert SystemClock().boot() == SystemClock().boot()
